//! Sixteen floats, on every instruction set the same operations.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// Sixteen `f32` lanes.
///
/// # Safety
/// Every method, marked or not, may use the instructions of its level: call them only from bodies entered through
/// `dispatch!`, whose `Level` proves that the machine has them. Methods without a pointer are plain
/// functions all the same, since a body made of `unsafe` blocks would say less, not more.
pub(crate) unsafe trait F32x16: Copy {
    /// Columns of a panel that one pass of the dense kernels covers, in vectors, when many rows share the weights.
    const COLUMNS: usize;
    /// Rows of such a pass.
    const ROWS: usize;
    /// Vectors per gate that an LSTM step for one stream keeps in registers.
    const UNITS: usize;

    fn splat(x: f32) -> Self;
    /// # Safety
    /// `p` is readable for 16 floats.
    unsafe fn load(p: *const f32) -> Self;
    /// # Safety
    /// `p` is writable for 16 floats.
    unsafe fn store(self, p: *mut f32);
    fn add(self, o: Self) -> Self;
    fn sub(self, o: Self) -> Self;
    fn mul(self, o: Self) -> Self;
    fn div(self, o: Self) -> Self;
    /// `self * b + c`, rounded once wherever the level has an instruction for it.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `c - self * b`, rounded once wherever the level has an instruction for it.
    fn fnma(self, b: Self, c: Self) -> Self;
    /// Larger of the two; `o` where `self` is NaN.
    fn max(self, o: Self) -> Self;
    /// Smaller of the two; `o` where `self` is NaN.
    fn min(self, o: Self) -> Self;
    fn sqrt(self) -> Self;
    /// `self * 2^n` for the integer in the low mantissa bits of `n` (a float that had 1.5 * 2^23 added to it).
    fn scale_by_low_bits(self, n: Self) -> Self;
    /// Writes the lowest byte of each lane's bits: after 1.5 * 2^23 was added to a small integer, that integer's.
    ///
    /// # Safety
    /// `p` is writable for 16 bytes.
    unsafe fn store_low_bytes(self, p: *mut u8);
    /// Writes the lowest bytes of four vectors, those of one lane together.
    ///
    /// # Safety
    /// `p` is writable for 64 bytes.
    #[inline(always)]
    unsafe fn store_low_bytes_of_four(four: [Self; 4], p: *mut u8) {
        let mut bytes = [[0u8; 16]; 4];
        // SAFETY: sixteen bytes each; `p` is the caller's.
        unsafe {
            for (v, bytes) in four.into_iter().zip(&mut bytes) {
                v.store_low_bytes(bytes.as_mut_ptr());
            }
            let [a, b, c, d] = bytes;
            for i in 0..16 {
                p.cast::<[u8; 4]>().add(i).write([a[i], b[i], c[i], d[i]]);
            }
        }
    }
    /// Writes the lanes whose `keep` is not zero one after another, and returns how many they are. What follows them in the
    /// sixteen floats may be overwritten.
    ///
    /// # Safety
    /// `p` is writable for 16 floats.
    #[inline(always)]
    unsafe fn compress(self, keep: Self, p: *mut f32) -> usize {
        let (mut lanes, mut kept) = ([0.0f32; 16], [0.0f32; 16]);
        let mut count = 0;
        // SAFETY: both arrays hold sixteen floats, and `count` is at most 15 when it is written to.
        unsafe {
            self.store(lanes.as_mut_ptr());
            keep.store(kept.as_mut_ptr());
            for i in 0..16 {
                // Without a branch: zeros come at random. Copied as bits: lanes may be indices.
                *p.add(count).cast::<u32>() = lanes[i].to_bits();
                count += usize::from(kept[i] != 0.0);
            }
        }
        count
    }
    /// The lanes in reverse order.
    fn reverse(self) -> Self;
    /// Rows become columns.
    fn transpose(rows: &mut [Self; 16]);
}
