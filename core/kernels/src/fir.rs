//! Streaming FIR kernels: the inner loops of the resampler.
//!
//! Two shapes of the same sum. [`lattice`] computes sixteen neighbouring outputs at once with one
//! broadcast coefficient per step, for filters whose coefficients repeat after a few outputs.
//! [`dots`] and [`blends`] compute one dot product per output, for filters with a long table.
//!
//! Each output is summed in one fixed order, whatever its neighbours, so cutting a stream into other
//! blocks gives the same bits.

use core::marker::PhantomData;

use crate::level::{Level, dispatch};
use crate::simd::F32x16;

/// Outputs that [`lattice`] computes together; rows of [`dots`] and [`blends`] are multiples of it.
pub const LANES: usize = 16;

/// Most taps per row that [`lattice`] accepts.
pub const MAX_LATTICE_TAPS: usize = 3 * LANES;

/// Coefficients of one output phase of a [`lattice`].
#[derive(Clone, Copy, Debug)]
pub struct Lattice<'a> {
    /// `taps` coefficients per row, row after row, in the order of time.
    pub coefs: &'a [f32],
    /// Taps per row: even, 2 to [`MAX_LATTICE_TAPS`].
    pub taps: usize,
    /// Where the window of each row starts, relative to `at`. Its length is the number of rows.
    pub offsets: &'a [usize],
    /// Distance between the starts of two rows in the samples.
    pub stride: usize,
}

/// `out[i] = sum over rows r and taps j of coefs[r][j] * rows[r][at + offsets[r] + i + j]`.
///
/// # Panics
/// If `out` is not a multiple of [`LANES`] or a window reaches outside its row.
pub fn lattice(level: Level, out: &mut [f32], filter: Lattice<'_>, rows: &[f32], at: usize) {
    let Lattice {
        coefs,
        taps,
        offsets,
        stride,
    } = filter;
    assert!(
        out.len().is_multiple_of(LANES),
        "a lattice fills whole blocks"
    );
    assert!(
        taps.is_multiple_of(2) && (2..=MAX_LATTICE_TAPS).contains(&taps),
        "taps per row are even and at most {MAX_LATTICE_TAPS}"
    );
    assert!(
        coefs.len() >= offsets.len() * taps,
        "coefficients for every row"
    );
    assert!(
        rows.len() >= offsets.len() * stride,
        "samples for every row"
    );
    let reach = at + out.len() + taps;
    assert!(
        offsets.iter().all(|offset| reach + offset <= stride),
        "every window lies in its row"
    );
    if !out.is_empty() {
        // SAFETY: `out` holds whole blocks, at least one; the asserts keep coefficients and windows in their slices.
        unsafe { lattice_at(level, out, filter, rows, at) }
    }
}

