//! Settings of a detector, in human units, checked and turned into sample counts once.
//!
//! Durations become whole model windows (32 ms) or input samples here and nowhere else. Both round
//! up: 50 ms of speech takes two windows, 250 ms of silence eight.

mod overlap;
mod policy;
#[cfg(test)]
mod tests;
mod turns;

use std::time::Duration;

pub use overlap::OverlapOptions;
pub use policy::TurnPolicy;
pub use turns::{Endpointing, ExpectationDelays, TextVoteOptions, TurnModelOptions};

use crate::endpointer::{AudioModel, Delays, EndpointerConfig};
use crate::error::ConfigError;
use crate::overlap::OverlapConfig;
use crate::pcm::{Downmix, Format, SampleFormat};
use crate::segmenter::SegmenterConfig;
use crate::turn::{Fusion, WaitRule};
use crate::units::{Probability, SampleCount, SamplePos, SampleRate};

/// Length of one model window: 512 samples at 16 kHz, 256 at 8 kHz.
pub(crate) const WINDOW_DURATION: Duration = Duration::from_millis(32);

/// Longest segment whose audio may be kept. Bounds the memory of one stream.
const MAX_SEGMENT: Duration = Duration::from_secs(600);

/// Settings of a [`Detector`](crate::Detector).
///
/// The defaults assume a headset, phone or room microphone with one person at a time, and an agent that should answer
/// fast: they are the session defaults of LiveKit Agents 1.8.9 where that has a setting.
///
/// ```
/// use std::time::Duration;
/// use listenkit::{DetectorConfig, Endpointing, SampleRate};
///
/// let config = DetectorConfig::new(SampleRate::HZ_48000)
///     .min_silence_duration(Duration::from_millis(250))
///     .endpointing(Endpointing::fixed(Duration::from_millis(300), Duration::from_millis(2500)));
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorConfig {
    pub(crate) rate: SampleRate,
    pub(crate) channels: usize,
    pub(crate) samples: SampleFormat,
    pub(crate) downmix: Downmix,
    pub(crate) start_at: SamplePos,
    pub(crate) i16_full_scale: f32,
    pub(crate) smoothing: Option<f32>,
    pub(crate) state_guard: bool,
    pub(crate) report_windows: bool,
    activation_threshold: f32,
    deactivation_threshold: Option<f32>,
    min_speech_duration: Duration,
    min_silence_duration: Duration,
    prefix_padding_duration: Duration,
    tail_padding_duration: Option<Duration>,
    max_segment_duration: Duration,
    onset_dip_windows: u32,
    prefix_may_overlap: bool,
    pub(crate) segment_audio: bool,
    endpointing: Option<Endpointing>,
    turn_model: Option<TurnModelOptions>,
    text_model: Option<TextVoteOptions>,
    wait_rule: WaitRule,
    fusion: Fusion,
    expectation_delays: ExpectationDelays,
    transcript_wait: Option<Duration>,
    max_turn_duration: Option<Duration>,
    starvation_duration: Duration,
    overlap: Option<OverlapOptions>,
}

impl DetectorConfig {
    /// Defaults for a mono stream of 16-bit samples at `rate`.
    pub const fn new(rate: SampleRate) -> Self {
        Self {
            rate,
            channels: 1,
            samples: SampleFormat::I16,
            downmix: Downmix::Average,
            start_at: SamplePos(0),
            i16_full_scale: 32768.0,
            smoothing: None,
            state_guard: true,
            report_windows: false,
            activation_threshold: 0.5,
            deactivation_threshold: None,
            min_speech_duration: Duration::from_millis(50),
            min_silence_duration: Duration::from_millis(250),
            prefix_padding_duration: Duration::from_millis(500),
            tail_padding_duration: None,
            max_segment_duration: Duration::from_secs(30),
            onset_dip_windows: 1,
            prefix_may_overlap: false,
            segment_audio: false,
            endpointing: None,
            turn_model: None,
            text_model: None,
            wait_rule: WaitRule::Threshold,
            fusion: Fusion::DEFAULT,
            expectation_delays: ExpectationDelays::DEFAULT,
            transcript_wait: None,
            max_turn_duration: None,
            starvation_duration: Duration::from_secs(1),
            overlap: None,
        }
    }

