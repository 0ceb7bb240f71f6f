use super::F32x16;
use core::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(crate) struct Neon([float32x4_t; 4]);

#[inline(always)]
fn each(f: impl Fn(usize) -> float32x4_t) -> Neon {
    Neon([f(0), f(1), f(2), f(3)])
}

macro_rules! lanewise {
    ($($name:ident($($arg:ident),*) = $op:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: Self),*) -> Self {
            // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
            each(|i| unsafe { $op(self.0[i], $($arg.0[i]),*) })
        }
    )*};
}

// SAFETY: all methods are NEON.
unsafe impl F32x16 for Neon {
    const COLUMNS: usize = 1;
    const ROWS: usize = 4;
    const UNITS: usize = 1;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|_| unsafe { vdupq_n_f32(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives 16 readable floats.
        each(|i| unsafe { vld1q_f32(p.add(4 * i)) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        for i in 0..4 {
            // SAFETY: the caller gives 16 writable floats.
            unsafe { vst1q_f32(p.add(4 * i), self.0[i]) }
        }
    }
    lanewise! {
        add(o) = vaddq_f32;
        sub(o) = vsubq_f32;
        mul(o) = vmulq_f32;
        div(o) = vdivq_f32;
        sqrt() = vsqrtq_f32;
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe { vfmaq_f32(c.0[i], self.0[i], b.0[i]) })
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe { vfmsq_f32(c.0[i], self.0[i], b.0[i]) })
    }
    // A comparison and a select, since `vmaxq_f32` returns NaN where either side is NaN.
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe { vbslq_f32(vcgtq_f32(self.0[i], o.0[i]), self.0[i], o.0[i]) })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe { vbslq_f32(vcltq_f32(self.0[i], o.0[i]), self.0[i], o.0[i]) })
    }
    #[inline(always)]
    fn scale_by_low_bits(self, n: Self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(n.0[i]));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(self.0[i]), exponent))
        })
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8) {
        // SAFETY: the caller gives 16 writable bytes, and the level has NEON.
        unsafe {
            let bits = |i: usize| vmovn_u32(vreinterpretq_u32_f32(self.0[i]));
            let first = vmovn_u16(vcombine_u16(bits(0), bits(1)));
            let last = vmovn_u16(vcombine_u16(bits(2), bits(3)));
            vst1q_u8(p, vcombine_u8(first, last));
        }
    }
    #[inline(always)]
    fn reverse(self) -> Self {
        // SAFETY: bodies with this type run only behind `dispatch!`, whose level has NEON.
        each(|i| unsafe {
            let pairs = vrev64q_f32(self.0[3 - i]);
            vextq_f32::<2>(pairs, pairs)
        })
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        let old = *rows;
        for i in 0..4 {
            for j in 0..4 {
                let block = transpose4([
                    old[4 * i].0[j],
                    old[4 * i + 1].0[j],
                    old[4 * i + 2].0[j],
                    old[4 * i + 3].0[j],
                ]);
                for (k, column) in block.into_iter().enumerate() {
                    rows[4 * j + k].0[i] = column;
                }
            }
        }
    }
}

#[inline(always)]
fn transpose4(r: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: called from `Neon` alone, whose bodies run only behind `dispatch!`.
    unsafe {
        let ab_low = vreinterpretq_f64_f32(vzip1q_f32(r[0], r[1]));
        let ab_high = vreinterpretq_f64_f32(vzip2q_f32(r[0], r[1]));
        let cd_low = vreinterpretq_f64_f32(vzip1q_f32(r[2], r[3]));
        let cd_high = vreinterpretq_f64_f32(vzip2q_f32(r[2], r[3]));
        [
            vreinterpretq_f32_f64(vzip1q_f64(ab_low, cd_low)),
            vreinterpretq_f32_f64(vzip2q_f64(ab_low, cd_low)),
            vreinterpretq_f32_f64(vzip1q_f64(ab_high, cd_high)),
            vreinterpretq_f32_f64(vzip2q_f64(ab_high, cd_high)),
        ]
    }
}

impl From<[float32x4_t; 4]> for Neon {
    #[inline(always)]
    fn from(quarters: [float32x4_t; 4]) -> Self {
        Self(quarters)
    }
}