dispatch! {
    /// # Safety
    /// What [`lattice`] asserts, and `out` is not empty.
    unsafe fn lattice_at(out: &mut [f32], filter: Lattice<'_>, rows: &[f32], at: usize) = lattice_body
}

/// Taps come in spans of sixteen and samples in blocks of sixteen: the product of block `b` and span
/// `s` is a part of output block `b - s`. Working by products, a loaded vector of samples serves up to three
/// spans and a broadcast coefficient two blocks, so that loads (unaligned ones take two cycles) do not
/// hold up the multiplications. An output is always the sum of its products in the order of the spans.
///
/// # Safety
/// As [`lattice_at`].
#[inline(always)]
unsafe fn lattice_body<V: F32x16>(
    _: PhantomData<V>,
    out: &mut [f32],
    filter: Lattice<'_>,
    rows: &[f32],
    at: usize,
) {
    let x = Window { filter, rows, at };
    let blocks = out.len() / LANES;
    let last = blocks - 1;
    let out = out.as_mut_ptr();
    // SAFETY: block `b` meets span `s` only where `b - s` is one of the output blocks, whose windows
    // `lattice` has checked; and only those blocks are written.
    unsafe {
        let set = |block: usize, product: V| product.store(out.add(block * LANES));
        let add = |block: usize, product: V| {
            let to = out.add(block * LANES);
            V::load(to).add(product).store(to);
        };
        match (filter.taps.div_ceil(LANES), blocks) {
            (1, _) => {
                let mut b = 0;
                while b + 3 <= blocks {
                    let products = x.products::<V, 3>([(b, 0), (b + 1, 0), (b + 2, 0)]);
                    for product in products {
                        set(b, product);
                        b += 1;
                    }
                }
                for b in b..blocks {
                    let [product] = x.products::<V, 1>([(b, 0)]);
                    set(b, product);
                }
            }
            (2, 1) => {
                let [a, b] = x.products::<V, 2>([(0, 0), (1, 1)]);
                set(0, a.add(b));
            }
            (2, _) => {
                let [head, tail] = x.products::<V, 2>([(0, 0), (blocks, 1)]);
                set(0, head);
                let mut b = 1;
                while pairs::<V>() && b + 2 <= blocks {
                    let [p, q, r, s] = x.products::<V, 4>([(b, 0), (b, 1), (b + 1, 0), (b + 1, 1)]);
                    set(b, p);
                    add(b - 1, q);
                    set(b + 1, r);
                    add(b, s);
                    b += 2;
                }
                for b in b..blocks {
                    let [p, q] = x.products::<V, 2>([(b, 0), (b, 1)]);
                    set(b, p);
                    add(b - 1, q);
                }
                add(last, tail);
            }
            (_, 1) => {
                let [a, b, c] = x.products::<V, 3>([(0, 0), (1, 1), (2, 2)]);
                set(0, a.add(b).add(c));
            }
            _ => {
                // Blocks at either end meet only some spans; pair them up.
                let [head, tail] = x.products::<V, 2>([(0, 0), (blocks + 1, 2)]);
                let [p, q] = x.products::<V, 2>([(1, 0), (1, 1)]);
                let [tail_1, tail_2] = x.products::<V, 2>([(blocks, 1), (blocks, 2)]);
                set(0, head.add(q));
                set(1, p);
                let mut b = 2;
                while pairs::<V>() && b + 2 <= blocks {
                    let [p, q, r, s, t, u] = x.products::<V, 6>([
                        (b, 0),
                        (b, 1),
                        (b, 2),
                        (b + 1, 0),
                        (b + 1, 1),
                        (b + 1, 2),
                    ]);
                    set(b, p);
                    add(b - 1, q);
                    add(b - 2, r);
                    set(b + 1, s);
                    add(b, t);
                    add(b - 1, u);
                    b += 2;
                }
                for b in b..blocks {
                    let [p, q, r] = x.products::<V, 3>([(b, 0), (b, 1), (b, 2)]);
                    set(b, p);
                    add(b - 1, q);
                    add(b - 2, r);
                }
                add(last - 1, tail_2);
                add(last, tail_1);
                add(last, tail);
            }
        }
    }
}

/// Whether the level has registers for two blocks of samples at once: AVX-512, with 32 of them, each a
/// whole block. The others hold twelve sums for one block already.
const fn pairs<V: F32x16>() -> bool {
    V::UNITS > 1
}

/// The samples under a lattice filter.
#[derive(Clone, Copy)]
struct Window<'a> {
    filter: Lattice<'a>,
    rows: &'a [f32],
    at: usize,
}

impl Window<'_> {
    /// The products of some blocks of samples with some spans of the taps, all in one pass, each in two
    /// chains (even and odd taps) to hide the latency of the addition.
    ///
    /// # Safety
    /// For every pair (block, span), the window of output block `block - span` lies in the rows.
    #[inline(always)]
    unsafe fn products<V: F32x16, const N: usize>(self, pairs: [(usize, usize); N]) -> [V; N] {
        let Lattice {
            coefs,
            taps,
            offsets,
            stride,
        } = self.filter;
        let last = taps.div_ceil(LANES) - 1;
        // Taps of the last span that exist; the others have all 16.
        let rest = taps - last * LANES;
        let mut sums = [[V::splat(0.0); 2]; N];
        for (r, &offset) in offsets.iter().enumerate() {
            // SAFETY: tap `s * 16 + j` exists; it meets samples `b * 16 + j` to `+ 15`, which are those that
            // output block `b - s` takes with that tap.
            unsafe {
                let x = self.rows.as_ptr().add(r * stride + self.at + offset);
                let coefs = coefs.as_ptr().add(r * taps);
                let mut j = 0;
                while j < rest {
                    for chain in 0..2 {
                        for n in 0..N {
                            let (b, s) = pairs[n];
                            let samples = V::load(x.add(b * LANES + j + chain));
                            let coef = V::splat(*coefs.add(s * LANES + j + chain));
                            sums[n][chain] = samples.fma(coef, sums[n][chain]);
                        }
                    }
                    j += 2;
                }
                while j < LANES {
                    for chain in 0..2 {
                        for n in 0..N {
                            let (b, s) = pairs[n];
                            if s < last {
                                let samples = V::load(x.add(b * LANES + j + chain));
                                let coef = V::splat(*coefs.add(s * LANES + j + chain));
                                sums[n][chain] = samples.fma(coef, sums[n][chain]);
                            }
                        }
                    }
                    j += 2;
                }
            }
        }
        let mut products = [V::splat(0.0); N];
        for n in 0..N {
            products[n] = sums[n][0].add(sums[n][1]);
        }
        products
    }
}

