//! Attention in bytes: scores and weighted values as products of [`Int8Matrix`], with the matrices made as they come.
//!
//! What it does about rounding: the middle of each channel of the values is subtracted and added again as a bias, since weights
//! sum to 1. And what is lost by rounding a weight is added to the weight sixteen tokens on: most weights are far below the largest
//! of their row, and would all become zeros. Relative error of a head's output on speech, by layer: 0.006 to 0.015 without this,
//! 0.003 to 0.005 with it, as much as the rounding of queries, keys and values makes.

use super::dot::offset;
use super::quantise::scale_of;
use super::{Epilogue, Int8Matrix, QuantisedRows, matmul_int8, quantise_rows};
use crate::align::reach;
use crate::level::{Level, dispatch};
use crate::math::ROUND;
use crate::rows::{largest, max_lanes, sum_lanes};
use crate::simd::F32x16;
use crate::{AlignedVec, PANEL};
use core::marker::PhantomData;

/// Queries whose scores are held at once: a multiple of every tile's rows; with 400 tokens 77 KB of scores.
const BLOCK: usize = 48;
/// Channels at most.
const MOST_WIDTH: usize = 256;
/// Steps of a weight: the largest of a row is that many.
const STEPS: f32 = 254.0;
/// `STEPS * 2^f` for `f` in +-1/2, highest power first: weighted least squares in Chebyshev points, relative error 2.6e-6.
const EXP_2: [f32; 5] = [
    STEPS * 0.009_570_1,
    STEPS * 0.055_917_86,
    STEPS * 0.240_247_44,
    STEPS * 0.693_121_8,
    STEPS * 0.999_999_3,
];

/// Memory for the attention of one head at a time.
#[derive(Clone, Debug)]
pub struct Int8Attention {
    tokens: usize,
    width: usize,
    /// `[width, tokens]`
    keys: Int8Matrix,
    /// `[tokens, width]`
    values: Int8Matrix,
    /// Of each channel of the values.
    middles: AlignedVec,
    queries: QuantisedRows,
    /// `[BLOCK, tokens]`
    scores: AlignedVec,
    weights: QuantisedRows,
}

impl Int8Attention {
    /// For heads of `width` channels over `tokens` tokens.
    ///
    /// # Panics
    /// When either is not a multiple of 16, or there are more than 256 channels: shapes are the model's, never the input's.
    pub fn new(tokens: usize, width: usize) -> Self {
        assert!(
            tokens.is_multiple_of(16) && width.is_multiple_of(16),
            "{tokens} tokens of {width} channels are not whole vectors of 16"
        );
        assert!(width <= MOST_WIDTH, "{width} channels");
        Self {
            tokens,
            width,
            keys: Int8Matrix::zeros(width, tokens),
            values: Int8Matrix::zeros(tokens, width),
            middles: AlignedVec::zeros(width),
            queries: QuantisedRows::new(BLOCK, width),
            scores: AlignedVec::zeros(BLOCK * tokens),
            weights: QuantisedRows::new(BLOCK, tokens),
        }
    }

    /// `y[t] = sum over s of softmax(query[t] key[s]) value[s]`, each of them a row per token, `stride` and `y_stride` apart.
    /// Finite rows give finite ones.
    ///
    /// # Panics
    /// When a slice is shorter than its rows.
    pub fn head(
        &mut self,
        level: Level,
        [query, key, value]: [&[f32]; 3],
        stride: usize,
        y: &mut [f32],
        y_stride: usize,
    ) {
        let (tokens, width) = (self.tokens, self.width);
        if tokens == 0 {
            return;
        }
        for rows in [query, key, value] {
            assert!(
                rows.len() >= reach(tokens, stride, width),
                "inputs shorter than {tokens} rows"
            );
        }
        // SAFETY: the matrices have the shapes asserted in `new`, and the rows are there.
        unsafe {
            pack_keys(level, key, stride, &mut self.keys);
            pack_values(level, value, stride, &mut self.values, &mut self.middles);
        }
        for first in (0..tokens).step_by(BLOCK) {
            let count = BLOCK.min(tokens - first);
            let (queries, scores) = (&mut self.queries, &mut self.scores);
            quantise_rows(
                level,
                count,
                &query[first * stride..],
                stride,
                width,
                queries,
            );
            matmul_int8(
                level,
                queries,
                &self.keys,
                None,
                scores,
                tokens,
                Epilogue::Store,
            );
            softmax_to_bytes(level, count, scores, tokens, &mut self.weights);
            matmul_int8(
                level,
                &self.weights,
                &self.values,
                Some(&self.middles),
                &mut y[first * y_stride..],
                y_stride,
                Epilogue::Store,
            );
        }
    }
}

