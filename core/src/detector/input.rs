//! What the host tells the detector beside audio.

use crate::units::{Probability, SampleCount, SamplePos};

/// Something the host knows and the audio does not say.
///
/// Inputs take effect at the position the stream has reached. A recording of frames and inputs, replayed in the same
/// order, gives the same outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The turn model's answer to a [`TurnQuery`](crate::TurnQuery). One that comes too late does no harm.
    TurnAnswer {
        /// The `id` of the query.
        id: u64,
        /// That the user is finished.
        probability: Probability,
    },
    /// The threshold for answers from here on, for models whose threshold depends on the language.
    TurnThreshold(Probability),
    /// A final transcript arrived.
    Transcript {
        /// Where the speech it covers ended, if the recogniser says so.
        speech_end: Option<SamplePos>,
    },
    /// The agent began to speak.
    AgentStarted,
    /// The agent stopped speaking.
    AgentStopped,
    /// What the speech over the agent's was: an interruption, or (`false`) a backchannel such as
    /// "mhm". Only dynamic endpointing uses it: backchannels are not learned from.
    Interruption(bool),
    /// The turn is over because the caller says so (push-to-talk released).
    CommitTurn,
    /// Forget the turn: no `EndOfTurn` follows, its number is used up, and transcripts that come late for it are
    /// dropped. Speech that is open still gets its end.
    ClearTurn,
    /// The next samples are missing: muted or lost.
    ///
    /// Shorter than `min_silence_duration`, they are heard as silence. Longer, open speech ends here
    /// and the models start afresh behind them.
    Gap(SampleCount),
    /// What the caller's own clock says, in samples of the stream's rate; where it started does not matter. To be sent now and
    /// then, whether frames come or not.
    ///
    /// Only its progress since the last frame counts: when that reaches `starvation_duration` the stream is starved, and the
    /// missing samples are a gap. From then on time follows every clock, without further events, until frames come again.
    /// A clock that drifts against the audio does no harm.
    Clock(SamplePos),
}
