//! Rows of mostly zeros times a matrix.
//!
//! What follows a `max(0, .)` is mostly zeros on real audio. The rows of the matrix that meet them are neither read nor
//! multiplied. Leaving out a zero term changes no bits, so these sums equal the dense ones.

use crate::align::reach;
use crate::level::{Level, dispatch};
use crate::matrix::{Matrix, PANEL, Source, VECTORS};
use crate::simd::F32x16;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Most inputs that a single row may have to be searched for zeros.
pub(crate) const MAX_SPARSE: usize = 256;

/// A single row, which waits for the weights.
///
/// # Safety
/// The assertions of [`affine_rows`] hold for one row, and the matrix has at most `MAX_SPARSE` rows.
#[inline(always)]
pub(crate) unsafe fn one_row<V: F32x16>(
    sources: &[Source<'_>],
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    relu: bool,
) {
    let mut inputs = Nonzero::<{ MAX_SPARSE + 16 }>::new();
    for s in sources {
        inputs.extend::<V>(&s.x[..s.len], s.first);
    }
    let mut panel = 0;
    // SAFETY: panels below the count exist, in the matrix, in `bias` and in `y`.
    unsafe {
        while V::UNITS == 2 && panel + 2 <= w.columns / PANEL {
            one_row_panels::<V, 2>(&inputs, w, panel, bias, y, relu);
            panel += 2;
        }
        while panel < w.columns / PANEL {
            one_row_panels::<V, 1>(&inputs, w, panel, bias, y, relu);
            panel += 1;
        }
    }
}

/// # Safety
/// Panels `panel..panel + P` exist in the matrix, in `bias` and in `y`.
#[inline(always)]
unsafe fn one_row_panels<V: F32x16, const P: usize>(
    inputs: &Nonzero<{ MAX_SPARSE + 16 }>,
    w: &Matrix,
    panel: usize,
    bias: &[f32],
    y: &mut [f32],
    relu: bool,
) {
    // SAFETY: given by the caller.
    unsafe {
        let mut acc = [[V::splat(0.0); VECTORS]; P];
        for (p, acc) in acc.iter_mut().enumerate() {
            for (c, acc) in acc.iter_mut().enumerate() {
                *acc = V::load(bias.as_ptr().add((panel + p) * PANEL + 16 * c));
            }
        }
        inputs.accumulate(0..inputs.count(), &mut acc, w, panel);
        for (p, acc) in acc.iter().enumerate() {
            for (c, &value) in acc.iter().enumerate() {
                let value = if relu {
                    value.max(V::splat(0.0))
                } else {
                    value
                };
                value.store(y.as_mut_ptr().add((panel + p) * PANEL + 16 * c));
            }
        }
    }
}

/// Row numbers, to be compressed beside the inputs.
static ROWS: [u32; 3 * 128] = {
    let mut rows = [0; 3 * 128];
    let mut i = 0;
    while i < rows.len() {
        rows[i] = i as u32;
        i += 1;
    }
    rows
};

/// `f32` or as many bits, in room for `N` of them that is not cleared first.
pub(crate) struct Room<const N: usize>([MaybeUninit<u32>; N]);

impl<const N: usize> Room<N> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self([MaybeUninit::uninit(); N])
    }

    #[inline(always)]
    pub(crate) fn at(&mut self, at: usize) -> *mut f32 {
        debug_assert!(at < N);
        self.0.as_mut_ptr().wrapping_add(at).cast()
    }

    /// # Safety
    /// The first `len` were written.
    #[inline(always)]
    pub(crate) unsafe fn floats(&self, len: usize) -> &[f32] {
        debug_assert!(len <= N);
        // SAFETY: written by the caller; any bits are a float.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }

    /// # Safety
    /// The first `len` were written.
    #[inline(always)]
    pub(crate) unsafe fn integers(&self, len: usize) -> &[u32] {
        debug_assert!(len <= N);
        // SAFETY: written by the caller.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }
}

/// As a vector, the numbers of sixteen rows from `first` on.
///
/// # Safety
/// `first + 16 <= 384`.
#[inline(always)]
pub(crate) unsafe fn row_numbers<V: F32x16>(first: usize) -> V {
    debug_assert!(first + 16 <= ROWS.len());
    // SAFETY: within the table by the caller's promise.
    unsafe { V::load(ROWS.as_ptr().add(first).cast()) }
}

/// Inputs that are not zero, with the rows of the matrix that they meet. `N` is 16 more than fit.
pub(crate) struct Nonzero<const N: usize> {
    values: Room<N>,
    rows: Room<N>,
    count: usize,
}

impl<const N: usize> Nonzero<N> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            values: Room::new(),
            rows: Room::new(),
            count: 0,
        }
    }

    /// How many inputs were kept so far.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds inputs that meet the rows from `first` on, which are below 384.
    #[inline(always)]
    pub(crate) fn extend<V: F32x16>(&mut self, x: &[f32], first: usize) {
        assert!(self.count + x.len() + 16 <= N && first + x.len() <= ROWS.len());
        let (blocks, rest) = x.as_chunks::<16>();
        for (i, block) in blocks.iter().enumerate() {
            // SAFETY: a block is sixteen floats; there is room for sixteen more than were given; rows as asserted.
            unsafe {
                let x = V::load(block.as_ptr());
                let rows: V = row_numbers(first + 16 * i);
                rows.compress(x, self.rows.at(self.count));
                self.count += x.compress(x, self.values.at(self.count));
            }
        }
        for (k, &x) in rest.iter().enumerate() {
            // SAFETY: there is room for sixteen more than were given.
            unsafe {
                *self.values.at(self.count) = x;
                *self.rows.at(self.count).cast::<u32>() = (first + 16 * blocks.len() + k) as u32;
            }
            self.count += usize::from(x != 0.0);
        }
    }

    /// Adds the products of the inputs in `range` with `P` panels to their accumulators.
    ///
    /// # Safety
    /// The panels and the rows exist in the matrix, and the range ends at `count` at most.
    #[inline(always)]
    pub(crate) unsafe fn accumulate<V: F32x16, const P: usize>(
        &self,
        range: Range<usize>,
        acc: &mut [[V; VECTORS]; P],
        w: &Matrix,
        panel: usize,
    ) {
        debug_assert!(range.start <= range.end && range.end <= self.count);
        // SAFETY: everything below `count` was written, and the range is given by the caller.
        let (values, rows) = unsafe {
            let values = self.values.floats(self.count).get_unchecked(range.clone());
            (values, self.rows.integers(self.count).get_unchecked(range))
        };
        for (&x, &row) in values.iter().zip(rows) {
            let x = V::splat(x);
            for p in 0..P {
                for c in 0..VECTORS {
                    // SAFETY: given by the caller.
                    let w =
                        unsafe { V::load(w.panel(panel + p).add(row as usize * PANEL + 16 * c)) };
                    acc[p][c] = x.fma(w, acc[p][c]);
                }
            }
        }
    }
}