    /// What `inference.VAD` of LiveKit Agents 1.8.9 does, window for window: no state guard, no smoothing, a single
    /// silent window clears an onset, the prefix may repeat audio of the segment before.
    /// For comparing, not for use.
    pub const fn livekit_core(rate: SampleRate) -> Self {
        let mut config = Self::new(rate);
        config.state_guard = false;
        config.onset_dip_windows = 0;
        config.prefix_may_overlap = true;
        config.max_segment_duration = Duration::from_millis(60_500);
        config
    }

    /// What the silero plugin of LiveKit Agents 1.8.9 does: as [`livekit_core`](Self::livekit_core), with full scale
    /// 32767, exponential smoothing 0.35 and 0.55 s of silence. For comparing, not for use.
    pub const fn livekit_plugin(rate: SampleRate) -> Self {
        let mut config = Self::livekit_core(rate);
        config.i16_full_scale = 32767.0;
        config.smoothing = Some(0.35);
        config.min_silence_duration = Duration::from_millis(550);
        config
    }

    /// Interleaved channels, 1..=8. Default 1.
    #[must_use]
    pub const fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// How values are stored. Default 16-bit integers. A first block of another kind is a change of format like any
    /// other, so say it here.
    #[must_use]
    pub const fn sample_format(mut self, samples: SampleFormat) -> Self {
        self.samples = samples;
        self
    }

    /// Which channels are listened to. Default: the mean of all.
    #[must_use]
    pub const fn downmix(mut self, downmix: Downmix) -> Self {
        self.downmix = downmix;
        self
    }

    /// Position of the first sample. Default 0. For streams that are part of a longer clock.
    #[must_use]
    pub const fn start_at(mut self, start: SamplePos) -> Self {
        self.start_at = start;
        self
    }

    /// Smoothing of the probabilities: the weight of the value before, 0.0..1.0. Default none: smoothing can delay a start
    /// by a window, and the hysteresis of the two thresholds does its work without.
    #[must_use]
    pub const fn smoothing(mut self, weight: Option<f32>) -> Self {
        self.smoothing = weight;
        self
    }

    /// Whether the model's memory is kept from going deaf in long noise or music, by a
    /// [`StateGuard`](crate::vad::StateGuard). Default on.
    #[must_use]
    pub const fn state_guard(mut self, on: bool) -> Self {
        self.state_guard = on;
        self
    }

    /// Whether every window's probability comes out as an [`Event::Window`](crate::Event::Window). Default off.
    #[must_use]
    pub const fn report_windows(mut self, on: bool) -> Self {
        self.report_windows = on;
        self
    }

    /// Probability at which a window counts as speech, 0.0..=1.0. Default 0.5.
    #[must_use]
    pub const fn activation_threshold(mut self, threshold: f32) -> Self {
        self.activation_threshold = threshold;
        self
    }

    /// While the user speaks, windows above this still count as speech. Default: 0.15 below activation, at least 0.01.
    #[must_use]
    pub const fn deactivation_threshold(mut self, threshold: f32) -> Self {
        self.deactivation_threshold = Some(threshold);
        self
    }

    /// Speech that is needed before a segment starts, up to 10 s. Default 50 ms, two windows.
    #[must_use]
    pub const fn min_speech_duration(mut self, duration: Duration) -> Self {
        self.min_speech_duration = duration;
        self
    }

    /// Silence that ends a segment, up to 10 s. Default 250 ms, eight windows.
    #[must_use]
    pub const fn min_silence_duration(mut self, duration: Duration) -> Self {
        self.min_silence_duration = duration;
        self
    }

