use super::F32x16;

/// The scalar twin of every vector type: plain loops over an array.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Portable([f32; 16]);

#[inline(always)]
fn zip(a: Portable, b: Portable, f: impl Fn(f32, f32) -> f32) -> Portable {
    Portable(core::array::from_fn(|i| f(a.0[i], b.0[i])))
}

/// Rounds once where the compiler's baseline has the instruction (else it would be a slow library call).
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

// SAFETY: uses no instruction outside the compiler's baseline.
unsafe impl F32x16 for Portable {
    const COLUMNS: usize = 1;
    const ROWS: usize = 2;
    const UNITS: usize = 1;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 16])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller gives 16 readable floats.
        Self(unsafe { p.cast::<[f32; 16]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller gives 16 writable floats.
        unsafe { p.cast::<[f32; 16]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        zip(self, o, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        zip(self, o, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        zip(self, o, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        zip(self, o, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(core::array::from_fn(|i| fused(self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        Self(core::array::from_fn(|i| fused(-self.0[i], b.0[i], c.0[i])))
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        zip(self, o, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        zip(self, o, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f32::sqrt))
    }
    #[inline(always)]
    fn scale_by_low_bits(self, n: Self) -> Self {
        zip(self, n, |a, n| {
            f32::from_bits(a.to_bits().wrapping_add(n.to_bits() << 23))
        })
    }
    #[inline(always)]
    unsafe fn store_low_bytes(self, p: *mut u8) {
        // SAFETY: the caller gives 16 writable bytes.
        unsafe {
            p.cast::<[u8; 16]>()
                .write(self.0.map(|x| x.to_bits() as u8))
        }
    }
    #[inline(always)]
    fn reverse(self) -> Self {
        Self(core::array::from_fn(|i| self.0[15 - i]))
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        let old = *rows;
        for (i, row) in rows.iter_mut().enumerate() {
            *row = Self(core::array::from_fn(|j| old[j].0[i]));
        }
    }
}
