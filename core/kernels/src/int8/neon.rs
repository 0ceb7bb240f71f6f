//! Dot products of bytes on 64-bit ARM.

use super::dot::{Corrections, Dot};
use crate::simd::Neon;
use core::arch::aarch64::*;

/// Sixteen bytes, the same four again and again.
///
/// # Safety
/// `p` is readable for 4 bytes, and the machine has NEON.
#[inline(always)]
unsafe fn four_bytes(p: *const u8) -> int8x16_t {
    // SAFETY: passed on from the caller.
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned())) }
}

/// # Safety
/// `p` is readable for 64 bytes, and the machine has NEON.
#[inline(always)]
unsafe fn weights(p: *const i8) -> [int8x16_t; 4] {
    [0, 16, 32, 48].map(|i| {
        // SAFETY: passed on from the caller.
        unsafe { vld1q_s8(p.wrapping_add(i)) }
    })
}

/// The dot products of ARMv8.2.
#[derive(Clone, Copy)]
pub(super) struct NeonDot([int32x4_t; 4]);

// SAFETY: all methods are NEON with dot products.
unsafe impl Dot for NeonDot {
    type Float = Neon;
    type Inputs = int8x16_t;
    type Weights = [int8x16_t; 4];
    const OFFSET: u8 = 0;
    // 24 sums, 4 weights and 1 activation of 32 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(_: Corrections) -> Self {
        // SAFETY: bodies with this type run only on machines with NEON.
        Self([unsafe { vdupq_n_s32(0) }; 4])
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> int8x16_t {
        // SAFETY: passed on from the caller.
        unsafe { four_bytes(p) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        // SAFETY: passed on from the caller.
        unsafe { weights(p) }
    }
    #[inline(always)]
    fn add(self, x: int8x16_t, w: Self::Weights) -> Self {
        let mut sums = self.0;
        for (sum, w) in sums.iter_mut().zip(w) {
            // Written out because `vdotq_s32` is not stable as of Rust 1.95.
            // SAFETY: bodies with this type run only on machines with dot products; registers alone are touched.
            unsafe {
                core::arch::asm!(
                    ".arch_extension dotprod",
                    "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                    sum = inout(vreg) *sum,
                    w = in(vreg) w,
                    x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
        Self(sums)
    }
    #[inline(always)]
    fn to_float(self) -> Neon {
        // SAFETY: bodies with this type run only on machines with NEON.
        Neon::from(self.0.map(|sums| unsafe { vcvtq_f32_s32(sums) }))
    }
}

/// NEON alone: products of two bytes each, added in pairs. A register holds two columns, two sums for each.
#[derive(Clone, Copy)]
pub(super) struct NeonPairs([int32x4_t; 8]);

// SAFETY: all methods are NEON.
unsafe impl Dot for NeonPairs {
    type Float = Neon;
    type Inputs = int8x16_t;
    type Weights = [int8x16_t; 4];
    const OFFSET: u8 = 0;
    // 16 sums, 4 weights, 1 activation and the products of 32 registers.
    const ROWS: usize = 2;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(_: Corrections) -> Self {
        // SAFETY: bodies with this type run only on machines with NEON.
        Self([unsafe { vdupq_n_s32(0) }; 8])
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> int8x16_t {
        // SAFETY: passed on from the caller.
        unsafe { four_bytes(p) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        // SAFETY: passed on from the caller.
        unsafe { weights(p) }
    }
    #[inline(always)]
    fn add(self, x: int8x16_t, w: Self::Weights) -> Self {
        let mut sums = self.0;
        for (i, w) in w.into_iter().enumerate() {
            // SAFETY: bodies with this type run only on machines with NEON.
            unsafe {
                let first = vmull_s8(vget_low_s8(w), vget_low_s8(x));
                sums[2 * i] = vpadalq_s16(sums[2 * i], first);
                sums[2 * i + 1] = vpadalq_s16(sums[2 * i + 1], vmull_high_s8(w, x));
            }
        }
        Self(sums)
    }
    #[inline(always)]
    fn to_float(self) -> Neon {
        let [a, b, c, d, e, f, g, h] = self.0;
        let pairs = [(a, b), (c, d), (e, f), (g, h)];
        // SAFETY: bodies with this type run only on machines with NEON.
        Neon::from(pairs.map(|(a, b)| unsafe { vcvtq_f32_s32(vpaddq_s32(a, b)) }))
    }
}
