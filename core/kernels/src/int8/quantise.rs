//! Rows of floats as bytes with a scale and a middle each.

use super::dot::offset;
use crate::AlignedVec;
use crate::align::{AlignedBytes, reach};
use crate::level::{Level, dispatch};
use crate::math::ROUND;
use crate::rows::{max_lanes, sum_lanes};
use crate::simd::F32x16;
use core::marker::PhantomData;

/// Rows that reach less far than this from their middle become that: the inverse would soon overflow.
const SMALLEST: f32 = 1e-30;

/// Rows of activations as signed bytes: value `k` of row `r` stands for `value(r, k) * scale(r) + middle(r)`.
///
/// A scratch buffer: allocated once for the largest shape, and filled by [`quantise_rows`] for any that fits. How the bytes
/// lie in memory depends on the level that wrote them, so the same level must read them.
#[derive(Clone, Debug)]
pub struct QuantisedRows {
    pub(super) data: AlignedBytes,
    pub(super) scales: AlignedVec,
    pub(super) middles: AlignedVec,
    pub(super) rows: usize,
    pub(super) len: usize,
    /// Bytes from row to row.
    pub(super) stride: usize,
    /// What was added to each byte.
    pub(super) offset: u8,
}

impl QuantisedRows {
    /// Room for `rows` rows of `len` values, or for as many of any shape.
    pub fn new(rows: usize, len: usize) -> Self {
        Self {
            data: AlignedBytes::zeros(rows * len.next_multiple_of(64)),
            scales: AlignedVec::zeros(rows),
            middles: AlignedVec::zeros(rows),
            rows: 0,
            len: 0,
            stride: 0,
            offset: 0,
        }
    }

    /// Rows it holds now.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values per row.
    pub fn row_len(&self) -> usize {
        self.len
    }

    /// Value `k` of row `r`, in -127..=127.
    ///
    /// # Panics
    /// When there is no such value.
    pub fn value(&self, r: usize, k: usize) -> i8 {
        assert!(r < self.rows && k < self.len, "no value {k} of row {r}");
        self.data[r * self.stride + k].wrapping_sub(self.offset) as i8
    }

    /// What byte 0 of row `r` stands for: the middle of its range.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn middle(&self, r: usize) -> f32 {
        assert!(r < self.rows, "no row {r}");
        self.middles[r]
    }

    /// Scale of row `r`: half its range over 127.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn scale(&self, r: usize) -> f32 {
        assert!(r < self.rows, "no row {r}");
        self.scales[r]
    }
}

/// Fills `q` with `rows` rows of `len` values of `x`, row `r` at `r * stride`; rows may overlap.
///
/// The range of a row is that of its values and 0; its middle and 254 steps cover it, and values are rounded to the nearest step, ties
/// to the even one. So values of one sign, as an activation function leaves them, lose half as much as with steps that are
/// symmetric around 0. A row with NaN or infinities has its middle at 0 and steps for its largest finite magnitude; NaN
/// becomes 0, an infinity the last step. Every level gives the same bytes, scales and middles.
///
/// # Panics
/// When `x` is shorter than its rows, or the rows do not fit `q`.
pub fn quantise_rows(
    level: Level,
    rows: usize,
    x: &[f32],
    stride: usize,
    len: usize,
    q: &mut QuantisedRows,
) {
    let bytes = len.next_multiple_of(64);
    assert!(
        rows <= q.scales.len() && rows * bytes <= q.data.len(),
        "{rows} rows of {len} do not fit"
    );
    assert!(
        rows == 0 || x.len() >= reach(rows, stride, len),
        "inputs shorter than {rows} rows"
    );
    (q.rows, q.len, q.stride, q.offset) = (rows, len, bytes, offset(level));
    // SAFETY: the assertions above are what the body asks for.
    unsafe { quantise_rows_entry(level, x, stride, q) }
}

dispatch!(unsafe fn quantise_rows_entry(x: &[f32], stride: usize, q: &mut QuantisedRows) = quantise_rows_body);

