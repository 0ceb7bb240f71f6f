//! Settings of a session, and what can be wrong with them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use listenkit::{
    ConfigError, DetectorConfig, Endpointing, ModelError, OverlapOptions, SampleRate, SileroVad,
    SmartTurn, TurnPolicy, VadRate,
};

use super::AgentSession;
use crate::llm::Llm;
use crate::retry::LONGEST;
use crate::stt::{Guess, RecognizerOptions, SharedStt, StreamAdapterOptions};
use crate::transport::TransportError;
use crate::tts::{SentenceOptions, SharedTts};
use crate::{ProviderError, RetryPolicy};

/// How speech is found: Silero VAD, whose weights all sessions share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vad {
    /// Probability at which a window counts as speech, 0.0..=1.0. Default 0.5.
    pub activation_threshold: f32,
    /// Speech that is needed before it counts. Default 50 ms.
    pub min_speech_duration: Duration,
    /// Silence that ends it. Default 250 ms; what a recogniser without streaming is given ends here.
    pub min_silence_duration: Duration,
    /// Audio kept before it for recognisers that take whole utterances. Default 500 ms.
    pub prefix_padding_duration: Duration,
}

impl Default for Vad {
    fn default() -> Self {
        Self {
            activation_threshold: 0.5,
            min_speech_duration: Duration::from_millis(50),
            min_silence_duration: Duration::from_millis(250),
            prefix_padding_duration: Duration::from_millis(500),
        }
    }
}

crate::setters::setters!(Vad {
    activation_threshold: f32,
    min_speech_duration: Duration,
    min_silence_duration: Duration,
    prefix_padding_duration: Duration
});

impl Vad {
    /// The defaults.
    pub fn silero() -> Self {
        Self::default()
    }
}

/// The weights for streams of `rate`; parsed once in a process.
pub(super) fn silero(rate: SampleRate) -> Result<&'static SileroVad, ModelError> {
    static WEIGHTS: [OnceLock<SileroVad>; 2] = [OnceLock::new(), OnceLock::new()];
    let rate = VadRate::for_input(rate);
    let slot = &WEIGHTS[usize::from(rate == VadRate::Hz8000)];
    if let Some(vad) = slot.get() {
        return Ok(vad);
    }
    let vad = SileroVad::embedded(rate)?;
    Ok(slot.get_or_init(|| vad))
}

/// Who says that a turn is over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum TurnDetection {
    /// The core, by silence, transcripts and their wording. Needs a VAD, or a streaming recogniser: without a VAD the delays
    /// count from the arrival of the last transcript.
    #[default]
    Silence,
    /// The core, with Smart Turn's votes. Needs a VAD. Delays are those of [`TurnPolicy::BALANCED`] unless others are set.
    SmartTurn(SmartTurn),
    /// The recogniser: its end of speech ends the turn, as soon as there is a final transcript. Needs a streaming recogniser. The end-pointing
    /// delays end no turn then, whatever they are: it is as if both were 60 s, so that a recogniser that says nothing leaves no turn open for
    /// ever.
    Stt,
    /// The program, by [`AgentSession::commit_user_turn`]. The user interrupts nothing by speaking, and no delay ends a turn.
    Manual,
}

/// When the user's speech interrupts the agent's, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InterruptionOptions {
    /// Whether it does, for speeches that do not say. Default true.
    pub enabled: bool,
    /// Voiced speech that makes an interruption. Default 0.5 s; silence never counts.
    pub min_duration: Duration,
    /// Words that it needs as well. Default 0.
    pub min_words: u32,
    /// No interruption this soon after the agent began. Default 0.3 s.
    pub playback_guard: Duration,
    /// Whether an interrupted agent is only paused until there are words, and goes on if there are none. Default true.
    pub resume_false_interruption: bool,
    /// How long after the user's last sound an interruption without words is called false. Default 2 s.
    pub false_interruption_timeout: Duration,
}

impl Default for InterruptionOptions {
    fn default() -> Self {
        let core = OverlapOptions::new();
        Self {
            enabled: true,
            min_duration: core.min_duration,
            min_words: core.min_words,
            playback_guard: core.playback_guard,
            resume_false_interruption: true,
            false_interruption_timeout: Duration::from_secs(2),
        }
    }
}

crate::setters::setters!(InterruptionOptions {
    enabled: bool,
    min_duration: Duration,
    min_words: u32,
    playback_guard: Duration,
    resume_false_interruption: bool,
    false_interruption_timeout: Duration
});

