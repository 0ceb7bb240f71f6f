//! The records of turns: what was asked, what was said about it, and why a turn ended.

use super::{CueVote, Expectation, OverlapVerdict};
use crate::units::{Probability, SampleCount, SamplePos};

/// What a model said about a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelVote {
    /// That the user is finished. If the model was asked more than once, the answers combined by the
    /// [`AnswerRule`](crate::AnswerRule).
    pub probability: Probability,
    /// What it is compared with: below it, the model means "not finished".
    pub threshold: Probability,
    /// When the newest question that has been answered was asked; of a text model, when the host says that its text was read.
    pub asked_at: SamplePos,
    /// When the last answer came.
    pub answered_at: SamplePos,
    /// How many answers are combined in it.
    pub answers: u32,
}

/// All that has been said about a pause, and what comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TurnVotes {
    /// The audio model's.
    pub audio: Option<ModelVote>,
    /// The text model's.
    pub text: Option<ModelVote>,
    /// That of the wording.
    pub cues: Option<CueVote>,
    /// All votes in one number, 0.5 where they are undecided: [`Fusion`](crate::Fusion) says how. `None` without any vote.
    pub fused: Option<Probability>,
}

impl TurnVotes {
    /// What the audio model said, or if it said nothing, the text model.
    pub fn probability(&self) -> Option<Probability> {
        self.model().map(|vote| vote.probability)
    }

    /// What [`probability`](Self::probability) was compared with.
    pub fn threshold(&self) -> Option<Probability> {
        self.model().map(|vote| vote.threshold)
    }

    fn model(&self) -> Option<ModelVote> {
        self.audio.or(self.text)
    }
}

/// What is known about a pause, and where the turn would end. Comes out with every vote that counts, so a pause that the user
/// ends by going on leaves its record too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnPrediction {
    /// Number of the turn, from 0.
    pub turn: u64,
    /// The pause in question: end of the last window of speech so far.
    pub at: SamplePos,
    /// When the vote came.
    pub decided_at: SamplePos,
    /// The votes.
    pub votes: TurnVotes,
    /// What the dialogue expects.
    pub expectation: Expectation,
    /// Smallest delay in force, in samples.
    pub min_delay: SampleCount,
    /// Largest delay in force, in samples.
    pub max_delay: SampleCount,
    /// The wait that the votes choose, counted from `at`.
    pub chosen_delay: SampleCount,
    /// The wait if there were no votes.
    pub silence_delay: SampleCount,
    /// Where the turn ends if the user is silent and nothing more is said. Later if the end of speech is found later.
    pub ends_at: SamplePos,
}

/// The user's turn is over: the agent may answer. The record says why, with its arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndOfTurn {
    /// Number of the turn, from 0.
    pub turn: u64,
    /// Start of its first speech.
    pub start: SamplePos,
    /// The anchor of every delay: end of the last window of speech in the turn.
    pub last_voiced: SamplePos,
    /// When the turn was declared over.
    pub decided_at: SamplePos,
    /// What the decision had been waiting for when it fell.
    pub wait: Wait,
    /// What was said about its last pause in time.
    pub votes: TurnVotes,
    /// What the dialogue expected.
    pub expectation: Expectation,
    /// Smallest delay in force, in samples (learned, if endpointing is dynamic; changed by the expectation).
    pub min_delay: SampleCount,
    /// Largest delay in force, in samples.
    pub max_delay: SampleCount,
    /// The wait that the votes chose, counted from `last_voiced`; without any, `silence_delay`.
    pub chosen_delay: SampleCount,
    /// The wait if there had been no votes: `min_delay`, or the time that a configured model is given, if that is longer. The
    /// difference to `chosen_delay` is what the votes changed.
    pub silence_delay: SampleCount,
    /// Why it ended.
    pub reason: TurnEndReason,
    /// What the turn has to do with the agent's speech, if there is a verdict on that.
    pub overlap: Option<OverlapVerdict>,
}