/// Rows of [`add_sparse_rows`] that share a pass over the matrix.
const SPARSE_ROWS: usize = 32;
/// Most inputs of such a row.
const SPARSE_LEN: usize = 128;

/// `y[r] += x[r] W[first..first + len]` for many rows whose inputs are mostly zero.
///
/// Zeros cost nothing. What is left of a row meets its own part of the matrix, so rows share no loads; but they share a
/// panel in the first-level cache, which feeds the arithmetic as fast as it goes. Sums are in the order of [`crate::affine_rows`].
///
/// # Panics
/// When the lengths do not fit the matrix, or a row has more than 128 inputs.
pub fn add_sparse_rows(
    level: Level,
    rows: usize,
    source: Source<'_>,
    w: &Matrix,
    y: &mut [f32],
    y_stride: usize,
) {
    let Source {
        x,
        stride,
        len,
        first,
    } = source;
    assert!(
        len <= SPARSE_LEN && first.saturating_add(len) <= w.rows,
        "more inputs than rows of the matrix"
    );
    for start in (0..rows).step_by(SPARSE_ROWS) {
        let count = (rows - start).min(SPARSE_ROWS);
        let (x, y) = (&x[start * stride..], &mut y[start * y_stride..]);
        assert!(
            x.len() >= reach(count, stride, len),
            "inputs shorter than {rows} rows"
        );
        assert!(
            y.len() >= reach(count, y_stride, w.columns),
            "outputs shorter than {rows} rows"
        );
        // SAFETY: asserted above.
        unsafe { add_sparse_rows_entry(level, count, Source { x, ..source }, w, y, y_stride) }
    }
}