/// Replies that are begun before the turn is certainly over, and thrown away if it was not. The limits are those of LiveKit Agents
/// 1.8.9.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreemptiveOptions {
    /// Whether the language model is asked when a transcript comes. Default true.
    pub enabled: bool,
    /// Whether its first sentence is spoken into memory as well, so that the first frame is there when the turn ends. Default
    /// true: a voice takes 20 ms (espeak-ng) to 300 ms (a cloud) for its first frame, all of it heard by the user, and what is
    /// thrown away in vain is at most the few sentences that a sentence stream reads ahead, at most `max_retries` times in a turn.
    pub tts: bool,
    /// No reply is begun early once the turn is longer. Default 10 s.
    pub max_speech_duration: Duration,
    /// How many are begun in a turn. Default 3.
    pub max_retries: u32,
}

impl Default for PreemptiveOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            tts: true,
            max_speech_duration: Duration::from_secs(10),
            max_retries: 3,
        }
    }
}

crate::setters::setters!(PreemptiveOptions {
    enabled: bool,
    tts: bool,
    max_speech_duration: Duration,
    max_retries: u32
});

/// What is wrong with a session, or with what is asked of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The recogniser takes utterances, and nothing finds them.
    #[error("STT does not support streaming, add VAD to enable streaming")]
    SttNeedsVad,
    /// Smart Turn is asked at pauses, and nothing finds them.
    #[error("TurnDetection::SmartTurn is asked at pauses: add VAD to find them")]
    SmartTurnNeedsVad,
    /// The recogniser is to end turns and cannot.
    #[error("TurnDetection::Stt needs a streaming STT: add one, or choose another turn detection")]
    SttDetectionNeedsStreaming,
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Weights cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Something is to be spoken without a voice.
    #[error("nothing can be spoken: add TTS to the session")]
    NoTts,
    /// A reply is to be made without a language model.
    #[error("no reply can be made: add LLM to the session")]
    NoLlm,
    /// It was started before.
    #[error("the session was started before: build another one")]
    AlreadyStarted,
    /// It has not been started, or it is over.
    #[error(
        "the session is not running: start it first; one that was closed cannot be started again"
    )]
    NotRunning,
    /// It takes nothing new: it is being drained or closed.
    #[error("the session is being drained and takes nothing new")]
    Draining,
    /// What plays may not be interrupted.
    #[error("the agent's speech may not be interrupted: use force, or wait for its end")]
    Protected,
    /// The room failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A provider failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// The parts and settings of a session; see [`AgentSession::builder`].
#[derive(Clone, Default)]
pub struct AgentSessionBuilder {
    pub(super) options: Options,
    min_delay: Option<Duration>,
    max_delay: Option<Duration>,
    policy: Option<TurnPolicy>,
    endpointing: Option<Endpointing>,
    allow_interruptions: Option<bool>,
}

/// Everything a session is made of.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) vad: Option<Vad>,
    pub(super) stt: Option<SharedStt>,
    pub(super) llm: Option<Arc<dyn Llm>>,
    pub(super) tts: Option<SharedTts>,
    pub(super) turn_detection: TurnDetection,
    pub(super) interruption: InterruptionOptions,
    pub(super) preemptive: PreemptiveOptions,
    pub(super) retry: RetryPolicy,
    pub(super) language: Option<String>,
    pub(super) recognizer: RecognizerOptions,
    pub(super) speculate_after: Option<Duration>,
    pub(super) sentences: SentenceOptions,
    pub(super) text_cues: bool,
    pub(super) transcript_wait: Option<Duration>,
    pub(super) user_away_timeout: Option<Duration>,
    pub(super) close_timeout: Duration,
    pub(super) max_errors: u32,
    /// What the core is to wait, with the policy that belongs to it.
    pub(super) policy: Option<TurnPolicy>,
    pub(super) endpointing: Endpointing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vad: None,
            stt: None,
            llm: None,
            tts: None,
            turn_detection: TurnDetection::default(),
            interruption: InterruptionOptions::default(),
            preemptive: PreemptiveOptions::default(),
            retry: RetryPolicy::default(),
            language: None,
            recognizer: RecognizerOptions::default(),
            speculate_after: None,
            sentences: SentenceOptions::default(),
            text_cues: true,
            transcript_wait: None,
            user_away_timeout: Some(Duration::from_secs(15)),
            close_timeout: Duration::from_secs(2),
            max_errors: 3,
            policy: None,
            endpointing: Endpointing::LEGACY,
        }
    }
}

