//! Model sets: weights, read once and shared by every stream.

use std::ffi::c_char;
use std::sync::OnceLock;

use engine::{KernelLevel, Precision, SileroVad, SmartTurn, VadRate};

use crate::handle::{self, Opaque};
use crate::pointer::{self, Out, SizedOut, Versioned};
use crate::status::{Failure, LISTENKIT_IO, listenkit_detail, listenkit_status};

/// A set of model weights. May be used by many threads at once; what is made from it keeps the weights alive.
#[allow(non_camel_case_types)]
pub struct listenkit_models {
    _opaque: [u8; 0],
}

impl Opaque for listenkit_models {
    type Value = Models;
    const TAG: u32 = u32::from_le_bytes(*b"LKmo");
}

/// Turn model: products of 8-bit numbers, twice as fast as exact and within 0.011 of it on average.
pub const LISTENKIT_PRECISION_FAST: u32 = 0;
/// Turn model: 32-bit floats throughout.
pub const LISTENKIT_PRECISION_EXACT: u32 = 1;

/// The fastest kernels of this machine.
pub const LISTENKIT_KERNEL_BEST: u32 = 0;
/// Plain code, on every machine.
pub const LISTENKIT_KERNEL_PORTABLE: u32 = 1;
/// x86-64 with AVX2 and FMA.
pub const LISTENKIT_KERNEL_AVX2: u32 = 2;
/// x86-64 with AVX-512F.
pub const LISTENKIT_KERNEL_AVX512: u32 = 3;
/// 64-bit ARM.
pub const LISTENKIT_KERNEL_NEON: u32 = 4;

/// Where weights come from. `listenkit_models_options_init` fills it with: all embedded, fast, best kernels.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_models_options {
    /// `sizeof` this struct.
    pub struct_size: u32,
    /// `LISTENKIT_PRECISION_*` of the turn model.
    pub turn_precision: u32,
    /// `LISTENKIT_KERNEL_*`. Results differ in the last bits between levels; a replay needs the same one.
    pub kernel_level: u32,
    /// Zero.
    pub reserved: u32,
    /// A weight file (`.lkw`) of the VAD in memory, or NULL. It is copied.
    pub vad_bytes: *const u8,
    /// Bytes in it.
    pub vad_len: usize,
    /// Path of a weight file of the VAD, UTF-8, or NULL; not looked at if there are bytes. Without both: the embedded weights.
    pub vad_path: *const c_char,
    /// A weight file of Smart Turn in memory, or NULL. It is copied.
    pub turn_bytes: *const u8,
    /// Bytes in it.
    pub turn_len: usize,
    /// Path of a weight file of Smart Turn, UTF-8, or NULL; not looked at if there are bytes. Without both: the embedded weights, if
    /// this library has them.
    pub turn_path: *const c_char,
}

const _: () = assert!(
    size_of::<listenkit_models_options>() == 16 + 6 * size_of::<usize>(),
    "listenkit_models_options has padding, which would be written uninitialised"
);

// SAFETY: `repr(C)`, `struct_size` first, numbers and pointers only, and no padding: checked above.
unsafe impl Versioned for listenkit_models_options {
    const FIRST: usize = 16 + 6 * size_of::<usize>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            turn_precision: LISTENKIT_PRECISION_FAST,
            kernel_level: LISTENKIT_KERNEL_BEST,
            reserved: 0,
            vad_bytes: std::ptr::null(),
            vad_len: 0,
            vad_path: std::ptr::null(),
            turn_bytes: std::ptr::null(),
            turn_len: 0,
            turn_path: std::ptr::null(),
        }
    }
}

/// What a set holds. Embedded weights are read when they are first needed: 2 ms for a VAD rate, 20 ms for the turn model.
pub(crate) struct Models {
    level: Option<KernelLevel>,
    precision: Precision,
    vad: [OnceLock<SileroVad>; 2],
    turn: OnceLock<SmartTurn>,
}

impl Models {
    pub(crate) fn new(options: &listenkit_models_options) -> Result<Self, Failure> {
        if options.reserved != 0 {
            return Err(Failure::value("reserved", options.reserved, "0"));
        }
        let models = Self {
            level: level(options.kernel_level)?,
            precision: precision(options.turn_precision)?,
            vad: [const { OnceLock::new() }; 2],
            turn: OnceLock::new(),
        };
        // SAFETY: the caller of `listenkit_models_new` promises what its options point to.
        let vad = unsafe { weights("vad", options.vad_bytes, options.vad_len, options.vad_path)? };
        if let Some(bytes) = vad {
            let level = models.level_or_best()?;
            for (slot, rate) in models.vad.iter().zip([VadRate::Hz16000, VadRate::Hz8000]) {
                let _ = slot.set(SileroVad::from_bytes(&bytes, rate, level)?);
            }
        }
        // SAFETY: as above.
        let turn = unsafe {
            weights(
                "turn",
                options.turn_bytes,
                options.turn_len,
                options.turn_path,
            )?
        };
        if let Some(bytes) = turn {
            let model = match models.level {
                Some(level) => SmartTurn::from_bytes_at(&bytes, models.precision, level)?,
                None => SmartTurn::from_bytes(&bytes, models.precision)?,
            };
            let _ = models.turn.set(model);
        }
        // Finds a kernel level that this machine lacks before a stream does.
        models.vad(VadRate::Hz16000)?;
        Ok(models)
    }

