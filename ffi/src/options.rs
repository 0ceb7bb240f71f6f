//! Settings of a detector, as plain data.

use std::time::Duration;

use engine::{
    AnswerRule, DetectorConfig, Downmix, Endpointing, ExpectationDelays, Fusion, OverlapOptions,
    Probability, SampleFormat, SamplePos, SampleRate, TextVoteOptions, TurnModelOptions,
    TurnPolicy, WaitRule,
};

use crate::event::{LISTENKIT_F32, LISTENKIT_I16};
use crate::handle;
use crate::pointer::{SizedOut, Versioned, read_sized};
use crate::status::{Failure, LISTENKIT_CONFIG, listenkit_status};

/// "Not set", in durations that may be.
pub const LISTENKIT_NONE_MS: u32 = u32::MAX;
/// `downmix_channel`: the mean of all channels.
pub const LISTENKIT_DOWNMIX_AVERAGE: u32 = u32::MAX;

/// 0.3 and 2.5 s with a turn model, 0.5 and 3 s without.
pub const LISTENKIT_ENDPOINTING_DEFAULT: u32 = 0;
/// `min_delay_ms` and `max_delay_ms` as they are.
pub const LISTENKIT_ENDPOINTING_FIXED: u32 = 1;
/// The smaller delay is learned from the user's pauses, between the two, with `alpha` as the weight of history.
pub const LISTENKIT_ENDPOINTING_DYNAMIC: u32 = 2;

/// The larger delay below the threshold, the smaller from it on.
pub const LISTENKIT_WAIT_RULE_THRESHOLD: u32 = 0;
/// In between, linear in log-odds from `unfinished_at` to `finished_at`.
pub const LISTENKIT_WAIT_RULE_GRADED: u32 = 1;

/// Of several answers about one pause, the newest counts.
pub const LISTENKIT_ANSWERS_LATEST: u32 = 0;
/// Their mean in log-odds.
pub const LISTENKIT_ANSWERS_MEAN: u32 = 1;
/// The lowest.
pub const LISTENKIT_ANSWERS_MIN: u32 = 2;

/// What `inference.VAD` of LiveKit Agents 1.8.9 does, window for window. For comparing.
pub const LISTENKIT_PRESET_LIVEKIT_CORE: u32 = 1;
/// What the silero plugin of LiveKit Agents 1.8.9 does. For comparing.
pub const LISTENKIT_PRESET_LIVEKIT_PLUGIN: u32 = 2;

/// For quick exchanges: 0.2 to 0.8 s around a threshold of 0.2.
pub const LISTENKIT_POLICY_FAST: u32 = 1;
/// For most agents: 0.3 to 1.5 s around a threshold of 0.5.
pub const LISTENKIT_POLICY_BALANCED: u32 = 2;
/// For people who think while they speak: 0.5 to 3 s around a threshold of 0.7.
pub const LISTENKIT_POLICY_PATIENT: u32 = 3;

