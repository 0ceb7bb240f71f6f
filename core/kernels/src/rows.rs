//! What a transformer does to rows between its matrices: GELU, layer normalisation, softmax.
//!
//! Sums over a row run in four interleaved vectors, which are then added in one fixed order, so that the fused levels return
//! the same bits.

use crate::align::reach;
use crate::level::{Level, dispatch};
use crate::math::exp_v;
use crate::simd::F32x16;
use core::marker::PhantomData;

/// Beyond this `gelu(x)` is 0 or `x` to within 1.8e-7.
const GELU_LIMIT: f32 = 5.4;
// Normal distribution function less 1/2 as `x P(x^2) / Q(x^2)` over +-5.4: weighted least squares in Chebyshev points, the
// weights raised where the error times x is largest until it is level; 1.7e-8 at most before rounding.
const GELU_P: [f32; 6] = [
    2.279_01e-8,
    6.477_12e-6,
    1.754_652_6e-4,
    4.717_759_5e-3,
    3.442_110_4e-2,
    3.989_421e-1,
];
const GELU_Q: [f32; 6] = [
    1.208_022_9e-6,
    7.620_725e-5,
    1.921_176_7e-3,
    2.898_634e-2,
    2.529_455e-1,
    1.0,
];

/// `x` times the normal distribution function of `x`. NaN stays NaN.
#[inline(always)]
pub(crate) fn gelu_v<V: F32x16>(x: V) -> V {
    // The lower bound is also the factor: below it the product stays at 0, whatever rounding left in the other.
    // `max` and `min` return their argument where the value is NaN, so NaN must be the argument.
    let low = V::splat(-GELU_LIMIT).max(x);
    let z = V::splat(GELU_LIMIT).min(low);
    let t = z.mul(z);
    let (mut p, mut q) = (V::splat(GELU_P[0]), V::splat(GELU_Q[0]));
    for i in 1..6 {
        p = p.fma(t, V::splat(GELU_P[i]));
        q = q.fma(t, V::splat(GELU_Q[i]));
    }
    z.mul(p.div(q)).add(V::splat(0.5)).mul(low)
}

/// Replaces each value by `x * (1 + erf(x / sqrt 2)) / 2`: absolute error <= 1.2e-6 within +-10, relative error <= 2e-7
/// above.
pub fn gelu(level: Level, values: &mut [f32]) {
    // SAFETY: the body reads and writes within the slice.
    unsafe { gelu_entry(level, values) }
}

dispatch!(unsafe fn gelu_entry(values: &mut [f32]) = gelu_body);

#[inline(always)]
unsafe fn gelu_body<V: F32x16>(_: PhantomData<V>, values: &mut [f32]) {
    let (blocks, rest) = values.as_chunks_mut::<16>();
    for block in blocks {
        // SAFETY: a block is 16 floats.
        unsafe { gelu_v(V::load(block.as_ptr())).store(block.as_mut_ptr()) }
    }
    if !rest.is_empty() {
        let mut block = [0.0; 16];
        block[..rest.len()].copy_from_slice(rest);
        // SAFETY: a block is 16 floats.
        unsafe { gelu_v(V::load(block.as_ptr())).store(block.as_mut_ptr()) }
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// Each row of `x` less its mean, over its standard deviation (population, `epsilon` added to the variance), times `gain`,
/// plus `bias`. Rows are `gain.len()` long and follow one another.
///
/// # Panics
/// When the lengths differ, or rows are not whole vectors of 16.
pub fn layer_norm(
    level: Level,
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    epsilon: f32,
    y: &mut [f32],
) {
    let len = gain.len();
    assert!(
        len > 0 && len.is_multiple_of(16),
        "rows are whole vectors of 16"
    );
    assert!(
        bias.len() == len && x.len().is_multiple_of(len) && y.len() == x.len(),
        "rows are as long as gain and bias"
    );
    // SAFETY: the assertions above are what the body asks for.
    unsafe { layer_norm_entry(level, x, gain, bias, epsilon, y) }
}

dispatch!(unsafe fn layer_norm_entry(
    x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]
) = layer_norm_body);

/// # Safety
/// The assertions of [`layer_norm`] hold.
#[inline(always)]
unsafe fn layer_norm_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    gain: &[f32],
    bias: &[f32],
    epsilon: f32,
    y: &mut [f32],
) {
    let len = gain.len();
    let over = 1.0 / len as f32;
    for (x, y) in x.chunks_exact(len).zip(y.chunks_exact_mut(len)) {
        // SAFETY: all four slices are `len` long, a multiple of 16.
        unsafe {
            let mean = V::splat(sum::<V>(len, |i| V::load(x.as_ptr().add(i))) * over);
            let variance = sum::<V>(len, |i| {
                let d = V::load(x.as_ptr().add(i)).sub(mean);
                d.mul(d)
            }) * over;
            let scale = V::splat(1.0 / (variance + epsilon).sqrt());
            for i in (0..len).step_by(16) {
                let d = V::load(x.as_ptr().add(i)).sub(mean).mul(scale);
                d.fma(V::load(gain.as_ptr().add(i)), V::load(bias.as_ptr().add(i)))
                    .store(y.as_mut_ptr().add(i));
            }
        }
    }
}

