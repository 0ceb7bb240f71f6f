//! The VAD of one stream: windows of samples in, probabilities out.

use std::ffi::c_char;

use engine::{SileroVad, StateGuard, VadRate, VadState};

use crate::handle::{self, Handle, Opaque};
use crate::models::listenkit_models;
use crate::options::flag;
use crate::pointer::{self, Out};
use crate::status::{
    Failure, LISTENKIT_CONFIG, LISTENKIT_INPUT, listenkit_detail, listenkit_status,
};

/// Samples of the longest window: 32 ms at 16 kHz.
const MAX_WINDOW: usize = 512;

/// Silero VAD for one stream: the probability of speech, window by window. Positions, starts, ends and turns are the detector's, or
/// a segmenter's.
#[allow(non_camel_case_types)]
pub struct listenkit_vad {
    _opaque: [u8; 0],
}

pub(crate) struct Vad {
    model: SileroVad,
    state: VadState,
    guard: Option<StateGuard>,
}

impl Opaque for listenkit_vad {
    type Value = Vad;
    const TAG: u32 = u32::from_le_bytes(*b"LKva");
}

impl Vad {
    fn window_len(&self) -> usize {
        self.model.rate().window_len()
    }

    fn probability(&mut self, window: &[f32]) -> f32 {
        let probability = self.model.probability(&mut self.state, window);
        if let Some(guard) = &mut self.guard {
            guard.observe(probability, &mut self.state);
        }
        probability
    }

    fn probability_i16(&mut self, window: &[i16]) -> f32 {
        let mut floats = [0.0; MAX_WINDOW];
        let floats = &mut floats[..window.len()];
        widen(window, floats);
        self.probability(floats)
    }
}

/// 16-bit values as floats, full scale 1.0.
pub(crate) fn widen(from: &[i16], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f32::from(from) / 32_768.0;
    }
}

/// The model of a set for streams at `sample_rate`.
///
/// # Safety
/// `models` is NULL or a live handle.
pub(crate) unsafe fn model(
    models: *const listenkit_models,
    sample_rate: u32,
) -> Result<SileroVad, Failure> {
    let rate = match sample_rate {
        8_000 => VadRate::Hz8000,
        16_000 => VadRate::Hz16000,
        other => {
            let text = format_args!(
                "sample_rate is {other}: the model hears 8000 or 16000 Hz; convert with listenkit_resampler, or use a detector"
            );
            return Err(Failure::new(LISTENKIT_CONFIG, text));
        }
    };
    let mut model = None;
    // SAFETY: the caller's promise.
    unsafe {
        handle::share(models, |models| {
            model = Some(models.vad(rate)?.clone());
            Ok(())
        })?;
    }
    Ok(model.expect("it was cloned, or the call before has failed"))
}

/// A stream that has heard nothing.
///
/// `sample_rate` is 8000 or 16000 Hz, anything else fails with `LISTENKIT_CONFIG`. `state_guard` is 1 to keep the model from
/// going deaf in long noise or music, as detectors do, or 0 for the probabilities of the plain model.
///
/// # Safety
/// `models` is a live handle; `vad` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_new(
    models: *const listenkit_models,
    sample_rate: u32,
    state_guard: u32,
    vad: *mut *mut listenkit_vad,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        Ok(Vad {
            // SAFETY: the caller's promise.
            model: unsafe { model(models, sample_rate)? },
            state: VadState::new(),
            guard: flag("state_guard", state_guard)?.then(StateGuard::new),
        })
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(vad, detail, build) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `vad` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_free(vad: *mut listenkit_vad) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(vad) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `vad` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_detail(vad: *const listenkit_vad) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(vad) }
}

/// Samples in a window: 512 at 16 kHz, 256 at 8 kHz, both 32 ms.
///
/// # Safety
/// `vad` is a live handle; `samples` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_window_len(
    vad: *const listenkit_vad,
    samples: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(vad, |vad| {
            Out::new("samples", samples)?.write(vad.window_len());
            Ok(())
        })
    }
}

/// Probability, 0 to 1, that the next window of the stream holds speech. Mono; `len` must be the length of a window. Windows lie back to
/// back: what was missed should be given as zeros, or the stream reset. Takes ten microseconds or so and allocates nothing.
///
/// # Safety
/// `vad` is a live handle; `window` holds `len` values; `probability` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_probability_i16(
    vad: *mut listenkit_vad,
    window: *const i16,
    len: usize,
    probability: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(vad, |vad| {
            let out = Out::new("probability", probability)?;
            let window = pointer::slice("window", window, len)?;
            check_len(len, vad.window_len())?;
            out.write(vad.probability_i16(window));
            Ok(())
        })
    }
}