    /// Audio kept before the first window of speech, up to 10 s. Default 500 ms: soft first syllables.
    #[must_use]
    pub const fn prefix_padding_duration(mut self, duration: Duration) -> Self {
        self.prefix_padding_duration = duration;
        self
    }

    /// Silence kept after the last window of speech. It never waits for more than `min_silence_duration`, which is
    /// also the default: recognisers err less with some silence at the end, and it has been heard anyway.
    #[must_use]
    pub const fn tail_padding_duration(mut self, duration: Duration) -> Self {
        self.tail_padding_duration = Some(duration);
        self
    }

    /// Longest segment, prefix included, 2 s to 10 min. Longer speech is split at the best pause of its last third. Default 30 s, what Whisper-like recognisers take.
    #[must_use]
    pub const fn max_segment_duration(mut self, duration: Duration) -> Self {
        self.max_segment_duration = duration;
        self
    }

    /// Whether the audio of segments is kept and [`Event::SegmentReady`](crate::Event::SegmentReady) comes out: the
    /// mode for recognisers that do not stream. Default off. Costs `max_segment_duration` of memory in the input's format.
    #[must_use]
    pub const fn segment_audio(mut self, on: bool) -> Self {
        self.segment_audio = on;
        self
    }

    /// How long to wait after the user's last voiced sample. Default [`Endpointing::STREAMING`] with a turn model,
    /// [`Endpointing::LEGACY`] without.
    #[must_use]
    pub const fn endpointing(mut self, endpointing: Endpointing) -> Self {
        self.endpointing = Some(endpointing);
        self
    }

    /// Ask an audio model at every pause. Default: none, silence alone decides.
    #[must_use]
    pub const fn turn_model(mut self, options: Option<TurnModelOptions>) -> Self {
        self.turn_model = options;
        self
    }

    /// Wait for a text model's vote at every pause. Default: none is waited for; one that comes all the same counts.
    #[must_use]
    pub const fn text_model(mut self, options: Option<TextVoteOptions>) -> Self {
        self.text_model = options;
        self
    }

    /// How the votes of models become a wait between `min_delay` and `max_delay`. Default [`WaitRule::Threshold`].
    #[must_use]
    pub const fn wait_rule(mut self, rule: WaitRule) -> Self {
        self.wait_rule = rule;
        self
    }

    /// How votes are weighed against each other. Default [`Fusion::DEFAULT`].
    #[must_use]
    pub const fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Delays, wait rule and weights of a preset at once, over what was set before. The audio model's part of it is
    /// [`TurnPolicy::turn_model`], for hosts that have one.
    #[must_use]
    pub const fn turn_policy(mut self, policy: TurnPolicy) -> Self {
        self.endpointing = Some(policy.endpointing);
        self.wait_rule = policy.wait_rule;
        self.fusion = policy.fusion;
        self
    }

    /// What [`Input::Expect`](crate::Input::Expect) does to the delays.
    #[must_use]
    pub const fn expectation_delays(mut self, delays: ExpectationDelays) -> Self {
        self.expectation_delays = delays;
        self
    }

    /// Hold the end of a turn until a final transcript has come, for at most this long after the last voiced sample
    /// (and never beyond `max_delay`). Default none: no text source is attached. Zero never waits.
    #[must_use]
    pub const fn transcript_wait(mut self, wait: Option<Duration>) -> Self {
        self.transcript_wait = wait;
        self
    }

    /// End every turn after this long, whatever is heard. Default none.
    #[must_use]
    pub const fn max_turn_duration(mut self, duration: Option<Duration>) -> Self {
        self.max_turn_duration = duration;
        self
    }

    /// Frames that are this late by [`Input::Clock`](crate::Input::Clock) count as a gap. Default 1 s.
    #[must_use]
    pub const fn starvation_duration(mut self, duration: Duration) -> Self {
        self.starvation_duration = duration;
        self
    }