impl AgentSessionBuilder {
    /// Finds the user's speech. Default none: a streaming recogniser can do without, at the price of slower turns and of
    /// interruptions that wait for words.
    #[must_use]
    pub fn vad(mut self, vad: impl Into<Option<Vad>>) -> Self {
        self.options.vad = vad.into();
        self
    }

    /// Recognises it.
    #[must_use]
    pub fn stt(mut self, stt: SharedStt) -> Self {
        self.options.stt = Some(stt);
        self
    }

    /// Makes replies.
    #[must_use]
    pub fn llm(mut self, llm: Arc<dyn Llm>) -> Self {
        self.options.llm = Some(llm);
        self
    }

    /// Speaks them. Without a voice, replies are text only.
    #[must_use]
    pub fn tts(mut self, tts: SharedTts) -> Self {
        self.options.tts = Some(tts);
        self
    }

    /// Who says that a turn is over. Default [`TurnDetection::Silence`].
    #[must_use]
    pub fn turn_detection(mut self, detection: TurnDetection) -> Self {
        self.options.turn_detection = detection;
        self
    }

    /// Silence after which a turn that seems complete is over. Default 0.5 s; with Smart Turn 0.3 s. Delays that are learned are at least this.
    ///
    /// It counts more than the delay in [`endpointing`](Self::endpointing) or [`turn_policy`](Self::turn_policy), whatever the order, and leaves all
    /// else in them as it is. If it is longer than the longest delay and that was not set by its own method, that is moved along. No effect with
    /// [`TurnDetection::Stt`] and [`TurnDetection::Manual`].
    #[must_use]
    pub fn min_endpointing_delay(mut self, delay: Duration) -> Self {
        self.min_delay = Some(delay);
        self
    }

    /// Silence after which any turn is over. Default 3 s; with Smart Turn 1.5 s.
    ///
    /// It stands beside [`endpointing`](Self::endpointing) and [`turn_policy`](Self::turn_policy) as
    /// [`min_endpointing_delay`](Self::min_endpointing_delay) does. With [`TurnDetection::Stt`] and [`TurnDetection::Manual`] it ends nothing, and is only the default of
    /// [`transcript_wait`](Self::transcript_wait).
    #[must_use]
    pub fn max_endpointing_delay(mut self, delay: Duration) -> Self {
        self.max_delay = Some(delay);
        self
    }

    /// Both delays, fixed or learned from the user's pauses. They count more than those of a [`turn_policy`](Self::turn_policy), and less than
    /// [`min_endpointing_delay`](Self::min_endpointing_delay) and [`max_endpointing_delay`](Self::max_endpointing_delay).
    #[must_use]
    pub fn endpointing(mut self, endpointing: Endpointing) -> Self {
        self.endpointing = Some(endpointing);
        self
    }

    /// Delays, wait rule and weights in one. Delays that are set beside it count more; one that learns goes on learning between them.
    #[must_use]
    pub fn turn_policy(mut self, policy: TurnPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// When the user interrupts the agent. [`allow_interruptions`](Self::allow_interruptions), if it is called at all, counts more than
    /// [`InterruptionOptions::enabled`].
    #[must_use]
    pub fn interruption(mut self, options: InterruptionOptions) -> Self {
        self.options.interruption = options;
        self
    }

    /// Whether speeches may be interrupted that do not say themselves. Default: [`InterruptionOptions::enabled`], over which it has the last word,
    /// whatever the order.
    #[must_use]
    pub fn allow_interruptions(mut self, allow: bool) -> Self {
        self.allow_interruptions = Some(allow);
        self
    }

    /// Replies that are begun before the turn is certainly over.
    #[must_use]
    pub fn preemptive_generation(mut self, options: PreemptiveOptions) -> Self {
        self.options.preemptive = options;
        self
    }

    /// How often providers are asked again. For language models until their first word.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = policy;
        self
    }

