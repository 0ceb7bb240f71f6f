//! A C caller's pointers, checked before they are followed: NULL, alignment, length, size of struct.
//!
//! What cannot be checked is whether there is memory behind them; that is the caller's promise, and every function says so.

use std::ffi::{CStr, c_char};

use crate::status::{
    Failure, LISTENKIT_BUFFER_TOO_SMALL, LISTENKIT_INPUT, LISTENKIT_MISALIGNED,
    LISTENKIT_STRUCT_SIZE, LISTENKIT_TOO_LONG, LISTENKIT_UTF8,
};

fn aligned<T>(name: &str, pointer: *const T) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::null(name));
    }
    if !pointer.is_aligned() {
        let text = format_args!(
            "{name} is at {:#x}: align it to {} bytes",
            pointer.addr(),
            align_of::<T>()
        );
        return Err(Failure::new(LISTENKIT_MISALIGNED, text));
    }
    Ok(())
}

fn sensible<T>(name: &str, pointer: *const T, len: usize) -> Result<(), Failure> {
    match len.checked_mul(size_of::<T>()) {
        // Nor does a buffer reach round the end of memory.
        Some(bytes)
            if isize::try_from(bytes).is_ok() && pointer.addr().checked_add(bytes).is_some() =>
        {
            Ok(())
        }
        _ => Err(Failure::new(
            LISTENKIT_TOO_LONG,
            format_args!("{name} has length {len}: no buffer is that long"),
        )),
    }
}

/// `len` values to read; with 0 the pointer may be NULL.
///
/// # Safety
/// If `pointer` is neither NULL nor misaligned, there are `len` values of `T` behind it, and nobody writes them during `'a`.
pub(crate) unsafe fn slice<'a, T>(
    name: &str,
    pointer: *const T,
    len: usize,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    aligned(name, pointer)?;
    sensible(name, pointer, len)?;
    // SAFETY: not NULL, aligned, a length that fits; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// `len` values to write; with 0 the pointer may be NULL.
///
/// # Safety
/// As for [`slice`], and nobody else reads or writes them during `'a`. The values must be initialised: C's buffers of numbers are
/// taken as such.
pub(crate) unsafe fn slice_mut<'a, T>(
    name: &str,
    pointer: *mut T,
    len: usize,
) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    aligned(name, pointer)?;
    sensible(name, pointer, len)?;
    // SAFETY: not NULL, aligned, a length that fits; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// Refuses a place for results that shares memory with what is read: that must not change. A length that no buffer has is left to
/// [`slice_mut`].
pub(crate) fn apart<A, B>(input: &[A], (out, capacity): (*mut B, usize)) -> Result<(), Failure> {
    if input.is_empty() || capacity == 0 || sensible("out", out, capacity).is_err() {
        return Ok(());
    }
    let read = input.as_ptr().addr()..input.as_ptr().addr() + size_of_val(input);
    let write = out.addr()..out.addr() + capacity * size_of::<B>();
    if write.start >= read.end || write.end <= read.start {
        return Ok(());
    }
    let text = "input and output overlap: give two buffers";
    Err(Failure::new(LISTENKIT_INPUT, text))
}

/// A place for one result. Checked when the call begins, written when it has succeeded.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// If `pointer` is neither NULL nor misaligned, there is room for a `T` behind it until the call returns.
    pub(crate) unsafe fn new(name: &str, pointer: *mut T) -> Result<Self, Failure> {
        aligned(name, pointer)?;
        Ok(Self(pointer))
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: `new` has checked the pointer and its caller promised room.
        unsafe { self.0.write(value) }
    }
}

/// A buffer for `values`, and how many came: nothing is written if it is too small. With a NULL buffer of capacity 0 only the
/// number is given.
///
/// # Safety
/// As for [`slice_mut`] and [`Out::new`].
pub(crate) unsafe fn fill<T: Copy>(
    buffer: (*mut T, usize),
    len: *mut usize,
    needed: usize,
    write: impl FnOnce(&mut [T]),
) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let len = unsafe { Out::new("len", len)? };
    if buffer.0.is_null() && buffer.1 == 0 {
        len.write(needed);
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let out = unsafe { slice_mut("out", buffer.0, buffer.1)? };
    if out.len() < needed {
        let text = format_args!("room for {} values, {needed} are there", out.len());
        return Err(Failure::new(LISTENKIT_BUFFER_TOO_SMALL, text));
    }
    write(&mut out[..needed]);
    len.write(needed);
    Ok(())
}

