//! Handles: what a C caller holds instead of Rust values.
//!
//! A handle knows its type, whether somebody is inside, and whether a call has ever failed by a bug of ours. Every function goes
//! through [`enter`] or [`share`], so no panic crosses into C and no two threads meet inside a value.

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
    /// What the handle holds. Callers may use it on any thread.
    type Value: Send;
    /// Marks live handles of this type; no two types have the same.
    const TAG: u32;
}

/// Marks what was freed, as long as the memory is not used again.
const FREED: u32 = 0xdead_11f7;

/// One thread is inside a handle, and no other may be.
const ALONE: u32 = u32::MAX;

/// `repr(C)`: the tag lies first in every handle, so that it can be read before it is known whose handle this is.
#[repr(C)]
pub(crate) struct Handle<T> {
    tag: AtomicU32,
    /// [`ALONE`], or how many threads share the value now.
    inside: AtomicU32,
    poisoned: AtomicBool,
    /// What the last failed call said.
    text: UnsafeCell<Text>,
    value: UnsafeCell<T>,
}

/// Runs the body of a C function. A panic becomes a status.
pub(crate) fn guard(body: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // What a panic leaves half done is a handle's value, which is never used again: it is poisoned.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let what = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (_, Some(text)) => text.as_str(),
            _ => "no message",
        };
        let text = format_args!("a bug in listenkit, please report it: {what}");
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
enum Inside<'a> {
    Alone(&'a AtomicU32),
    Shared(&'a AtomicU32),
}

impl<'a> Inside<'a> {
    /// `None` if anybody is inside.
    fn alone(inside: &'a AtomicU32) -> Option<Self> {
        inside
            .compare_exchange(0, ALONE, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Self::Alone(inside))
    }

    /// `None` if somebody is inside alone.
    fn shared(inside: &'a AtomicU32) -> Option<Self> {
        let enter = |threads: u32| threads.checked_add(1).filter(|&threads| threads != ALONE);
        inside
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, enter)
            .ok()
            .map(|_| Self::Shared(inside))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        match self {
            Self::Alone(inside) => inside.store(0, Ordering::Release),
            Self::Shared(inside) => {
                inside.fetch_sub(1, Ordering::Release);
            }
        }
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
    match unsafe { enter_named("the handle", handle, body) } {
        Ok(()) => LISTENKIT_OK,
        Err(failure) => failure.status,
    }
}

/// The same for a failure that another handle will tell: it calls this one `name`.
///
/// # Safety
/// As for [`enter`].
pub(crate) unsafe fn enter_named<H: Opaque>(
    name: &str,
    handle: *const H,
    body: impl FnOnce(&mut H::Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let outside = |status| {
        let why = crate::status::sentence(status).to_str().unwrap_or_default();
        Failure::new(status, format_args!("{name}: {why}"))
    };
    // SAFETY: the caller's promise.
    let handle = unsafe { live(handle) }.map_err(outside)?;
    let _inside = Inside::alone(&handle.inside).ok_or_else(|| outside(LISTENKIT_BUSY))?;
    if handle.poisoned.load(Ordering::Relaxed) {
        return Err(outside(LISTENKIT_POISONED));
    }
    // SAFETY: nobody was inside, and nobody comes in, until `Inside` is dropped: this is the only reference.
    let (value, text) = unsafe { (&mut *handle.value.get(), &mut *handle.text.get()) };
    guard(|| body(value)).inspect_err(|failure| {
        if failure.status == LISTENKIT_PANICKED {
            handle.poisoned.store(true, Ordering::Relaxed);
        }
        *text = failure.text;
    })
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
    let _inside = Inside::shared(&handle.inside).ok_or_else(|| {
        let text = "the handle is being freed by another thread";
        Failure::new(LISTENKIT_BUSY, text)
    })?;
    // SAFETY: values that are shared are only ever looked at, by this function, and not freed while somebody is inside.
    body(unsafe { &*handle.value.get() })
}

/// The text of the last failed call on a handle; a text about the handle itself if it cannot be asked.
///
/// # Safety
/// As for [`enter`]; the text lasts until the next call on the handle.
pub(crate) unsafe fn detail<H: Opaque>(handle: *const H) -> *const c_char {
    // SAFETY: the caller's promise.
    match unsafe { live(handle) } {
        // Somebody may be writing the text now.
        Ok(handle) if handle.inside.load(Ordering::Acquire) == ALONE => {
            crate::status::listenkit_status_str(LISTENKIT_BUSY)
        }
        // SAFETY: the text is only written inside calls, and there is none.
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
            inside: AtomicU32::new(0),
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
    let Some(inside) = Inside::alone(&found.inside) else {
        return;
    };
    // Nobody is let in again.
    std::mem::forget(inside);
    found.tag.store(FREED, Ordering::Relaxed);
    let _ = guard(|| {
        // SAFETY: it came out of `Box::into_raw` in `make`, and the tag is gone, so this happens once.
        drop(unsafe { Box::from_raw(handle.cast::<Handle<H::Value>>()) });
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::testing::text;

    #[allow(non_camel_case_types)]
    struct number {
        _opaque: [u8; 0],
    }

    impl Opaque for number {
        type Value = u32;
        const TAG: u32 = u32::from_le_bytes(*b"test");
    }

    fn made() -> *mut number {
        let mut handle = null_mut();
        // SAFETY: room for the handle.
        let status = unsafe { make(&raw mut handle, null_mut(), || Ok(7)) };
        assert_eq!(status, LISTENKIT_OK);
        handle
    }

    #[test]
    fn nobody_enters_frees_or_reads_the_text_while_somebody_is_inside() {
        let handle = made();
        // SAFETY: a live handle: it cannot be freed from inside.
        unsafe {
            let status = enter(handle, |value| {
                free(handle);
                assert_eq!(enter(handle, |_| Ok(())), LISTENKIT_BUSY);
                let shared = share(handle, |_| Ok(())).expect_err("somebody is inside");
                assert_eq!(shared.status, LISTENKIT_BUSY);
                assert_eq!(text(detail(handle)), "another thread is using this handle");
                *value += 1;
                Ok(())
            });
            assert_eq!(status, LISTENKIT_OK);
            let shared = share(handle, |value| {
                free(handle);
                assert_eq!(enter(handle, |_| Ok(())), LISTENKIT_BUSY);
                share(handle, |same| {
                    assert_eq!((*value, *same), (8, 8));
                    Ok(())
                })
            });
            assert!(shared.is_ok());
            assert_eq!(enter(handle, |_| Ok(())), LISTENKIT_OK);
            assert_eq!(text(detail(handle)), "");
            free(handle);
        }
    }

    #[test]
    fn a_panic_says_what_it_was_and_poisons_the_handle_inside_too() {
        let (outer, inner) = (made(), made());
        // SAFETY: live handles.
        unsafe {
            let status = enter(outer, |_| {
                enter_named("inner", inner, |_| panic!("{} is there", "it"))
            });
            assert_eq!(status, LISTENKIT_PANICKED);
            for handle in [outer, inner] {
                assert_eq!(enter(handle, |_| Ok(())), LISTENKIT_POISONED);
                assert!(text(detail(handle)).ends_with("please report it: it is there"));
                free(handle);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_second_handle_is_said_by_the_first() {
        let outer = made();
        let said = |inner: *mut number| {
            // SAFETY: a live handle and NULL or the same one, which is busy.
            unsafe {
                let status = enter(outer, |_| enter_named("audio", inner, |_| Ok(())));
                (status, text(detail(outer)))
            }
        };
        let null = "audio: a pointer is NULL that must not be";
        let busy = "audio: another thread is using this handle";
        assert_eq!(
            said(null_mut()),
            (crate::status::LISTENKIT_NULL_POINTER, null.to_owned())
        );
        assert_eq!(said(outer), (LISTENKIT_BUSY, busy.to_owned()));
        // SAFETY: nobody is inside.
        unsafe { free(outer) };
    }
}
