//! Magnitudes of four overlapping frames, two frames to a transform.
//!
//! Two real frames ride as the real and imaginary part of one complex transform: with `Z` its spectrum,
//! `|A[k]| = |Z[k] + conj Z[N - k]| / 2` and `|B[k]| = |Z[k] - conj Z[N - k]| / 2`.
//! The transform of `N = 16 R` points is one of `R` points down sixteen columns, a twiddle, a transpose, and one of 16 points down the
//! columns again. Its output is in natural order, and every step is whole vectors.
//!
//! The cross-talk of the pair is a rounding error of the louder frame's size, about 1e-7 of it. What reads the
//! magnitudes here is linear in them, so an error relative to the loudest is harmless.

use crate::align::reach;
use crate::conv::FRAMES;
use crate::level::{Level, dispatch};
use crate::simd::F32x16;
use crate::{AlignedVec, Lanes};
use core::f64::consts::PI;
use core::marker::PhantomData;

/// Points of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StftSize {
    /// 128 points, hop 64, 65 bins.
    Points128,
    /// 256 points, hop 128, 129 bins.
    Points256,
}

impl StftSize {
    /// Samples in a frame.
    pub fn points(self) -> usize {
        match self {
            Self::Points128 => 128,
            Self::Points256 => 256,
        }
    }

    /// Magnitudes of a frame.
    pub fn bins(self) -> usize {
        self.points() / 2 + 1
    }

    /// Samples between frames.
    pub fn hop(self) -> usize {
        self.points() / 2
    }

    /// Samples that the four frames cover.
    pub fn samples(self) -> usize {
        self.points() + (FRAMES - 1) * self.hop()
    }
}

/// Tables of a short-time Fourier transform of four frames with a periodic Hann window.
#[derive(Clone, Debug)]
pub struct Stft {
    size: StftSize,
    /// Half the window: the halving of the pair's separation is folded in.
    window: AlignedVec,
    /// Real parts of `exp(-2 pi i n k / N)`, rows `k`, sixteen `n`; then the imaginary parts.
    twiddles: Vec<Lanes>,
}

impl Stft {
    /// Tables for frames of that size.
    pub fn new(size: StftSize) -> Self {
        let n = size.points();
        let mut window = AlignedVec::zeros(n);
        for (i, w) in window.iter_mut().enumerate() {
            *w = (0.25 - 0.25 * (2.0 * PI * i as f64 / n as f64).cos()) as f32;
        }
        let rows = n / 16;
        let row = |k: usize, of: fn(f64) -> f64| {
            Lanes(core::array::from_fn(|lane| {
                of(-2.0 * PI * (k * lane) as f64 / n as f64) as f32
            }))
        };
        let real = (0..rows).map(|k| row(k, f64::cos));
        let imaginary = (0..rows).map(|k| row(k, f64::sin));
        Self {
            size,
            window,
            twiddles: real.chain(imaginary).collect(),
        }
    }

    /// Size of a frame.
    pub fn size(&self) -> StftSize {
        self.size
    }

    /// Magnitudes of the four frames of `x` (`samples()` of them); frame `t` goes to `y[t * y_stride..][..bins]`.
    ///
    /// # Panics
    /// When `x` or `y` is too short.
    pub fn magnitudes(&self, level: Level, x: &[f32], y: &mut [f32], y_stride: usize) {
        assert!(
            x.len() >= self.size.samples(),
            "inputs shorter than four frames"
        );
        assert!(y_stride >= self.size.bins(), "frames overlap in the output");
        assert!(
            y.len() >= reach(FRAMES, y_stride, self.size.bins()),
            "outputs shorter than four frames"
        );
        // SAFETY: asserted above; the tables have the size's lengths by construction.
        unsafe { magnitudes_entry(level, self, x, y, y_stride) }
    }
}

dispatch!(unsafe fn magnitudes_entry(stft: &Stft, x: &[f32], y: &mut [f32], y_stride: usize) = magnitudes_body);

/// # Safety
/// The assertions of [`Stft::magnitudes`] hold.
#[inline(always)]
unsafe fn magnitudes_body<V: F32x16>(
    _: PhantomData<V>,
    stft: &Stft,
    x: &[f32],
    y: &mut [f32],
    y_stride: usize,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match stft.size {
            StftSize::Points256 => magnitudes_256::<V>(stft, x, y, y_stride),
            StftSize::Points128 => magnitudes_128::<V>(stft, x, y, y_stride),
        }
    }
}

