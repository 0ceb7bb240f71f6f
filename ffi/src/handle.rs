//! Handles: what a C caller holds instead of Rust values.
//!
//! A handle knows its type, whether somebody is inside, and whether a call has ever failed by a bug of ours. Every function goes
//! through [`Handle::enter`], so no panic crosses into C and no two threads meet inside a value.

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::pointer::Out;
use crate::status::{
    Failure, LISTENKIT_BUSY, LISTENKIT_OK, LISTENKIT_PANICKED, LISTENKIT_POISONED,
    LISTENKIT_WRONG_HANDLE, Text, listenkit_detail, listenkit_status,
};

/// An opaque C type and the Rust value behind it.
pub(crate) trait Opaque {
    /// What the handle holds.
    type Value;
    /// Marks live handles of this type; no two types have the same.
    const TAG: u32;
}

/// Marks what was freed, as long as the memory is not used again.
const FREED: u32 = 0xdead_11f7;

/// `repr(C)`: the tag lies first in every handle, so that it can be read before it is known whose handle this is.
#[repr(C)]
pub(crate) struct Handle<T> {
    tag: AtomicU32,
    busy: AtomicBool,
    poisoned: AtomicBool,
    /// What the last failed call said.
    text: UnsafeCell<Text>,
    value: UnsafeCell<T>,
}

/// Runs the body of a C function. A panic becomes a status.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // What a panic leaves half done is a handle's value, which is never used again: it is poisoned.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        let text = "a bug in listenkit: please report it with what came before this call";
        Err(Failure::new(LISTENKIT_PANICKED, text))
    })
}

/// The status of a body that belongs to no handle.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> listenkit_status {
    match guard(body) {
        Ok(()) => LISTENKIT_OK,
        Err(failure) => failure.status,
    }
}

/// Releases a handle when the call is over, however that happens.
struct Inside<'a>(&'a AtomicBool);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The live handle behind a C pointer.
///
/// # Safety
/// `handle` is NULL, or points to readable memory as large as a handle, that stays during `'a`.
unsafe fn live<'a, H: Opaque>(handle: *const H) -> Result<&'a Handle<H::Value>, listenkit_status> {
    let handle = handle.cast::<Handle<H::Value>>();
    if handle.is_null() {
        return Err(crate::status::LISTENKIT_NULL_POINTER);
    }
    if !handle.is_aligned() {
        return Err(LISTENKIT_WRONG_HANDLE);
    }
    // SAFETY: not NULL, aligned; the memory is the caller's promise. Only the tag is looked at before it is known to be ours.
    let tag = unsafe { (*handle).tag.load(Ordering::Relaxed) };
    if tag != H::TAG {
        return Err(LISTENKIT_WRONG_HANDLE);
    }
    // SAFETY: it carries the tag of its type, so `make` built it and `free` has not taken it.
    Ok(unsafe { &*handle })
}

/// Runs `body` on the value of a handle, alone. Failing leaves its text in the handle.
///
/// # Safety
/// `handle` is NULL or comes from [`make`] and has not been freed; it is not freed before this returns.
pub(crate) unsafe fn enter<H: Opaque>(
    handle: *const H,
    body: impl FnOnce(&mut H::Value) -> Result<(), Failure>,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    let handle = match unsafe { live(handle) } {
        Ok(handle) => handle,
        Err(status) => return status,
    };
    if handle.busy.swap(true, Ordering::Acquire) {
        return LISTENKIT_BUSY;
    }
    let _inside = Inside(&handle.busy);
    if handle.poisoned.load(Ordering::Relaxed) {
        return LISTENKIT_POISONED;
    }
    // SAFETY: `busy` was false and is true now, so this is the only reference until `Inside` is dropped.
    let (value, text) = unsafe { (&mut *handle.value.get(), &mut *handle.text.get()) };
    match guard(|| body(value)) {
        Ok(()) => LISTENKIT_OK,
        Err(failure) => {
            if failure.status == LISTENKIT_PANICKED {
                handle.poisoned.store(true, Ordering::Relaxed);
            }
            *text = failure.text;
            failure.status
        }
    }
}

/// Runs `body` on a value that many threads may look at together.
///
/// # Safety
/// As for [`enter`].
pub(crate) unsafe fn share<H: Opaque>(
    handle: *const H,
    body: impl FnOnce(&H::Value) -> Result<(), Failure>,
) -> Result<(), Failure>
where
    H::Value: Sync,
{
    // SAFETY: the caller's promise.
    let handle = unsafe { live(handle) }.map_err(|status| match status {
        LISTENKIT_WRONG_HANDLE => Failure::new(status, "no live handle of this type"),
        _ => Failure::null("the handle"),
    })?;
    // SAFETY: values that are shared are only ever looked at, by this function.
    body(unsafe { &*handle.value.get() })
}

/// The text of the last failed call on a handle; a text about the handle itself if it cannot be asked.
///
/// # Safety
/// As for [`enter`]; the text lasts until the next call on the handle.
pub(crate) unsafe fn detail<H: Opaque>(handle: *const H) -> *const c_char {
    // SAFETY: the caller's promise.
    match unsafe { live(handle) } {
        // SAFETY: the text is only written inside calls, and the caller is between two.
        Ok(handle) => unsafe { (*handle.text.get()).as_c_str() },
        Err(status) => crate::status::listenkit_status_str(status),
    }
}

/// Makes a handle; on failure, says why in `detail` if there is one.
///
/// # Safety
/// `handle` and `detail` are NULL or point to room for one.
pub(crate) unsafe fn make<H: Opaque>(
    handle: *mut *mut H,
    detail: *mut listenkit_detail,
    build: impl FnOnce() -> Result<H::Value, Failure>,
) -> listenkit_status {
    let made = guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new("the place for the handle", handle)? };
        let handle = Box::new(Handle {
            tag: AtomicU32::new(H::TAG),
            busy: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            text: UnsafeCell::new(Text::EMPTY),
            value: UnsafeCell::new(build()?),
        });
        out.write(Box::into_raw(handle).cast());
        Ok(())
    });
    // SAFETY: the caller's promise.
    unsafe { explain(made, detail) }
}

/// The status of a result, its text in `detail`.
///
/// # Safety
/// `detail` is NULL or points to room for one.
pub(crate) unsafe fn explain(
    result: Result<(), Failure>,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let Err(failure) = result else {
        return LISTENKIT_OK;
    };
    // Its bytes have no alignment.
    if !detail.is_null() {
        // SAFETY: not NULL, and the caller promised room.
        unsafe {
            detail.write(listenkit_detail {
                text: failure.text.to_c(),
            });
        }
    }
    failure.status
}

/// Ends a handle. NULL is fine; what is no live handle, or has another thread inside, is left alone.
///
/// # Safety
/// As for [`enter`], and nobody uses the handle afterwards.
pub(crate) unsafe fn free<H: Opaque>(handle: *mut H) {
    // SAFETY: the caller's promise.
    let Ok(found) = (unsafe { live(handle) }) else {
        return;
    };
    if found.busy.swap(true, Ordering::Acquire) {
        return;
    }
    found.tag.store(FREED, Ordering::Relaxed);
    let _ = guard(|| {
        // SAFETY: it came out of `Box::into_raw` in `make`, and the tag is gone, so this happens once.
        drop(unsafe { Box::from_raw(handle.cast::<Handle<H::Value>>()) });
        Ok(())
    });
}
