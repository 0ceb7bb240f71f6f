/// An instruction set that a caller may ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KernelLevel {
    /// Plain Rust, whatever the compiler's baseline makes of it.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F.
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl KernelLevel {
    /// All levels, slowest first, whether or not this machine has them.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// Lower-case name, as printed and as accepted by [`KernelLevel::from_name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// The level of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl core::fmt::Display for KernelLevel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Proof that this machine runs a [`KernelLevel`]. Kernels take it and need no check of their own.
///
/// A level also knows whether the integer kernels may use the machine's dot products of bytes (VNNI on x86-64, `dotprod` on
/// ARM), which are separate features there. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level {
    kind: KernelLevel,
    byte_dot: bool,
}

impl Level {
    /// The fastest level of this machine.
    pub fn detect() -> Self {
        let best = KernelLevel::ALL.into_iter().rev().find_map(Self::new);
        let best = best.expect("the portable level is always there");
        Self {
            byte_dot: has_byte_dot(best.kind),
            ..best
        }
    }

    /// The level asked for, or `None` where the machine lacks its instructions.
    ///
    /// Asked for by name, AVX2 is AVX2 alone even where [`Level::detect`] would add AVX-VNNI to it.
    pub fn new(level: KernelLevel) -> Option<Self> {
        let there = match level {
            KernelLevel::Portable => true,
            #[cfg(target_arch = "x86_64")]
            KernelLevel::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            KernelLevel::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "aarch64")]
            KernelLevel::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)]
            _ => false,
        };
        there.then(|| Self {
            kind: level,
            byte_dot: level != KernelLevel::Avx2 && has_byte_dot(level),
        })
    }

    /// Every level of this machine, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        KernelLevel::ALL.into_iter().filter_map(Self::new)
    }

    /// The plain name of the level that this proves.
    pub fn kind(self) -> KernelLevel {
        self.kind
    }

    /// Whether the integer kernels use dot products of bytes.
    pub fn byte_dot(self) -> bool {
        self.byte_dot
    }

    /// The same level without dot products of bytes, to test and time what machines without them run.
    pub fn without_byte_dot(self) -> Self {
        Self {
            byte_dot: false,
            ..self
        }
    }
}

/// Whether this machine has dot products of bytes that go with the level.
fn has_byte_dot(level: KernelLevel) -> bool {
    match level {
        #[cfg(target_arch = "x86_64")]
        KernelLevel::Avx2 => is_x86_feature_detected!("avxvnni"),
        #[cfg(target_arch = "x86_64")]
        KernelLevel::Avx512 => is_x86_feature_detected!("avx512vnni"),
        #[cfg(target_arch = "aarch64")]
        KernelLevel::Neon => std::arch::is_aarch64_feature_detected!("dotprod"),
        _ => false,
    }
}

/// Writes the entry points of a kernel: one function per instruction set around a body that is generic
/// over the vector type, and the safe function that picks among them by `Level`.
///
/// The generic body is an `unsafe fn` with `#[inline(always)]`: inlined into an entry point, its intrinsics compile
/// to that entry point's instruction set.
macro_rules! dispatch {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path) => {
        $(#[$meta])*
        // Kernels take shapes and strides as plain arguments.
        #[allow(clippy::too_many_arguments)]
        #[inline]
        $vis unsafe fn $name(level: $crate::Level, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: passed on from the caller.
                unsafe { $body(core::marker::PhantomData::<$crate::simd::Avx512>, $($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: passed on from the caller.
                unsafe { $body(core::marker::PhantomData::<$crate::simd::Avx2>, $($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn neon($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: passed on from the caller.
                unsafe { $body(core::marker::PhantomData::<$crate::simd::Neon>, $($arg),*) }
            }
            // SAFETY: a `Level` exists only for instructions this machine has; what else the body asks for is
            // passed on from the caller.
            unsafe {
                match level.kind() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::KernelLevel::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::KernelLevel::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::KernelLevel::Neon => neon($($arg),*),
                    _ => $body(core::marker::PhantomData::<$crate::simd::Portable>, $($arg),*),
                }
            }
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_detect_is_the_last_available() {
        for level in KernelLevel::ALL {
            assert_eq!(KernelLevel::from_name(level.name()), Some(level));
        }
        assert_eq!(
            Level::available().last().map(Level::kind),
            Some(Level::detect().kind())
        );
        assert!(!Level::detect().without_byte_dot().byte_dot());
        assert_eq!(
            Level::available().next().map(Level::kind),
            Some(KernelLevel::Portable)
        );
    }
}
