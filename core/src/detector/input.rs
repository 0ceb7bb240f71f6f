//! What the host tells the detector beside audio.

use crate::event::{CueVote, Expectation};
use crate::units::{Probability, SampleCount, SamplePos};

/// Something the host knows and the audio does not say.
///
/// Inputs take effect at the position the stream has reached. A recording of frames and inputs, replayed in the same
/// order, gives the same outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The audio model's answer to a [`TurnQuery`](crate::TurnQuery). One that comes too late does no harm.
    TurnAnswer {
        /// The `id` of the query.
        id: u64,
        /// That the user is finished.
        probability: Probability,
    },
    /// The threshold for answers from here on, for models whose threshold depends on the language.
    TurnThreshold(Probability),
    /// A text model's vote on the transcript of the turn so far.
    ///
    /// Like every vote it belongs to a pause: once the user has been heard again it is void.
    TextAnswer {
        /// The turn it is about, as named by events and [`Detector::open_turn`](crate::Detector::open_turn).
        turn: u64,
        /// That the user is finished.
        probability: Probability,
        /// Below this the model means "not finished". Text models have tiny ones, another for every language.
        threshold: Probability,
        /// Where the stream was when the transcript was put to the model
        /// ([`Detector::position`](crate::Detector::position)); a vote on a transcript from before the last voiced sample is
        /// ignored. `None`: just now.
        asked_at: Option<SamplePos>,
    },
    /// What the wording of the transcript so far says. Void once the user has been heard again.
    TextCues {
        /// The turn it is about.
        turn: u64,
        /// The vote. A lean of NaN is ignored, one out of range limited.
        vote: CueVote,
    },
    /// What the dialogue expects the user to say: it holds for the open turn, or for the next one if none is open, and is
    /// [`Expectation::Free`] again when that turn is over.
    /// Any turn ends it, also one that was cleared or spoken over the agent: best sent when the agent stops.
    Expect(Expectation),
    /// A final transcript arrived.
    Transcript {
        /// Where the speech it covers ended, if the recogniser says so.
        speech_end: Option<SamplePos>,
    },
    /// The agent began to speak.
    AgentStarted,
    /// The agent stopped speaking.
    AgentStopped,
    /// Whether what the agent says may be interrupted; `true` again when it stops. To be said before or after
    /// [`AgentStarted`](Self::AgentStarted), and again whenever it changes.
    AgentInterruptible(bool),
    /// How many words are known of what the user says over the agent, or has said since it was interrupted: interim or final, from the
    /// first on. Fewer than before are not believed.
    Words(u32),
    /// What the speech over the agent's was: an interruption, or (`false`) a backchannel such as
    /// "mhm". Only dynamic endpointing uses it: backchannels are not learned from. Counts more than the detector's own verdict.
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
    /// How long ago the audio that comes from here on was spoken: what packets, network and jitter buffer cost it on its way.
    /// 0 until it is said.
    ///
    /// The wait that ends a turn counts from when the user fell silent, so it is that much shorter here, as far as the end of speech has been
    /// found by then (`min_silence_duration`). The time that models and transcripts are given is not. Ages of more than a minute are taken as one.
    AudioAge(SampleCount),
    /// What the caller's own clock says, in samples of the stream's rate; where it started does not matter. To be sent now and
    /// then, whether frames come or not.
    ///
    /// Only its progress since the last frame counts: when that reaches `starvation_duration` the stream is starved, and the
    /// missing samples are a gap. From then on time follows every clock, without further events, until frames come again.
    /// A clock that drifts against the audio does no harm.
    Clock(SamplePos),
}