/// Settings of a detector. `listenkit_detector_options_init` fills in the defaults, given in brackets. Durations are in milliseconds.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_detector_options {
    /// `sizeof` this struct.
    pub struct_size: u32,
    /// Samples per second, 4000 to 192000 [16000].
    pub sample_rate: u32,
    /// Interleaved channels, 1 to 8 [1].
    pub channels: u32,
    /// `LISTENKIT_I16` or `LISTENKIT_F32`: what will be pushed first [I16]. Pushing the other is a change of format.
    pub sample_format: u32,
    /// Position of the first sample [0].
    pub start_at: u64,
    /// Weight of history where the smaller delay is learned, 0 to less than 1 [0.9].
    pub alpha: f64,
    /// The channel that is listened to, from 0, or `LISTENKIT_DOWNMIX_AVERAGE` [average].
    pub downmix_channel: u32,
    /// Weight of history in smoothed probabilities, 0 to less than 1; NaN: no smoothing [NaN].
    pub smoothing: f32,
    /// A window counts as speech from this probability on, 0 to 1 [0.5].
    pub activation_threshold: f32,
    /// While the user speaks, above this too; NaN: 0.15 below [NaN].
    pub deactivation_threshold: f32,
    /// 1: keep the model from going deaf in long noise [1].
    pub state_guard: u32,
    /// 1: every window is an event [0].
    pub report_windows: u32,
    /// 1: keep the audio of segments; SEGMENT_READY comes out [0].
    pub segment_audio: u32,
    /// 0, or the `LISTENKIT_PRESET_*` whose rules hold where there is no field for them. Set by
    /// `listenkit_detector_options_preset` [0].
    pub preset: u32,
    /// Speech that starts a segment, 0 to 10 s [50].
    pub min_speech_ms: u32,
    /// Silence that ends a segment, 0 to 10 s [250].
    pub min_silence_ms: u32,
    /// Audio kept before a segment's speech, 0 to 10 s [500].
    pub prefix_padding_ms: u32,
    /// Silence kept after it, at most `min_silence_ms`; or `LISTENKIT_NONE_MS`: all of it [none].
    pub tail_padding_ms: u32,
    /// Longest segment, 2 s to 10 min; longer speech is split at a pause [30000].
    pub max_segment_ms: u32,
    /// Frames that are this late by `listenkit_detector_clock` are a gap, 32 ms to 1 h [1000].
    pub starvation_ms: u32,
    /// Hold the end of a turn for a transcript, up to a minute, or none [none].
    pub transcript_wait_ms: u32,
    /// End every turn after this, 1 s to 24 h, or none [none].
    pub max_turn_ms: u32,
    /// `LISTENKIT_ENDPOINTING_*` [default].
    pub endpointing: u32,
    /// Wait after the last voiced sample if the turn seems complete, up to a minute [500].
    pub min_delay_ms: u32,
    /// Wait if it seems unfinished, not below `min_delay_ms` [3000].
    pub max_delay_ms: u32,
    /// `LISTENKIT_WAIT_RULE_*` [threshold].
    pub wait_rule: u32,
    /// Graded: up to this fused probability, the larger delay [0.02].
    pub unfinished_at: f32,
    /// Graded: from this one on, the smaller [0.98].
    pub finished_at: f32,
    /// Weight of the audio model, 0 to 10 [1].
    pub fusion_audio: f32,
    /// Weight of the text model, 0 to 10 [1].
    pub fusion_text: f32,
    /// Log-odds of the wording at full lean, 0 to 10 [2.2].
    pub fusion_cues: f32,
    /// Largest distance of a model from its threshold that counts, in log-odds, 0.1 to 100 [6].
    pub fusion_limit: f32,
    /// 1: ask an audio model at pauses; TURN_QUERY comes out [0].
    pub turn_model: u32,
    /// Below it, the audio model means "not finished", 0 to 1 [0.5].
    pub turn_threshold: f32,
    /// How long its answer is waited for, up to a minute [1000].
    pub turn_timeout_ms: u32,
    /// Silence after which it is asked, up to 10 s [96].
    pub turn_query_after_ms: u32,
    /// Silences after which it is asked again, each longer than the one before, or none [none].
    pub turn_query_again_ms: [u32; 3],
    /// `LISTENKIT_ANSWERS_*` [latest].
    pub turn_answers: u32,
    /// Audio kept for it, 32 ms to a minute [8000].
    pub turn_audio_ms: u32,
    /// 1: compute its features while the user speaks, 263 KB a stream [1].
    pub turn_mel_frames: u32,
    /// How long a text model's vote is waited for, up to a minute, or none [none].
    pub text_timeout_ms: u32,
    /// A yes or no is expected: turns up to this long are short answers [1000].
    pub short_answer_ms: u32,
    /// Smaller delay after those [200].
    pub short_min_ms: u32,
    /// Smaller delay while something is dictated [1000].
    pub dictation_min_ms: u32,
    /// Larger delay while something is dictated [4000].
    pub dictation_max_ms: u32,
    /// Smaller delay while the user has the floor [2000].
    pub floor_min_ms: u32,
    /// Larger delay while the user has the floor [8000].
    pub floor_max_ms: u32,
    /// 1: judge speech over the agent's [0].
    pub overlap: u32,
    /// Voiced speech that makes an interruption, up to 10 s [500].
    pub overlap_min_ms: u32,
    /// Words that it needs as well [0].
    pub overlap_min_words: u32,
    /// No interruption this soon after the agent began, up to 10 s [300].
    pub playback_guard_ms: u32,
    /// An interruption without words is false after this, up to a minute, or none [2000].
    pub false_interruption_ms: u32,
    /// Rate of the agent's playback for `listenkit_detector_reference_*`, Hz; 0: not compared [0].
    pub reference_rate: u32,
    /// Coherence with the playback that makes an overlap the agent's own voice, 0 to 1 [0.75].
    pub own_voice_threshold: f32,
}