/// The sum of `len` numbers, given sixteen at a time.
///
/// # Safety
/// `len` is a multiple of 16, and `at(i)` may be called for each multiple of 16 below it.
#[inline(always)]
unsafe fn sum<V: F32x16>(len: usize, at: impl Fn(usize) -> V) -> f32 {
    let mut parts = [V::splat(0.0); 4];
    let mut i = 0;
    while i + 64 <= len {
        for (k, part) in parts.iter_mut().enumerate() {
            *part = part.add(at(i + 16 * k));
        }
        i += 64;
    }
    while i < len {
        parts[0] = parts[0].add(at(i));
        i += 16;
    }
    let [a, b, c, d] = parts;
    // SAFETY: `lanes` holds sixteen floats.
    unsafe { sum_lanes(a.add(b).add(c.add(d))) }
}

/// The sum of the lanes, in halves.
///
/// # Safety
/// As for every method of the vector.
#[inline(always)]
pub(crate) unsafe fn sum_lanes<V: F32x16>(v: V) -> f32 {
    let mut lanes = [0.0f32; 16];
    // SAFETY: `lanes` holds sixteen floats.
    unsafe { v.store(lanes.as_mut_ptr()) };
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// The largest of `len` values; NaN is passed over.
///
/// # Safety
/// `row` is readable for `len` floats, a multiple of 16.
#[inline(always)]
pub(crate) unsafe fn largest<V: F32x16>(row: *const f32, len: usize) -> f32 {
    let mut parts = [V::splat(f32::MIN); 4];
    let mut i = 0;
    // SAFETY: below `len` throughout.
    unsafe {
        while i + 64 <= len {
            for (k, part) in parts.iter_mut().enumerate() {
                *part = V::load(row.add(i + 16 * k)).max(*part);
            }
            i += 64;
        }
        while i < len {
            parts[0] = V::load(row.add(i)).max(parts[0]);
            i += 16;
        }
        let [a, b, c, d] = parts;
        max_lanes(a.max(b).max(c.max(d)))
    }
}

/// The largest lane.
///
/// # Safety
/// As for every method of the vector.
#[inline(always)]
pub(crate) unsafe fn max_lanes<V: F32x16>(v: V) -> f32 {
    let mut lanes = [0.0f32; 16];
    // SAFETY: `lanes` holds sixteen floats.
    unsafe { v.store(lanes.as_mut_ptr()) };
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = if lanes[i] > lanes[i + half] {
                lanes[i]
            } else {
                lanes[i + half]
            };
        }
    }
    lanes[0]
}

/// Replaces each row by its softmax: row `r` is the `len` values at `r * stride`. What lies between rows is not touched.
/// A row without NaN sums to 1 within 1e-6.
///
/// # Panics
/// When `len` is not a multiple of 16, or the last row is not whole.
pub fn softmax(level: Level, values: &mut [f32], rows: usize, stride: usize, len: usize) {
    assert!(
        len > 0 && len.is_multiple_of(16) && stride >= len,
        "rows are whole vectors of 16"
    );
    if rows == 0 {
        return;
    }
    assert!(
        values.len() >= reach(rows, stride, len),
        "values shorter than {rows} rows"
    );
    // SAFETY: the assertions above are what the body asks for.
    unsafe { softmax_entry(level, values, rows, stride, len) }
}

dispatch!(unsafe fn softmax_entry(values: &mut [f32], rows: usize, stride: usize, len: usize) = softmax_body);