/// The path of a polyphase filter through its table: where each output's window starts and which
/// row of coefficients it takes.
///
/// Rows advance by `row_step` and wrap at `row_count`; a wrap moves the window by one sample more
/// than `at_step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// First sample of the window of the next output.
    pub at: usize,
    /// Row of the next output, less than `row_count`.
    pub row: usize,
    /// Whole samples from one output to the next.
    pub at_step: usize,
    /// Rows from one output to the next, less than `row_count`.
    pub row_step: usize,
    /// Rows in one sample.
    pub row_count: usize,
}

impl Walk {
    /// Goes on to the next output.
    #[inline(always)]
    fn advance(&mut self) {
        self.at += self.at_step;
        self.row += self.row_step;
        if self.row >= self.row_count {
            self.row -= self.row_count;
            self.at += 1;
        }
    }

    /// Checks that all windows of `outputs` steps lie in `len` samples.
    fn check(self, outputs: usize, taps: usize, len: usize) {
        assert!(
            taps > 0 && taps.is_multiple_of(LANES),
            "rows are whole blocks"
        );
        assert!(
            self.row < self.row_count && self.row_step < self.row_count,
            "rows wrap"
        );
        if let Some(last) = outputs.checked_sub(1) {
            let wraps = (self.row + self.row_step * last) / self.row_count;
            let end = self.at + self.at_step * last + wraps + taps;
            assert!(end <= len, "every window lies in the samples");
        }
    }
}

/// One dot product per output, each with its own row: `out[k] = sum over j of row_k[j] * x[at_k + j]`.
///
/// `coefs` holds `walk.row_count` rows of `taps` values, `taps` a multiple of [`LANES`].
///
/// # Panics
/// If a row or a window reaches outside its slice.
pub fn dots(level: Level, out: &mut [f32], coefs: &[f32], taps: usize, x: &[f32], walk: Walk) {
    walk.check(out.len(), taps, x.len());
    assert!(
        coefs.len() >= walk.row_count * taps,
        "coefficients for every row"
    );
    // SAFETY: every row that the walk visits lies in `coefs` and every window in `x`, as asserted.
    unsafe { dots_at(level, out, coefs, taps, x, walk) }
}

dispatch! {
    /// # Safety
    /// What [`dots`] asserts.
    unsafe fn dots_at(out: &mut [f32], coefs: &[f32], taps: usize, x: &[f32], walk: Walk) = dots_body
}

/// Outputs that [`dots`] keeps in flight, to hide the latency of the addition.
const GROUP: usize = 4;

/// # Safety
/// As [`dots_at`].
#[inline(always)]
unsafe fn dots_body<V: F32x16>(
    _: PhantomData<V>,
    out: &mut [f32],
    coefs: &[f32],
    taps: usize,
    x: &[f32],
    mut walk: Walk,
) {
    let (groups, rest) = out.as_chunks_mut::<GROUP>();
    for group in groups {
        let mut rows = [(coefs.as_ptr(), x.as_ptr()); GROUP];
        for (row, window) in &mut rows {
            // SAFETY: rows and windows of the walk lie in their slices, as `dots` asserts.
            unsafe { (*row, *window) = (row.add(walk.row * taps), window.add(walk.at)) };
            walk.advance();
        }
        let mut sums = [V::splat(0.0); GROUP];
        let mut j = 0;
        while j < taps {
            for k in 0..GROUP {
                let (row, window) = rows[k];
                // SAFETY: `row` and `window` are readable for `taps` values, a multiple of 16.
                sums[k] = unsafe { V::load(window.add(j)).fma(V::load(row.add(j)), sums[k]) };
            }
            j += LANES;
        }
        *group = totals(sums);
    }
    for y in rest {
        let mut sum = V::splat(0.0);
        let mut j = 0;
        while j < taps {
            // SAFETY: rows and windows of the walk lie in their slices, as `dots` asserts.
            sum = unsafe {
                let row = coefs.as_ptr().add(walk.row * taps + j);
                V::load(x.as_ptr().add(walk.at + j)).fma(V::load(row), sum)
            };
            j += LANES;
        }
        [*y, ..] = totals([sum; GROUP]);
        walk.advance();
    }
}

