//! What the tests of this crate share, and the tests of all functions together.

mod any_calls;
mod no_alloc;

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr::null_mut;

use crate::models::{listenkit_models, listenkit_models_new};
use crate::options::{listenkit_detector_options, listenkit_detector_options_init};
use crate::pointer::Versioned;
use crate::status::{LISTENKIT_OK, listenkit_detail};

/// The embedded models. Never freed: tests share them.
pub(crate) fn models() -> *const listenkit_models {
    let mut models = null_mut();
    // SAFETY: NULL options are the defaults, and there is room for the handle.
    let status = unsafe { listenkit_models_new(std::ptr::null(), &raw mut models, null_mut()) };
    assert_eq!(status, LISTENKIT_OK);
    models
}

/// Default options at a rate.
pub(crate) fn options(sample_rate: u32) -> listenkit_detector_options {
    let mut options = listenkit_detector_options::defaults();
    // SAFETY: room for the whole struct.
    let status = unsafe {
        listenkit_detector_options_init(&raw mut options, size_of::<listenkit_detector_options>())
    };
    assert_eq!(status, LISTENKIT_OK);
    options.sample_rate = sample_rate;
    options
}

pub(crate) const NO_DETAIL: listenkit_detail = listenkit_detail { text: [0; 256] };

/// A C text of the library.
pub(crate) fn text(text: *const c_char) -> String {
    // SAFETY: the library's texts end with a NUL and last until the next call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().expect("UTF-8").to_owned()
}

/// A fixture as it is in the file: rate, channels, values.
pub(crate) fn clip(name: &str) -> (u32, usize, Vec<i16>) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let path = fixtures.join(name).join("audio.wav");
    let mut reader = hound::WavReader::open(&path)
        .unwrap_or_else(|error| panic!("fixture {} cannot be read: {error}", path.display()));
    let spec = reader.spec();
    let pcm = reader
        .samples::<i16>()
        .map(|sample| sample.expect("whole file"))
        .collect();
    (spec.sample_rate, usize::from(spec.channels), pcm)
}

/// The same values as floats, full scale 1.0.
pub(crate) fn floats(pcm: &[i16]) -> Vec<f32> {
    pcm.iter().map(|&v| f32::from(v) / 32_768.0).collect()
}

/// A pointer off by one byte.
pub(crate) fn skewed<T>(pointer: *const T) -> *const T {
    pointer.wrapping_byte_add(1)
}

/// A mono clip at a rate the VAD hears, behind three seconds of faint noise: long enough for a state guard to begin its work.
pub(crate) fn speech(sample_rate: u32) -> Vec<i16> {
    let name = match sample_rate {
        8_000 => "speech-fr-8k",
        _ => "speech-ru-16k-stereo",
    };
    let (rate, channels, pcm) = clip(name);
    assert_eq!(rate, sample_rate);
    let noise = (0..3 * rate).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 28) as i16 - 8);
    noise.chain(pcm.into_iter().step_by(channels)).collect()
}