/// # Safety
/// The assertions of [`softmax`] hold.
#[inline(always)]
unsafe fn softmax_body<V: F32x16>(
    _: PhantomData<V>,
    values: &mut [f32],
    rows: usize,
    stride: usize,
    len: usize,
) {
    for r in 0..rows {
        // SAFETY: row `r` holds `len` floats, a multiple of 16.
        unsafe {
            let row = values.as_mut_ptr().add(r * stride);
            let largest = V::splat(largest::<V>(row, len));
            let mut total = V::splat(0.0);
            for i in (0..len).step_by(16) {
                let e = exp_v(V::load(row.add(i)).sub(largest));
                e.store(row.add(i));
                total = total.add(e);
            }
            let over = V::splat(1.0 / sum_lanes(total));
            for i in (0..len).step_by(16) {
                V::load(row.add(i)).mul(over).store(row.add(i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelLevel;

    /// Complementary error function by its continued fraction, and by its series near 0: slow, and right to 1e-13.
    fn erf(x: f64) -> f64 {
        let z = x.abs();
        let value = if z < 2.5 {
            let (mut term, mut sum, mut n) = (z, z, 0.0);
            while term.abs() > 1e-18 {
                n += 1.0;
                term *= -z * z / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let fraction = (1..200)
                .rev()
                .fold(z, |tail, k| z + f64::from(k) / 2.0 / tail);
            1.0 - (-z * z).exp() / fraction / std::f64::consts::PI.sqrt()
        };
        value.copysign(x)
    }

    #[test]
    fn the_oracle_knows_published_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, y) in [
            (0.5, 0.520_499_877_8),
            (1.0, 0.842_700_792_9),
            (2.0, 0.995_322_265_0),
        ] {
            assert!((erf(x) - y).abs() < 1e-10);
        }
        // Table 7.3: erfc(3) and erfc(4) by x exp(x^2) erfc(x).
        for (x, y) in [(2.5, 4.069_520_174e-4), (3.0, 2.209_049_700e-5)] {
            assert!((1.0 - erf(x) - y).abs() < 1e-13, "{x} {}", 1.0 - erf(x));
        }
    }

    #[test]
    fn gelu_stays_within_its_bounds_at_every_level() {
        for level in Level::available() {
            let xs: Vec<f32> = (-200_003..=200_003).map(|i| i as f32 * 5e-5).collect();
            let mut ys = xs.clone();
            gelu(level, &mut ys);
            let worst = xs.iter().zip(&ys).fold(0.0f64, |worst, (&x, &y)| {
                let x = f64::from(x);
                let truth = x * 0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2));
                worst.max((f64::from(y) - truth).abs())
            });
            assert!(worst <= 1.2e-6, "{level:?} {worst:e}");
            let mut far = [
                30.0,
                1e9,
                1e38,
                -30.0,
                -1e9,
                -1e38,
                -f32::INFINITY,
                f32::NAN,
            ];
            gelu(level, &mut far);
            for (y, x) in far[..3].iter().zip([30.0, 1e9, 1e38]) {
                assert!((y / x - 1.0f32).abs() <= 2e-7, "{level:?} {x} {y}");
            }
            assert!(
                far[3..7].iter().all(|y| y.abs() <= 1.2e-6),
                "{level:?} {far:?}"
            );
            assert!(far[7].is_nan(), "{level:?}");
        }
    }

    fn number(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 200.0 - 2.5
    }

    #[test]
    fn layer_norm_equals_the_naive_one_and_has_equal_bits_at_fused_levels() {
        for len in [16, 80, 256, 384] {
            let x: Vec<f32> = (0..3 * len).map(|i| number(i) * 3.0 + 7.0).collect();
            let (gain, bias): (Vec<f32>, Vec<f32>) =
                (0..len).map(|i| (number(i + 5), number(i + 9))).unzip();
            let mut of_levels = Vec::new();
            for level in Level::available() {
                let mut y = vec![f32::NAN; 3 * len];
                layer_norm(level, &x, &gain, &bias, 1e-5, &mut y);
                for (x, y) in x.chunks(len).zip(y.chunks(len)) {
                    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
                    let square = |v: &f32| (f64::from(*v) - mean).powi(2);
                    let variance = x.iter().map(square).sum::<f64>() / len as f64;
                    for i in 0..len {
                        let truth = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt()
                            * f64::from(gain[i])
                            + f64::from(bias[i]);
                        // Some ten roundings of numbers up to 10.
                        assert!((f64::from(y[i]) - truth).abs() < 1e-5, "{level:?} {len}");
                    }
                }
                if level.kind() != KernelLevel::Portable {
                    of_levels.push(y);
                }
            }
            assert!(of_levels.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn softmax_equals_the_naive_one_and_leaves_gaps_alone() {
        let (rows, stride, len) = (3, 451, 400);
        // The second row is far from 0, the third has one value that takes it all.
        let mut x: Vec<f32> = (0..rows * stride).map(number).collect();
        x[stride..2 * stride].iter_mut().for_each(|v| *v -= 3000.0);
        x[2 * stride + 7] = 1e6;
        let mut of_levels = Vec::new();
        for level in Level::available() {
            let mut y = x.clone();
            softmax(level, &mut y, rows, stride, len);
            for r in 0..rows {
                let (x, y) = (&x[r * stride..][..stride], &y[r * stride..][..stride]);
                let max = x[..len].iter().copied().fold(f32::MIN, f32::max);
                let e = |v: f32| (f64::from(v) - f64::from(max)).exp();
                let total: f64 = x[..len].iter().map(|v| e(*v)).sum();
                for i in 0..len {
                    // Relative error of `exp` and two roundings; 2^-126 where `exp` is clamped.
                    let error = (f64::from(y[i]) - e(x[i]) / total).abs();
                    assert!(
                        error <= 1e-6 * e(x[i]) / total + 2e-38,
                        "{level:?} row {r} at {i}"
                    );
                }
                assert_eq!(x[len..], y[len..], "wrote past the row");
            }
            if level.kind() != KernelLevel::Portable {
                of_levels.push(y);
            }
        }
        assert!(of_levels.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
