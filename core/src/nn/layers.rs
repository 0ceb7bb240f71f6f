//! Layers: weights from a container, packed for the kernels.

use super::Container;
use crate::error::ModelError;
use listenkit_kernels::{
    Gates, HIDDEN, Level, LstmWeights, Matrix, Source, affine_rows, conv1, conv1_recurrent, conv2,
};

/// Taps of every convolution here.
pub(crate) const TAPS: usize = 3;

/// Names of a layer's tensors.
pub(crate) type Names = (&'static str, &'static str);

/// A convolution of kernel 3 over four frames, each followed by `max(0, .)`.
#[derive(Debug)]
pub(crate) struct Conv {
    inputs: usize,
    stride: usize,
    w: Matrix,
    bias: Vec<f32>,
}

impl Conv {
    /// Reads a `[outputs, inputs, 3]` weight and its bias. The stride is 1 or 2.
    ///
    /// # Errors
    /// [`ModelError`] when a tensor is missing or has another shape.
    pub(crate) fn load(
        container: &Container<'_>,
        names: Names,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<Self, ModelError> {
        let w = container.tensor(names.0, &[outputs, inputs, TAPS])?;
        let bias = container.tensor(names.1, &[outputs])?;
        let w = Matrix::from_fn(TAPS * inputs, outputs, |row, column| {
            w[(column * inputs + row % inputs) * TAPS + row / inputs]
        });
        Ok(Self {
            inputs,
            stride,
            w,
            bias,
        })
    }

    /// One window: `[4, inputs]` with frames `x_stride` apart to `[4 / stride, outputs]`.
    pub(crate) fn window(&self, level: Level, x: &[f32], x_stride: usize, y: &mut [f32]) {
        match self.stride {
            1 => conv1(level, x, x_stride, &self.w, &self.bias, y),
            _ => conv2(level, x, x_stride, &self.w, &self.bias, y),
        }
    }

    /// [`Conv::window`] at stride 1, and beside it what the LSTM's state gives to its next gates: the same bits in less time.
    pub(crate) fn window_beside(
        &self,
        level: Level,
        x: &[f32],
        x_stride: usize,
        y: &mut [f32],
        (lstm, h): (&LstmWeights, &[f32; HIDDEN]),
        gates: &mut Gates,
    ) {
        conv1_recurrent(level, x, x_stride, &self.w, &self.bias, y, lstm, h, gates);
    }

    /// Many windows, frames outermost: `[frames, streams, inputs]` with rows `x_stride` apart to
    /// `[frames / stride, streams, outputs]`.
    pub(crate) fn windows(
        &self,
        level: Level,
        streams: usize,
        frames: usize,
        x: &[f32],
        x_stride: usize,
        y: &mut [f32],
    ) {
        let outputs = self.w.columns();
        for t in 0..frames / self.stride {
            // Taps that meet the zero frame before the first or after the last are left out.
            let (mut sources, mut count) = (
                [Source {
                    x,
                    stride: 0,
                    len: 0,
                    first: 0,
                }; TAPS],
                0,
            );
            for tap in 0..TAPS {
                let padded = t * self.stride + tap;
                if (1..=frames).contains(&padded) {
                    sources[count] = Source {
                        x: &x[(padded - 1) * streams * x_stride..],
                        stride: x_stride,
                        len: self.inputs,
                        first: tap * self.inputs,
                    };
                    count += 1;
                }
            }
            let y = &mut y[t * streams * outputs..];
            affine_rows(
                level,
                streams,
                &sources[..count],
                &self.w,
                &self.bias,
                y,
                outputs,
                true,
            );
        }
    }
}

/// A convolution of kernel 3 that sees so few frames that some taps only meet zeros: what is left is a matrix, followed by
/// `max(0, .)`.
#[derive(Debug)]
pub(crate) struct Dense {
    w: Matrix,
    bias: Vec<f32>,
}

impl Dense {
    /// Reads a `[outputs, inputs, 3]` weight and its bias, and keeps `taps`, one per frame of the input.
    ///
    /// # Errors
    /// [`ModelError`] when a tensor is missing or has another shape.
    pub(crate) fn load(
        container: &Container<'_>,
        names: Names,
        inputs: usize,
        outputs: usize,
        taps: core::ops::Range<usize>,
    ) -> Result<Self, ModelError> {
        let w = container.tensor(names.0, &[outputs, inputs, TAPS])?;
        let bias = container.tensor(names.1, &[outputs])?;
        let w = Matrix::from_fn(taps.len() * inputs, outputs, |row, column| {
            w[(column * inputs + row % inputs) * TAPS + taps.start + row / inputs]
        });
        Ok(Self { w, bias })
    }

    /// Many rows: `[frames, streams, inputs]` to `[streams, outputs]`.
    pub(crate) fn rows(
        &self,
        level: Level,
        streams: usize,
        frames: usize,
        x: &[f32],
        y: &mut [f32],
    ) {
        let inputs = self.w.rows() / frames;
        let mut sources = [Source {
            x,
            stride: inputs,
            len: inputs,
            first: 0,
        }; TAPS];
        for (frame, source) in sources.iter_mut().enumerate().take(frames) {
            source.x = &x[frame * streams * inputs..];
            source.first = frame * inputs;
        }
        let outputs = self.w.columns();
        affine_rows(
            level,
            streams,
            &sources[..frames],
            &self.w,
            &self.bias,
            y,
            outputs,
            true,
        );
    }
}
