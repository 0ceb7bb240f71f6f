//! What a call gives back: outputs one by one, and the audio they speak of.

use super::Detector;
use crate::event::{Output, Segment, TurnQuery};
use crate::pcm::{Format, Samples};
use crate::turn::TurnAudio;

/// The outputs of one call, in order of `decided_at`. Take them all.
///
/// The audio of the call is heard while this runs, so the samples of a segment can be read at the moment it comes out:
///
/// ```no_run
/// # use listenkit::{Detector, Event, Frame, Output};
/// # fn recognise(_: &[i16]) {}
/// # fn run(detector: &mut Detector, pcm: &[i16]) -> Result<(), listenkit::InputError> {
/// let mut outputs = detector.process(Frame::i16(pcm))?;
/// while let Some(output) = outputs.next() {
///     if let Output::Event(Event::SegmentReady(segment)) = output {
///         if let Some(audio) = outputs.audio(&segment) {
///             recognise(&audio.to_i16());
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropped early, it hears the rest all the same; the outputs then wait for the next call. If they are never
/// taken, the oldest are lost and counted in [`Stats::outputs_dropped`](crate::Stats).
#[derive(Debug)]
#[must_use = "the outputs are what the detector has to say; take them all"]
pub struct Outputs<'d, 'f> {
    detector: &'d mut Detector,
    rest: Samples<'f>,
    format: Format,
}

impl<'d, 'f> Outputs<'d, 'f> {
    pub(super) const fn new(detector: &'d mut Detector, rest: Samples<'f>, format: Format) -> Self {
        Self {
            detector,
            rest,
            format,
        }
    }

    pub(super) const fn empty(detector: &'d mut Detector) -> Self {
        let format = detector.format;
        Self {
            detector,
            rest: Samples::I16(&[]),
            format,
        }
    }

    /// The samples of a segment that has come out of this call; see [`Detector::audio`].
    pub fn audio(&self, segment: &Segment) -> Option<Audio<'_>> {
        self.detector.audio(segment)
    }

    /// The samples a turn model should look at; see [`Detector::turn_audio`].
    pub fn turn_audio(&self, query: &TurnQuery) -> TurnAudio<'_> {
        self.detector.turn_audio(query)
    }

    /// Hears until there is an output; says whether any audio was taken.
    fn push(&mut self, hurry: bool) -> bool {
        let taken = self.detector.push_checked(self.rest, self.format, hurry);
        let values = taken * usize::from(self.format.channels);
        self.rest = self.rest.slice(values, self.rest.len());
        taken > 0
    }
}

impl Iterator for Outputs<'_, '_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        loop {
            let output = self.detector.poll();
            if output.is_some() || self.rest.is_empty() {
                return output;
            }
            self.push(false);
        }
    }
}

impl Drop for Outputs<'_, '_> {
    fn drop(&mut self) {
        while !self.rest.is_empty() {
            if !self.push(true) {
                self.detector.make_room();
            }
        }
        while self.detector.has_room() && self.detector.step_pending() {}
    }
}

/// Interleaved samples in the detector's memory, in the format they came in: two slices, because that
/// memory is a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Audio<'a> {
    /// Rate, channels and kind of value.
    pub format: Format,
    /// The samples up to the end of the ring.
    pub head: Samples<'a>,
    /// The rest.
    pub tail: Samples<'a>,
}

impl Audio<'_> {
    /// Values over all channels.
    pub const fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy as 16-bit integers; floats are scaled by 32768, rounded and limited.
    pub fn to_i16(&self) -> Vec<i16> {
        let mut values = Vec::with_capacity(self.len());
        for part in [self.head, self.tail] {
            match part {
                Samples::I16(part) => values.extend_from_slice(part),
                // `as` limits to the range of i16 and turns NaN into 0.
                Samples::F32(part) => {
                    values.extend(part.iter().map(|v| (v * 32768.0).round() as i16))
                }
            }
        }
        values
    }

    /// A copy as floats, full scale 1.0.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.len());
        for part in [self.head, self.tail] {
            match part {
                Samples::I16(part) => values.extend(part.iter().map(|&v| f32::from(v) / 32768.0)),
                Samples::F32(part) => values.extend_from_slice(part),
            }
        }
        values
    }
}