/// The same from floats, full scale 1.0. NaN counts as 0; what is far outside is limited.
///
/// # Safety
/// `vad` is a live handle; `window` holds `len` floats; `probability` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_probability_f32(
    vad: *mut listenkit_vad,
    window: *const f32,
    len: usize,
    probability: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(vad, |vad| {
            let out = Out::new("probability", probability)?;
            let window = pointer::slice("window", window, len)?;
            check_len(len, vad.window_len())?;
            out.write(vad.probability(window));
            Ok(())
        })
    }
}

fn check_len(len: usize, window: usize) -> Result<(), Failure> {
    if len == window {
        return Ok(());
    }
    let text = format_args!("the window has {len} samples: give exactly {window}");
    Err(Failure::new(LISTENKIT_INPUT, text))
}

/// Forgets everything that was heard: equal to a new stream.
///
/// # Safety
/// `vad` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_reset(vad: *mut listenkit_vad) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(vad, |vad| {
            vad.state.reset();
            vad.guard.iter_mut().for_each(StateGuard::reset);
            Ok(())
        })
    }
}

/// Bytes that the handle takes, all in all. The weights are shared and not counted.
///
/// # Safety
/// `vad` is a live handle; `bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_vad_state_bytes(
    vad: *const listenkit_vad,
    bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(vad, |_| {
            Out::new("bytes", bytes)?.write(size_of::<Handle<Vad>>());
            Ok(())
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::status::{
        LISTENKIT_MISALIGNED, LISTENKIT_NULL_POINTER, LISTENKIT_OK, LISTENKIT_TOO_LONG,
        LISTENKIT_VALUE, LISTENKIT_WRONG_HANDLE,
    };
    use crate::testing::{NO_DETAIL, floats, models, skewed, speech, text};

    /// A stream that is freed at the end of a test.
    struct Stream(*mut listenkit_vad);

    impl Stream {
        fn new(sample_rate: u32, state_guard: u32) -> Self {
            let mut vad = null_mut();
            // SAFETY: live models, room for the handle.
            let status = unsafe {
                listenkit_vad_new(models(), sample_rate, state_guard, &raw mut vad, null_mut())
            };
            assert_eq!(status, LISTENKIT_OK);
            Self(vad)
        }

        fn window_len(&self) -> usize {
            let mut samples = 0;
            // SAFETY: a live handle and room for the number.
            let status = unsafe { listenkit_vad_window_len(self.0, &raw mut samples) };
            assert_eq!(status, LISTENKIT_OK);
            samples
        }

        fn hear(&self, window: &[i16]) -> f32 {
            let mut p = f32::NAN;
            // SAFETY: a live handle, a slice, room for the number.
            let status = unsafe {
                listenkit_vad_probability_i16(self.0, window.as_ptr(), window.len(), &raw mut p)
            };
            assert_eq!(status, LISTENKIT_OK);
            p
        }

        fn hear_floats(&self, window: &[f32]) -> f32 {
            let mut p = f32::NAN;
            // SAFETY: as above.
            let status = unsafe {
                listenkit_vad_probability_f32(self.0, window.as_ptr(), window.len(), &raw mut p)
            };
            assert_eq!(status, LISTENKIT_OK);
            p
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            // SAFETY: a live handle that nothing uses any more.
            unsafe { listenkit_vad_free(self.0) };
        }
    }

    /// What the core's parts say, wired up by hand: the reference of this file and of the batch.
    pub(crate) fn reference(sample_rate: u32, guarded: bool, pcm: &[i16]) -> Vec<f32> {
        let rate = match sample_rate {
            8_000 => VadRate::Hz8000,
            _ => VadRate::Hz16000,
        };
        let vad = SileroVad::embedded(rate).expect("the embedded weights load");
        let (mut state, mut guard) = (VadState::new(), StateGuard::new());
        floats(pcm)
            .chunks_exact(rate.window_len())
            .map(|window| {
                let p = vad.probability(&mut state, window);
                if guarded {
                    guard.observe(p, &mut state);
                }
                p
            })
            .collect()
    }

    #[test]
    fn probabilities_are_those_of_the_core_from_either_kind_of_sample() {
        for (sample_rate, window) in [(8_000, 256), (16_000, 512)] {
            let pcm = speech(sample_rate);
            let plain = reference(sample_rate, false, &pcm);
            let guarded = reference(sample_rate, true, &pcm);
            assert!(plain.iter().any(|&p| p > 0.9), "there is speech");
            assert_ne!(plain, guarded, "the guard has something to do");
            for (state_guard, expected) in [(0, &plain), (1, &guarded)] {
                let stream = Stream::new(sample_rate, state_guard);
                assert_eq!(stream.window_len(), window);
                let heard: Vec<f32> = pcm.chunks_exact(window).map(|w| stream.hear(w)).collect();
                assert_eq!(&heard, expected, "{sample_rate} Hz");
                // SAFETY: a live handle.
                assert_eq!(unsafe { listenkit_vad_reset(stream.0) }, LISTENKIT_OK);
                let again = floats(&pcm);
                let again = again.chunks_exact(window).map(|w| stream.hear_floats(w));
                assert_eq!(
                    &again.collect::<Vec<f32>>(),
                    expected,
                    "a reset stream is new"
                );
            }
        }
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let (stream, calm) = (Stream::new(16_000, 1), Stream::new(16_000, 1));
        let pcm = speech(16_000);
        let pcm = &pcm[pcm.len() - 40 * 512..];
        let as_floats = floats(pcm);
        let mut p = 7.0;
        let out = &raw mut p;
        let (values, floats, vad) = (pcm.as_ptr(), as_floats.as_ptr(), stream.0);
        for (n, window) in pcm.chunks_exact(512).enumerate() {
            // SAFETY: what is wrong here is refused before it is followed.
            let (refused, expected): (Vec<listenkit_status>, Vec<listenkit_status>) = unsafe {
                [
                    (
                        listenkit_vad_probability_i16(null_mut(), values, 512, out),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_f32(null_mut(), floats, 512, out),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, null(), 512, out),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, null(), 512, out),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, values, 512, null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, floats, 512, null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, null(), 0, out),
                        LISTENKIT_INPUT,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, values, 511, out),
                        LISTENKIT_INPUT,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, floats, 513, out),
                        LISTENKIT_INPUT,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, floats, 256, out),
                        LISTENKIT_INPUT,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, values, usize::MAX, out),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, floats, usize::MAX / 4, out),
                        LISTENKIT_TOO_LONG,
                    ),
                    (
                        listenkit_vad_probability_i16(vad, skewed(values), 512, out),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, skewed(floats), 512, out),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        listenkit_vad_probability_f32(vad, floats, 512, skewed(out).cast_mut()),
                        LISTENKIT_MISALIGNED,
                    ),
                    (
                        listenkit_vad_window_len(vad, null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_window_len(null(), null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_state_bytes(vad, null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (
                        listenkit_vad_state_bytes(null(), null_mut()),
                        LISTENKIT_NULL_POINTER,
                    ),
                    (listenkit_vad_reset(null_mut()), LISTENKIT_NULL_POINTER),
                ]
                .into_iter()
                .unzip()
            };
            assert_eq!(refused, expected);
            // SAFETY: a place of this function.
            assert_eq!(unsafe { *out }, 7.0);
            assert_eq!(stream.hear(window), calm.hear(window), "window {n}");
        }
        // SAFETY: a live handle; the text is read before the next call.
        let detail = text(unsafe {
            listenkit_vad_probability_i16(vad, values, 511, out);
            listenkit_vad_detail(vad)
        });
        assert_eq!(detail, "the window has 511 samples: give exactly 512");
    }

    #[test]
    fn a_stream_is_made_from_sensible_settings_only() {
        let models = models();
        let place = std::ptr::without_provenance_mut(64);
        let mut vad = place;
        let mut detail = NO_DETAIL;
        let (out, why) = (&raw mut vad, &raw mut detail);
        // SAFETY: what is wrong here is refused before it is followed.
        let refused = unsafe {
            [
                listenkit_vad_new(models, 44_100, 1, out, why),
                listenkit_vad_new(models, 16_000, 2, out, null_mut()),
                listenkit_vad_new(null(), 16_000, 1, out, null_mut()),
                listenkit_vad_new(models, 16_000, 1, null_mut(), null_mut()),
            ]
        };
        let null = LISTENKIT_NULL_POINTER;
        assert_eq!(refused, [LISTENKIT_CONFIG, LISTENKIT_VALUE, null, null]);
        // SAFETY: a place of this function.
        assert_eq!(unsafe { *out }, place, "no handle, nothing written");
        assert!(text(detail.text.as_ptr()).contains("44100"));
        // SAFETY: NULL is fine.
        unsafe { listenkit_vad_free(null_mut()) };
    }

    #[test]
    fn a_handle_of_another_type_is_refused() {
        let stream = Stream::new(16_000, 1);
        // SAFETY: a live handle, though of another type, which is what is tested.
        let status = unsafe { crate::vad_batch::listenkit_vad_batch_reset(stream.0.cast(), 0) };
        assert_eq!(status, LISTENKIT_WRONG_HANDLE);
    }

    /// 2 KB a stream would be more than the LSTM's state and context with what a handle needs.
    #[test]
    fn a_stream_takes_what_it_says() {
        let stream = Stream::new(8_000, 1);
        let mut bytes = 0;
        // SAFETY: a live handle and room for the number.
        let status = unsafe { listenkit_vad_state_bytes(stream.0, &raw mut bytes) };
        assert_eq!(status, LISTENKIT_OK);
        assert!((1_280..2_048).contains(&bytes), "{bytes}");
    }
}
