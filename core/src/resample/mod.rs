//! Streaming sample-rate conversion, mono `f32`, between any two rates of 4 to 192 kHz.
//!
//! A polyphase FIR filter whose coefficients are samples of one kernel (`kernel.rs`), at output instants
//! known as exact fractions of the input's. Latency is 1.5 ms at 16 kHz (24 periods of the lower rate), the pass
//! band is flat within 0.02 dB up to 0.9 of the lower Nyquist, and what lies above 1.1 of it is at
//! least 103 dB down. Measured beside other resamplers: docs/decisions/0002-resampler.md.

mod delay_line;
mod design;
mod kernel;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use delay_line::DelayLine;
pub use design::ResamplerDesign;

use crate::units::SampleRate;

/// Converts one stream from one rate to another.
///
/// [`process`](Self::process) takes samples and writes what they give; any split of the input gives the same bits.
/// At the end of the stream [`flush`](Self::flush) writes the tail, after which the resampler is as new.
/// Nothing allocates after construction.
///
/// From the first push on, every 10 ms in gives 10 ms out, within one sample: n inputs give
/// n · to / from outputs, rounded up. The output lags by [`delay`](Self::delay) samples, which hold the start
/// of the filter's response. [`aligned`](Self::aligned) leaves those out, so that output m lies at input time m / to.
///
/// ```
/// use listenkit::SampleRate;
/// use listenkit::resample::Resampler;
///
/// let mut resampler = Resampler::new(SampleRate::HZ_48000, SampleRate::HZ_16000).aligned();
/// let input = vec![0.25; 48_000];
/// let mut output = vec![0.0; 16_000];
/// let mut len = 0;
/// for push in input.chunks(480) {
///     len += resampler.process(push, &mut output[len..]).written;
/// }
/// len += resampler.flush(&mut output[len..]);
/// assert_eq!(len, 16_000);
/// assert!((output[8_000] - 0.25).abs() < 0.001);
/// ```
#[derive(Clone, Debug)]
pub struct Resampler {
    design: Arc<ResamplerDesign>,
    line: DelayLine,
    aligned: bool,
    /// Inputs taken since the start of the stream.
    inputs: u64,
    /// What is left of the tail once flushing has begun.
    tail: Option<usize>,
}

/// What one call of [`Resampler::process`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Input samples taken.
    pub consumed: usize,
    /// Output samples written.
    pub written: usize,
}

impl Resampler {
    /// A resampler with a filter of its own. Making one takes 0.02 ms (48 to 16 kHz), 2 ms (44.1 to
    /// 16 kHz) or, for unusual rates, up to 20 ms; where many streams have the same rates, share it by
    /// [`with_design`](Self::with_design).
    pub fn new(from: SampleRate, to: SampleRate) -> Self {
        Self::with_design(Arc::new(ResamplerDesign::new(from, to)))
    }

    /// A resampler that shares its filter.
    pub fn with_design(design: Arc<ResamplerDesign>) -> Self {
        Self {
            line: DelayLine::new(&design),
            design,
            aligned: false,
            inputs: 0,
            tail: None,
        }
    }

    /// A resampler that shares its filter with all others made so for the same rates: the way for a server with many streams.
    /// Takes a lock.
    pub fn shared(from: SampleRate, to: SampleRate) -> Self {
        let level = listenkit_kernels::Level::detect();
        Self::with_design(ResamplerDesign::shared(from, to, level))
    }

    /// Leaves out the first [`delay`](Self::delay) outputs, so that output m lies at input time m / to
    /// exactly. A stream of n inputs then gives n · to / from outputs, rounded up, with its tail.
    #[must_use]
    pub fn aligned(mut self) -> Self {
        self.aligned = true;
        self.seek(self.inputs);
        self
    }

    /// Bytes of this stream's own state; the filter is shared.
    pub fn state_bytes(&self) -> usize {
        size_of::<Self>() + self.line.bytes()
    }

    /// The filter.
    pub fn design(&self) -> &Arc<ResamplerDesign> {
        &self.design
    }

    /// Outputs by which the stream lags behind its input (if it is not aligned): a whole number for
    /// every pair of rates, 24 for any rate above 16 kHz to 16 kHz, 0 for equal rates.
    pub fn delay(&self) -> usize {
        self.design.delay
    }

    /// Inputs taken since the start of the stream.
    pub fn input_position(&self) -> u64 {
        self.inputs
    }