const _: () = assert!(
    size_of::<listenkit_detector_options>() == 16 + 16 + 4 * 50,
    "listenkit_detector_options has padding, which would be written uninitialised"
);

// SAFETY: `repr(C)`, `struct_size` first, numbers only, and no padding: checked above.
unsafe impl Versioned for listenkit_detector_options {
    const FIRST: usize = 232;

    fn defaults() -> Self {
        let turn = TurnModelOptions::new(TurnPolicy::BALANCED.audio_threshold);
        let (fusion, expect) = (Fusion::DEFAULT, ExpectationDelays::DEFAULT);
        let overlap = OverlapOptions::new();
        Self {
            struct_size: size_of::<Self>() as u32,
            sample_rate: 16_000,
            channels: 1,
            sample_format: LISTENKIT_I16,
            start_at: 0,
            alpha: Endpointing::ALPHA,
            downmix_channel: LISTENKIT_DOWNMIX_AVERAGE,
            smoothing: f32::NAN,
            activation_threshold: 0.5,
            deactivation_threshold: f32::NAN,
            state_guard: 1,
            report_windows: 0,
            segment_audio: 0,
            preset: 0,
            min_speech_ms: 50,
            min_silence_ms: 250,
            prefix_padding_ms: 500,
            tail_padding_ms: LISTENKIT_NONE_MS,
            max_segment_ms: 30_000,
            starvation_ms: 1_000,
            transcript_wait_ms: LISTENKIT_NONE_MS,
            max_turn_ms: LISTENKIT_NONE_MS,
            endpointing: LISTENKIT_ENDPOINTING_DEFAULT,
            min_delay_ms: millis(Endpointing::LEGACY.min_delay()),
            max_delay_ms: millis(Endpointing::LEGACY.max_delay()),
            wait_rule: LISTENKIT_WAIT_RULE_THRESHOLD,
            unfinished_at: 0.02,
            finished_at: 0.98,
            fusion_audio: fusion.audio,
            fusion_text: fusion.text,
            fusion_cues: fusion.cues,
            fusion_limit: fusion.limit,
            turn_model: 0,
            turn_threshold: turn.unlikely_threshold.value(),
            turn_timeout_ms: millis(turn.timeout),
            turn_query_after_ms: millis(turn.query_after),
            turn_query_again_ms: turn.query_again.map(optional_millis),
            turn_answers: LISTENKIT_ANSWERS_LATEST,
            turn_audio_ms: millis(turn.audio),
            turn_mel_frames: u32::from(turn.mel_frames),
            text_timeout_ms: LISTENKIT_NONE_MS,
            short_answer_ms: millis(expect.short_answer),
            short_min_ms: millis(expect.short_min),
            dictation_min_ms: millis(expect.dictation_min),
            dictation_max_ms: millis(expect.dictation_max),
            floor_min_ms: millis(expect.floor_min),
            floor_max_ms: millis(expect.floor_max),
            overlap: 0,
            overlap_min_ms: millis(overlap.min_duration),
            overlap_min_words: overlap.min_words,
            playback_guard_ms: millis(overlap.playback_guard),
            false_interruption_ms: optional_millis(overlap.false_interruption_timeout),
            reference_rate: 0,
            own_voice_threshold: overlap.own_voice_threshold,
        }
    }
}

const fn millis(duration: Duration) -> u32 {
    duration.as_millis() as u32
}

fn optional_millis(duration: Option<Duration>) -> u32 {
    duration.map_or(LISTENKIT_NONE_MS, millis)
}

