//! What an [`Endpointer`](super::Endpointer) is told.

use super::Delays;
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
    /// The turn model, if one is in use.
    pub(crate) model: Option<ModelVote>,
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

/// How a turn model takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelVote {
    /// From this probability on the turn counts as complete.
    pub(crate) threshold: Probability,
    /// How long after the last voiced sample the answer is awaited; the largest delay bounds it too.
    pub(crate) timeout: SampleCount,
    /// Windows of silence after which the model is asked, so that its time hides inside the smallest
    /// delay. Zero counts as one.
    pub(crate) query_after_windows: u32,
}
