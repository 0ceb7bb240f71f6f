//! Dot products of bytes on x86-64.

use super::dot::Dot;
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
    // 24 sums, 4 weights and 1 activation of 32 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn start(correction: *const i32) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        Self(unsafe { _mm512_loadu_si512(correction.cast()) })
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

/// Two registers of eight sums as floats.
macro_rules! to_float_in_halves {
    () => {
        #[inline(always)]
        fn to_float(self) -> Avx2 {
            // SAFETY: bodies with this type run only on machines with AVX2.
            Avx2::from(unsafe { (_mm256_cvtepi32_ps(self.0), _mm256_cvtepi32_ps(self.1)) })
        }
    };
}

/// AVX-VNNI: the same at half the width.
#[derive(Clone, Copy)]
pub(super) struct AvxVnni(__m256i, __m256i);

// SAFETY: all methods are AVX2 and AVX-VNNI.
unsafe impl Dot for AvxVnni {
    type Float = Avx2;
    type Inputs = __m256i;
    type Weights = (__m256i, __m256i);
    // 12 sums, 2 weights and 1 activation of 16 registers.
    const ROWS: usize = 6;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(correction: *const i32) -> Self {
        // SAFETY: the caller gives 16 readable integers.
        unsafe {
            let p: *const __m256i = correction.cast();
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
        // SAFETY: bodies with this type run only on machines with AVX-VNNI.
        unsafe {
            Self(
                _mm256_dpbusd_avx_epi32(self.0, x, w.0),
                _mm256_dpbusd_avx_epi32(self.1, x, w.1),
            )
        }
    }
    to_float_in_halves!();
}

/// AVX2 alone: magnitudes of the weights times activations that took over the weights' signs. Pairs of products add up
/// to 2 * 128 * 127 = 32512 at most, so that `vpmaddubsw` does not saturate.
#[derive(Clone, Copy)]
pub(super) struct Avx2Signs(__m256i, __m256i);

// SAFETY: all methods are AVX2.
unsafe impl Dot for Avx2Signs {
    type Float = Avx2;
    type Inputs = __m256i;
    /// Weights and their magnitudes.
    type Weights = [(__m256i, __m256i); 2];
    // 8 sums, 4 weights and magnitudes, 1 activation, the ones and 1 product of 16 registers.
    const ROWS: usize = 4;
    const COLUMNS: usize = 1;

    #[inline(always)]
    unsafe fn start(_: *const i32) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX2.
        unsafe { Self(_mm256_setzero_si256(), _mm256_setzero_si256()) }
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
            let first = _mm256_loadu_si256(p.cast());
            let last = _mm256_loadu_si256(p.add(32).cast());
            [
                (first, _mm256_abs_epi8(first)),
                (last, _mm256_abs_epi8(last)),
            ]
        }
    }
    #[inline(always)]
    fn add(self, x: __m256i, w: Self::Weights) -> Self {
        // SAFETY: bodies with this type run only on machines with AVX2.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let add = |sum, (w, magnitude)| {
                let pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w));
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
            };
            Self(add(self.0, w[0]), add(self.1, w[1]))
        }
    }
    to_float_in_halves!();
}