/// Sums of the lanes, each as a tree: lanes 8 apart first, then 4, 2 and 1.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn totals<V: F32x16>(sums: [V; GROUP]) -> [f32; GROUP] {
    use core::arch::x86_64::*;
    let mut totals = [0.0f32; GROUP];
    // SAFETY: SSE is part of every x86-64 target. Each vector is stored to 16 floats of its own and read
    // back in quarters, which the compiler keeps in registers; `totals` has room for four floats.
    unsafe {
        let mut quads = [_mm_setzero_ps(); GROUP];
        for k in 0..GROUP {
            let mut lanes = [0.0f32; LANES];
            sums[k].store(lanes.as_mut_ptr());
            let quarter = |i: usize| _mm_loadu_ps(lanes.as_ptr().add(4 * i));
            let near = _mm_add_ps(quarter(0), quarter(2));
            quads[k] = _mm_add_ps(near, _mm_add_ps(quarter(1), quarter(3)));
        }
        let [mut a, mut b, mut c, mut d] = quads;
        _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
        _mm_storeu_ps(
            totals.as_mut_ptr(),
            _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d)),
        );
    }
    totals
}

/// Sums of the lanes, each as a tree: lanes 8 apart first, then 4, 2 and 1.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn totals<V: F32x16>(sums: [V; GROUP]) -> [f32; GROUP] {
    let mut totals = [0.0f32; GROUP];
    for k in 0..GROUP {
        let mut lanes = [0.0f32; LANES];
        // SAFETY: `lanes` has room for 16 values.
        unsafe { sums[k].store(lanes.as_mut_ptr()) };
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        totals[k] = lanes[0];
    }
    totals
}

/// Like [`dots`] where the walk has more rows than the table: the coefficients of an output are
/// interpolated linearly between two rows of the table.
///
/// `coefs` holds `phases + 1` rows of `taps` values. Walk row `w` lies at `(w + 1) / row_count` of
/// the way from the first row of the table to the last.
///
/// # Panics
/// If a row or a window reaches outside its slice.
pub fn blends(
    level: Level,
    out: &mut [f32],
    coefs: &[f32],
    phases: usize,
    taps: usize,
    x: &[f32],
    walk: Walk,
) {
    walk.check(out.len(), taps, x.len());
    assert!(
        phases > 0 && coefs.len() >= (phases + 1) * taps,
        "coefficients for every row"
    );
    // SAFETY: every window lies in `x` and every pair of rows in `coefs`, as asserted.
    unsafe { blends_at(level, out, coefs, phases, taps, x, walk) }
}

dispatch! {
    /// # Safety
    /// What [`blends`] asserts.
    unsafe fn blends_at(
        out: &mut [f32],
        coefs: &[f32],
        phases: usize,
        taps: usize,
        x: &[f32],
        walk: Walk,
    ) = blends_body
}

/// # Safety
/// As [`blends_at`].
#[inline(always)]
unsafe fn blends_body<V: F32x16>(
    _: PhantomData<V>,
    out: &mut [f32],
    coefs: &[f32],
    phases: usize,
    taps: usize,
    x: &[f32],
    mut walk: Walk,
) {
    let (pairs, rest) = out.as_chunks_mut::<2>();
    for pair in pairs {
        // SAFETY: as the caller's.
        *pair = unsafe { blend::<V, 2>(coefs, phases, taps, x, &mut walk) };
    }
    for y in rest {
        // SAFETY: as the caller's.
        [*y] = unsafe { blend::<V, 1>(coefs, phases, taps, x, &mut walk) };
    }
}

