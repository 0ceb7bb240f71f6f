//! `exp`, `sigmoid` and `tanh`, sixteen at a time.
//!
//! `exp(x) = 2^n * exp(r)` with `n = round(x / ln 2)` and `|r| <= ln 2 / 2`; `exp(r)` is the polynomial of
//! Cephes' `expf`, whose ln 2 in two parts keeps `r` exact. Bounds, tested against `f64` over a dense sweep:
//! `exp` 2.5e-7 relative in [-87, 88] and clamped outside, `sigmoid` and `tanh` 1.5e-7 absolute everywhere.

use crate::level::{Level, dispatch};
use crate::simd::F32x16;
use core::marker::PhantomData;

/// 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits.
pub(crate) const ROUND: f32 = 12_582_912.0;
// 355 / 512, exact: written out as in Cephes.
#[allow(clippy::excessive_precision)]
const LN_2_HIGH: f32 = 0.693_359_375;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const EXP: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];

#[inline(always)]
pub(crate) fn exp_v<V: F32x16>(x: V) -> V {
    // The clamp keeps 2^n a normal number; beyond it the result is 0 or infinite for every use here.
    let x = x.max(V::splat(-87.0)).min(V::splat(88.0));
    let shifted = x.fma(V::splat(core::f32::consts::LOG2_E), V::splat(ROUND));
    let n = shifted.sub(V::splat(ROUND));
    let r = n.fnma(V::splat(LN_2_LOW), n.fnma(V::splat(LN_2_HIGH), x));
    let mut p = V::splat(EXP[0]);
    for c in &EXP[1..] {
        p = p.fma(r, V::splat(*c));
    }
    let p = p.fma(r.mul(r), r).add(V::splat(1.0));
    p.scale_by_low_bits(shifted)
}

#[inline(always)]
pub(crate) fn sigmoid_v<V: F32x16>(x: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp_v(V::splat(0.0).sub(x))))
}

/// `(1 - e) / (1 + e)` with `e = exp(-2x)`.
#[inline(always)]
pub(crate) fn tanh_v<V: F32x16>(x: V) -> V {
    let one = V::splat(1.0);
    // At 10 the result is 1 in f32; the clamp keeps `e` finite.
    let x = x.max(V::splat(-10.0)).min(V::splat(10.0));
    let e = exp_v(x.mul(V::splat(-2.0)));
    one.sub(e).div(one.add(e))
}

