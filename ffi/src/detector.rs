//! The detector: push audio, poll events.

pub mod audio;
pub mod inputs;
pub mod queries;
#[cfg(test)]
mod tests;

use std::ffi::c_char;

use engine::{Detector, Frame, Input, InputError, VadRate};

use crate::event::{self, listenkit_event};
use crate::handle::{self, Opaque};
use crate::models::listenkit_models;
use crate::options::{listenkit_detector_options, rate};
use crate::pointer::{self, Out, SizedOut, Versioned, read_sized};
use crate::status::{Failure, LISTENKIT_EMPTY, listenkit_detail, listenkit_status};

/// Listens to one stream of audio and says when the user starts, stops and finishes.
#[allow(non_camel_case_types)]
pub struct listenkit_detector {
    _opaque: [u8; 0],
}

pub(crate) struct Stream {
    detector: Detector,
    /// What the next block is, as `listenkit_detector_set_format` says.
    hz: u32,
    channels: usize,
    /// The same at the beginning.
    first: (u32, usize),
    #[cfg(feature = "test-hooks")]
    panics: bool,
}

impl Opaque for listenkit_detector {
    type Value = Stream;
    const TAG: u32 = u32::from_le_bytes(*b"LKde");
}

impl Stream {
    pub(crate) fn new(
        models: &crate::models::Models,
        options: &listenkit_detector_options,
    ) -> Result<Self, Failure> {
        let config = options.config()?;
        let vad = models.vad(VadRate::for_input(rate(options.sample_rate)?))?;
        Ok(Self {
            detector: Detector::new(config, vad)?,
            hz: options.sample_rate,
            channels: options.channels as usize,
            first: (options.sample_rate, options.channels as usize),
            #[cfg(feature = "test-hooks")]
            panics: false,
        })
    }

    /// Gives the values taken, over all channels.
    pub(crate) fn push(&mut self, frame: Frame<'_>) -> Result<usize, InputError> {
        #[cfg(feature = "test-hooks")]
        assert!(!self.panics, "asked for by listenkit_detector_test_panic");
        let frame = frame.at_rate(self.hz).with_channels(self.channels);
        Ok(self.detector.push(frame)? * self.channels)
    }

    pub(crate) fn poll(&mut self) -> Option<listenkit_event> {
        let output = self.detector.poll()?;
        Some(event::record(&output, self.detector.format()))
    }

    fn tell(&mut self, input: Input) -> Result<(), Failure> {
        // The outputs wait in the detector for `poll`.
        drop(self.detector.handle(input)?);
        Ok(())
    }
}

/// A detector for one stream. Allocates here, and again only at a change of format. `options` may be NULL for the defaults. The weights
/// stay alive with it; `models` may be freed.
///
/// Fails with `LISTENKIT_CONFIG` or `LISTENKIT_VALUE` if a setting cannot work; the detail names it.
///
/// # Safety
/// `models` is a live handle; `options` is NULL or valid; `detector` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_new(
    models: *const listenkit_models,
    options: *const listenkit_detector_options,
    detector: *mut *mut listenkit_detector,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        let options = if options.is_null() {
            Versioned::defaults()
        } else {
            // SAFETY: the caller's promise.
            unsafe { read_sized("options", options)? }
        };
        let mut made = None;
        // SAFETY: the caller's promise.
        unsafe {
            handle::share(models, |models| {
                made = Some(Stream::new(models, &options)?);
                Ok(())
            })?;
        }
        Ok(made.expect("it was made, or the call before has failed"))
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(detector, detail, build) }
}

/// Ends a detector. NULL is fine. Flush it first if the last events matter.
///
/// # Safety
/// `detector` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_free(detector: *mut listenkit_detector) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(detector) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `detector` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_detail(
    detector: *const listenkit_detector,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(detector) }
}