/// The next one or two outputs, each from two dot products.
///
/// # Safety
/// As [`blends_at`].
#[inline(always)]
unsafe fn blend<V: F32x16, const N: usize>(
    coefs: &[f32],
    phases: usize,
    taps: usize,
    x: &[f32],
    walk: &mut Walk,
) -> [f32; N] {
    let (phases, count) = (phases as u64, walk.row_count as u64);
    let mut sums = [V::splat(0.0); GROUP];
    let mut blends = [0.0; N];
    for k in 0..N {
        // Exact position in the table: whole rows, and the rest of a row in units of 1 / count.
        let position = (walk.row as u64 + 1) * phases;
        let row = (position / count).min(phases - 1);
        blends[k] = (position - row * count) as f32 / count as f32;
        let mut j = 0;
        while j < taps {
            // SAFETY: `row + 1 <= phases` and the table has `phases + 1` rows; the window lies in `x`.
            unsafe {
                let coefs = coefs.as_ptr().add(row as usize * taps + j);
                let samples = V::load(x.as_ptr().add(walk.at + j));
                sums[2 * k] = samples.fma(V::load(coefs), sums[2 * k]);
                sums[2 * k + 1] = samples.fma(V::load(coefs.add(taps)), sums[2 * k + 1]);
            }
            j += LANES;
        }
        walk.advance();
    }
    let totals = totals(sums);
    for k in 0..N {
        blends[k] = totals[2 * k] + blends[k] * (totals[2 * k + 1] - totals[2 * k]);
    }
    blends
}

/// Splits interleaved samples into rows: `rows[r][at + i] = input[i * count + r]`.
///
/// # Panics
/// If `input` is not a multiple of `count` or does not fit into the rows.
pub fn deinterleave(
    level: Level,
    input: &[f32],
    count: usize,
    rows: &mut [f32],
    stride: usize,
    at: usize,
) {
    assert!(
        count > 0 && input.len().is_multiple_of(count),
        "whole periods"
    );
    assert!(
        at + input.len() / count <= stride,
        "the input fits into the rows"
    );
    assert!(
        rows.len() >= count * stride,
        "as many rows as samples in a period"
    );
    // SAFETY: the body uses no pointer.
    unsafe { deinterleave_at(level, input, count, rows, stride, at) }
}

dispatch! {
    /// # Safety
    /// None beyond the level.
    unsafe fn deinterleave_at(
        input: &[f32],
        count: usize,
        rows: &mut [f32],
        stride: usize,
        at: usize,
    ) = deinterleave_body
}

/// No vector type here: with the count as a constant the compiler makes shuffles of the strided reads.
///
/// # Safety
/// None beyond the level.
#[inline(always)]
unsafe fn deinterleave_body<V: F32x16>(
    _: PhantomData<V>,
    input: &[f32],
    count: usize,
    rows: &mut [f32],
    stride: usize,
    at: usize,
) {
    match count {
        1 => rows[at..at + input.len()].copy_from_slice(input),
        2 => deinterleave_by::<2>(input, rows, stride, at),
        3 => deinterleave_by::<3>(input, rows, stride, at),
        4 => deinterleave_by::<4>(input, rows, stride, at),
        6 => deinterleave_by::<6>(input, rows, stride, at),
        _ => {
            for (i, period) in input.chunks_exact(count).enumerate() {
                for (r, &sample) in period.iter().enumerate() {
                    rows[r * stride + at + i] = sample;
                }
            }
        }
    }
}

