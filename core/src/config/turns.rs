//! Settings of the end of a turn.

use std::time::Duration;

use crate::endpointer::{ExpectationRules, MAX_REPEATS};
use crate::turn::AnswerRule;
use crate::units::{Probability, SampleRate};

/// How long the agent waits after the user's last voiced sample.
///
/// `min_delay` is the wait when the turn seems complete, `max_delay` when it seems unfinished. Fixed delays stay
/// as given; dynamic ones learn `min_delay` from the user's own pauses, between the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Endpointing {
    pub(super) min_delay: Duration,
    pub(super) max_delay: Duration,
    /// Weight of history in the learned delay; `None` is fixed.
    pub(super) alpha: Option<f64>,
}

impl Endpointing {
    /// 0.3 s and 2.5 s: what LiveKit Agents 1.8.9 uses with an audio turn model, and the default here when a turn
    /// model is in use.
    pub const STREAMING: Self =
        Self::fixed(Duration::from_millis(300), Duration::from_millis(2500));

    /// 0.5 s and 3.0 s: what LiveKit Agents uses without an audio turn model, and the default here without one.
    /// The 3 s come from measured mid-turn pauses (95th percentile 2.5 s in a call centre, livekit/agents#3640).
    pub const LEGACY: Self = Self::fixed(Duration::from_millis(500), Duration::from_secs(3));

    /// Weight of history that LiveKit Agents 1.8.9 uses for dynamic endpointing.
    pub const ALPHA: f64 = 0.9;

    /// Delays that stay as they are.
    pub const fn fixed(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            min_delay,
            max_delay,
            alpha: None,
        }
    }

    /// A `min_delay` that is learned from the user's pauses and stays between the two.
    pub const fn dynamic(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            min_delay,
            max_delay,
            alpha: Some(Self::ALPHA),
        }
    }

    /// The same, learning with `alpha` as the weight of history, 0.0..1.0. Makes the delays dynamic.
    #[must_use]
    pub const fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// The same with other delays: fixed ones stay fixed, dynamic ones go on learning with the same weight.
    #[must_use]
    pub const fn with_delays(mut self, min_delay: Duration, max_delay: Duration) -> Self {
        self.min_delay = min_delay;
        self.max_delay = max_delay;
        self
    }

    /// The shorter delay.
    pub const fn min_delay(&self) -> Duration {
        self.min_delay
    }

    /// The longer delay.
    pub const fn max_delay(&self) -> Duration {
        self.max_delay
    }
}

/// How a turn model takes part: the detector asks, the host answers when it can.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnModelOptions {
    /// Below this probability the turn counts as unfinished. Depends on model and language.
    pub unlikely_threshold: Probability,
    /// How long after the last voiced sample an answer is waited for, at most. Default 1 s, as LiveKit Agents.
    pub timeout: Duration,
    /// Silence after which the question goes out. Default 96 ms: asking at 64 to 128 ms is as accurate as asking at
    /// 200 ms, and hides the model's time inside `min_delay`.
    pub query_after: Duration,
    /// Silence after which it goes out again, each longer than the one before. Default none, as the peers: the answer to the first
    /// question stands until the user speaks again.
    pub query_again: [Option<Duration>; MAX_REPEATS],
    /// How several answers about one pause become one. Default [`AnswerRule::Latest`].
    pub answers: AnswerRule,
    /// Audio kept for the question, at 16 kHz whatever the rates of the stream and the VAD are. Default 8 s, what Smart Turn v3
    /// looks at.
    pub audio: Duration,
    /// Whether the log-mel frames that Smart Turn takes are computed while the user speaks, so that they are ready when it is
    /// asked. Default on; costs 263 KB. A model of another kind has no use for them.
    pub mel_frames: bool,
}

impl TurnModelOptions {
    /// The defaults with the threshold of a model.
    pub const fn new(unlikely_threshold: Probability) -> Self {
        Self {
            unlikely_threshold,
            timeout: Duration::from_secs(1),
            query_after: Duration::from_millis(96),
            query_again: [None; MAX_REPEATS],
            answers: AnswerRule::Latest,
            audio: Duration::from_secs(8),
            mel_frames: true,
        }
    }
}

/// How a text model takes part: the host puts the transcript to it and sends
/// [`Input::TextAnswer`](crate::Input::TextAnswer).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextVoteOptions {
    /// How long after the last voiced sample its vote is waited for, at most. The transcript has to come first, so this is the
    /// recogniser's delay and the model's. Default 1 s, as for audio models; LiveKit Agents gives a local text model 3 s, and
    /// nobody waits that long for an answer.
    pub timeout: Duration,
}

impl Default for TextVoteOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
        }
    }
}

/// What an [`Expectation`](crate::Expectation) does to the delays. It never shortens `max_delay`, and lengthens or shortens
/// `min_delay` only where that is said here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectationDelays {
    /// A yes or no is expected, and the turn so far is at most this long from first to last voiced sample: a short answer. Default 1 s:
    /// "yes, that's right" and not a sentence.
    pub short_answer: Duration,
    /// `min_delay` after a short answer, if the delay is not shorter already. Default 200 ms, the gap between turns that people leave
    /// each other (Stivers et al. 2009, ten languages: mean 208 ms, shortest after yes/no questions). No turn ends
    /// before its speech does, so `min_silence_duration` has to be as short for this to have its full effect.
    pub short_min: Duration,
    /// `min_delay` while digits, letters or an address are dictated, at least, unless the wording says that they are complete. Default 1 s:
    /// longer than the pauses between groups of a telephone number.
    pub dictation_min: Duration,
    /// `max_delay` while something is dictated, at least. Default 4 s (second-state/echokit_server#20: 4 s for a question that takes
    /// thought).
    pub dictation_max: Duration,
    /// `min_delay` while the user has the floor, at least. Default 2 s (same source: 2 s after a statement).
    pub floor_min: Duration,
    /// `max_delay` while the user has the floor, at least. Default 8 s (same source).
    pub floor_max: Duration,
}

impl ExpectationDelays {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        short_answer: Duration::from_secs(1),
        short_min: Duration::from_millis(200),
        dictation_min: Duration::from_secs(1),
        dictation_max: Duration::from_secs(4),
        floor_min: Duration::from_secs(2),
        floor_max: Duration::from_secs(8),
    };

    pub(super) fn parse(&self, rate: SampleRate) -> ExpectationRules {
        let samples = |duration| rate.samples(duration);
        ExpectationRules {
            short_answer: samples(self.short_answer),
            short_min: samples(self.short_min),
            dictation: (samples(self.dictation_min), samples(self.dictation_max)),
            floor: (samples(self.floor_min), samples(self.floor_max)),
            satisfied_lean: SATISFIED_LEAN,
        }
    }
}

impl Default for ExpectationDelays {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The wording of a dictation leans this far towards "finished" when it is complete: more likely than not by any reading of the
/// scale, and out of reach of the weak cues.
const SATISFIED_LEAN: f32 = 0.5;