/// Hears a block of 16-bit values, interleaved: consumes samples until there is something to say, and writes to `taken` how
/// many values. Poll until `LISTENKIT_EMPTY`, then push the rest; 0 taken means poll first. How audio is cut into blocks
/// changes nothing. Blocks may have any length that is whole samples.
///
/// Fails with `LISTENKIT_INPUT` (not whole samples, or the format has no `downmix_channel`); nothing was taken then.
///
/// # Safety
/// `detector` is a live handle; `samples` holds `len` values; `taken` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_push_i16(
    detector: *mut listenkit_detector,
    samples: *const i16,
    len: usize,
    taken: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let taken = Out::new("taken", taken)?;
            let samples = pointer::slice("samples", samples, len)?;
            taken.write(stream.push(Frame::i16(samples))?);
            Ok(())
        })
    }
}

/// The same with floats, full scale 1.0; NaN and infinity are heard as 0.
///
/// # Safety
/// `detector` is a live handle; `samples` holds `len` values; `taken` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_push_f32(
    detector: *mut listenkit_detector,
    samples: *const f32,
    len: usize,
    taken: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let taken = Out::new("taken", taken)?;
            let samples = pointer::slice("samples", samples, len)?;
            taken.write(stream.push(Frame::f32(samples))?);
            Ok(())
        })
    }
}

/// The next event: `LISTENKIT_OK` and it is written, or `LISTENKIT_EMPTY` and nothing is. `event->struct_size` must be set.
///
/// # Safety
/// `detector` is a live handle; `event` has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_poll(
    detector: *mut listenkit_detector,
    event: *mut listenkit_event,
) -> listenkit_status {
    let mut empty = false;
    // SAFETY: the caller's promise.
    let status = unsafe {
        handle::enter(detector, |stream| {
            let out = SizedOut::new("event", event)?;
            match stream.poll() {
                Some(said) => out.write(&said),
                None => empty = true,
            }
            Ok(())
        })
    };
    if empty { LISTENKIT_EMPTY } else { status }
}

/// What the next block is: another rate (Hz) or number of interleaved channels. Takes effect with that block: open speech ends,
/// FORMAT_CHANGED comes out, positions go on in the new rate. Whether it is of 16-bit values or floats is said by the function that
/// pushes it.
///
/// Fails with `LISTENKIT_CONFIG` if the library does not hear such audio; the format stays what it was.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_set_format(
    detector: *mut listenkit_detector,
    sample_rate: u32,
    channels: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let samples = stream.detector.format().samples;
            let format = engine::Format::new(sample_rate, channels as usize, samples)?;
            stream.hz = format.rate.hz();
            stream.channels = usize::from(format.channels);
            Ok(())
        })
    }
}

/// Finds speech by other rules from the next window on: of `options` the thresholds, `min_speech_ms`, `min_silence_ms`,
/// `prefix_padding_ms` and `tail_padding_ms`; the rest is not looked at. Nothing is interrupted: what has been counted of speech and silence
/// goes on counting.
///
/// Fails with `LISTENKIT_CONFIG` or `LISTENKIT_VALUE` if a setting cannot work, or needs more audio than `segment_audio` has room for.
///
/// # Safety
/// `detector` is a live handle; `options` is valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_tune(
    detector: *mut listenkit_detector,
    options: *const listenkit_detector_options,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let options = read_sized("options", options)?;
            Ok(stream.detector.tune(&options.config()?)?)
        })
    }
}

/// End of input: hears what is still inside, ends open speech and the open turn. Poll until `LISTENKIT_EMPTY`. More audio may
/// follow, as a new beginning at the same position.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_flush(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            drop(stream.detector.flush());
            Ok(())
        })
    }
}

/// Ends what is open as flush does, then forgets everything. Poll until `LISTENKIT_EMPTY` before anything else: then the detector is as
/// new, at its first position and format, whatever `listenkit_detector_set_format` has said, and with the settings of
/// `listenkit_detector_tune`.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_reset(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            drop(stream.detector.reset());
            (stream.hz, stream.channels) = stream.first;
            Ok(())
        })
    }
}

/// Makes the next push on this handle hit a bug, to see what then happens. Only with the feature `test-hooks`, which no release has.
///
/// # Safety
/// `detector` is a live handle.
#[cfg(feature = "test-hooks")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_test_panic(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            stream.panics = true;
            Ok(())
        })
    }
}
