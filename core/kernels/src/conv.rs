//! Convolutions over the four frames of one window: kernel 3, one zero frame at each end.
//!
//! All frames share each load of the weights, which come from the second-level cache and are what a single
//! stream waits for. Taps that would meet a zero frame are not computed. Sums run tap by tap, then
//! channel by channel, as in [`crate::affine_rows`] with one source per tap.

use crate::level::{Level, dispatch};
use crate::matrix::{Matrix, PANEL};
use crate::simd::F32x16;
use core::marker::PhantomData;

/// STFT frames in a window.
pub const FRAMES: usize = 4;

/// Stride 1, `[4, channels]` to `[4, n]`, with `max(0, .)`. Frame `t` of `x` starts at `t * x_stride`.
/// The matrix has the rows of tap 0, then 1, then 2.
///
/// # Panics
/// When the lengths do not fit the matrix.
pub fn conv1(level: Level, x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &mut [f32]) {
    check(x, x_stride, w, bias, y, FRAMES);
    // SAFETY: checked above.
    unsafe { conv1_entry(level, x, x_stride, w, bias, y) }
}

/// Stride 2, `[4, channels]` to `[2, n]`, with `max(0, .)`; arguments as in [`conv1`].
///
/// # Panics
/// When the lengths do not fit the matrix.
pub fn conv2(level: Level, x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &mut [f32]) {
    check(x, x_stride, w, bias, y, FRAMES / 2);
    // SAFETY: checked above.
    unsafe { conv2_entry(level, x, x_stride, w, bias, y) }
}

fn check(x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &[f32], frames: usize) {
    assert!(w.rows().is_multiple_of(3), "three taps");
    assert!(
        x.len() >= (FRAMES - 1) * x_stride + w.rows() / 3,
        "inputs shorter than four frames"
    );
    assert_eq!(bias.len(), w.columns(), "one bias per column");
    assert!(
        y.len() >= frames * w.columns(),
        "outputs shorter than {frames} frames"
    );
}

dispatch!(unsafe fn conv1_entry(x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &mut [f32]) = conv1_body);
dispatch!(unsafe fn conv2_entry(x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &mut [f32]) = conv2_body);

/// # Safety
/// `check` passed for 4 frames.
#[inline(always)]
unsafe fn conv1_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        if V::COLUMNS == 4 {
            conv::<V, 4, 1, 4>(x, x_stride, w, bias, y);
        } else {
            conv::<V, 4, 1, 1>(x, x_stride, w, bias, y);
        }
    }
}

/// # Safety
/// `check` passed for 2 frames.
#[inline(always)]
unsafe fn conv2_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        if V::COLUMNS == 4 {
            conv::<V, 2, 2, 4>(x, x_stride, w, bias, y);
        } else {
            conv::<V, 2, 2, 1>(x, x_stride, w, bias, y);
        }
    }
}

