//! What comes out of the detector.
//!
//! Every event is a small `Copy` value. `at` says where in the audio something happened, `decided_at` how
//! much audio had to be seen to know it: both are positions at the input rate, and their difference is the decision
//! delay, the same on every machine.

mod cue;
mod expectation;
mod overlap;
mod turn;

use crate::pcm::Format;
use crate::units::{Probability, SampleCount, SamplePos};

pub use cue::{Cue, CueSet, CueVote};
pub use expectation::Expectation;
pub use overlap::{
    BriefReason, FalseInterruption, OverlapBrief, OverlapClaim, OverlapFacts, OverlapVerdict,
};
pub use turn::{
    EndOfTurn, ModelVote, TurnAmended, TurnEndReason, TurnPrediction, TurnQuery,
    TurnQueryCancelled, TurnVotes, Wait,
};

/// One thing the detector says.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Something happened in the audio.
    Event(Event),
    /// A turn model is asked whether the user is finished. Answer with
    /// [`Input::TurnAnswer`](crate::Input::TurnAnswer), late or never.
    TurnQuery(TurnQuery),
    /// Questions asked so far need no answer any more.
    TurnQueryCancelled(TurnQueryCancelled),
}

/// Something that happened in the audio.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The probability of one window; only if asked for with
    /// [`DetectorConfig::report_windows`](crate::DetectorConfig::report_windows).
    Window(WindowScore),
    /// The user began to speak.
    StartOfSpeech(StartOfSpeech),
    /// The user stopped speaking, for now. Exactly one for every start.
    EndOfSpeech(EndOfSpeech),
    /// The audio of a speech segment is complete; only in segmenting mode.
    SegmentReady(Segment),
    /// A vote on the current pause has come: what all votes make of it, and where the turn would end.
    TurnPrediction(TurnPrediction),
    /// The user's turn is over.
    EndOfTurn(EndOfTurn),
    /// A transcript arrived for a turn that is already over.
    TurnAmended(TurnAmended),
    /// The stream goes on in another format.
    FormatChanged(FormatChanged),
    /// Audio is missing here.
    Gap(Gap),
    /// The user interrupts the agent; only with [`DetectorConfig::overlap`](crate::DetectorConfig::overlap), as the next two.
    OverlapClaim(OverlapClaim),
    /// The user spoke over the agent, and it was no interruption.
    OverlapBrief(OverlapBrief),
    /// An interruption was followed by no words: the agent may go on.
    FalseInterruption(FalseInterruption),
}

impl Event {
    /// The last position the event needed.
    pub const fn decided_at(&self) -> SamplePos {
        match self {
            Self::Window(e) => e.decided_at,
            Self::StartOfSpeech(e) => e.decided_at,
            Self::EndOfSpeech(e) => e.decided_at,
            Self::SegmentReady(e) => e.decided_at,
            Self::TurnPrediction(e) => e.decided_at,
            Self::EndOfTurn(e) => e.decided_at,
            Self::TurnAmended(e) => e.decided_at,
            Self::FormatChanged(e) => e.resumes_at,
            Self::Gap(e) => e.at,
            Self::OverlapClaim(e) => e.decided_at,
            Self::OverlapBrief(e) => e.decided_at,
            Self::FalseInterruption(e) => e.decided_at,
        }
    }
}

/// Speech probability of one model window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowScore {
    /// First input sample of the window.
    pub start: SamplePos,
    /// End of the window, exclusive. Windows lie back to back.
    pub end: SamplePos,
    /// Samples of input that were needed to compute it.
    pub decided_at: SamplePos,
    /// Probability that the window holds speech, after smoothing if that is on.
    pub probability: Probability,
}

/// The user began to speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartOfSpeech {
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Number of the turn it belongs to, from 0.
    pub turn: u64,
    /// First sample of the first window of speech.
    pub at: SamplePos,
    /// When `min_speech_duration` was reached.
    pub decided_at: SamplePos,
    /// Probability of the window that decided.
    pub probability: Probability,
}

