use super::F32x16;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

macro_rules! lanewise {
    ($($name:ident($($arg:ident),*) = $op:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX2 and FMA.
            unsafe { Self($op(self.0, $($arg.0),*), $op(self.1, $($arg.1),*)) }
        }
    )*};
}

// SAFETY: all methods are AVX2 and FMA.
unsafe impl F32x16 for Avx2 {
    const COLUMNS: usize = 1;
    const ROWS: usize = 6;
    const UNITS: usize = 1;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX2.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives 16 readable floats.
        unsafe { Self(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller gives 16 writable floats.
        unsafe {
            _mm256_storeu_ps(p, self.0);
            _mm256_storeu_ps(p.add(8), self.1);
        }
    }
    lanewise! {
        add(o) = _mm256_add_ps;
        sub(o) = _mm256_sub_ps;
        mul(o) = _mm256_mul_ps;
        div(o) = _mm256_div_ps;
        fma(b, c) = _mm256_fmadd_ps;
        fnma(b, c) = _mm256_fnmadd_ps;
        max(o) = _mm256_max_ps;
        min(o) = _mm256_min_ps;
        sqrt() = _mm256_sqrt_ps;
    }
    #[inline(always)]
    fn scale_by_low_bits(self, n: Self) -> Self {
        Self(scale8(self.0, n.0), scale8(self.1, n.1))
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8) {
        // SAFETY: the caller gives 16 writable bytes, and the level has AVX2.
        unsafe {
            let low = _mm256_set1_epi32(0xff);
            let a = _mm256_and_si256(_mm256_castps_si256(self.0), low);
            let b = _mm256_and_si256(_mm256_castps_si256(self.1), low);
            // Packing works within 128-bit halves: the quarters come out as a0 b0 a1 b1.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a, b));
            let (first, last) = (
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            _mm_storeu_si128(p.cast(), _mm_packus_epi16(first, last));
        }
    }
    #[inline(always)]
    unsafe fn store_low_bytes_of_four(four: [Self; 4], p: *mut u8) {
        // SAFETY: the caller gives 64 writable bytes, and the level has AVX2.
        unsafe {
            let low = _mm256_set1_epi32(0xff);
            let half = |[a, b, c, d]: [__m256i; 4]| {
                let a = _mm256_and_si256(a, low);
                let b = _mm256_slli_epi32::<8>(_mm256_and_si256(b, low));
                let c = _mm256_slli_epi32::<16>(_mm256_and_si256(c, low));
                let d = _mm256_slli_epi32::<24>(d);
                _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d))
            };
            let first = half(four.map(|v| _mm256_castps_si256(v.0)));
            let last = half(four.map(|v| _mm256_castps_si256(v.1)));
            _mm256_storeu_si256(p.cast(), first);
            _mm256_storeu_si256(p.add(32).cast(), last);
        }
    }
    #[inline(always)]
    fn reverse(self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX2.
        unsafe {
            let order = _mm256_set_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            Self(
                _mm256_permutevar8x32_ps(self.1, order),
                _mm256_permutevar8x32_ps(self.0, order),
            )
        }
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        let old = *rows;
        for half in 0..2 {
            let mut left = [old[0].0; 8];
            let mut right = left;
            for i in 0..8 {
                (left[i], right[i]) = (old[8 * half + i].0, old[8 * half + i].1);
            }
            transpose8(&mut left);
            transpose8(&mut right);
            for i in 0..8 {
                if half == 0 {
                    (rows[i].0, rows[8 + i].0) = (left[i], right[i]);
                } else {
                    (rows[i].1, rows[8 + i].1) = (left[i], right[i]);
                }
            }
        }
    }
}

#[inline(always)]
fn scale8(x: __m256, n: __m256) -> __m256 {
    // SAFETY: called from `Avx2` alone, whose bodies run only behind `dispatch!`.
    unsafe {
        let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent))
    }
}

#[inline(always)]
fn transpose8(r: &mut [__m256; 8]) {
    // SAFETY: called from `Avx2` alone, whose bodies run only behind `dispatch!`.
    unsafe {
        let z = _mm256_setzero_ps();
        // q[4i + j]: column j (of its 128-bit half) of rows 4i..4i+4.
        let mut q = [z; 8];
        for i in 0..2 {
            let (a, b, c, d) = (r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
            let ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
            let ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
            let cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
            let cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
            q[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
            q[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
            q[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
            q[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
        }
        for j in 0..4 {
            r[j] = _mm256_permute2f128_ps::<0x20>(q[j], q[4 + j]);
            r[4 + j] = _mm256_permute2f128_ps::<0x31>(q[j], q[4 + j]);
        }
    }
}

impl From<(__m256, __m256)> for Avx2 {
    #[inline(always)]
    fn from((first, last): (__m256, __m256)) -> Self {
        Self(first, last)
    }
}