#[inline(always)]
fn deinterleave_by<const N: usize>(input: &[f32], rows: &mut [f32], stride: usize, at: usize) {
    let (periods, _) = input.as_chunks::<N>();
    for (r, row) in rows.chunks_exact_mut(stride).take(N).enumerate() {
        for (to, period) in row[at..].iter_mut().zip(periods) {
            *to = period[r];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let step = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(step).take(len).collect()
    }

    /// Every product rounds by 2^-24 and so does every sum; the bound is generous for 300 of each near 1.
    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error < 2e-5, "{what}: {i} is {found}, expected {expected}");
        }
    }

    #[test]
    fn lattice_is_the_sum_of_its_definition_at_every_level() {
        for taps in [2, 8, 10, 16, 18, 24, 32, 34, 48] {
            for blocks in [1, 2, 3, 4, 5, 10] {
                let (len, stride, at) = (blocks * LANES, 300, 3);
                let offsets = [0, 2, 1, 5];
                let coefs = noise(offsets.len() * taps, 1);
                let rows = noise(offsets.len() * stride, 2);
                let filter = Lattice {
                    coefs: &coefs,
                    taps,
                    offsets: &offsets,
                    stride,
                };
                let expected: Vec<f64> = (0..len)
                    .map(|i| {
                        let term = |(r, j)| {
                            let x: f32 = rows[r * stride + at + offsets[r] + i + j];
                            f64::from(coefs[r * taps + j]) * f64::from(x)
                        };
                        (0..offsets.len())
                            .flat_map(|r| (0..taps).map(move |j| (r, j)))
                            .map(term)
                            .sum()
                    })
                    .collect();
                for level in Level::available() {
                    let mut found = vec![f32::NAN; len];
                    lattice(level, &mut found, filter, &rows, at);
                    assert_close(
                        &found,
                        &expected,
                        &format!("{level:?}, {taps} taps, {blocks} blocks"),
                    );
                    // One block at a time gives the same bits.
                    for block in 0..blocks {
                        let mut alone = [f32::NAN; LANES];
                        lattice(level, &mut alone, filter, &rows, at + block * LANES);
                        assert_eq!(
                            alone,
                            found[block * LANES..][..LANES],
                            "{level:?}, block {block}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn dots_and_blends_are_the_sums_of_their_definition_at_every_level() {
        let walk = Walk {
            at: 1,
            row: 4,
            at_step: 2,
            row_step: 3,
            row_count: 7,
        };
        for taps in [16, 48, 144] {
            let (coefs, x) = (noise(7 * taps, 3), noise(300, 4));
            let steps: Vec<(usize, usize)> = (0..21)
                .map(|k| {
                    let rows = walk.row + k * walk.row_step;
                    (walk.at + k * walk.at_step + rows / 7, rows % 7)
                })
                .collect();
            let dot = |row: usize, at: usize| -> f64 {
                let pairs = coefs[row * taps..][..taps].iter().zip(&x[at..]);
                pairs.map(|(&c, &x)| f64::from(c) * f64::from(x)).sum()
            };
            let exact: Vec<f64> = steps.iter().map(|&(at, row)| dot(row, at)).collect();
            // The table as six intervals for the seven rows of the walk: the last falls on the table's end.
            let between: Vec<f64> = steps
                .iter()
                .map(|&(at, row)| {
                    let position = (row + 1) as f64 / 7.0 * 6.0;
                    let low = (position as usize).min(5);
                    let weight = position - low as f64;
                    dot(low, at) * (1.0 - weight) + dot(low + 1, at) * weight
                })
                .collect();
            for level in Level::available() {
                let mut found = [f32::NAN; 21];
                dots(level, &mut found, &coefs, taps, &x, walk);
                assert_close(&found, &exact, &format!("dots, {level:?}, {taps} taps"));
                let mut one = [f32::NAN];
                dots(level, &mut one, &coefs, taps, &x, walk);
                assert_eq!(one[0], found[0], "one output alone has the same bits");
                blends(level, &mut found, &coefs, 6, taps, &x, walk);
                assert_close(&found, &between, &format!("blends, {level:?}, {taps} taps"));
            }
        }
    }

    #[test]
    fn levels_with_fused_multiply_add_return_the_same_bits() {
        let (coefs, rows) = (noise(3 * 48, 5), noise(3 * 300, 6));
        let filter = Lattice {
            coefs: &coefs,
            taps: 48,
            offsets: &[0, 1, 0],
            stride: 300,
        };
        let walk = Walk {
            at: 0,
            row: 1,
            at_step: 2,
            row_step: 1,
            row_count: 3,
        };
        let outputs: Vec<[f32; 2 * 160]> = Level::available()
            .skip(1)
            .map(|level| {
                let mut out = [0.0; 2 * 160];
                lattice(level, &mut out[..160], filter, &rows, 0);
                dots(level, &mut out[160..], &coefs, 48, &rows, walk);
                out
            })
            .collect();
        for pair in outputs.windows(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }

    #[test]
    fn deinterleave_places_every_sample_for_any_count() {
        for count in 1..=13 {
            let input: Vec<f32> = (0..count * 37).map(|i| i as f32).collect();
            for level in Level::available() {
                let mut rows = vec![-1.0; count * 50];
                deinterleave(level, &input, count, &mut rows, 50, 7);
                for (n, &sample) in input.iter().enumerate() {
                    assert_eq!(
                        rows[n % count * 50 + 7 + n / count],
                        sample,
                        "{level:?}, {count} rows"
                    );
                }
                assert_eq!(
                    rows.iter().filter(|&&x| x == -1.0).count(),
                    count * 13,
                    "nothing else written"
                );
            }
        }
    }
}