    /// The language spoken, as a BCP 47 tag. Default: what the recogniser says.
    #[must_use]
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.options.language = Some(language.into());
        self
    }

    /// How a recogniser is asked that takes whole utterances: how many requests at the same time (1 for one that has one model and one device), and
    /// retries and language of its own. Where those two are left as they are by default, those of the session count
    /// ([`retry`](Self::retry), [`language`](Self::language)). A recogniser that streams has no use for them, and the session for
    /// [`keep_failed`](RecognizerOptions::keep_failed): utterances that failed come as
    /// [`SessionEvent::SegmentFailed`](super::SessionEvent::SegmentFailed).
    #[must_use]
    pub fn recognizer(mut self, options: RecognizerOptions) -> Self {
        self.options.recognizer = options;
        self
    }

    /// Asks a recogniser that takes whole utterances already when the user has paused this long, in windows of 32 ms and shorter than
    /// [`Vad::min_silence_duration`]. If the user goes on, the request is cancelled and was for nothing; if not, the transcript comes earlier by up to the rest
    /// of that silence. Default `None`: no request is wasted. A recogniser that streams has no use for it.
    #[must_use]
    pub fn speculate_after(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.options.speculate_after = pause.into();
        self
    }

    /// What of a reply is read aloud, whatever the voice; in pieces of which lengths a voice is given it that takes whole texts; and retries of its own. A voice of
    /// that kind has them for each piece. One that streams has them for opening the stream, and their [`timeout`](RetryPolicy::timeout) is how long it may be
    /// silent behind the end of the text. Retries that are left as they are by default are those of [`retry`](Self::retry). By default Markdown and emoji are left out.
    #[must_use]
    pub fn sentences(mut self, options: SentenceOptions) -> Self {
        self.options.sentences = options;
        self
    }

    /// Whether the wording of transcripts has a vote on the end of a turn ("I would like to" is not finished). Default true.
    #[must_use]
    pub fn text_cues(mut self, on: bool) -> Self {
        self.options.text_cues = on;
        self
    }

    /// How long after the user's last sound the end of a turn waits for a transcript, and an interruption for its
    /// [`min_words`](InterruptionOptions::min_words). Default `max_endpointing_delay`, which is 3 s if nothing is set, with
    /// [`TurnDetection::Stt`] and [`TurnDetection::Manual`] as well. A transcript that comes later is answered all the same.
    #[must_use]
    pub fn transcript_wait(mut self, wait: Duration) -> Self {
        self.options.transcript_wait = Some(wait);
        self
    }

    /// Silence of both sides after which the user counts as away. Default 15 s.
    #[must_use]
    pub fn user_away_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.user_away_timeout = timeout;
        self
    }

    /// How long a session that is being closed waits for the transcript of what the user said last, and for each hook of the agent.
    /// Default 2 s.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.options.close_timeout = timeout;
        self
    }

    /// Failures in a row, without any success between, after which the session gives up. Default 3. Counted for each of STT,
    /// LLM and TTS; one failure is all attempts of the [`RetryPolicy`].
    #[must_use]
    pub fn max_unrecoverable_errors(mut self, errors: u32) -> Self {
        self.options.max_errors = errors.max(1);
        self
    }

    /// The session, ready to be started.
    ///
    /// # Errors
    /// [`SessionError`] if parts are missing that others need, or a setting is out of range. It says what to add.
    pub fn build(self) -> Result<AgentSession, SessionError> {
        let mut options = self.options;
        let streaming = options.stt.as_ref().map(|stt| stt.capabilities().streaming);
        let has_vad = options.vad.is_some();
        if streaming == Some(false) && !has_vad {
            return Err(SessionError::SttNeedsVad);
        }
        match &options.turn_detection {
            TurnDetection::SmartTurn(_) if !has_vad => return Err(SessionError::SmartTurnNeedsVad),
            TurnDetection::Stt if streaming != Some(true) => {
                return Err(SessionError::SttDetectionNeedsStreaming);
            }
            _ => {}
        }
        options.policy = match (&options.turn_detection, self.policy) {
            (TurnDetection::SmartTurn(_), None) => Some(TurnPolicy::BALANCED),
            (_, policy) => policy,
        };
        let base = self
            .endpointing
            .or(options.policy.map(|policy| policy.endpointing))
            .unwrap_or(Endpointing::LEGACY);
        // One that is set alone moves the other: 4 s at least is 4 s at most, too.
        let (min, max) = match (self.min_delay, self.max_delay) {
            (None, None) => (base.min_delay(), base.max_delay()),
            (Some(min), None) => (min, base.max_delay().max(min)),
            (None, Some(max)) => (base.min_delay().min(max), max),
            (Some(min), Some(max)) => (min, max),
        };
        options.endpointing = base.with_delays(min, max);
        if let Some(allow) = self.allow_interruptions {
            options.interruption.enabled = allow;
        }
        options.close_timeout = options.close_timeout.min(LONGEST);
        options.user_away_timeout = options.user_away_timeout.map(|it| it.min(LONGEST));
        options.retry.timeout = options.retry.timeout.min(LONGEST);
        let recognizer = &mut options.recognizer;
        if recognizer.retry == RetryPolicy::default() {
            recognizer.retry = options.retry;
        }
        recognizer.retry.timeout = recognizer.retry.timeout.min(LONGEST);
        let sentences = &mut options.sentences;
        if sentences.retry == RetryPolicy::default() {
            sentences.retry = options.retry;
        }
        sentences.retry.timeout = sentences.retry.timeout.min(LONGEST);
        if recognizer.language.is_none() {
            recognizer.language.clone_from(&options.language);
        }
        if let (Some(vad), Some(after)) = (options.vad, options.speculate_after)
            && after >= vad.min_silence_duration
        {
            return Err(SessionError::Config(ConfigError::Order {
                smaller: "speculate_after",
                smaller_is: after,
                larger: "min_silence_duration",
                larger_is: vad.min_silence_duration,
            }));
        }
        // Says now what is out of range, not when the first audio comes.
        let rate = SampleRate::HZ_16000;
        listenkit::Detector::new(options.detector(rate), silero(rate)?)?;
        Ok(AgentSession::new(options))
    }
}

