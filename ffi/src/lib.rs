//! The C ABI of listenkit. What its users read is `include/listenkit.h`, which cbindgen makes from the comments here.
//!
//! Every function checks what it is given, runs behind a panic boundary, and returns a status; nothing here knows anything about
//! speech. See `docs/decisions/0008-c-abi.md`.

mod handle;
mod pointer;

// The header has its parts in this order: that of use.
pub mod status;

pub mod models;

pub mod options;

pub mod event;

pub mod detector;

pub mod turn;

pub mod vad;

pub mod vad_batch;

pub mod resampler;

pub mod segmenter;

pub mod text_cues;

#[cfg(test)]
mod testing;

// Last, as in the header.
#[cfg(feature = "audio-filter")]
pub mod audio_filter;

use std::ffi::c_char;

/// Grows when a program that was built against an older header could misbehave. Compare with `listenkit_abi_version()`.
pub const LISTENKIT_ABI_VERSION: u32 = 1;

/// Bit of `listenkit_features`: the Smart Turn weights are embedded.
pub const LISTENKIT_FEATURE_SMART_TURN: u32 = 1;
/// Bit of `listenkit_features`: the symbols of a LiveKit audio filter are exported.
pub const LISTENKIT_FEATURE_AUDIO_FILTER: u32 = 2;

/// The ABI version of the library that is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn listenkit_abi_version() -> u32 {
    LISTENKIT_ABI_VERSION
}

/// The version of the library that is loaded, "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn listenkit_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What this build of the library holds: bits `LISTENKIT_FEATURE_*`.
#[unsafe(no_mangle)]
pub extern "C" fn listenkit_features() -> u32 {
    let mut features = 0;
    if cfg!(feature = "smart-turn") {
        features |= LISTENKIT_FEATURE_SMART_TURN;
    }
    if cfg!(feature = "audio-filter") {
        features |= LISTENKIT_FEATURE_AUDIO_FILTER;
    }
    features
}