fn ms(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis))
}

fn optional(millis: u32) -> Option<Duration> {
    (millis != LISTENKIT_NONE_MS).then(|| ms(millis))
}

fn number(value: f32) -> Option<f32> {
    (!value.is_nan()).then_some(value)
}

pub(crate) fn flag(name: &str, value: u32) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Failure::value(name, other, "0 (no) or 1 (yes)")),
    }
}

pub(crate) fn probability(name: &str, value: f32) -> Result<Probability, Failure> {
    Probability::new(value).map_err(|_| {
        let text = format_args!("{name} is {value}: use a number from 0 to 1");
        Failure::new(LISTENKIT_CONFIG, text)
    })
}

pub(crate) fn rate(hz: u32) -> Result<SampleRate, Failure> {
    Ok(SampleRate::new(hz)?)
}

fn unknown_preset(given: u32) -> Failure {
    let choices = "LISTENKIT_PRESET_LIVEKIT_CORE (1) or _PLUGIN (2)";
    Failure::value("preset", given, choices)
}

impl listenkit_detector_options {
    /// The core's settings. Ranges are the core's to check, choices are checked here.
    pub(crate) fn config(&self) -> Result<DetectorConfig, Failure> {
        let rate = rate(self.sample_rate)?;
        let mut config = match self.preset {
            0 => DetectorConfig::new(rate),
            LISTENKIT_PRESET_LIVEKIT_CORE => DetectorConfig::livekit_core(rate),
            LISTENKIT_PRESET_LIVEKIT_PLUGIN => DetectorConfig::livekit_plugin(rate),
            other => return Err(unknown_preset(other)),
        };
        config = config
            .channels(self.channels as usize)
            .sample_format(self.format()?)
            .downmix(self.downmix()?)
            .start_at(SamplePos(self.start_at))
            .smoothing(number(self.smoothing))
            .state_guard(flag("state_guard", self.state_guard)?)
            .report_windows(flag("report_windows", self.report_windows)?)
            .activation_threshold(self.activation_threshold)
            .min_speech_duration(ms(self.min_speech_ms))
            .min_silence_duration(ms(self.min_silence_ms))
            .prefix_padding_duration(ms(self.prefix_padding_ms))
            .max_segment_duration(ms(self.max_segment_ms))
            .segment_audio(flag("segment_audio", self.segment_audio)?)
            .starvation_duration(ms(self.starvation_ms))
            .transcript_wait(optional(self.transcript_wait_ms))
            .max_turn_duration(optional(self.max_turn_ms))
            .wait_rule(self.rule()?)
            .fusion(Fusion {
                audio: self.fusion_audio,
                text: self.fusion_text,
                cues: self.fusion_cues,
                limit: self.fusion_limit,
            })
            .expectation_delays(ExpectationDelays {
                short_answer: ms(self.short_answer_ms),
                short_min: ms(self.short_min_ms),
                dictation_min: ms(self.dictation_min_ms),
                dictation_max: ms(self.dictation_max_ms),
                floor_min: ms(self.floor_min_ms),
                floor_max: ms(self.floor_max_ms),
            })
            .turn_model(self.model()?)
            .text_model(optional(self.text_timeout_ms).map(|timeout| TextVoteOptions { timeout }))
            .overlap(self.overlap()?);
        if let Some(threshold) = number(self.deactivation_threshold) {
            config = config.deactivation_threshold(threshold);
        }
        if let Some(tail) = optional(self.tail_padding_ms) {
            config = config.tail_padding_duration(tail);
        }
        if let Some(endpointing) = self.endpointing()? {
            config = config.endpointing(endpointing);
        }
        Ok(config)
    }

    fn format(&self) -> Result<SampleFormat, Failure> {
        match self.sample_format {
            LISTENKIT_I16 => Ok(SampleFormat::I16),
            LISTENKIT_F32 => Ok(SampleFormat::F32),
            other => {
                let choices = "LISTENKIT_I16 (0) or LISTENKIT_F32 (1)";
                Err(Failure::value("sample_format", other, choices))
            }
        }
    }