dispatch!(
    /// Makes row `j` of `x` column `j` of `w`.
    ///
    /// # Safety
    /// `x` has as many rows as `w` has columns, each with as many values as `w` has rows; both are multiples of 16, and `w` has at
    /// most [`MOST_WIDTH`] rows.
    unsafe fn pack_keys(x: &[f32], stride: usize, w: &mut Int8Matrix) = pack_keys_body
);

/// # Safety
/// As for `pack_keys`.
#[inline(always)]
unsafe fn pack_keys_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    stride: usize,
    w: &mut Int8Matrix,
) {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND));
    let (tokens, width) = (w.columns, w.rows);
    let mut bytes = [0u8; MOST_WIDTH];
    for j in 0..tokens {
        let (mut reach, mut sum, mut negative) = (zero, zero, zero);
        // SAFETY: row `j` has the channels, and `bytes` has room for them.
        unsafe {
            let row = x.as_ptr().add(j * stride);
            for c in (0..width).step_by(16) {
                let x = V::load(row.add(c));
                reach = x.max(zero.sub(x).max(reach));
            }
            let (scale, over) = scale_of(max_lanes(reach));
            for c in (0..width).step_by(16) {
                // Not fused: the portable level must round alike.
                let q = V::load(row.add(c)).mul(V::splat(over)).add(round);
                q.store_low_bytes(bytes.as_mut_ptr().add(c));
                let value = q.sub(round);
                sum = sum.add(value);
                negative = negative.sub(value.min(zero));
            }
            // Whole numbers below 2^24: exact.
            let sum = sum_lanes(sum);
            w.scales[j] = scale;
            w.sums[j] = sum * scale;
            w.offsets[j] = -128 * sum as i32;
            w.negatives[j] = sum_lanes(negative) as i32;
        }
        let (panel, columns) = w.panel(j / PANEL);
        let at = panel + j % PANEL * 4;
        for (group, four) in bytes[..width].as_chunks::<4>().0.iter().enumerate() {
            w.data[at + group * columns * 4..][..4].copy_from_slice(four);
        }
    }
}

dispatch!(
    /// Makes `w` of the rows of `x`, the middle of each column subtracted.
    ///
    /// # Safety
    /// `x` has the rows of `w`, each with as many values as `w` has columns; both are multiples of 16. `middles` has one value
    /// per column.
    unsafe fn pack_values(x: &[f32], stride: usize, w: &mut Int8Matrix, middles: &mut [f32]) = pack_values_body
);

/// # Safety
/// As for `pack_values`.
#[inline(always)]
unsafe fn pack_values_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    stride: usize,
    w: &mut Int8Matrix,
    middles: &mut [f32],
) {
    let (tokens, width) = (w.rows, w.columns);
    let (half, zero, round) = (V::splat(0.5), V::splat(0.0), V::splat(ROUND));
    for c in (0..width).step_by(16) {
        // SAFETY: rows have the channels `c..c + 16`, and so have all fields of `w` and `middles`; a group of four rows fills 64
        // bytes of the panel.
        unsafe {
            let row = |t: usize| V::load(x.as_ptr().add(t * stride + c));
            let (mut high, mut low) = ([row(0); 2], [row(0); 2]);
            for t in (0..tokens).step_by(2) {
                for k in 0..2 {
                    high[k] = row(t + k).max(high[k]);
                    low[k] = row(t + k).min(low[k]);
                }
            }
            let high = high[0].max(high[1]).mul(half);
            let low = low[0].min(low[1]).mul(half);
            let (middle, reach) = (high.add(low), high.sub(low));
            let over = V::splat(127.0).div(reach.max(V::splat(1e-30)));
            let (mut sum, mut negative) = (zero, zero);
            let (panel, columns) = w.panel(c / PANEL);
            let mut at = panel + c % PANEL * 4;
            for first in (0..tokens).step_by(4) {
                let mut four = [round; 4];
                for (k, q) in four.iter_mut().enumerate() {
                    *q = row(first + k).sub(middle).mul(over).add(round);
                    let value = q.sub(round);
                    sum = sum.add(value);
                    negative = negative.sub(value.min(zero));
                }
                V::store_low_bytes_of_four(four, w.data[at..at + 64].as_mut_ptr());
                at += columns * 4;
            }
            let scale = reach.mul(V::splat(1.0 / 127.0));
            scale.store(w.scales[c..c + 16].as_mut_ptr());
            middle.store(middles[c..c + 16].as_mut_ptr());
            sum.mul(scale).store(w.sums[c..c + 16].as_mut_ptr());
            let (mut sums, mut negatives) = ([0.0f32; 16], [0.0f32; 16]);
            sum.store(sums.as_mut_ptr());
            negative.store(negatives.as_mut_ptr());
            for i in 0..16 {
                w.offsets[c + i] = -128 * sums[i] as i32;
                w.negatives[c + i] = negatives[i] as i32;
            }
        }
    }
}

