//! Convolutions over the four frames of one window: kernel 3, one zero frame at each end.
//!
//! All frames share each load of the weights, which come from the second-level cache and are what a single
//! stream waits for. Taps that would meet a zero frame are not computed. Sums run tap by tap, then
//! channel by channel, as in [`crate::affine_rows`] with one source per tap. The second convolution reads what a `max(0, .)` wrote: on
//! real audio more than half of its inputs are zero, and their weights are not read. Leaving out a zero term changes no
//! bits.

use crate::align::reach;
use crate::level::{Level, dispatch};
use crate::lstm::{Gates, HIDDEN, LstmWeights, Recurrent};
use crate::matrix::{Matrix, PANEL, VECTORS};
use crate::simd::F32x16;
use crate::sparse::{Room, row_numbers};
use core::marker::PhantomData;

/// STFT frames in a window.
pub const FRAMES: usize = 4;
/// Most channels that [`conv2`] takes.
const MAX_CHANNELS: usize = 128;

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

/// Stride 2, `[4, channels]` to `[2, n]`, with `max(0, .)`; arguments as in [`conv1`], at most 128 channels.
///
/// # Panics
/// When the lengths do not fit the matrix.
pub fn conv2(level: Level, x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &mut [f32]) {
    check(x, x_stride, w, bias, y, FRAMES / 2);
    assert!(
        w.rows() <= 3 * MAX_CHANNELS,
        "more channels than there is room for"
    );
    // SAFETY: checked above.
    unsafe { conv2_entry(level, x, x_stride, w, bias, y) }
}

fn check(x: &[f32], x_stride: usize, w: &Matrix, bias: &[f32], y: &[f32], frames: usize) {
    assert!(w.rows().is_multiple_of(3), "three taps");
    assert!(
        x.len() >= reach(FRAMES, x_stride, w.rows() / 3),
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
            conv1_beside::<V, 4>(x, x_stride, w, bias, y, || ());
        } else {
            conv1_beside::<V, 1>(x, x_stride, w, bias, y, || ());
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
    let channels = w.rows() / 3;
    let n = w.columns();
    // What is not zero: an input per output frame, and the row of the matrix that both meet.
    const ROOM: usize = 3 * MAX_CHANNELS + 16;
    let (mut firsts, mut seconds) = (Room::<ROOM>::new(), Room::<ROOM>::new());
    let (mut rows, mut count) = (Room::<ROOM>::new(), 0);
    for tap in 0..3 {
        // Tap `t` of the first output meets frame `t - 1`, of the second frame `t + 1`.
        let first = |k: usize| {
            if tap == 0 {
                0.0
            } else {
                x[(tap - 1) * x_stride + k]
            }
        };
        let second = &x[(tap + 1) * x_stride..][..channels];
        let mut k = 0;
        while k + 16 <= channels {
            // SAFETY: sixteen channels are left of each frame, and of the 384 rows; at most as many were kept as were seen, and there is
            // room for sixteen more.
            unsafe {
                let a = if tap == 0 {
                    V::splat(0.0)
                } else {
                    V::load(x[(tap - 1) * x_stride + k..].as_ptr())
                };
                let b = V::load(second.as_ptr().add(k));
                let zero = V::splat(0.0);
                let keep = a.max(zero.sub(a)).max(b.max(zero.sub(b)));
                row_numbers::<V>(tap * channels + k).compress(keep, rows.at(count));
                a.compress(keep, firsts.at(count));
                count += b.compress(keep, seconds.at(count));
            }
            k += 16;
        }
        for k in k..channels {
            // SAFETY: as above.
            unsafe {
                *firsts.at(count) = first(k);
                *seconds.at(count) = second[k];
                *rows.at(count).cast::<u32>() = (tap * channels + k) as u32;
            }
            count += usize::from(first(k) != 0.0 || second[k] != 0.0);
        }
    }
    // SAFETY: `count` of each were written.
    let (firsts, seconds, rows) = unsafe {
        (
            firsts.floats(count),
            seconds.floats(count),
            rows.integers(count),
        )
    };
    for panel in 0..n / PANEL {
        // SAFETY: `rows` are rows of the matrix; a panel has four vectors of columns, in `bias` and in each frame of `y`.
        unsafe {
            let column = panel * PANEL;
            let mut acc = [[V::splat(0.0); VECTORS]; 2];
            for c in 0..VECTORS {
                let b = V::load(bias.as_ptr().add(column + 16 * c));
                acc[0][c] = b;
                acc[1][c] = b;
            }
            for ((&first, &second), &row) in firsts.iter().zip(seconds).zip(rows) {
                let w = w.panel(panel).add(row as usize * PANEL);
                let (first, second) = (V::splat(first), V::splat(second));
                for c in 0..VECTORS {
                    let w = V::load(w.add(16 * c));
                    acc[0][c] = first.fma(w, acc[0][c]);
                    acc[1][c] = second.fma(w, acc[1][c]);
                }
            }
            for (t, frame) in acc.iter().enumerate() {
                for (c, value) in frame.iter().enumerate() {
                    let y = y.as_mut_ptr().add(t * n + column + 16 * c);
                    value.max(V::splat(0.0)).store(y);
                }
            }
        }
    }
}

/// [`conv1`] and [`lstm_recurrent`](crate::lstm_recurrent) of one state in one pass.
///
/// The convolution is bound by arithmetic, the other by the second-level cache; where there are registers for both at once, each
/// fills the other's gaps. The same bits as one after the other.
///
/// # Panics
/// As [`conv1`].
#[allow(clippy::too_many_arguments)]
pub fn conv1_recurrent(
    level: Level,
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    lstm: &LstmWeights,
    h: &[f32; HIDDEN],
    gates: &mut Gates,
) {
    check(x, x_stride, w, bias, y, FRAMES);
    // SAFETY: checked above.
    unsafe { conv1_recurrent_entry(level, x, x_stride, w, bias, y, lstm, h, gates) }
}

dispatch!(unsafe fn conv1_recurrent_entry(
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    lstm: &LstmWeights,
    h: &[f32; HIDDEN],
    gates: &mut Gates,
) = conv1_recurrent_body);

/// # Safety
/// `check` passed for 4 frames.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn conv1_recurrent_body<V: F32x16>(
    level: PhantomData<V>,
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    lstm: &LstmWeights,
    h: &[f32; HIDDEN],
    gates: &mut Gates,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        if V::COLUMNS == 4 {
            let mut recurrent = Recurrent::<V, 2>::new(lstm, h, gates);
            conv1_beside::<V, 4>(x, x_stride, w, bias, y, || recurrent.steps(2));
            recurrent.finish();
        } else {
            conv1_body(level, x, x_stride, w, bias, y);
            let mut recurrent = Recurrent::<V, 1>::new(lstm, h, gates);
            recurrent.finish();
        }
    }
}