    pub(crate) fn vad(&self, rate: VadRate) -> Result<&SileroVad, Failure> {
        let slot = match rate {
            VadRate::Hz16000 => &self.vad[0],
            VadRate::Hz8000 => &self.vad[1],
        };
        if let Some(vad) = slot.get() {
            return Ok(vad);
        }
        let vad = match self.level {
            Some(level) => SileroVad::embedded_at(rate, level)?,
            None => SileroVad::embedded(rate)?,
        };
        Ok(slot.get_or_init(|| vad))
    }

    pub(crate) fn turn(&self) -> Result<&SmartTurn, Failure> {
        if let Some(model) = self.turn.get() {
            return Ok(model);
        }
        let model = self.embedded_turn()?;
        Ok(self.turn.get_or_init(|| model))
    }

    #[cfg(feature = "smart-turn")]
    fn embedded_turn(&self) -> Result<SmartTurn, Failure> {
        Ok(match self.level {
            Some(level) => SmartTurn::embedded_at(self.precision, level)?,
            None => SmartTurn::embedded(self.precision)?,
        })
    }

    #[cfg(not(feature = "smart-turn"))]
    #[allow(clippy::unused_self)]
    fn embedded_turn(&self) -> Result<SmartTurn, Failure> {
        Err(Failure::new(
            crate::status::LISTENKIT_NO_MODEL,
            "this library was built without the Smart Turn weights: give turn_bytes or turn_path",
        ))
    }

    fn has_turn(&self) -> bool {
        cfg!(feature = "smart-turn") || self.turn.get().is_some()
    }

    fn level_or_best(&self) -> Result<KernelLevel, Failure> {
        Ok(match self.level {
            Some(level) => level,
            None => SileroVad::embedded(VadRate::Hz16000)?.kernel_level(),
        })
    }
}

fn level(given: u32) -> Result<Option<KernelLevel>, Failure> {
    Ok(match given {
        LISTENKIT_KERNEL_BEST => None,
        LISTENKIT_KERNEL_PORTABLE => Some(KernelLevel::Portable),
        LISTENKIT_KERNEL_AVX2 => Some(KernelLevel::Avx2),
        LISTENKIT_KERNEL_AVX512 => Some(KernelLevel::Avx512),
        LISTENKIT_KERNEL_NEON => Some(KernelLevel::Neon),
        other => {
            return Err(Failure::value(
                "kernel_level",
                other,
                "LISTENKIT_KERNEL_*, 0 to 4",
            ));
        }
    })
}

fn number(level: KernelLevel) -> u32 {
    match level {
        KernelLevel::Portable => LISTENKIT_KERNEL_PORTABLE,
        KernelLevel::Avx2 => LISTENKIT_KERNEL_AVX2,
        KernelLevel::Avx512 => LISTENKIT_KERNEL_AVX512,
        KernelLevel::Neon => LISTENKIT_KERNEL_NEON,
        // One that this file does not know yet.
        _ => LISTENKIT_KERNEL_BEST,
    }
}

fn precision(given: u32) -> Result<Precision, Failure> {
    match given {
        LISTENKIT_PRECISION_FAST => Ok(Precision::Fast),
        LISTENKIT_PRECISION_EXACT => Ok(Precision::Exact),
        other => {
            let choices = "LISTENKIT_PRECISION_FAST (0) or _EXACT (1)";
            Err(Failure::value("turn_precision", other, choices))
        }
    }
}

/// The bytes of a weight file, if one is given.
///
/// # Safety
/// `bytes` and `path` are NULL or what the options say.
unsafe fn weights(
    name: &str,
    bytes: *const u8,
    len: usize,
    path: *const c_char,
) -> Result<Option<Vec<u8>>, Failure> {
    if !bytes.is_null() || len != 0 {
        // SAFETY: the caller's promise.
        return Ok(Some(unsafe { pointer::slice(name, bytes, len)? }.to_vec()));
    }
    // SAFETY: the caller's promise.
    let Some(path) = (unsafe { pointer::text(name, path)? }) else {
        return Ok(None);
    };
    std::fs::read(path).map(Some).map_err(|error| {
        Failure::new(
            LISTENKIT_IO,
            format_args!("{name} weights: {error}: {path}"),
        )
    })
}