impl EndOfTurn {
    /// `decided_at - last_voiced`: how long the user had been silent.
    pub const fn delay(&self) -> SampleCount {
        self.decided_at.since(self.last_voiced)
    }

    /// What the audio model said about the last pause, or if it said nothing, the text model.
    pub fn probability(&self) -> Option<Probability> {
        self.votes.probability()
    }

    /// What [`probability`](Self::probability) was compared with.
    pub fn threshold(&self) -> Option<Probability> {
        self.votes.threshold()
    }
}

/// What the end of a turn waited for last. The numbers are part of the fingerprint and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wait {
    /// `min_delay` after the last voiced sample (or the end of the segment, if that came later).
    Min = 0,
    /// `max_delay` after the last voiced sample.
    Max = 1,
    /// The audio model: its answer, or the end of the time it is given.
    Model = 2,
    /// The transcript: its arrival, or the end of `transcript_wait`.
    Transcript = 3,
    /// `max_turn_duration`.
    Ceiling = 4,
    /// Nothing: the caller ended the turn, or the stream ended.
    Flush = 5,
    /// The text model or the wording: their vote, or the end of the time that the model is given.
    Text = 6,
    /// A delay between the two, chosen by the votes.
    Graded = 7,
}

impl Wait {
    /// The name used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Model => "model",
            Self::Transcript => "transcript",
            Self::Ceiling => "ceiling",
            Self::Flush => "flush",
            Self::Text => "text",
            Self::Graded => "graded",
        }
    }
}

/// Why a turn ended. The numbers are part of the fingerprint and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TurnEndReason {
    /// Silence alone: no turn model is in use.
    Silence = 0,
    /// The votes found the turn complete: of a single model, `probability >= threshold`.
    Complete = 1,
    /// The votes found it unfinished, and the user did not go on within the delay they chose.
    Unfinished = 2,
    /// No model answered in time, so silence alone decided.
    NoAnswer = 3,
    /// The transcript did not come within `transcript_wait`.
    NoTranscript = 4,
    /// The turn reached `max_turn_duration`.
    TooLong = 5,
    /// The caller committed the turn.
    Committed = 6,
    /// End of input.
    EndOfInput = 7,
    /// The detector was reset.
    Reset = 8,
}

impl TurnEndReason {
    /// The name used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Complete => "complete",
            Self::Unfinished => "unfinished",
            Self::NoAnswer => "no_answer",
            Self::NoTranscript => "no_transcript",
            Self::TooLong => "too_long",
            Self::Committed => "committed",
            Self::EndOfInput => "end_of_input",
            Self::Reset => "reset",
        }
    }
}

/// A transcript arrived for a turn that is already over; it does not make a second turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnAmended {
    /// The turn it belongs to.
    pub turn: u64,
    /// Where that turn's speech ended.
    pub at: SamplePos,
    /// When the transcript arrived.
    pub decided_at: SamplePos,
}

/// A question to the audio model: is the user finished? A `Copy` ticket; the audio is read with
/// [`Outputs::turn_audio`](crate::Outputs::turn_audio).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnQuery {
    /// Comes back in the answer. Never reused; counts up from 0.
    pub id: u64,
    /// The turn in question.
    pub turn: u64,
    /// Start of the turn's first speech.
    pub start: SamplePos,
    /// End of its last window of speech.
    pub last_voiced: SamplePos,
    /// When the question was asked; the audio to judge ends here.
    pub decided_at: SamplePos,
}

/// Questions that have not been answered and need not be any more, because the user went on or the turn is over. Work on
/// them can stop; an answer that comes all the same does no harm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnQueryCancelled {
    /// The newest of them: no question up to this `id` is open.
    pub id: u64,
    /// The turn it was about.
    pub turn: u64,
    /// When that was known.
    pub decided_at: SamplePos,
}
