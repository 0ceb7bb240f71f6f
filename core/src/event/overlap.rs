//! What is said about user speech over the agent's.

use crate::units::{Probability, SampleCount, SamplePos};

/// The user means to interrupt: their speech over the agent's has lasted long enough, with words enough.
///
/// A verdict, not an action: whether the agent is paused, ducked or stopped is the host's choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlapClaim {
    /// Number of the user's speech segment.
    pub segment: u64,
    /// Number of the turn it belongs to.
    pub turn: u64,
    /// Where the overlap began: start of the first voiced window while both spoke.
    pub at: SamplePos,
    /// When all conditions were met.
    pub decided_at: SamplePos,
    /// What was known about the overlap then.
    pub facts: OverlapFacts,
}

/// User speech over the agent's that did not become an interruption: "mhm", a cough, the agent's own echo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlapBrief {
    /// Number of the user's speech segment.
    pub segment: u64,
    /// Number of the turn it belongs to.
    pub turn: u64,
    /// Where the overlap began: start of the first voiced window while both spoke.
    pub at: SamplePos,
    /// End of its last voiced window.
    pub until: SamplePos,
    /// When it was known: the user's speech or the agent's was over, or words did not come in time.
    pub decided_at: SamplePos,
    /// What was known about the overlap then.
    pub facts: OverlapFacts,
    /// What it lacked to be an interruption.
    pub reason: BriefReason,
}

/// What is known about an overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlapFacts {
    /// When the agent had begun to speak.
    pub agent_start: SamplePos,
    /// Voiced windows of the user while both spoke. Pauses and the silence behind are not in it.
    pub speech_duration: SampleCount,
    /// Words in it by [`Input::Words`](crate::Input::Words); `None` if nothing was said about words.
    pub words: Option<u32>,
    /// The turn model's newest answer to a pause in it, if there was one: near 1 for a complete "mhm", near 0 for the
    /// beginning of a sentence. For the host to weigh; no rule here uses it.
    pub probability: Option<Probability>,
    /// How well the agent's own playback explains it, 0.0..=1.0; `None` without a far-end reference.
    pub coherence: Option<f32>,
}

/// Why an overlap was no interruption: the first of these that held. The numbers are part of the fingerprint and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BriefReason {
    /// The agent's own playback came back through the microphone.
    OwnVoice = 0,
    /// Less voiced speech than `min_duration`.
    TooShort = 1,
    /// The agent's speech could not be interrupted.
    Protected = 2,
    /// It was over within `playback_guard` of the agent's start.
    Guard = 3,
    /// Fewer words than `min_words`.
    TooFewWords = 4,
}

impl BriefReason {
    /// The name used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnVoice => "own_voice",
            Self::TooShort => "too_short",
            Self::Protected => "protected",
            Self::Guard => "guard",
            Self::TooFewWords => "too_few_words",
        }
    }
}

/// How a turn relates to the agent's speech; see [`EndOfTurn::overlap`](crate::EndOfTurn).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverlapVerdict {
    /// All of the turn was spoken over the agent, and none of it was an interruption: nobody waits for an answer.
    Brief(BriefReason),
    /// The turn interrupted the agent.
    Claim,
}

/// A claim was followed by no words: the agent may go on where it stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseInterruption {
    /// Number of the speech segment that made the claim.
    pub segment: u64,
    /// Number of its turn.
    pub turn: u64,
    /// `decided_at` of the claim.
    pub claim_at: SamplePos,
    /// End of the user's last voiced window since.
    pub at: SamplePos,
    /// `false_interruption_timeout` after that.
    pub decided_at: SamplePos,
}