/// Fills `options` with the defaults of this library. `struct_size` is `sizeof(listenkit_models_options)`.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_options_init(
    options: *mut listenkit_models_options,
    struct_size: usize,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { SizedOut::of_size("options", options, struct_size)? };
        out.write(&Versioned::defaults());
        Ok(())
    })
}

/// A set of models. `options` may be NULL for the defaults. 2 ms with embedded weights; weights from a file are read and
/// checked here.
///
/// Fails with `LISTENKIT_MODEL` (not such weights, damaged, kernel level not on this machine), `LISTENKIT_IO`, `LISTENKIT_VALUE`.
///
/// # Safety
/// `options` is NULL or valid with all it points to; `models` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_new(
    options: *const listenkit_models_options,
    models: *mut *mut listenkit_models,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        let options = if options.is_null() {
            Versioned::defaults()
        } else {
            // SAFETY: the caller's promise.
            unsafe { pointer::read_sized("options", options)? }
        };
        Models::new(&options)
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(models, detail, build) }
}

/// Ends a model set. NULL is fine. What was made from it works on.
///
/// # Safety
/// `models` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_free(models: *mut listenkit_models) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(models) }
}

/// Whether a turn model can be made from this set: writes 1 or 0.
///
/// # Safety
/// `models` is a live handle; `has` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_has_turn_model(
    models: *const listenkit_models,
    has: *mut u32,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let has = Out::new("has", has)?;
            handle::share(models, |models| {
                has.write(u32::from(models.has_turn()));
                Ok(())
            })
        }
    })
}

/// The kernels that the VAD of this set computes with, `LISTENKIT_KERNEL_PORTABLE` or a later one: what a replay elsewhere has
/// to ask for to get the same bits.
///
/// # Safety
/// `models` is a live handle; `level` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_kernel_level(
    models: *const listenkit_models,
    level: *mut u32,
) -> listenkit_status {
    handle::call(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let out = Out::new("level", level)?;
            handle::share(models, |models| {
                out.write(number(models.vad(VadRate::Hz16000)?.kernel_level()));
                Ok(())
            })
        }
    })
}

/// Computes a known signal and compares with reference probabilities, 1 ms: whether this machine computes right.
///
/// # Safety
/// `models` is a live handle; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_models_self_test(
    models: *const listenkit_models,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let tested = handle::guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            handle::share(models, |models| {
                models.vad(VadRate::Hz16000)?.self_test()?;
                Ok(models.vad(VadRate::Hz8000)?.self_test()?)
            })
        }
    });
    // SAFETY: the caller's promise.
    unsafe { handle::explain(tested, detail) }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::status::{LISTENKIT_MODEL, LISTENKIT_NULL_POINTER, LISTENKIT_OK, LISTENKIT_VALUE};

    fn made(change: impl FnOnce(&mut listenkit_models_options)) -> Result<u32, listenkit_status> {
        let mut options = listenkit_models_options::defaults();
        change(&mut options);
        let (mut models, mut level) = (null_mut(), 77);
        // SAFETY: whole options, room for the handle and the number.
        unsafe {
            let status = listenkit_models_new(&raw const options, &raw mut models, null_mut());
            if status != LISTENKIT_OK {
                return Err(status);
            }
            let status = listenkit_models_kernel_level(models, &raw mut level);
            assert_eq!(status, LISTENKIT_OK);
            listenkit_models_free(models);
        }
        Ok(level)
    }

    #[test]
    fn a_set_computes_with_the_kernels_that_were_asked_for() {
        let best = made(|_| ()).expect("embedded weights");
        assert_ne!(best, LISTENKIT_KERNEL_BEST);
        assert_eq!(made(|options| options.kernel_level = best), Ok(best));
        for level in LISTENKIT_KERNEL_PORTABLE..=LISTENKIT_KERNEL_NEON {
            match made(|options| options.kernel_level = level) {
                Ok(found) => assert_eq!(found, level),
                Err(status) => assert_eq!(status, LISTENKIT_MODEL, "not on this machine"),
            }
        }
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        assert_eq!(made(|options| options.reserved = 1), Err(LISTENKIT_VALUE));
        assert_eq!(
            made(|options| options.vad_len = 1),
            Err(LISTENKIT_NULL_POINTER)
        );
        let mut level = 77;
        // SAFETY: NULL is refused.
        let status = unsafe { listenkit_models_kernel_level(null(), &raw mut level) };
        assert_eq!((status, level), (LISTENKIT_NULL_POINTER, 77));
    }
}