    fn downmix(&self) -> Result<Downmix, Failure> {
        match self.downmix_channel {
            LISTENKIT_DOWNMIX_AVERAGE => Ok(Downmix::Average),
            channel => match u8::try_from(channel) {
                Ok(channel) => Ok(Downmix::Channel(channel)),
                Err(_) => {
                    let choices = "a channel from 0 or LISTENKIT_DOWNMIX_AVERAGE";
                    Err(Failure::value("downmix_channel", channel, choices))
                }
            },
        }
    }

    fn endpointing(&self) -> Result<Option<Endpointing>, Failure> {
        let (min, max) = (ms(self.min_delay_ms), ms(self.max_delay_ms));
        match self.endpointing {
            LISTENKIT_ENDPOINTING_DEFAULT => Ok(None),
            LISTENKIT_ENDPOINTING_FIXED => Ok(Some(Endpointing::fixed(min, max))),
            LISTENKIT_ENDPOINTING_DYNAMIC => {
                Ok(Some(Endpointing::dynamic(min, max).with_alpha(self.alpha)))
            }
            other => {
                let choices = "LISTENKIT_ENDPOINTING_*, 0 to 2";
                Err(Failure::value("endpointing", other, choices))
            }
        }
    }

    fn rule(&self) -> Result<WaitRule, Failure> {
        match self.wait_rule {
            LISTENKIT_WAIT_RULE_THRESHOLD => Ok(WaitRule::Threshold),
            LISTENKIT_WAIT_RULE_GRADED => Ok(WaitRule::Graded {
                unfinished_at: probability("unfinished_at", self.unfinished_at)?,
                finished_at: probability("finished_at", self.finished_at)?,
            }),
            other => {
                let choices = "LISTENKIT_WAIT_RULE_*, 0 or 1";
                Err(Failure::value("wait_rule", other, choices))
            }
        }
    }

    fn model(&self) -> Result<Option<TurnModelOptions>, Failure> {
        if !flag("turn_model", self.turn_model)? {
            return Ok(None);
        }
        let threshold = probability("turn_threshold", self.turn_threshold)?;
        let mut options = TurnModelOptions::new(threshold);
        options.timeout = ms(self.turn_timeout_ms);
        options.query_after = ms(self.turn_query_after_ms);
        options.query_again = self.turn_query_again_ms.map(optional);
        options.audio = ms(self.turn_audio_ms);
        options.mel_frames = flag("turn_mel_frames", self.turn_mel_frames)?;
        options.answers = match self.turn_answers {
            LISTENKIT_ANSWERS_LATEST => AnswerRule::Latest,
            LISTENKIT_ANSWERS_MEAN => AnswerRule::Mean,
            LISTENKIT_ANSWERS_MIN => AnswerRule::Min,
            other => {
                let choices = "LISTENKIT_ANSWERS_*, 0 to 2";
                return Err(Failure::value("turn_answers", other, choices));
            }
        };
        Ok(Some(options))
    }

    fn overlap(&self) -> Result<Option<OverlapOptions>, Failure> {
        if !flag("overlap", self.overlap)? {
            return Ok(None);
        }
        let mut options = OverlapOptions::new();
        options.min_duration = ms(self.overlap_min_ms);
        options.min_words = self.overlap_min_words;
        options.playback_guard = ms(self.playback_guard_ms);
        options.false_interruption_timeout = optional(self.false_interruption_ms);
        options.reference = match self.reference_rate {
            0 => None,
            hz => Some(rate(hz)?),
        };
        options.own_voice_threshold = self.own_voice_threshold;
        Ok(Some(options))
    }

    pub(crate) fn use_preset(&mut self, preset: u32) -> Result<(), Failure> {
        let defaults = Self::defaults();
        self.smoothing = defaults.smoothing;
        self.activation_threshold = defaults.activation_threshold;
        self.deactivation_threshold = defaults.deactivation_threshold;
        self.min_speech_ms = defaults.min_speech_ms;
        self.min_silence_ms = defaults.min_silence_ms;
        self.prefix_padding_ms = defaults.prefix_padding_ms;
        self.tail_padding_ms = defaults.tail_padding_ms;
        // The peer keeps 60 s of speech and the prefix.
        self.max_segment_ms = 60_500;
        self.state_guard = 0;
        match preset {
            LISTENKIT_PRESET_LIVEKIT_CORE => {}
            LISTENKIT_PRESET_LIVEKIT_PLUGIN => {
                self.smoothing = 0.35;
                self.min_silence_ms = 550;
            }
            other => return Err(unknown_preset(other)),
        }
        self.preset = preset;
        Ok(())
    }

