use core::ops::{Deref, DerefMut};

/// Sixteen floats on a cache line of their own: the unit in which weights and scratch are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; 16]);

/// A heap buffer of bytes that starts on a cache line and ends with one.
#[derive(Clone, Debug)]
pub(crate) struct AlignedBytes {
    lanes: Vec<Lanes>,
}

impl AlignedBytes {
    /// At least `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self {
            lanes: vec![Lanes([0.0; 16]); len.div_ceil(64)],
        }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a `Lanes` is 64 initialised bytes without padding, and any byte is a valid `u8`.
        unsafe { core::slice::from_raw_parts(self.lanes.as_ptr().cast(), 64 * self.lanes.len()) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = 64 * self.lanes.len();
        // SAFETY: as in `deref`; any bytes are valid floats, and `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), len) }
    }
}

/// A heap buffer of `f32` that starts on a cache line, so that no vector load straddles two.
#[derive(Clone, Debug)]
pub struct AlignedVec {
    lanes: Vec<Lanes>,
    len: usize,
}

impl AlignedVec {
    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self {
            lanes: vec![Lanes([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }
}

impl Deref for AlignedVec {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Lanes` is `repr(C)` over `[f32; 16]` with no padding (64 bytes, 64-aligned), so the
        // vector's memory is `16 * lanes.len() >= len` initialised floats.
        unsafe { core::slice::from_raw_parts(self.lanes.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), self.len) }
    }
}

/// Values from the first of `rows` rows, at least one, to the last of the last. Too many to count are the most there are:
/// what checks a slice by this must not wrap around, because unchecked loads follow.
pub(crate) fn reach(rows: usize, stride: usize, len: usize) -> usize {
    (rows - 1).saturating_mul(stride).saturating_add(len)
}

/// The same bytes as signed numbers in two's complement.
pub fn as_signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: `u8` and `i8` have the same size and alignment, every byte is a valid `i8`, and the borrow is handed on.
    unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
