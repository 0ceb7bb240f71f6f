//! The plugin that every LiveKit SDK over `liblivekit_ffi` can load: a tap on received audio.
//!
//! The SDK asks for six `audio_filter_*` symbols, makes a filter for each stream and hands it every block on its way to the
//! application. Ours passes the block on as it is and lets a detector of its own hear it. What the detector says is read from
//! other threads, by the `listenkit_audio_filter_*` functions of the same library.
//!
//! The one idea: the audio side and the reading side share nothing but bounded queues and counters. The SDK's thread never waits for a reader,
//! and nobody's fault stops the audio.
//!
//! `audio_filter_create_v2` and the other `_v2` symbols are left out on purpose: an SDK that finds them gives the filter the
//! codec's rate and expects it to resample. Without them it resamples itself, and what is heard is what the application gets.

mod options;
pub mod read;
pub mod registry;
mod tap;

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use crate::handle::guard;
use crate::models::Models;
use crate::pointer::{self, Versioned};
use crate::status::Failure;

use tap::{Tap, Value};

/// The embedded weights, shared by all filters.
fn models() -> Result<&'static Models, Failure> {
    static MODELS: OnceLock<Models> = OnceLock::new();
    if let Some(models) = MODELS.get() {
        return Ok(models);
    }
    let models = Models::new(&Versioned::defaults())?;
    Ok(MODELS.get_or_init(|| models))
}

/// Called by the SDK when a room is connected, with the server's address and the token as JSON. Neither is kept.
/// Gives 0, or a `LISTENKIT_*` status if this library cannot run.
///
/// # Safety
/// None is needed: the argument is not looked at.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_on_load(_options: *const c_char) -> i32 {
    let loaded = guard(|| {
        // Reads the weights now, off the audio path.
        models()?.vad(engine::VadRate::Hz16000)?;
        Ok(())
    });
    loaded.map_or_else(|failure| failure.status, |()| 0)
}

/// Makes a filter for a stream of `sample_rate` Hz. `options` is JSON, or empty or NULL for the defaults; `stream_info` is JSON
/// that says whose stream it is. Gives NULL if the options cannot be used: the SDK then goes on without a filter, and
/// `listenkit_audio_filter_list` names a filter that says why.
///
/// # Safety
/// Both texts are NULL or end with a NUL.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_create(
    sample_rate: u32,
    options: *const c_char,
    stream_info: *const c_char,
) -> *mut c_void {
    let mut filter = std::ptr::null_mut();
    let _ = guard(|| {
        // SAFETY: the caller's promise.
        let (options, stream_info) = unsafe {
            (
                pointer::text("options", options),
                pointer::text("stream_info", stream_info),
            )
        };
        if let Some(tap) = Tap::new(sample_rate, options, stream_info) {
            filter = Box::into_raw(Box::new(tap)).cast();
        }
        Ok(())
    });
    filter
}

/// Ends a filter: what is open in its stream ends, and its events can be read until the last was taken. NULL is fine.
///
/// # Safety
/// `filter` comes from `audio_filter_create` and is not used any more.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_destroy(filter: *mut c_void) {
    if filter.is_null() {
        return;
    }
    let _ = guard(|| {
        // SAFETY: it came out of `Box::into_raw` in `audio_filter_create`, and the caller uses it no more.
        let tap = unsafe { Box::from_raw(filter.cast::<Tap>()) };
        tap.end();
        Ok(())
    });
}

/// Hears `len` values of `input`, all channels counted, and copies them to `output`. The two may be the same or overlap.
///
/// # Safety
/// `filter` is NULL or a filter that was not destroyed; `input` has `len` values and `output` room for as many, or either is NULL.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_process_int16(
    filter: *const c_void,
    len: usize,
    input: *const i16,
    output: *mut i16,
) {
    // SAFETY: the caller's promise.
    unsafe { process(filter, len, input, output) }
}

/// As `audio_filter_process_int16`, for floats of full scale 1.0. No SDK calls it today, but all of them ask for it.
///
/// # Safety
/// As for `audio_filter_process_int16`.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_process_float(
    filter: *const c_void,
    len: usize,
    input: *const f32,
    output: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe { process(filter, len, input, output) }
}

/// # Safety
/// As for `audio_filter_process_int16`.
unsafe fn process<T: Value>(filter: *const c_void, len: usize, input: *const T, output: *mut T) {
    // SAFETY: the caller's promise. A length that no buffer has, and a pointer that is NULL or misaligned, are refused.
    let Ok(block) = (unsafe { pointer::slice("input", input, len) }) else {
        return;
    };
    // SAFETY: a tap of `audio_filter_create` that was not destroyed, or NULL.
    if let Some(tap) = unsafe { filter.cast::<Tap>().as_ref() } {
        let heard = guard(|| {
            tap.hear(block);
            Ok(())
        });
        if let Err(failure) = heard {
            tap.fail_by_bug(&failure);
        }
    }
    if !output.is_null() && output.is_aligned() {
        // SAFETY: `len` values on both sides by the caller's promise, and they may overlap: `block` is used no more.
        unsafe { std::ptr::copy(input, output, len) };
    }
}

/// Tells what has become known about the stream: the room's identifier, which may come after the audio.
///
/// # Safety
/// `filter` is as for `audio_filter_process_int16`; `stream_info` is NULL or ends with a NUL.
///
/// cbindgen:ignore
#[unsafe(no_mangle)]
pub unsafe extern "C" fn audio_filter_update_stream_info(
    filter: *const c_void,
    stream_info: *const c_char,
) {
    let _ = guard(|| {
        // SAFETY: the caller's promises.
        let (tap, text) = unsafe {
            (
                filter.cast::<Tap>().as_ref(),
                pointer::text("stream_info", stream_info)?,
            )
        };
        if let (Some(tap), Some(text)) = (tap, text) {
            tap.describe(text);
        }
        Ok(())
    });
}