/// `OUT` frames at stride `S`, `C` vectors of columns at a time.
///
/// # Safety
/// `check` passed for `OUT` frames.
#[inline(always)]
unsafe fn conv<V: F32x16, const OUT: usize, const S: usize, const C: usize>(
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
) {
    let channels = w.rows() / 3;
    let n = w.columns();
    for column in (0..n).step_by(16 * C) {
        // SAFETY: columns `column..column + 16 C` lie in one panel; frames and channels are within `x` by `check`.
        unsafe {
            let mut w = w.panel(column / PANEL).add(column % PANEL);
            let mut acc = [[V::splat(0.0); C]; OUT];
            for c in 0..C {
                let b = V::load(bias.as_ptr().add(column + 16 * c));
                for frame in &mut acc {
                    frame[c] = b;
                }
            }
            for tap in 0..3 {
                for k in 0..channels {
                    let mut weights = [V::splat(0.0); C];
                    for (c, weights) in weights.iter_mut().enumerate() {
                        *weights = V::load(w.add(16 * c));
                    }
                    for t in 0..OUT {
                        // The input frame plus one; frame -1 and frame 4 are the zero padding.
                        let padded = t * S + tap;
                        if padded == 0 || padded > FRAMES {
                            continue;
                        }
                        let x = V::splat(*x.as_ptr().add((padded - 1) * x_stride + k));
                        for c in 0..C {
                            acc[t][c] = x.fma(weights[c], acc[t][c]);
                        }
                    }
                    w = w.add(PANEL);
                }
            }
            for (t, frame) in acc.iter().enumerate() {
                for (c, value) in frame.iter().enumerate() {
                    value
                        .max(V::splat(0.0))
                        .store(y.as_mut_ptr().add(t * n + column + 16 * c));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, affine_rows};

    fn number(i: usize) -> f32 {
        ((i * 7919 + 13) % 17) as f32 - 8.0
    }

    /// The definition: a loop over output frames, taps and channels with explicit zero frames.
    fn naive(
        x: &[f32],
        x_stride: usize,
        channels: usize,
        n: usize,
        stride: usize,
        out: usize,
    ) -> Vec<f32> {
        let mut y = Vec::new();
        for t in 0..out {
            for j in 0..n {
                let mut sum = number(j + 2);
                for tap in 0..3 {
                    let frame = (t * stride + tap) as isize - 1;
                    for c in 0..channels {
                        let inside = (0..4).contains(&frame);
                        let value = if inside {
                            x[frame as usize * x_stride + c]
                        } else {
                            0.0
                        };
                        sum += value * number((tap * channels + c) * n + j);
                    }
                }
                y.push(sum.max(0.0));
            }
        }
        y
    }

    #[test]
    fn convolutions_equal_their_definition_at_every_level() {
        for (channels, n) in [(1, 64), (129, 128), (65, 128), (128, 64)] {
            let x_stride = channels + 7;
            let x: Vec<f32> = (0..4 * x_stride).map(|i| number(i + 9)).collect();
            let w = Matrix::from_fn(3 * channels, n, |i, j| number(i * n + j));
            let bias: Vec<f32> = (0..n).map(|j| number(j + 2)).collect();
            for level in Level::available() {
                let mut y = vec![f32::NAN; 4 * n];
                conv1(level, &x, x_stride, &w, &bias, &mut y);
                assert_eq!(
                    y,
                    naive(&x, x_stride, channels, n, 1, 4),
                    "{level:?} {channels} stride 1"
                );
                let mut y = vec![f32::NAN; 2 * n];
                conv2(level, &x, x_stride, &w, &bias, &mut y);
                assert_eq!(
                    y,
                    naive(&x, x_stride, channels, n, 2, 2),
                    "{level:?} {channels} stride 2"
                );
            }
        }
    }

    #[test]
    fn one_window_has_the_bits_of_rows_with_a_source_per_tap() {
        let (channels, n) = (129, 128);
        let real = |i: usize| (number(i) + 0.37) * 0.01 * (1.0 + (i % 11) as f32);
        let x: Vec<f32> = (0..4 * channels).map(real).collect();
        let w = Matrix::from_fn(3 * channels, n, |i, j| real(i * n + j + 1));
        let bias: Vec<f32> = (0..n).map(real).collect();
        for level in Level::available() {
            let mut y = vec![0.0; 4 * n];
            conv1(level, &x, channels, &w, &bias, &mut y);
            for t in 0..4 {
                let source = |tap: usize| Source {
                    x: &x[(t + tap - 1) * channels..],
                    stride: 0,
                    len: channels,
                    first: tap * channels,
                };
                let sources: Vec<Source<'_>> = (0..3)
                    .filter(|tap| (1..=4).contains(&(t + tap)))
                    .map(source)
                    .collect();
                let mut row = vec![0.0; n];
                affine_rows(level, 1, &sources, &w, &bias, &mut row, n, true);
                assert_eq!(row, y[t * n..(t + 1) * n], "{level:?} frame {t}");
            }
        }
    }
}
