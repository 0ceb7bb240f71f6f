//! What an [`Endpointer`](super::Endpointer) is told.

use super::expect::ExpectationRules;
use super::{Delays, MAX_REPEATS};
use crate::turn::{AnswerRule, Fusion, WaitRule};
use crate::units::{Probability, SampleCount, SampleRate};

/// Everything an [`Endpointer`](super::Endpointer) is told once, in samples at the input rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointerConfig {
    /// Expresses learned delays and one millisecond; positions are samples already.
    pub(crate) rate: SampleRate,
    /// Length of one model window, rounded up: the longest a decision is held back for a pending onset.
    pub(crate) window: SampleCount,
    /// Smallest and largest delay after the last voiced sample.
    pub(crate) delays: Delays,
    /// The audio model, if one is in use.
    pub(crate) model: Option<AudioModel>,
    /// How long after the last voiced sample a text model's vote is awaited; `None` if none is in use. Votes that come all the
    /// same count.
    pub(crate) text_timeout: Option<SampleCount>,
    /// How the votes become a wait.
    pub(crate) wait_rule: WaitRule,
    /// How the votes become one.
    pub(crate) fusion: Fusion,
    /// What the dialogue's expectation changes.
    pub(crate) expectations: ExpectationRules,
    /// How long after the last voiced sample a turn without any transcript is kept open for it. `None`: there
    /// is no source of text. Zero: never wait.
    pub(crate) transcript_wait: Option<SampleCount>,
    /// Longest turn, from its start.
    pub(crate) max_turn: Option<SampleCount>,
    /// User speech that begins this close to the agent's is never taken for a backchannel. LiveKit: 0.25 s.
    pub(crate) agent_speech_grace: SampleCount,
    /// How long after the end of a turn a transcript without a position still belongs to it.
    pub(crate) amend_window: SampleCount,
}

/// How the audio model takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AudioModel {
    /// From this probability on the turn counts as complete.
    pub(crate) threshold: Probability,
    /// How long after the last voiced sample the answer is awaited; the largest delay bounds it too.
    pub(crate) timeout: SampleCount,
    /// Windows of silence after which the model is asked, so that its time hides inside the smallest
    /// delay. Zero counts as one.
    pub(crate) query_after_windows: u32,
    /// Silence after which it is asked again, rising; what lies behind the first question is left out.
    pub(crate) query_again: [Option<SampleCount>; MAX_REPEATS],
    /// How several answers about one pause become one.
    pub(crate) answers: AnswerRule,
}