/// A text that ends with a NUL; `None` for NULL.
///
/// # Safety
/// If `text` is not NULL, a NUL follows in readable memory, and nobody writes it during `'a`.
pub(crate) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the NUL is the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    utf8(name, text.to_bytes()).map(Some)
}

/// Bytes as text.
pub(crate) fn utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let text = format_args!("{name} is not UTF-8 from byte {} on", error.valid_up_to());
        Failure::new(LISTENKIT_UTF8, text)
    })
}

/// A struct that begins with its own size, `struct_size`, so that it can grow: new fields are added at its end.
///
/// # Safety
/// `repr(C)`, its first field is `struct_size: u32`, every bit pattern is a value, and it has no padding.
pub(crate) unsafe trait Versioned: Copy {
    /// Size in the first version of the library. A number that never changes: it does not grow with the struct.
    const FIRST: usize;
    /// What a field means that the caller does not know of.
    fn defaults() -> Self;
}

/// No struct grows beyond this; a larger `struct_size` was never set.
const LARGEST: usize = 64 * 1024;

fn size_error(name: &str, given: usize, first: usize) -> Failure {
    let text = format_args!(
        "{name}.struct_size is {given}: set it to sizeof(*{name}), at least {first}, before the call"
    );
    Failure::new(LISTENKIT_STRUCT_SIZE, text)
}

fn checked_size<T: Versioned>(name: &str, given: usize) -> Result<usize, Failure> {
    if (T::FIRST..=LARGEST).contains(&given) {
        Ok(given)
    } else {
        Err(size_error(name, given, T::FIRST))
    }
}

/// Reads a struct of the caller's size. What it knows beyond this library must be zero.
///
/// # Safety
/// If `pointer` is neither NULL nor misaligned, there is a `u32` behind it and as many bytes as that says, initialised.
pub(crate) unsafe fn read_sized<T: Versioned>(name: &str, pointer: *const T) -> Result<T, Failure> {
    aligned(name, pointer)?;
    // SAFETY: aligned for `T`, whose first field this is.
    let given = unsafe { pointer.cast::<u32>().read() };
    let given = checked_size::<T>(name, given as usize)?;
    let mut value = T::defaults();
    let known = given.min(size_of::<T>());
    // SAFETY: the caller promised `given` bytes; `value` has room for `known` and takes any bits.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), known);
    }
    // SAFETY: bytes `known..given` are within what the caller promised.
    let beyond =
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), given - known) };
    if beyond.iter().any(|&byte| byte != 0) {
        let text = format_args!(
            "{name} sets something that this library, version {}, does not know",
            env!("CARGO_PKG_VERSION")
        );
        return Err(Failure::new(LISTENKIT_STRUCT_SIZE, text));
    }
    Ok(value)
}

/// A place for a struct of the caller's size.
pub(crate) struct SizedOut<T> {
    pointer: *mut T,
    size: usize,
}

impl<T: Versioned> SizedOut<T> {
    /// A struct whose `struct_size` the caller has set.
    ///
    /// # Safety
    /// If `pointer` is neither NULL nor misaligned, there is a `u32` behind it and as many writable bytes as that says, until
    /// the call returns.
    pub(crate) unsafe fn new(name: &str, pointer: *mut T) -> Result<Self, Failure> {
        aligned(name, pointer)?;
        // SAFETY: aligned for `T`, whose first field this is.
        let given = unsafe { pointer.cast::<u32>().read() };
        let size = checked_size::<T>(name, given as usize)?;
        Ok(Self { pointer, size })
    }

    /// A struct of a size given apart.
    ///
    /// # Safety
    /// If `pointer` is neither NULL nor misaligned, there are `size` writable bytes behind it until the call returns.
    pub(crate) unsafe fn of_size(
        name: &str,
        pointer: *mut T,
        size: usize,
    ) -> Result<Self, Failure> {
        aligned(name, pointer)?;
        let size = checked_size::<T>(name, size)?;
        Ok(Self { pointer, size })
    }

    /// Writes as much as the caller has room for; `struct_size` stays, what is beyond this library becomes zero.
    pub(crate) fn write(self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let head = size_of::<u32>();
        let from = std::ptr::from_ref(value).cast::<u8>();
        let to = self.pointer.cast::<u8>();
        // SAFETY: both are `known` bytes long at least, `known >= FIRST > head`, and the caller's memory is not ours. Behind
        // `known` there is room up to `size`.
        unsafe {
            to.cast::<u32>().write(self.size as u32);
            std::ptr::copy_nonoverlapping(from.add(head), to.add(head), known - head);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}
