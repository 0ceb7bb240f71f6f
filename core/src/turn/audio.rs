//! The audio of a turn: what the detector lends out for a question, and a copy of it for another thread.

use crate::dsp::{LogMel, MelFeatures, MelFrame, MelFrames, MelScratch};
use crate::units::SampleRate;

/// The turn so far, mono, full scale 1.0: two slices, because the detector's memory is a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TurnAudio<'a> {
    /// Samples per second: 16,000 from a detector, whatever the stream's rate is.
    pub rate: SampleRate,
    /// The earlier part.
    pub head: &'a [f32],
    /// The later part. It ends now, but for less than 10 ms: on the grid of mel frames.
    pub tail: &'a [f32],
    /// Mel frames of the same audio, if the detector computes them. Models read them by [`log_mel`](Self::log_mel).
    pub frames: Option<MelFrames<'a>>,
}

impl<'a> TurnAudio<'a> {
    /// Audio that comes from elsewhere.
    pub const fn new(rate: SampleRate, head: &'a [f32], tail: &'a [f32]) -> Self {
        Self {
            rate,
            head,
            tail,
            frames: None,
        }
    }

    /// Samples in both.
    pub const fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Whether there is nothing in it: no turn model is configured.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy in one piece.
    pub fn to_vec(&self) -> Vec<f32> {
        [self.head, self.tail].concat()
    }

    /// Copies everything, for a thread that runs a model: at most 0.8 MB. Allocates nothing for turns of up to 8 s.
    pub fn copy_to(&self, copy: &mut TurnSnapshot) {
        copy.rate = self.rate;
        copy.samples.clear();
        copy.samples.extend_from_slice(self.head);
        copy.samples.extend_from_slice(self.tail);
        copy.frames.clear();
        copy.missing = self.frames.map(|frames| {
            let (head, tail, missing) = frames.parts();
            copy.frames.extend_from_slice(head);
            copy.frames.extend_from_slice(tail);
            missing
        });
    }

    /// Log-mel features of the last 8 s of it. The audio has to be at 16 kHz. Frames that are ready are used, all others computed;
    /// the result is the same. Nothing is allocated.
    pub fn log_mel(&self, log_mel: &LogMel, scratch: &mut MelScratch, out: &mut MelFeatures) {
        log_mel.features_with(self.head, self.tail, self.frames, scratch, out);
    }
}

/// A turn's audio that outlives the call: [`TurnAudio::copy_to`] fills it again and again.
#[derive(Clone, Debug)]
pub struct TurnSnapshot {
    rate: SampleRate,
    samples: Vec<f32>,
    frames: Vec<MelFrame>,
    missing: Option<usize>,
}

impl TurnSnapshot {
    /// Room for 8 s. Allocates 0.8 MB.
    pub fn new() -> Self {
        Self {
            rate: SampleRate::HZ_16000,
            samples: Vec::with_capacity(crate::dsp::MEL_SAMPLES),
            frames: Vec::with_capacity(crate::dsp::MEL_FRAMES),
            missing: None,
        }
    }

    /// The audio that was copied last; empty before.
    pub fn audio(&self) -> TurnAudio<'_> {
        TurnAudio {
            rate: self.rate,
            head: &self.samples,
            tail: &[],
            frames: self
                .missing
                .map(|missing| MelFrames::from_parts(&self.frames, missing)),
        }
    }
}

impl Default for TurnSnapshot {
    fn default() -> Self {
        Self::new()
    }
}