/// # Safety
/// The assertions of [`Stft::magnitudes`] hold, and the size is 256.
#[inline(always)]
unsafe fn magnitudes_256<V: F32x16>(stft: &Stft, x: &[f32], y: &mut [f32], y_stride: usize) {
    // One more than the points: `Z[256] = Z[0]`; a whole vector of room.
    let mut spectrum = [[Lanes([0.0; 16]); 17]; 2];
    for pair in 0..2 {
        // SAFETY: frames 2 pair and 2 pair + 1 are within `x`; tables have 16 rows; both spectra have 17.
        unsafe {
            let zero = V::splat(0.0);
            let (mut re, mut im) = ([zero; 16], [zero; 16]);
            for row in 0..16 {
                let window = V::load(stft.window.as_ptr().add(16 * row));
                let frame = x.as_ptr().add(256 * pair + 16 * row);
                re[row] = V::load(frame).mul(window);
                im[row] = V::load(frame.add(128)).mul(window);
            }
            dft16(&mut re, &mut im);
            twiddle(&mut re, &mut im, stft, 0, 16);
            V::transpose(&mut re);
            V::transpose(&mut im);
            dft16(&mut re, &mut im);
            for row in 0..16 {
                re[row].store(spectrum[0][row].0.as_mut_ptr());
                im[row].store(spectrum[1][row].0.as_mut_ptr());
            }
            spectrum[0][16].0[0] = spectrum[0][0].0[0];
            spectrum[1][16].0[0] = spectrum[1][0].0[0];
            let frames = y.as_mut_ptr().add(2 * pair * y_stride);
            separate::<V>(
                256,
                spectrum[0].as_ptr().cast(),
                spectrum[1].as_ptr().cast(),
                frames,
                frames.add(y_stride),
            );
        }
    }
}

/// # Safety
/// The assertions of [`Stft::magnitudes`] hold, and the size is 128.
#[inline(always)]
unsafe fn magnitudes_128<V: F32x16>(stft: &Stft, x: &[f32], y: &mut [f32], y_stride: usize) {
    // Both pairs at once: the first transform is of 8 points, so two of them fill the sixteen rows of the transpose.
    // SAFETY: frames are within `x`; tables have 8 rows; see the spectra below.
    unsafe {
        let zero = V::splat(0.0);
        let (mut re, mut im) = ([zero; 16], [zero; 16]);
        for pair in 0..2 {
            let (mut pair_re, mut pair_im) = ([zero; 8], [zero; 8]);
            for row in 0..8 {
                let window = V::load(stft.window.as_ptr().add(16 * row));
                let frame = x.as_ptr().add(128 * pair + 16 * row);
                pair_re[row] = V::load(frame).mul(window);
                pair_im[row] = V::load(frame.add(64)).mul(window);
            }
            dft8(&mut pair_re, &mut pair_im);
            re[8 * pair..][..8].copy_from_slice(&pair_re);
            im[8 * pair..][..8].copy_from_slice(&pair_im);
            twiddle(&mut re, &mut im, stft, 8 * pair, 8);
        }
        V::transpose(&mut re);
        V::transpose(&mut im);
        dft16(&mut re, &mut im);
        // Row k2 now holds Z[8 k2..8 k2 + 8] of the first pair, then of the second. Whole vectors are stored, in the order in
        // which the next store overwrites the half that is not this pair's: upwards for the first pair,
        // downwards, from eight floats earlier, for the second.
        let mut spectrum = [[Lanes([0.0; 16]); 10]; 4];
        let at = |part: &mut [Lanes; 10]| part.as_mut_ptr().cast::<f32>();
        for k in 0..16 {
            re[k].store(at(&mut spectrum[0]).add(16 + 8 * k));
            im[k].store(at(&mut spectrum[1]).add(16 + 8 * k));
        }
        for k in (0..16).rev() {
            re[k].store(at(&mut spectrum[2]).add(8 + 8 * k));
            im[k].store(at(&mut spectrum[3]).add(8 + 8 * k));
        }
        for part in &mut spectrum {
            part[9].0[0] = part[1].0[0];
        }
        for pair in 0..2 {
            let frames = y.as_mut_ptr().add(2 * pair * y_stride);
            let (z_re, z_im) = (
                spectrum[2 * pair][1..].as_ptr(),
                spectrum[2 * pair + 1][1..].as_ptr(),
            );
            separate::<V>(128, z_re.cast(), z_im.cast(), frames, frames.add(y_stride));
        }
    }
}