    /// Outputs that belong to the inputs taken so far, those of the tail apart.
    pub fn output_position(&self) -> u64 {
        let skipped = if self.aligned {
            self.design.delay as u64
        } else {
            0
        };
        self.design.outputs_for(self.inputs).saturating_sub(skipped)
    }

    /// Inputs that must have been taken before output `index` can be written, both counted from the
    /// start of the stream; in integer arithmetic, exact for all positions.
    pub fn input_needed(&self, index: u64) -> u64 {
        let skipped = if self.aligned {
            self.design.delay as u64
        } else {
            0
        };
        self.design.inputs_for(index.saturating_add(skipped))
    }

    /// Of an aligned stream whose outputs are taken in blocks of `block`: the inputs beyond the end of a block (rounded down)
    /// that must be there before its last output can be written. At most; one less for some blocks where the rates do not divide.
    pub(crate) fn longest_lag(&self, block: usize) -> u64 {
        self.design.longest_lag(block as u64)
    }

    /// Outputs that the next `input_len` inputs will give.
    pub fn output_len(&self, input_len: usize) -> usize {
        // A tail that was begun is given up by the next push.
        let (inputs, skip) = match self.tail {
            Some(_) => (0, self.skipped_at(0)),
            None => (self.inputs, self.line.skip),
        };
        let after = inputs.saturating_add(input_len as u64);
        let outputs = self.design.outputs_for(after) - self.design.outputs_for(inputs);
        usize::try_from(outputs)
            .unwrap_or(usize::MAX)
            .saturating_sub(skip)
    }

    /// Outputs that `input_len` inputs give at most, wherever the stream stands.
    pub fn output_len_max(&self, input_len: usize) -> usize {
        usize::try_from(self.design.outputs_for(input_len as u64)).unwrap_or(usize::MAX)
    }

    /// Outputs that [`flush`](Self::flush) has to write: [`delay`](Self::delay), or less for a very
    /// short stream, and 0 for one that never began.
    pub fn tail_len(&self) -> usize {
        match self.tail {
            Some(left) => left,
            None if self.inputs == 0 => 0,
            None if self.aligned => {
                let outputs = self.design.outputs_for(self.inputs);
                usize::try_from(outputs).map_or(self.design.delay, |n| n.min(self.design.delay))
            }
            None => self.design.delay,
        }
    }

    /// Takes samples and writes the outputs that they complete.
    ///
    /// Takes all of `input` if `output` has room for [`output_len`](Self::output_len) samples, which is
    /// at most [`output_len_max`](Self::output_len_max). Otherwise takes as much as it has room for; call
    /// again with the rest. After part of a tail was flushed, begins a new stream.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) -> Progress {
        if self.tail.is_some() {
            self.reset();
        }
        let done = match self.design.is_copy() {
            true => {
                let len = input.len().min(output.len());
                output[..len].copy_from_slice(&input[..len]);
                Progress {
                    consumed: len,
                    written: len,
                }
            }
            false => self.line.process(&self.design, input, output),
        };
        self.inputs = self.inputs.saturating_add(done.consumed as u64);
        done
    }

    /// Writes the tail: the outputs that lie within the stream but needed inputs after its end, which
    /// count as zeros. Returns how many it wrote.
    ///
    /// All of them fit into [`tail_len`](Self::tail_len) samples; with less room, call again. Then the
    /// resampler is as new, at position 0.
    pub fn flush(&mut self, output: &mut [f32]) -> usize {
        let left = self.tail_len();
        let len = left.min(output.len());
        self.line.drain(&self.design, &mut output[..len]);
        self.tail = Some(left - len);
        if left == len {
            self.reset();
        }
        len
    }

    /// Back to the start of a new stream, equal to a fresh resampler.
    pub fn reset(&mut self) {
        self.seek(0);
    }

    /// Begins at another position: as if `position` zeros had been taken and their outputs written.
    pub fn seek(&mut self, position: u64) {
        let skip = self.skipped_at(position);
        self.line.restart(&self.design, position, skip);
        self.inputs = position;
        self.tail = None;
    }

    /// Outputs that alignment still leaves out once `position` inputs were taken.
    fn skipped_at(&self, position: u64) -> usize {
        match self.aligned {
            true => (self.design.delay as u64).saturating_sub(self.design.outputs_for(position))
                as usize,
            false => 0,
        }
    }
}
