//! Sixteen running sums of products of bytes, on every instruction set the same operations.

use crate::simd::{F32x16, Portable};
use crate::{KernelLevel, Level};

/// What the level adds to activations in memory: VNNI multiplies unsigned bytes by signed ones.
pub(super) fn offset(level: Level) -> u8 {
    match level.kind() {
        KernelLevel::Avx2 | KernelLevel::Avx512 if level.byte_dot() => 128,
        _ => 0,
    }
}

/// Where the sums of sixteen columns begin, for types whose products come out wrong by a constant of the column.
#[derive(Clone, Copy)]
pub(super) struct Corrections {
    /// -128 times the sum of the weights: undoes the offset of the activations.
    pub(super) offset: *const i32,
    /// Sum of the magnitudes of the negative weights: completes the negation of activations.
    pub(super) negatives: *const i32,
}

impl Corrections {
    /// Those of the columns 16 `vectors` further on.
    #[inline(always)]
    pub(super) fn after(self, vectors: usize) -> Self {
        Self {
            offset: self.offset.wrapping_add(16 * vectors),
            negatives: self.negatives.wrapping_add(16 * vectors),
        }
    }
}

/// Sums of sixteen columns, of activations in -127..=127 and weights in -128..=127, exact.
///
/// # Safety
/// Every method may use the instructions of its type: call them only from bodies entered through `matmul_entry`.
pub(super) unsafe trait Dot: Copy {
    type Float: F32x16;
    /// Four activations of one row, for every column.
    type Inputs: Copy;
    /// Four weights of each of sixteen columns.
    type Weights: Copy;
    /// Whether activations come with the offset of the dot products of bytes.
    const OFFSET: u8;
    /// Rows of a tile.
    const ROWS: usize;
    /// Columns of a tile, in vectors: 1 or 4.
    const COLUMNS: usize;

    /// Sums of nothing.
    ///
    /// # Safety
    /// Both corrections are readable for 16 integers.
    unsafe fn start(corrections: Corrections) -> Self;
    /// # Safety
    /// `p` is readable for 4 bytes.
    unsafe fn inputs(p: *const u8) -> Self::Inputs;
    /// # Safety
    /// `p` is readable for 64 bytes.
    unsafe fn weights(p: *const i8) -> Self::Weights;
    /// With the products added.
    fn add(self, x: Self::Inputs, w: Self::Weights) -> Self;
    /// The sums, rounded to nearest.
    fn to_float(self) -> Self::Float;
}

/// The scalar twin.
#[derive(Clone, Copy)]
pub(super) struct PortableDot([i32; 16]);

// SAFETY: uses no instruction outside the compiler's baseline.
unsafe impl Dot for PortableDot {
    type Float = Portable;
    type Inputs = [i8; 4];
    type Weights = [[i8; 4]; 16];
    const OFFSET: u8 = 0;
    const ROWS: usize = 2;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(_: Corrections) -> Self {
        Self([0; 16])
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> [i8; 4] {
        // SAFETY: the caller gives 4 readable bytes.
        unsafe { p.cast::<[i8; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> [[i8; 4]; 16] {
        // SAFETY: the caller gives 64 readable bytes.
        unsafe { p.cast::<[[i8; 4]; 16]>().read() }
    }
    #[inline(always)]
    fn add(self, x: [i8; 4], w: [[i8; 4]; 16]) -> Self {
        let mut sums = self.0;
        for (sum, w) in sums.iter_mut().zip(&w) {
            for (x, w) in x.iter().zip(w) {
                *sum += i32::from(*x) * i32::from(*w);
            }
        }
        Self(sums)
    }
    #[inline(always)]
    fn to_float(self) -> Portable {
        let floats = self.0.map(|sum| sum as f32);
        // SAFETY: sixteen floats.
        unsafe { Portable::load(floats.as_ptr()) }
    }
}