/// Stride 1, `C` vectors of columns at a time; `beside` is called once for every three channels of a tap.
///
/// # Safety
/// `check` passed for 4 frames.
#[inline(always)]
unsafe fn conv1_beside<V: F32x16, const C: usize>(
    x: &[f32],
    x_stride: usize,
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    mut beside: impl FnMut(),
) {
    let channels = w.rows() / 3;
    let n = w.columns();
    for column in (0..n).step_by(16 * C) {
        // SAFETY: columns `column..column + 16 C` lie in one panel; frames and channels are within `x` by `check`.
        unsafe {
            let mut w = w.panel(column / PANEL).add(column % PANEL);
            let mut acc = [[V::splat(0.0); C]; FRAMES];
            for c in 0..C {
                let b = V::load(bias.as_ptr().add(column + 16 * c));
                for frame in &mut acc {
                    frame[c] = b;
                }
            }
            for tap in 0..3 {
                let mut k = 0;
                while k + 3 <= channels {
                    for k in k..k + 3 {
                        tap_step(&mut acc, x.as_ptr().add(k), x_stride, w, tap);
                        w = w.add(PANEL);
                    }
                    beside();
                    k += 3;
                }
                while k < channels {
                    tap_step(&mut acc, x.as_ptr().add(k), x_stride, w, tap);
                    w = w.add(PANEL);
                    k += 1;
                }
            }
            for (t, frame) in acc.iter().enumerate() {
                for (c, value) in frame.iter().enumerate() {
                    let y = y.as_mut_ptr().add(t * n + column + 16 * c);
                    value.max(V::splat(0.0)).store(y);
                }
            }
        }
    }
}

/// One channel of one tap into all frames that it meets.
///
/// # Safety
/// `x` is a channel of the first of four frames; `w` has `C` vectors.
#[inline(always)]
unsafe fn tap_step<V: F32x16, const C: usize>(
    acc: &mut [[V; C]; FRAMES],
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    tap: usize,
) {
    let mut weights = [V::splat(0.0); C];
    for (c, weights) in weights.iter_mut().enumerate() {
        // SAFETY: given by the caller.
        *weights = unsafe { V::load(w.add(16 * c)) };
    }
    for t in 0..FRAMES {
        // The input frame plus one; frame -1 and frame 4 are the zero padding.
        let padded = t + tap;
        if padded == 0 || padded > FRAMES {
            continue;
        }
        // SAFETY: `padded - 1` is one of the four frames.
        let x = V::splat(unsafe { *x.add((padded - 1) * x_stride) });
        for c in 0..C {
            acc[t][c] = x.fma(weights[c], acc[t][c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LstmState, Source, affine_rows, lstm_recurrent};

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
            // Whole runs of zeros, as a `max(0, .)` leaves them.
            let x = (0..4 * x_stride).map(|i| if i / 3 % 2 == 0 { number(i + 9) } else { 0.0 });
            let x: Vec<f32> = x.collect();
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
                if channels > MAX_CHANNELS {
                    continue;
                }
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
    fn a_fused_pass_has_the_bits_of_its_two_parts() {
        for channels in [65, 129] {
            let real = |i: usize| (number(i) + 0.37) * 0.01 * (1.0 + (i % 11) as f32);
            let of = |len: usize| (0..len).map(real).collect::<Vec<f32>>();
            let (x, bias) = (of(4 * channels), of(128));
            let w = Matrix::from_fn(3 * channels, 128, |i, j| real(i * 128 + j + 1));
            let lstm = LstmWeights::new(
                &of(4 * HIDDEN * HIDDEN),
                &of(4 * HIDDEN * HIDDEN),
                &of(4 * HIDDEN),
            );
            let state = LstmState {
                h: core::array::from_fn(|i| real(i + 7)),
                c: [0.0; HIDDEN],
            };
            for level in Level::available() {
                let (mut y, mut gates) = (vec![0.0; 512], [Gates::default()]);
                conv1(level, &x, channels, &w, &bias, &mut y);
                lstm_recurrent(level, &lstm, core::slice::from_ref(&state), &mut gates);
                let (mut fused_y, mut fused) = (vec![0.0; 512], Gates::default());
                conv1_recurrent(
                    level,
                    &x,
                    channels,
                    &w,
                    &bias,
                    &mut fused_y,
                    &lstm,
                    &state.h,
                    &mut fused,
                );
                assert!(
                    y == fused_y && gates[0] == fused,
                    "{level:?} {channels} channels"
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