    pub(crate) fn use_policy(&mut self, policy: u32) -> Result<(), Failure> {
        let policy = match policy {
            LISTENKIT_POLICY_FAST => TurnPolicy::FAST,
            LISTENKIT_POLICY_BALANCED => TurnPolicy::BALANCED,
            LISTENKIT_POLICY_PATIENT => TurnPolicy::PATIENT,
            other => {
                let choices = "LISTENKIT_POLICY_FAST (1), _BALANCED (2) or _PATIENT (3)";
                return Err(Failure::value("policy", other, choices));
            }
        };
        self.endpointing = LISTENKIT_ENDPOINTING_FIXED;
        self.min_delay_ms = millis(policy.endpointing.min_delay());
        self.max_delay_ms = millis(policy.endpointing.max_delay());
        if let WaitRule::Graded {
            unfinished_at,
            finished_at,
        } = policy.wait_rule
        {
            self.wait_rule = LISTENKIT_WAIT_RULE_GRADED;
            self.unfinished_at = unfinished_at.value();
            self.finished_at = finished_at.value();
        } else {
            self.wait_rule = LISTENKIT_WAIT_RULE_THRESHOLD;
        }
        self.fusion_audio = policy.fusion.audio;
        self.fusion_text = policy.fusion.text;
        self.fusion_cues = policy.fusion.cues;
        self.fusion_limit = policy.fusion.limit;
        let model = policy.turn_model();
        self.turn_model = 1;
        self.turn_threshold = model.unlikely_threshold.value();
        self.turn_timeout_ms = millis(model.timeout);
        self.turn_query_after_ms = millis(model.query_after);
        self.turn_query_again_ms = model.query_again.map(optional_millis);
        self.turn_answers = match model.answers {
            AnswerRule::Mean => LISTENKIT_ANSWERS_MEAN,
            AnswerRule::Min => LISTENKIT_ANSWERS_MIN,
            _ => LISTENKIT_ANSWERS_LATEST,
        };
        Ok(())
    }
}

/// Fills `options` with the defaults of this library. `struct_size` is `sizeof(listenkit_detector_options)`.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_options_init(
    options: *mut listenkit_detector_options,
    struct_size: usize,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { SizedOut::of_size("options", options, struct_size)? };
        out.write(&Versioned::defaults());
        Ok(())
    })
}

/// Changes what a preset is about (`LISTENKIT_PRESET_*`: the settings of the VAD and of segments), and leaves the rest.
///
/// # Safety
/// `options` is NULL or was filled by `listenkit_detector_options_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_options_preset(
    options: *mut listenkit_detector_options,
    preset: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { change(options, |options| options.use_preset(preset)) }
}

/// Takes over a policy for the end of turns (`LISTENKIT_POLICY_*`: delays, wait rule, weights, and how the turn model is asked), and
/// leaves the rest. Turns `turn_model` on; where none is there to answer, set it to 0 again. The numbers hold for Smart Turn v3.2.
///
/// # Safety
/// `options` is NULL or was filled by `listenkit_detector_options_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_options_policy(
    options: *mut listenkit_detector_options,
    policy: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { change(options, |options| options.use_policy(policy)) }
}

/// # Safety
/// `options` is NULL or was filled by `listenkit_detector_options_init`.
unsafe fn change(
    options: *mut listenkit_detector_options,
    change: impl FnOnce(&mut listenkit_detector_options) -> Result<(), Failure>,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let mut value = unsafe { read_sized("options", options)? };
        // SAFETY: as above.
        let out = unsafe { SizedOut::new("options", options)? };
        change(&mut value)?;
        out.write(&value);
        Ok(())
    })
}