/// Multiplies rows `first..first + count` by the twiddles `0..count`.
///
/// # Safety
/// None beyond the level's.
#[inline(always)]
unsafe fn twiddle<V: F32x16>(
    re: &mut [V; 16],
    im: &mut [V; 16],
    stft: &Stft,
    first: usize,
    count: usize,
) {
    // The first twiddle is 1.
    for row in 1..count {
        // SAFETY: a table row is sixteen floats.
        let (w_re, w_im) = unsafe {
            (
                V::load(stft.twiddles[row].0.as_ptr()),
                V::load(stft.twiddles[count + row].0.as_ptr()),
            )
        };
        let (a, b) = (re[first + row], im[first + row]);
        re[first + row] = b.fnma(w_im, a.mul(w_re));
        im[first + row] = b.fma(w_re, a.mul(w_im));
    }
}

/// Magnitudes of the two frames of a pair, bins `0..=n / 2`.
///
/// # Safety
/// `re` and `im` are readable for `n + 1` floats with `Z[n] = Z[0]`; `a` and `b` are writable for `n / 2 + 1`.
#[inline(always)]
unsafe fn separate<V: F32x16>(n: usize, re: *const f32, im: *const f32, a: *mut f32, b: *mut f32) {
    // SAFETY: k + 16 <= n / 2, and n - k - 15 >= 1, so all is within what the caller gives.
    unsafe {
        for k in (0..n / 2).step_by(16) {
            let (r, i) = (V::load(re.add(k)), V::load(im.add(k)));
            let mirror_r = V::load(re.add(n - k - 15)).reverse();
            let mirror_i = V::load(im.add(n - k - 15)).reverse();
            let (sum_r, difference_r) = (r.add(mirror_r), r.sub(mirror_r));
            let (sum_i, difference_i) = (i.add(mirror_i), i.sub(mirror_i));
            sum_r
                .fma(sum_r, difference_i.mul(difference_i))
                .sqrt()
                .store(a.add(k));
            sum_i
                .fma(sum_i, difference_r.mul(difference_r))
                .sqrt()
                .store(b.add(k));
        }
        let middle = n / 2;
        *a.add(middle) = (2.0 * *re.add(middle)).abs();
        *b.add(middle) = (2.0 * *im.add(middle)).abs();
    }
}

/// Four points in place, `exp(-2 pi i ...)`.
#[inline(always)]
fn dft4<V: F32x16>(re: [V; 4], im: [V; 4]) -> ([V; 4], [V; 4]) {
    let (a, b) = (re[0].add(re[2]), im[0].add(im[2]));
    let (c, d) = (re[0].sub(re[2]), im[0].sub(im[2]));
    let (e, f) = (re[1].add(re[3]), im[1].add(im[3]));
    let (g, h) = (re[1].sub(re[3]), im[1].sub(im[3]));
    (
        [a.add(e), c.add(h), a.sub(e), c.sub(h)],
        [b.add(f), d.sub(g), b.sub(f), d.add(g)],
    )
}

/// `(re + i im) * (c - i s)`.
#[inline(always)]
fn rotate<V: F32x16>(re: V, im: V, c: f32, s: f32) -> (V, V) {
    let (c, s) = (V::splat(c), V::splat(s));
    (im.fma(s, re.mul(c)), re.fnma(s, im.mul(c)))
}

/// cos and sin of pi / 8 and pi / 4.
const COS_1: f32 = 0.923_879_5;
const SIN_1: f32 = 0.382_683_43;
const COS_2: f32 = core::f32::consts::FRAC_1_SQRT_2;

/// Eight points down the columns: two transforms of four and a twiddle.
#[inline(always)]
fn dft8<V: F32x16>(re: &mut [V; 8], im: &mut [V; 8]) {
    let (even_re, even_im) = dft4([re[0], re[2], re[4], re[6]], [im[0], im[2], im[4], im[6]]);
    let (mut odd_re, mut odd_im) = dft4([re[1], re[3], re[5], re[7]], [im[1], im[3], im[5], im[7]]);
    (odd_re[1], odd_im[1]) = rotate(odd_re[1], odd_im[1], COS_2, COS_2);
    (odd_re[2], odd_im[2]) = (odd_im[2], V::splat(0.0).sub(odd_re[2]));
    (odd_re[3], odd_im[3]) = rotate(odd_re[3], odd_im[3], -COS_2, COS_2);
    for k in 0..4 {
        (re[k], im[k]) = (even_re[k].add(odd_re[k]), even_im[k].add(odd_im[k]));
        (re[k + 4], im[k + 4]) = (even_re[k].sub(odd_re[k]), even_im[k].sub(odd_im[k]));
    }
}

