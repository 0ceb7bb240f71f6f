//! Counters that show whether a stream is healthy.

use crate::units::{Probability, SamplePos};

/// What a detector has seen and done since it was built or reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Samples pushed, gaps not included.
    pub samples_in: u64,
    /// Model windows run.
    pub windows: u64,
    /// Speech segments started.
    pub segments: u64,
    /// Turns ended.
    pub turns: u64,
    /// Gaps, concealed or not.
    pub gaps: u64,
    /// Changes of format.
    pub format_changes: u64,
    /// Input values that were NaN or infinite and were heard as 0.
    pub non_finite_values: u64,
    /// Input values beyond [`LIMIT`](crate::pcm::LIMIT) that were limited to it.
    pub limited_values: u64,
    /// Answers to turn queries that came too late or were never asked for.
    pub stale_answers: u64,
    /// Votes of text models and wordings that were ignored: about another turn or an older pause, or not a number.
    pub stale_votes: u64,
    /// Turns forgotten by [`Input::ClearTurn`](crate::Input::ClearTurn).
    pub cleared_turns: u64,
    /// Transcripts that came late for such a turn.
    pub dropped_transcripts: u64,
    /// User speech over the agent's that was judged an interruption.
    pub overlap_claims: u64,
    /// User speech over the agent's that was not.
    pub overlap_briefs: u64,
    /// Interruptions without words.
    pub false_interruptions: u64,
    /// Samples of the agent's playback that were too far ahead to be kept.
    pub reference_dropped: u64,
    /// Outputs that were lost because an [`Outputs`](crate::Outputs) was dropped before it was drained.
    pub outputs_dropped: u64,
    /// Probability of the last window.
    pub last_probability: Probability,
    /// `decided_at` of the last event.
    pub last_event_at: SamplePos,
}
