use super::F32x16;
use core::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

macro_rules! lanewise {
    ($($name:ident($($arg:ident),*) = $op:ident($($use:expr),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX-512F.
            Self(unsafe { $op(self.0, $($use),*) })
        }
    )*};
}

// SAFETY: all methods are AVX-512F.
unsafe impl F32x16 for Avx512 {
    const COLUMNS: usize = 4;
    const ROWS: usize = 6;
    const UNITS: usize = 2;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX-512F.
        Self(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives 16 readable floats.
        Self(unsafe { _mm512_loadu_ps(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller gives 16 writable floats.
        unsafe { _mm512_storeu_ps(p, self.0) }
    }
    lanewise! {
        add(o) = _mm512_add_ps(o.0);
        sub(o) = _mm512_sub_ps(o.0);
        mul(o) = _mm512_mul_ps(o.0);
        div(o) = _mm512_div_ps(o.0);
        fma(b, c) = _mm512_fmadd_ps(b.0, c.0);
        fnma(b, c) = _mm512_fnmadd_ps(b.0, c.0);
        max(o) = _mm512_max_ps(o.0);
        min(o) = _mm512_min_ps(o.0);
        sqrt() = _mm512_sqrt_ps();
    }
    #[inline(always)]
    fn scale_by_low_bits(self, n: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX-512F.
        Self(unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(n.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), exponent))
        })
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8) {
        // SAFETY: the caller gives 16 writable bytes, and the level has AVX-512F.
        unsafe { _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(self.0))) }
    }
    #[inline(always)]
    unsafe fn store_low_bytes_of_four(four: [Self; 4], p: *mut u8) {
        // SAFETY: the caller gives 64 writable bytes, and the level has AVX-512F.
        unsafe {
            let low = _mm512_set1_epi32(0xff);
            let [a, b, c, d] = four.map(|v| _mm512_castps_si512(v.0));
            let a = _mm512_and_si512(a, low);
            let b = _mm512_slli_epi32::<8>(_mm512_and_si512(b, low));
            let c = _mm512_slli_epi32::<16>(_mm512_and_si512(c, low));
            let d = _mm512_slli_epi32::<24>(d);
            let all = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
            _mm512_storeu_si512(p.cast(), all);
        }
    }
    #[inline(always)]
    unsafe fn compress(self, keep: Self, p: *mut f32) -> usize {
        // SAFETY: the caller gives 16 writable floats, and the level has AVX-512F.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(keep.0, _mm512_setzero_ps());
            // To a register first: compressing into memory is microcoded on Zen 4.
            _mm512_storeu_ps(p, _mm512_maskz_compress_ps(kept, self.0));
            kept.count_ones() as usize
        }
    }
    #[inline(always)]
    fn reverse(self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX-512F.
        Self(unsafe {
            let order = _mm512_set_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            _mm512_permutexvar_ps(order, self.0)
        })
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has AVX-512F.
        unsafe {
            let z = _mm512_setzero_ps();
            // Within each 128-bit quarter: q[4i + j] holds column j (of its quarter) of rows 4i..4i+4.
            let mut q = [z; 16];
            for i in 0..4 {
                let (a, b, c, d) = (
                    rows[4 * i].0,
                    rows[4 * i + 1].0,
                    rows[4 * i + 2].0,
                    rows[4 * i + 3].0,
                );
                let ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
                let ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
                let cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
                let cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
                q[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
                q[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
                q[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
                q[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
            }
            // Then a 4 x 4 transpose of the quarters.
            for j in 0..4 {
                let a = _mm512_shuffle_f32x4::<0b10_00_10_00>(q[j], q[4 + j]);
                let b = _mm512_shuffle_f32x4::<0b11_01_11_01>(q[j], q[4 + j]);
                let c = _mm512_shuffle_f32x4::<0b10_00_10_00>(q[8 + j], q[12 + j]);
                let d = _mm512_shuffle_f32x4::<0b11_01_11_01>(q[8 + j], q[12 + j]);
                rows[j] = Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(a, c));
                rows[4 + j] = Self(_mm512_shuffle_f32x4::<0b10_00_10_00>(b, d));
                rows[8 + j] = Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(a, c));
                rows[12 + j] = Self(_mm512_shuffle_f32x4::<0b11_01_11_01>(b, d));
            }
        }
    }
}

impl From<__m512> for Avx512 {
    #[inline(always)]
    fn from(x: __m512) -> Self {
        Self(x)
    }
}