/// Sixteen points down the columns: four by four.
#[inline(always)]
fn dft16<V: F32x16>(re: &mut [V; 16], im: &mut [V; 16]) {
    // (cos, sin) of 2 pi n k / 16.
    const W: [[(f32, f32); 4]; 4] = [
        [(1.0, 0.0); 4],
        [(1.0, 0.0), (COS_1, SIN_1), (COS_2, COS_2), (SIN_1, COS_1)],
        [(1.0, 0.0), (COS_2, COS_2), (0.0, 1.0), (-COS_2, COS_2)],
        [
            (1.0, 0.0),
            (SIN_1, COS_1),
            (-COS_2, COS_2),
            (-COS_1, -SIN_1),
        ],
    ];
    for n in 0..4 {
        let (r, i) = dft4(
            [re[n], re[n + 4], re[n + 8], re[n + 12]],
            [im[n], im[n + 4], im[n + 8], im[n + 12]],
        );
        for k in 0..4 {
            let (c, s) = W[n][k];
            (re[n + 4 * k], im[n + 4 * k]) = match (n, k) {
                (0, _) | (_, 0) => (r[k], i[k]),
                (2, 2) => (i[k], V::splat(0.0).sub(r[k])),
                _ => rotate(r[k], i[k], c, s),
            };
        }
    }
    let (old_re, old_im) = (*re, *im);
    for k in 0..4 {
        let row = |v: &[V; 16]| [v[4 * k], v[4 * k + 1], v[4 * k + 2], v[4 * k + 3]];
        let (r, i) = dft4(row(&old_re), row(&old_im));
        for q in 0..4 {
            (re[k + 4 * q], im[k + 4 * q]) = (r[q], i[q]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelLevel;

    fn noise(n: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// The definition, in f64.
    fn naive(size: StftSize, x: &[f32], frame: usize, bin: usize) -> f64 {
        let n = size.points();
        let (mut re, mut im) = (0.0, 0.0);
        for i in 0..n {
            let window = 0.5 - 0.5 * (2.0 * PI * i as f64 / n as f64).cos();
            let v = window * f64::from(x[frame * size.hop() + i]);
            let phase = 2.0 * PI * (i * bin) as f64 / n as f64;
            re += v * phase.cos();
            im -= v * phase.sin();
        }
        re.hypot(im)
    }

    #[test]
    fn magnitudes_equal_the_definition_at_every_level() {
        for size in [StftSize::Points128, StftSize::Points256] {
            let stft = Stft::new(size);
            let mut impulse = vec![0.0; size.samples()];
            impulse[size.points() / 2 + 3] = 1.0;
            let tone: Vec<f32> = (0..size.samples())
                .map(|i| (i as f32 * 0.7).sin() * 0.5)
                .collect();
            for x in [
                noise(size.samples()),
                impulse,
                tone,
                vec![0.25; size.samples()],
                vec![0.0; size.samples()],
            ] {
                let mut fused = Vec::new();
                for level in Level::available() {
                    let stride = size.bins() + 15;
                    let mut y = vec![f32::NAN; 4 * stride];
                    stft.magnitudes(level, &x, &mut y, stride);
                    for frame in 0..4 {
                        for bin in 0..size.bins() {
                            let expected = naive(size, &x, frame, bin);
                            let error = (f64::from(y[frame * stride + bin]) - expected).abs();
                            // Some log2(256) roundings of sums as large as the pair's largest magnitude (tens).
                            assert!(
                                error < 1e-5,
                                "{level:?} {size:?} frame {frame} bin {bin}: {error:e}"
                            );
                        }
                        assert!(
                            y[frame * stride + size.bins()..(frame + 1) * stride]
                                .iter()
                                .all(|v| v.is_nan())
                        );
                    }
                    if level.kind() != KernelLevel::Portable {
                        fused.push(y.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
                    }
                }
                assert!(fused.windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }
}