/// The user stopped speaking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndOfSpeech {
    /// Number of the segment.
    pub segment: u64,
    /// Number of the turn it belongs to.
    pub turn: u64,
    /// End of the last window of speech.
    pub at: SamplePos,
    /// When it was known: `min_silence_duration` later, or when the stream broke off.
    pub decided_at: SamplePos,
    /// Windows of speech only, without the pauses inside the segment.
    pub speech_duration: SampleCount,
    /// From the start of speech to `at`, pauses included.
    pub segment_duration: SampleCount,
    /// Why it ended.
    pub reason: EndReason,
}

/// Why a speech segment ended. The numbers are part of the fingerprint and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Silence lasted `min_silence_duration`.
    Silence = 0,
    /// It grew to `max_segment_duration` and was split; speech goes on in the next part.
    /// Only [`Segment`]s end so, never [`EndOfSpeech`].
    Split = 1,
    /// End of input.
    Flush = 2,
    /// Audio was missing, or the user was muted.
    Gap = 3,
    /// The stream changed its format.
    FormatChange = 4,
    /// The detector was reset.
    Reset = 5,
}

impl EndReason {
    /// The name used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Split => "split",
            Self::Flush => "flush",
            Self::Gap => "gap",
            Self::FormatChange => "format_change",
            Self::Reset => "reset",
        }
    }
}

/// A finished stretch of speech with the padding around it: what a non-streaming recogniser gets.
///
/// The samples are read with [`Outputs::audio`](crate::Outputs::audio) or
/// [`Detector::audio`](crate::Detector::audio), at the input's own rate and format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Part of the segment, from 0; above 0 only when it was split.
    pub part: u32,
    /// Number of the turn it belongs to.
    pub turn: u64,
    /// First sample, prefix padding included. Never before the end of the segment before it.
    pub start: SamplePos,
    /// End, tail padding included; exclusive.
    pub end: SamplePos,
    /// First sample of the first window of speech.
    pub speech_start: SamplePos,
    /// End of the last window of speech.
    pub speech_end: SamplePos,
    /// When it was known to be complete.
    pub decided_at: SamplePos,
    /// Windows of speech only, without the pauses inside.
    pub speech_duration: SampleCount,
    /// The next part follows without a gap.
    pub continues: bool,
    /// Why it ended here.
    pub reason: EndReason,
    /// Where its audio lies.
    pub(crate) audio_at: AudioAt,
}

/// Place of a segment's first sample in the detector's memory. Not part of what the segment is, so all are equal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AudioAt(pub(crate) u64);

impl AudioAt {
    /// Of a segment whose audio nobody keeps.
    pub(crate) const NOWHERE: Self = Self(u64::MAX);
}

impl PartialEq for AudioAt {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Segment {
    /// Whether this part begins where the part before it was split off.
    pub const fn is_continuation(&self) -> bool {
        self.part > 0
    }

    /// Samples from start to end.
    pub const fn len(&self) -> SampleCount {
        self.end.since(self.start)
    }

    /// Where its audio lies in the memory of the detector it came from, for bindings whose events are plain data:
    /// [`Detector::audio_at`](crate::Detector::audio_at) takes it back. `u64::MAX` for a segment that came from a [`Segmenter`](crate::Segmenter), whose audio is the caller's.
    pub const fn audio_key(&self) -> u64 {
        self.audio_at.0
    }

    /// Whether it holds no sample; never true of a segment from a detector.
    pub const fn is_empty(&self) -> bool {
        self.len().0 == 0
    }
}

/// The stream goes on in another format. Speech that was open has been ended before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FormatChanged {
    /// Where it happened, in samples of the old rate.
    pub at: SamplePos,
    /// The same instant in samples of the new rate, rounded up; positions go on from here. Each change can so add less than one sample
    /// to the clock.
    pub resumes_at: SamplePos,
    /// The format so far.
    pub from: Format,
    /// The format from here on.
    pub to: Format,
}

/// Audio is missing: muted, lost, or late by more than the caller's patience.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// First missing sample.
    pub at: SamplePos,
    /// Missing samples; the stream goes on behind them.
    pub duration: SampleCount,
    /// Short gaps are heard as silence and nothing is interrupted; long ones end open speech and start
    /// the models afresh.
    pub concealed: bool,
}
