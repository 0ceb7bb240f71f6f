//! What goes into the segmenter and what comes out.

use crate::event::{AudioAt, EndOfSpeech, EndReason, Event, Segment, StartOfSpeech};
use crate::units::{Probability, SampleCount, SamplePos};

/// One window of the model. Windows come in order and back to back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// First input sample.
    pub(crate) start: SamplePos,
    /// End, exclusive.
    pub(crate) end: SamplePos,
    /// Input that was needed to compute it; not before `end`.
    pub(crate) decided_at: SamplePos,
    /// Probability of speech; NaN counts as 0.
    pub(crate) probability: f32,
}

/// What the segmenter found. The fields are those of the event of the same kind, except for the turn,
/// which it does not know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// Speech began.
    Start {
        segment: u64,
        at: SamplePos,
        decided_at: SamplePos,
        probability: Probability,
    },
    /// Speech ended. Exactly one for every start.
    End {
        segment: u64,
        at: SamplePos,
        decided_at: SamplePos,
        speech_duration: SampleCount,
        segment_duration: SampleCount,
        reason: EndReason,
    },
    /// The audio from `start` to `end` is complete. The last part comes right after its `End`.
    Ready {
        segment: u64,
        part: u32,
        start: SamplePos,
        end: SamplePos,
        speech_start: SamplePos,
        speech_end: SamplePos,
        decided_at: SamplePos,
        speech_duration: SampleCount,
        continues: bool,
        reason: EndReason,
    },
}

impl Change {
    /// The event that tells this change, as part of turn number `turn`.
    pub(crate) fn event(self, turn: u64) -> Event {
        match self {
            Self::Start {
                segment,
                at,
                decided_at,
                probability,
            } => Event::StartOfSpeech(StartOfSpeech {
                segment,
                turn,
                at,
                decided_at,
                probability,
            }),
            Self::End {
                segment,
                at,
                decided_at,
                speech_duration,
                segment_duration,
                reason,
            } => Event::EndOfSpeech(EndOfSpeech {
                segment,
                turn,
                at,
                decided_at,
                speech_duration,
                segment_duration,
                reason,
            }),
            Self::Ready {
                segment,
                part,
                start,
                end,
                speech_start,
                speech_end,
                decided_at,
                speech_duration,
                continues,
                reason,
            } => Event::SegmentReady(Segment {
                segment,
                part,
                turn,
                start,
                end,
                speech_start,
                speech_end,
                decided_at,
                speech_duration,
                continues,
                reason,
                audio_at: AudioAt::NOWHERE,
            }),
        }
    }
}

/// What one call changed, in order: nothing, a start, a split, or an end with its audio.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Changes(pub(super) [Option<Change>; 2]);

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Change>, 2>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}