macro_rules! slice_function {
    ($(#[$meta:meta])* $name:ident, $body:ident, $entry:ident, $vector:ident) => {
        $(#[$meta])*
        pub fn $name(level: Level, values: &mut [f32]) {
            // SAFETY: the body reads and writes within the slice.
            unsafe { $entry(level, values) }
        }
        dispatch!(unsafe fn $entry(values: &mut [f32]) = $body);
        #[inline(always)]
        unsafe fn $body<V: F32x16>(_: PhantomData<V>, values: &mut [f32]) {
            let (blocks, rest) = values.as_chunks_mut::<16>();
            for block in blocks {
                // SAFETY: a block is 16 floats.
                unsafe { $vector(V::load(block.as_ptr())).store(block.as_mut_ptr()) }
            }
            if !rest.is_empty() {
                let mut block = [0.0; 16];
                block[..rest.len()].copy_from_slice(rest);
                // SAFETY: a block is 16 floats.
                unsafe { $vector(V::load(block.as_ptr())).store(block.as_mut_ptr()) }
                rest.copy_from_slice(&block[..rest.len()]);
            }
        }
    };
}
slice_function!(
    /// Replaces each value by its exponential: relative error <= 2.5e-7 in [-87, 88], clamped outside.
    exp, exp_body, exp_entry, exp_v
);
slice_function!(
    /// Replaces each value by `1 / (1 + exp(-x))`: absolute error <= 1.5e-7.
    sigmoid, sigmoid_body, sigmoid_entry, sigmoid_v
);
slice_function!(
    /// Replaces each value by its hyperbolic tangent: absolute error <= 1.5e-7.
    tanh, tanh_body, tanh_entry, tanh_v
);

/// Copies `x` to `y`: values beyond `limit` are cut to it, NaN becomes 0, all others keep their bits (but for -0).
///
/// # Panics
/// When the lengths differ.
pub fn copy_bounded(level: Level, x: &[f32], y: &mut [f32], limit: f32) {
    assert_eq!(x.len(), y.len(), "one output per input");
    // SAFETY: equal lengths.
    unsafe { copy_bounded_entry(level, x, y, limit) }
}

dispatch!(unsafe fn copy_bounded_entry(x: &[f32], y: &mut [f32], limit: f32) = copy_bounded_body);

/// # Safety
/// `x` and `y` are equally long.
#[inline(always)]
unsafe fn copy_bounded_body<V: F32x16>(_: PhantomData<V>, x: &[f32], y: &mut [f32], limit: f32) {
    let (x_blocks, x_rest) = x.as_chunks::<16>();
    let (y_blocks, y_rest) = y.as_chunks_mut::<16>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        // SAFETY: a block is 16 floats.
        unsafe { bounded_v(V::load(x.as_ptr()), limit).store(y.as_mut_ptr()) }
    }
    if !x_rest.is_empty() {
        let mut block = [0.0; 16];
        block[..x_rest.len()].copy_from_slice(x_rest);
        // SAFETY: a block is 16 floats.
        unsafe { bounded_v(V::load(block.as_ptr()), limit).store(block.as_mut_ptr()) }
        y_rest.copy_from_slice(&block[..x_rest.len()]);
    }
}

/// The positive and the negative part, each of which is 0 for NaN, bounded and put together again.
#[inline(always)]
fn bounded_v<V: F32x16>(x: V, limit: f32) -> V {
    let zero = V::splat(0.0);
    x.max(zero)
        .min(V::splat(limit))
        .add(x.min(zero).max(V::splat(-limit)))
}

/// [`sigmoid`] of a single value, the same bits as in a slice.
pub fn sigmoid_one(level: Level, x: f32) -> f32 {
    let mut values = [x];
    sigmoid(level, &mut values);
    values[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(low: f32, high: f32) -> Vec<f32> {
        let n = 200_003;
        (0..n)
            .map(|i| low + (high - low) * (i as f32 / (n - 1) as f32))
            .collect()
    }

    fn worst(xs: &[f32], ys: &[f32], truth: impl Fn(f64) -> f64, relative: bool) -> f64 {
        xs.iter().zip(ys).fold(0.0, |worst: f64, (x, y)| {
            let t = truth(f64::from(*x));
            let error = (f64::from(*y) - t).abs();
            worst.max(if relative { error / t } else { error })
        })
    }

    #[test]
    fn errors_stay_within_the_stated_bounds_at_every_level() {
        for level in Level::available() {
            for (low, high) in [(-87.0, 88.0), (-1.0, 1.0), (-1e-3, 1e-3)] {
                let xs = sweep(low, high);
                let run = |f: fn(Level, &mut [f32])| {
                    let mut ys = xs.clone();
                    f(level, &mut ys);
                    ys
                };
                let e = worst(&xs, &run(exp), f64::exp, true);
                let s = worst(&xs, &run(sigmoid), |x| 1.0 / (1.0 + (-x).exp()), false);
                let t = worst(&xs, &run(tanh), f64::tanh, false);
                assert!(
                    e <= 2.5e-7 && s <= 1.5e-7 && t <= 1.5e-7,
                    "{level:?} {low} {high}: {e:e} {s:e} {t:e}"
                );
            }
        }
    }

    #[test]
    fn extremes_saturate_and_never_give_nan_for_finite_input() {
        for level in Level::available() {
            for x in [f32::MAX, 1e9, 200.0, 89.0] {
                assert_eq!(sigmoid_one(level, x), 1.0);
                assert!(sigmoid_one(level, -x) < 1e-37);
                let mut t = [x, -x];
                tanh(level, &mut t);
                assert_eq!(t, [1.0, -1.0]);
                let mut e = [x, -x];
                exp(level, &mut e);
                assert!(e[0] > 1e38 && e[1] < 2e-38);
            }
        }
    }

    #[test]
    fn a_bounded_copy_changes_only_what_is_out_of_bounds() {
        for level in Level::available() {
            for len in [0, 1, 15, 16, 17, 40] {
                let mut x: Vec<f32> = sweep(-3.0, 3.0)[..len].to_vec();
                let mut expected = x.clone();
                let odd = [
                    f32::NAN,
                    f32::INFINITY,
                    -1e9,
                    f32::MIN_POSITIVE,
                    -1e-40,
                    8.0,
                ];
                let bounded = [0.0, 8.0, -8.0, f32::MIN_POSITIVE, -1e-40, 8.0];
                for (i, (odd, bounded)) in odd.iter().zip(bounded).enumerate().take(len) {
                    (x[len - 1 - i], expected[len - 1 - i]) = (*odd, bounded);
                }
                let mut y = vec![7.0; len];
                copy_bounded(level, &x, &mut y, 8.0);
                assert_eq!(y, expected, "{level:?} {len}");
            }
        }
    }

    #[test]
    fn levels_that_fuse_return_the_same_bits() {
        let fused = Level::available().filter(|level| level.kind() != crate::KernelLevel::Portable);
        let results: Vec<Vec<f32>> = fused
            .map(|level| {
                let mut ys = sweep(-20.0, 20.0);
                tanh(level, &mut ys);
                sigmoid(level, &mut ys);
                exp(level, &mut ys);
                ys
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