/// Fills `q` with the softmax of rows of `len` scores, in steps that sum to 1.
fn softmax_to_bytes(level: Level, rows: usize, scores: &[f32], len: usize, q: &mut QuantisedRows) {
    let bytes = len.next_multiple_of(64);
    assert!(scores.len() >= rows * len && len.is_multiple_of(16));
    assert!(rows <= q.scales.len() && rows * bytes <= q.data.len());
    (q.rows, q.len, q.stride, q.offset) = (rows, len, bytes, offset(level));
    // SAFETY: the assertions above are what the body asks for.
    unsafe { softmax_entry(level, scores, q) }
}

dispatch!(unsafe fn softmax_entry(scores: &[f32], q: &mut QuantisedRows) = softmax_body);

/// # Safety
/// `scores` and `q` have `q.rows` rows of `q.len`, a multiple of 16.
#[inline(always)]
unsafe fn softmax_body<V: F32x16>(_: PhantomData<V>, scores: &[f32], q: &mut QuantisedRows) {
    let len = q.len;
    let round = V::splat(ROUND);
    // A weight of 0 is byte -127.
    let shift = V::splat(f32::from(q.offset) - 127.0);
    for r in 0..q.rows {
        // SAFETY: row `r` holds `len` scores and has room for as many bytes.
        unsafe {
            let row = scores.as_ptr().add(r * len);
            let to = q.data.as_mut_ptr().add(r * q.stride);
            let largest = V::splat(largest::<V>(row, len));
            let (mut total, mut carried) = (V::splat(0.0), V::splat(0.0));
            for i in (0..len).step_by(16) {
                let x = V::load(row.add(i)).sub(largest);
                // Twos down to 2^-60, far below half a step; NaN becomes that.
                let x = x.mul(V::splat(core::f32::consts::LOG2_E));
                let x = x.max(V::splat(-60.0));
                let shifted = x.add(round);
                let f = x.sub(shifted.sub(round));
                let mut steps = V::splat(EXP_2[0]);
                for c in &EXP_2[1..] {
                    steps = steps.fma(f, V::splat(*c));
                }
                // At most half a step is carried, so that the sum rounds to 0 at least and to 254 at most.
                let wanted = steps.scale_by_low_bits(shifted).add(carried);
                let rounded = wanted.add(round);
                let whole = rounded.sub(round);
                carried = wanted.sub(whole);
                total = total.add(whole);
                rounded.add(shift).store_low_bytes(to.add(i));
            }
            // Whole numbers below 2^24: exact in any order.
            let step = 1.0 / sum_lanes(total);
            (q.scales[r], q.middles[r]) = (step, 127.0 * step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelLevel;

    fn noise(seed: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 7919 + seed * 104_729 + i * i % 331) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    fn naive(
        [query, key, value]: [&[f32]; 3],
        stride: usize,
        (tokens, width): (usize, usize),
        t: usize,
    ) -> Vec<f64> {
        let product = |s: usize| -> f64 {
            let of = |c: usize| f64::from(query[t * stride + c]) * f64::from(key[s * stride + c]);
            (0..width).map(of).sum()
        };
        let scores: Vec<f64> = (0..tokens).map(product).collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
        let weighted = |c: usize| -> f64 {
            let of = |s: usize| (scores[s] - largest).exp() * f64::from(value[s * stride + c]);
            (0..tokens).map(of).sum::<f64>() / total
        };
        (0..width).map(weighted).collect()
    }

    #[test]
    fn attention_is_near_the_naive_one_and_has_equal_bits_at_fused_levels() {
        for (tokens, width) in [(400, 64), (64, 64), (112, 80)] {
            let (stride, y_stride) = (width + 7, width + 3);
            let mut rows: Vec<Vec<f32>> = (0..3).map(|s| noise(s, tokens * stride)).collect();
            rows[1].iter_mut().for_each(|v| *v *= 0.3);
            // Far from 0: what the middles are for.
            rows[2].iter_mut().for_each(|v| *v += 5.0);
            let rows = [&rows[0][..], &rows[1], &rows[2]];
            let mut attention = Int8Attention::new(tokens, width);
            let mut of_levels = Vec::new();
            let mut levels: Vec<Level> = Level::available().collect();
            levels.push(Level::detect().without_byte_dot());
            for level in levels {
                let mut y = vec![f32::NAN; tokens * y_stride];
                attention.head(level, rows, stride, &mut y, y_stride);
                let (mut sum, mut count) = (0.0, 0);
                for t in [0, 1, 47, 48, tokens - 1] {
                    let truth = naive(rows, stride, (tokens, width), t);
                    for (found, truth) in y[t * y_stride..][..width].iter().zip(truth) {
                        let error = (f64::from(*found) - truth).abs();
                        sum += error * error;
                        count += 1;
                        // Values reach 1 from their middle: one step of theirs is 0.008.
                        assert!(
                            error < 0.03,
                            "{level:?} {tokens} x {width}: {found} {truth}"
                        );
                    }
                    let past = &y[t * y_stride + width..(t + 1) * y_stride];
                    assert!(past.iter().all(|v| v.is_nan()), "wrote past the row");
                }
                let rms = (sum / f64::from(count)).sqrt();
                assert!(rms < 0.004, "{level:?} {tokens} x {width}: {rms}");
                if level.kind() != KernelLevel::Portable {
                    of_levels.push(y);
                }
            }
            let bits = |y: &Vec<f32>| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(of_levels.windows(2).all(|p| bits(&p[0]) == bits(&p[1])));
        }
    }

    #[test]
    fn weights_are_the_softmax_in_steps_and_lose_nothing_on_the_way() {
        let (rows, len) = (3, 112);
        let mut scores: Vec<f32> = noise(5, rows * len).iter().map(|v| 6.0 * v).collect();
        scores[len..2 * len].iter_mut().for_each(|v| *v -= 3000.0);
        scores[2 * len + 7] = 1e6;
        for level in Level::available() {
            let mut q = QuantisedRows::new(rows, len);
            softmax_to_bytes(level, rows, &scores, len, &mut q);
            for r in 0..rows {
                let row = &scores[r * len..][..len];
                let largest = row.iter().copied().fold(f32::MIN, f32::max);
                let wanted = |k: usize| 254.0 * (f64::from(row[k]) - f64::from(largest)).exp();
                let steps = |k: usize| f64::from(q.value(r, k)) + 127.0;
                for lane in 0..16 {
                    let mut missing = 0.0;
                    for k in (lane..len).step_by(16) {
                        // Half a step, and half of one carried.
                        assert!((steps(k) - wanted(k)).abs() <= 1.01, "{level:?} {r} {k}");
                        missing += wanted(k) - steps(k);
                        // What is not carried on; 2.6e-6 of up to 254 in each of seven.
                        assert!(missing.abs() <= 0.51, "{level:?} {r} {k}: {missing}");
                    }
                }
                let total: f64 = (0..len).map(steps).sum();
                assert!((f64::from(q.scale(r)) * total - 1.0).abs() < 1e-6);
                assert_eq!(q.middle(r), 127.0 * q.scale(r));
            }
        }
    }

    #[test]
    fn equal_scores_average_the_values_and_one_large_score_takes_them() {
        let (tokens, width) = (64, 16);
        let value = noise(3, tokens * width);
        let mut key = vec![0.25f32; tokens * width];
        let query = vec![2.0f32; tokens * width];
        let mut attention = Int8Attention::new(tokens, width);
        for level in Level::available() {
            let mut y = vec![0.0; tokens * width];
            key.fill(0.25);
            attention.head(level, [&query, &key, &value], width, &mut y, width);
            for c in 0..width {
                let mean = (0..tokens).map(|t| value[t * width + c]).sum::<f32>() / tokens as f32;
                assert!((y[c] - mean).abs() < 0.002, "{level:?} {c}");
            }
            key[5 * width..6 * width].fill(9.0);
            attention.head(level, [&query, &key, &value], width, &mut y, width);
            for c in 0..width {
                // Half a step of a channel that spans 2.
                assert!((y[c] - value[5 * width + c]).abs() < 0.005, "{level:?} {c}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_does_no_harm_but_to_its_numbers() {
        let (tokens, width) = (64, 16);
        let mut attention = Int8Attention::new(tokens, width);
        for level in Level::available() {
            for wild in [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX] {
                let mut y = vec![0.0; tokens * width];
                let mut rows = noise(1, tokens * width);
                rows[77] = wild;
                attention.head(level, [&rows, &rows, &rows], width, &mut y, width);
                let fine = noise(2, tokens * width);
                attention.head(level, [&fine, &fine, &fine], width, &mut y, width);
                assert!(y.iter().all(|y| y.is_finite()), "{level:?} {wild}");
            }
        }
    }
}