    /// These settings with what may change in mid-stream of `other`.
    pub(crate) const fn tuned(self, other: &Self) -> Self {
        Self {
            activation_threshold: other.activation_threshold,
            deactivation_threshold: other.deactivation_threshold,
            min_speech_duration: other.min_speech_duration,
            min_silence_duration: other.min_silence_duration,
            prefix_padding_duration: other.prefix_padding_duration,
            tail_padding_duration: other.tail_padding_duration,
            ..self
        }
    }

    /// The format the stream begins in.
    pub(crate) fn format(&self) -> Result<Format, ConfigError> {
        let format = Format::new(self.rate.hz(), self.channels, self.samples)?;
        check_downmix(self.downmix, format)?;
        Ok(format)
    }

    /// Finds every value that is out of range and every contradiction, whatever the rate.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_segmenter()?;
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let ten = 10 * second;
        within(
            "starvation_duration",
            self.starvation_duration,
            WINDOW_DURATION,
            60 * minute,
        )?;
        if let Some(ceiling) = self.max_turn_duration {
            within("max_turn_duration", ceiling, second, 24 * 60 * minute)?;
        }
        if let Some(wait) = self.transcript_wait {
            within("transcript_wait", wait, Duration::ZERO, minute)?;
        }
        if let Some(model) = self.turn_model {
            within("turn model timeout", model.timeout, Duration::ZERO, minute)?;
            within("turn model audio", model.audio, WINDOW_DURATION, minute)?;
            within(
                "turn model query_after",
                model.query_after,
                Duration::ZERO,
                ten,
            )?;
            let mut before = ("turn model query_after", model.query_after);
            for again in model.query_again.into_iter().flatten() {
                let again = ("turn model query_again", again);
                within(again.0, again.1, Duration::ZERO, minute)?;
                ordered(before, again)?;
                before = again;
            }
        }
        if let Some(text) = self.text_model {
            within("text model timeout", text.timeout, Duration::ZERO, minute)?;
        }
        self.check_rules()?;
        if let Some(overlap) = self.overlap {
            overlap.check()?;
        }
        let Endpointing {
            min_delay,
            max_delay,
            alpha,
        } = self.delays();
        within("max_delay", max_delay, Duration::ZERO, minute)?;
        ordered(("min_delay", min_delay), ("max_delay", max_delay))?;
        // Otherwise the turn could only end when the silence is over, after the largest delay.
        let silence = WINDOW_DURATION * windows(self.min_silence_duration);
        ordered(
            ("min_silence_duration, in whole windows", silence),
            ("max_delay", max_delay),
        )?;
        if let Some(alpha) = alpha
            && !(0.0..1.0).contains(&alpha)
        {
            return Err(ConfigError::Weight {
                name: "alpha",
                given: alpha,
            });
        }
        Ok(())
    }

    /// The part of [`check`](Self::check) that a segmenter depends on.
    pub(crate) fn check_segmenter(&self) -> Result<(), ConfigError> {
        self.check_thresholds()?;
        let ten = Duration::from_secs(10);
        within(
            "min_speech_duration",
            self.min_speech_duration,
            Duration::ZERO,
            ten,
        )?;
        within(
            "min_silence_duration",
            self.min_silence_duration,
            Duration::ZERO,
            ten,
        )?;
        within(
            "prefix_padding_duration",
            self.prefix_padding_duration,
            Duration::ZERO,
            ten,
        )?;
        within(
            "max_segment_duration",
            self.max_segment_duration,
            Duration::from_secs(2),
            MAX_SEGMENT,
        )?;
        if let Some(tail) = self.tail_padding_duration {
            within("tail_padding_duration", tail, Duration::ZERO, ten)?;
        }
        let finest = SampleRate::MAX;
        let needed = self
            .segmenter(finest)
            .smallest_max_segment(finest.samples(WINDOW_DURATION));
        let needed = Duration::from_secs_f64(finest.seconds(needed));
        ordered(
            ("what prefix, onset, pause search and silence need", needed),
            ("max_segment_duration", self.max_segment_duration),
        )
    }

    fn check_rules(&self) -> Result<(), ConfigError> {
        if let Some((name, given)) = self.fusion.wrong() {
            return Err(ConfigError::Fusion { name, given });
        }
        if let WaitRule::Graded {
            unfinished_at,
            finished_at,
        } = self.wait_rule
            && finished_at < unfinished_at
        {
            return Err(ConfigError::WaitRule {
                unfinished_at: unfinished_at.value(),
                finished_at: finished_at.value(),
            });
        }
        let delays = self.expectation_delays;
        let minute = Duration::from_secs(60);
        within("short_answer", delays.short_answer, Duration::ZERO, minute)?;
        within("short_min", delays.short_min, Duration::ZERO, minute)?;
        for (min, max) in [
            (
                ("dictation_min", delays.dictation_min),
                ("dictation_max", delays.dictation_max),
            ),
            (
                ("floor_min", delays.floor_min),
                ("floor_max", delays.floor_max),
            ),
        ] {
            within(max.0, max.1, Duration::ZERO, minute)?;
            ordered(min, max)?;
        }
        Ok(())
    }

    fn check_thresholds(&self) -> Result<(), ConfigError> {
        let (activation, deactivation) = (self.activation_threshold, self.deactivation());
        probability("activation_threshold", activation)?;
        probability("deactivation_threshold", deactivation)?;
        if deactivation > activation {
            return Err(ConfigError::Thresholds {
                deactivation,
                activation,
            });
        }
        match self.smoothing {
            Some(weight) if !(0.0..1.0).contains(&weight) => Err(ConfigError::Weight {
                name: "smoothing",
                given: f64::from(weight),
            }),
            _ => Ok(()),
        }
    }

    /// The settings in the units of a stream at `rate`. They have been checked.
    pub(crate) fn parse(&self, rate: SampleRate) -> Parsed {
        Parsed {
            segmenter: self.segmenter(rate),
            endpointer: self.endpointer(rate),
            overlap: self.overlap_config(rate),
            min_silence: rate.samples(WINDOW_DURATION * windows(self.min_silence_duration)),
            starvation: rate.samples(self.starvation_duration),
            turn_audio: self
                .turn_model
                .map_or(SampleCount::ZERO, |model| rate.samples(model.audio)),
            mel_frames: self.turn_model.is_some_and(|model| model.mel_frames),
        }
    }

    /// `prefix_padding_duration` in samples.
    pub(crate) fn prefix_padding(&self, rate: SampleRate) -> SampleCount {
        rate.samples(self.prefix_padding_duration)
    }

    pub(crate) fn segmenter(&self, rate: SampleRate) -> SegmenterConfig {
        let silence = windows(self.min_silence_duration);
        let whole_silence = WINDOW_DURATION * silence;
        let tail = self.tail_padding_duration.unwrap_or(whole_silence);
        SegmenterConfig {
            activation_threshold: self.activation_threshold,
            deactivation_threshold: self.deactivation(),
            min_speech_windows: windows(self.min_speech_duration),
            min_silence_windows: silence,
            onset_dip_windows: self.onset_dip_windows,
            prefix_padding: rate.samples(self.prefix_padding_duration),
            tail_padding: rate.samples(tail),
            max_segment: rate.samples(self.max_segment_duration),
            split_search: rate.samples(self.max_segment_duration / 3),
            prefix_may_overlap: self.prefix_may_overlap,
        }
    }

    fn endpointer(&self, rate: SampleRate) -> EndpointerConfig {
        let Endpointing {
            min_delay,
            max_delay,
            alpha,
        } = self.delays();
        let (min, max) = (rate.samples(min_delay), rate.samples(max_delay));
        EndpointerConfig {
            rate,
            window: rate.samples(WINDOW_DURATION),
            delays: match alpha {
                None => Delays::Fixed { min, max },
                Some(alpha) => Delays::Dynamic { min, max, alpha },
            },
            model: self.turn_model.map(|options| AudioModel {
                threshold: options.unlikely_threshold,
                timeout: rate.samples(options.timeout),
                query_after_windows: windows(options.query_after),
                query_again: options
                    .query_again
                    .map(|after| after.map(|after| rate.samples(after))),
                answers: options.answers,
            }),
            text_timeout: self.text_model.map(|text| rate.samples(text.timeout)),
            wait_rule: self.wait_rule,
            fusion: self.fusion,
            expectations: self.expectation_delays.parse(rate),
            transcript_wait: self.transcript_wait.map(|wait| rate.samples(wait)),
            max_turn: self.max_turn_duration.map(|ceiling| rate.samples(ceiling)),
            agent_speech_grace: rate.samples(AGENT_SPEECH_GRACE),
            amend_window: rate.samples(AMEND_WINDOW),
        }
    }

    fn deactivation(&self) -> f32 {
        let derived = (self.activation_threshold - 0.15)
            .max(0.01)
            .min(self.activation_threshold);
        self.deactivation_threshold.unwrap_or(derived)
    }

    fn delays(&self) -> Endpointing {
        self.endpointing.unwrap_or(match self.turn_model {
            Some(_) => Endpointing::STREAMING,
            None => Endpointing::LEGACY,
        })
    }
}