/// # Safety
/// `x` and `q` have `q.rows` rows of `q.len`, and those of `q` are whole cache lines.
#[inline(always)]
unsafe fn quantise_rows_body<V: F32x16>(
    _: PhantomData<V>,
    x: &[f32],
    stride: usize,
    q: &mut QuantisedRows,
) {
    let zero = V::splat(0.0);
    // The offset is even, so it does not change where ties go.
    let round = V::splat(ROUND + f32::from(q.offset));
    for r in 0..q.rows {
        let row = &x[r * stride..][..q.len];
        let to = &mut q.data[r * q.stride..][..q.stride];
        let (blocks, rest) = row.as_chunks::<16>();
        let mut last = [0.0; 16];
        last[..rest.len()].copy_from_slice(rest);
        // Four chains, so that they do not wait for each other.
        let mut ranges = [Range::<V>::empty(); 4];
        let (wide, narrow) = row.as_chunks::<64>();
        for chunk in wide {
            for (i, range) in ranges.iter_mut().enumerate() {
                // SAFETY: a chunk is 64 floats.
                range.include(unsafe { V::load(chunk.as_ptr().add(16 * i)) });
            }
        }
        for block in narrow.as_chunks::<16>().0.iter().chain(Some(&last)) {
            // SAFETY: a block is 16 floats.
            ranges[0].include(unsafe { V::load(block.as_ptr()) });
        }
        let [mut range, others @ ..] = ranges;
        for other in others {
            range.join(other);
        }
        // SAFETY: as for every method of the vector.
        let (highest, lowest, finite) = unsafe {
            (
                max_lanes(range.high),
                -max_lanes(zero.sub(range.low)),
                !sum_lanes(range.finite).is_nan(),
            )
        };
        if !finite {
            q.scales[r] = one_row_with_care(row, to, q.offset);
            q.middles[r] = 0.0;
            continue;
        }
        // Halves first: their difference is finite.
        let (highest, lowest) = (0.5 * highest, 0.5 * lowest);
        let middle = highest + lowest;
        let (scale, over) = scale_of(highest - lowest);
        (q.scales[r], q.middles[r]) = (scale, middle);
        let (over, middle) = (V::splat(over), V::splat(middle));
        for (block, to) in blocks
            .iter()
            .chain(Some(&last))
            .zip(to.chunks_exact_mut(16))
        {
            // Not fused: the portable level must round alike.
            // SAFETY: a block is 16 floats, and a chunk 16 bytes.
            unsafe {
                let x = V::load(block.as_ptr()).sub(middle).mul(over);
                x.add(round).store_low_bytes(to.as_mut_ptr());
            }
        }
    }
}

/// The range of values and 0, lane by lane.
#[derive(Clone, Copy)]
struct Range<V> {
    high: V,
    low: V,
    /// 0 unless an infinity or NaN came by, then NaN.
    finite: V,
}

impl<V: F32x16> Range<V> {
    #[inline(always)]
    fn empty() -> Self {
        let zero = V::splat(0.0);
        Self {
            high: zero,
            low: zero,
            finite: zero,
        }
    }

    #[inline(always)]
    fn include(&mut self, x: V) {
        self.high = x.max(self.high);
        self.low = x.min(self.low);
        self.finite = x.fma(V::splat(0.0), self.finite);
    }

    #[inline(always)]
    fn join(&mut self, other: Self) {
        self.high = other.high.max(self.high);
        self.low = other.low.min(self.low);
        self.finite = self.finite.add(other.finite);
    }
}

/// The scale of a row that reaches this far from its middle, and its inverse; both 0 if that is nowhere.
#[inline(always)]
pub(super) fn scale_of(largest: f32) -> (f32, f32) {
    if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    }
}

/// A row that is not all finite.
#[cold]
fn one_row_with_care(row: &[f32], to: &mut [u8], offset: u8) -> f32 {
    let finite = row.iter().filter(|x| x.is_finite());
    let largest = finite.fold(0.0f32, |a, x| a.max(x.abs()));
    let (scale, over) = scale_of(largest);
    for (x, to) in row.iter().zip(to) {
        let q = if x.is_finite() {
            (x * over).round_ties_even()
        } else if x.is_nan() || scale == 0.0 {
            0.0
        } else {
            127.0f32.copysign(*x)
        };
        *to = (q as i8 as u8).wrapping_add(offset);
    }
    scale
}
