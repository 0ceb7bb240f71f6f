//! Dot products of bytes on x86-64.

use super::dot::{Corrections, Dot};
use crate::simd::{Avx2, Avx512};
use core::arch::x86_64::*;

/// AVX-512 VNNI: one instruction for 64 products.
#[derive(Clone, Copy)]
pub(super) struct Avx512Vnni(__m512i);

// SAFETY: all methods are AVX-512F and AVX-512 VNNI.
unsafe impl Dot for Avx512Vnni {
    type Float = Avx512;
    type Inputs = __m512i;
    type Weights = __m512i;
    const OFFSET: u8 = 128;
    // 24 sums, 4 weights and 1 activation of 32 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn start(corrections: Corrections) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        Self(unsafe { _mm512_loadu_si512(corrections.offset.cast()) })
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> __m512i {
        // SAFETY: the caller gives 4 readable bytes.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> __m512i {
        // SAFETY: the caller gives 64 readable bytes.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    fn add(self, x: __m512i, w: __m512i) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX-512 VNNI.
        Self(unsafe { _mm512_dpbusd_epi32(self.0, x, w) })
    }
    #[inline(always)]
    fn to_float(self) -> Avx512 {
        // SAFETY: bodies with this type run only on machines with AVX-512F.
        Avx512::from(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
}

/// AVX-VNNI: the same at half the width. Without `VEX` it is AVX-512VL's encoding of the same instruction, which lets machines
/// with that alone test this type.
#[derive(Clone, Copy)]
pub(super) struct Vnni256<const VEX: bool>(__m256i, __m256i);

// SAFETY: all methods are AVX2 and AVX-VNNI, or AVX-512VL and AVX-512 VNNI.
unsafe impl<const VEX: bool> Dot for Vnni256<VEX> {
    type Float = Avx2;
    type Inputs = __m256i;
    type Weights = (__m256i, __m256i);
    const OFFSET: u8 = 128;
    // 12 sums, 2 weights and 1 activation of 16 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(corrections: Corrections) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        unsafe {
            let p: *const __m256i = corrections.offset.cast();
            Self(_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1)))
        }
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> __m256i {
        // SAFETY: the caller gives 4 readable bytes.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        // SAFETY: the caller gives 64 readable bytes.
        unsafe {
            (
                _mm256_loadu_si256(p.cast()),
                _mm256_loadu_si256(p.add(32).cast()),
            )
        }
    }
    #[inline(always)]
    fn add(self, x: __m256i, w: Self::Weights) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX-VNNI, or AVX-512VL and AVX-512 VNNI.
        let add = |sum, w| unsafe {
            if VEX {
                _mm256_dpbusd_avx_epi32(sum, x, w)
            } else {
                _mm256_dpbusd_epi32(sum, x, w)
            }
        };
        Self(add(self.0, w.0), add(self.1, w.1))
    }
    #[inline(always)]
    fn to_float(self) -> Avx2 {
        // SAFETY: bodies with this type run only on machines with AVX2.
        Avx2::from(unsafe { (_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(self.1)) })
    }
}

/// Weights as the types without dot products want them: magnitudes, and ones wherever the weight is negative.
///
/// `vpmaddubsw` wants one side unsigned. It gets the magnitudes of the weights, and activations `x` whose bits were flipped
/// where the weight is negative: that is `-x - 1`, and the missing 1 times the magnitude is a constant of the column. (Negation by
/// `vpsignb` competes for the ports of the multiplications: 69 against 90 GMAC/s on Zen 4. Products of two-byte integers by
/// `vpmaddwd` alone do not beat that.) Pairs of products stay within -2^15..=32512, so that nothing saturates.
#[derive(Clone, Copy)]
pub(super) struct Signed<T> {
    magnitude: T,
    negative: T,
}

/// AVX2 alone.
#[derive(Clone, Copy)]
pub(super) struct Avx2Bytes(__m256i, __m256i);

// SAFETY: all methods are AVX2.
unsafe impl Dot for Avx2Bytes {
    type Float = Avx2;
    type Inputs = __m256i;
    type Weights = [Signed<__m256i>; 2];
    const OFFSET: u8 = 0;
    // 8 sums, 4 registers of weights, 1 activation, the ones and 1 product of 16 registers.
    const ROWS: usize = 4;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(corrections: Corrections) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        unsafe {
            let p: *const __m256i = corrections.negatives.cast();
            Self(_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1)))
        }
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> __m256i {
        // SAFETY: the caller gives 4 readable bytes.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        // SAFETY: the caller gives 64 readable bytes.
        [p, p.wrapping_add(32)].map(|p| unsafe {
            let w = _mm256_loadu_si256(p.cast());
            Signed {
                magnitude: _mm256_abs_epi8(w),
                negative: _mm256_cmpgt_epi8(_mm256_setzero_si256(), w),
            }
        })
    }
    #[inline(always)]
    fn add(self, x: __m256i, w: Self::Weights) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX2.
        let add = |sum, w: Signed<__m256i>| unsafe {
            let pairs = _mm256_maddubs_epi16(w.magnitude, _mm256_xor_si256(x, w.negative));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        };
        Self(add(self.0, w[0]), add(self.1, w[1]))
    }
    #[inline(always)]
    fn to_float(self) -> Avx2 {
        // SAFETY: bodies with this type run only on machines with AVX2.
        Avx2::from(unsafe { (_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(self.1)) })
    }
}

/// AVX-512BW without VNNI.
#[derive(Clone, Copy)]
pub(super) struct Avx512Bytes(__m512i);

// SAFETY: all methods are AVX-512F and AVX-512BW.
unsafe impl Dot for Avx512Bytes {
    type Float = Avx512;
    type Inputs = __m512i;
    type Weights = Signed<__m512i>;
    const OFFSET: u8 = 0;
    // 16 sums, 8 registers of weights, 1 activation, the ones and 1 product of 32 registers.
    const ROWS: usize = 4;
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn start(corrections: Corrections) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        Self(unsafe { _mm512_loadu_si512(corrections.negatives.cast()) })
    }
    #[inline(always)]
    unsafe fn inputs(p: *const u8) -> __m512i {
        // SAFETY: the caller gives 4 readable bytes.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn weights(p: *const i8) -> Self::Weights {
        // SAFETY: the caller gives 64 readable bytes.
        unsafe {
            let w = _mm512_loadu_si512(p.cast());
            Signed {
                magnitude: _mm512_abs_epi8(w),
                negative: _mm512_movm_epi8(_mm512_movepi8_mask(w)),
            }
        }
    }
    #[inline(always)]
    fn add(self, x: __m512i, w: Self::Weights) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX-512BW.
        Self(unsafe {
            let pairs = _mm512_maddubs_epi16(w.magnitude, _mm512_xor_si512(x, w.negative));
            _mm512_add_epi32(self.0, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        })
    }
    #[inline(always)]
    fn to_float(self) -> Avx512 {
        // SAFETY: bodies with this type run only on machines with AVX-512F.
        Avx512::from(unsafe { _mm512_cvtepi32_ps(self.0) })
    }
}