/// User speech that begins this close to the agent's is never taken for a backchannel: the start of synthetic speech is
/// often silent. LiveKit Agents 1.8.9.
const AGENT_SPEECH_GRACE: Duration = Duration::from_millis(250);

/// How long after the end of a turn a transcript without a position still belongs to it. Finals of hosted recognisers
/// come within 2 s (the longest transcript wait of LiveKit Agents); more than twice that is a new utterance.
const AMEND_WINDOW: Duration = Duration::from_secs(5);

/// The settings in the units of one stream format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed {
    pub(crate) segmenter: SegmenterConfig,
    pub(crate) endpointer: EndpointerConfig,
    pub(crate) overlap: Option<OverlapConfig>,
    /// `min_silence_duration` in whole windows.
    pub(crate) min_silence: SampleCount,
    pub(crate) starvation: SampleCount,
    /// Audio to keep for turn models; none without one.
    pub(crate) turn_audio: SampleCount,
    pub(crate) mel_frames: bool,
}

/// Whole windows that last at least `duration`, and at least one.
fn windows(duration: Duration) -> u32 {
    let count = duration.as_nanos().div_ceil(WINDOW_DURATION.as_nanos());
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

pub(crate) fn check_downmix(downmix: Downmix, format: Format) -> Result<(), ConfigError> {
    match downmix {
        Downmix::Channel(channel) if channel >= format.channels => Err(ConfigError::Downmix {
            channel,
            channels: format.channels,
        }),
        _ => Ok(()),
    }
}

fn probability(name: &'static str, value: f32) -> Result<(), ConfigError> {
    match Probability::new(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(ConfigError::Probability { name, value }),
    }
}

fn within(
    name: &'static str,
    given: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), ConfigError> {
    if (min..=max).contains(&given) {
        Ok(())
    } else {
        Err(ConfigError::Duration {
            name,
            given,
            min,
            max,
        })
    }
}

fn ordered(
    (smaller, smaller_is): (&'static str, Duration),
    (larger, larger_is): (&'static str, Duration),
) -> Result<(), ConfigError> {
    if smaller_is <= larger_is {
        Ok(())
    } else {
        Err(ConfigError::Order {
            smaller,
            smaller_is,
            larger,
            larger_is,
        })
    }
}