dispatch!(unsafe fn add_sparse_rows_entry(
    rows: usize,
    source: Source<'_>,
    w: &Matrix,
    y: &mut [f32],
    y_stride: usize,
) = add_sparse_rows_body);

/// # Safety
/// The assertions of [`add_sparse_rows`] hold, and there are at most `SPARSE_ROWS` rows.
#[inline(always)]
unsafe fn add_sparse_rows_body<V: F32x16>(
    _: PhantomData<V>,
    rows: usize,
    source: Source<'_>,
    w: &Matrix,
    y: &mut [f32],
    y_stride: usize,
) {
    let mut inputs = Nonzero::<{ SPARSE_ROWS * SPARSE_LEN + 16 }>::new();
    let mut ends = [0; SPARSE_ROWS];
    for (row, end) in ends.iter_mut().enumerate().take(rows) {
        inputs.extend::<V>(&source.x[row * source.stride..][..source.len], source.first);
        *end = inputs.count();
    }
    for panel in 0..w.columns / PANEL {
        let mut start = 0;
        for (row, &end) in ends.iter().enumerate().take(rows) {
            // SAFETY: the panel exists, and a row of `y` has all columns of the matrix.
            unsafe {
                let y = y.as_mut_ptr().add(row * y_stride + panel * PANEL);
                let mut acc = [[V::splat(0.0); VECTORS]];
                for (c, acc) in acc[0].iter_mut().enumerate() {
                    *acc = V::load(y.add(16 * c));
                }
                inputs.accumulate(start..end, &mut acc, w, panel);
                for (c, acc) in acc[0].iter().enumerate() {
                    acc.store(y.add(16 * c));
                }
            }
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine_rows;

    #[test]
    fn sparse_rows_add_the_bits_of_dense_ones() {
        let (k, n) = (300, 128);
        let real =
            |i: usize| (((i * 7919 + 13) % 17) as f32 - 7.63) * 0.01 * (1.0 + (i % 11) as f32);
        let w = Matrix::from_fn(k, n, |i, j| real(i * n + j));
        let bias: Vec<f32> = (0..n).map(real).collect();
        for level in Level::available() {
            for (rows, len, keep) in [
                (0, 128, 2),
                (1, 128, 1),
                (5, 7, 2),
                (33, 128, 4),
                (70, 100, 3),
            ] {
                let x = (0..rows * (len + 2)).map(|i| if i % keep == 0 { real(i) } else { 0.0 });
                let x: Vec<f32> = x.collect();
                let source = Source {
                    x: &x,
                    stride: len + 2,
                    len,
                    first: 170,
                };
                let mut dense = vec![0.0; rows * n];
                affine_rows(level, rows, &[source], &w, &bias, &mut dense, n, false);
                let mut sparse: Vec<f32> = (0..rows).flat_map(|_| bias.clone()).collect();
                add_sparse_rows(level, rows, source, &w, &mut sparse, n);
                assert_eq!(sparse, dense, "{level:?} {rows} rows of {len}");
            }
        }
    }
}