impl Options {
    pub(super) fn is_manual(&self) -> bool {
        matches!(self.turn_detection, TurnDetection::Manual)
    }

    /// Whether the recogniser takes the utterances that the core finds.
    fn takes_segments(&self) -> bool {
        let stt = self.stt.as_ref();
        stt.is_some_and(|stt| !stt.capabilities().streaming)
    }

    /// What asks such a recogniser before the end of an utterance is certain.
    pub(super) fn guess(&self, rate: SampleRate) -> Option<Guess> {
        let (vad, after) = self.vad.zip(self.speculate_after)?;
        self.takes_segments().then(|| {
            let options = StreamAdapterOptions {
                activation_threshold: vad.activation_threshold,
                // The core's default.
                deactivation_threshold: (vad.activation_threshold - 0.15).max(0.01),
                min_speech: vad.min_speech_duration,
                prefix_padding: vad.prefix_padding_duration,
                ..StreamAdapterOptions::default()
            };
            let mut guess = Guess::new(after, &options);
            guess.starts_at(rate);
            guess
        })
    }

    /// Settings of the core for a stream of `rate`.
    pub(super) fn detector(&self, rate: SampleRate) -> DetectorConfig {
        let mut config = DetectorConfig::new(rate);
        if let Some(vad) = self.vad {
            config = config
                .activation_threshold(vad.activation_threshold)
                .min_speech_duration(vad.min_speech_duration)
                .min_silence_duration(vad.min_silence_duration)
                .prefix_padding_duration(vad.prefix_padding_duration);
        }
        if let Some(policy) = self.policy {
            config = config.turn_policy(policy);
            if matches!(self.turn_detection, TurnDetection::SmartTurn(_)) {
                config = config.turn_model(Some(policy.turn_model()));
            }
        }
        // Where somebody else ends turns, the core's longest delay is beyond every pause.
        let never = Duration::from_secs(60);
        let endpointing = match self.turn_detection {
            TurnDetection::Stt | TurnDetection::Manual => Endpointing::fixed(never, never),
            _ => self.endpointing,
        };
        let hears_words = self.stt.is_some();
        let segments = self.takes_segments();
        let interruption = self.interruption;
        let mut overlap = OverlapOptions::new();
        overlap.min_duration = interruption.min_duration;
        overlap.min_words = if hears_words {
            interruption.min_words
        } else {
            0
        };
        overlap.playback_guard = interruption.playback_guard;
        // Without words every interruption would be false.
        overlap.false_interruption_timeout = (hears_words
            && interruption.resume_false_interruption)
            .then_some(interruption.false_interruption_timeout);
        config
            .endpointing(endpointing)
            .segment_audio(segments)
            .report_windows(segments && self.speculate_after.is_some())
            .transcript_wait(
                hears_words.then_some(
                    self.transcript_wait
                        .unwrap_or(self.endpointing.max_delay())
                        .min(Duration::from_secs(60)),
                ),
            )
            .overlap((!self.is_manual() && self.vad.is_some()).then_some(overlap))
    }
}
