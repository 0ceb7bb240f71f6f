//! The audio turn model, and the audio it is asked about.

use std::ffi::c_char;

use engine::{
    Probability, SamplePos, SmartTurnSession, TurnContext, TurnModel as _, TurnQuery, TurnSnapshot,
};

use crate::handle::{self, Opaque};
use crate::models::listenkit_models;
use crate::pointer::{self, Out};
use crate::status::{Failure, LISTENKIT_INPUT, listenkit_detail, listenkit_status};

/// A copy of the audio that a question is about, for the thread that runs the model. Made once, filled again and again with
/// `listenkit_detector_turn_audio`.
#[allow(non_camel_case_types)]
pub struct listenkit_turn_audio {
    _opaque: [u8; 0],
}

impl Opaque for listenkit_turn_audio {
    type Value = TurnSnapshot;
    const TAG: u32 = u32::from_le_bytes(*b"LKta");
}

/// Smart Turn: says from the sound of a turn whether the user is finished. One per thread; the weights are shared.
#[allow(non_camel_case_types)]
pub struct listenkit_turn_model {
    _opaque: [u8; 0],
}

pub(crate) struct TurnModel {
    session: SmartTurnSession,
    /// Room for audio that comes as 16-bit values: the last 8 s.
    floats: Vec<f32>,
}

impl Opaque for listenkit_turn_model {
    type Value = TurnModel;
    const TAG: u32 = u32::from_le_bytes(*b"LKtm");
}

/// Rate of the audio that the model hears, Hz.
const RATE: u32 = 16_000;

/// Room for the audio of one question: 8 s, 0.8 MB. It grows once where `turn_audio_ms` is more.
///
/// # Safety
/// `audio` has room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_audio_new(
    audio: *mut *mut listenkit_turn_audio,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::make(audio, std::ptr::null_mut(), || Ok(TurnSnapshot::new())) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `audio` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_audio_free(audio: *mut listenkit_turn_audio) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(audio) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `audio` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_audio_detail(
    audio: *const listenkit_turn_audio,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(audio) }
}

/// Copies the samples, for a model of the caller's own: mono floats at 16 kHz, full scale 1.0, the newest last. `*len` says how
/// many; with `out` NULL and `capacity` 0 that is all it does.
///
/// # Safety
/// `audio` is a live handle; `out` has room for `capacity` floats; `len` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_audio_samples(
    audio: *const listenkit_turn_audio,
    out: *mut f32,
    capacity: usize,
    len: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(audio, |snapshot| {
            let audio = snapshot.audio();
            let needed = audio.head.len() + audio.tail.len();
            pointer::fill((out, capacity), len, needed, |out| {
                let (head, tail) = out.split_at_mut(audio.head.len());
                head.copy_from_slice(audio.head);
                tail.copy_from_slice(audio.tail);
            })
        })
    }
}

/// A turn model: 20 ms for the first of a model set, room for one computation (a few MB) for each.
///
/// Fails with `LISTENKIT_NO_MODEL` if neither the library nor the set holds the weights.
///
/// # Safety
/// `models` is a live handle; `model` has room for a pointer; `detail` is NULL or has room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_new(
    models: *const listenkit_models,
    model: *mut *mut listenkit_turn_model,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        let mut made = None;
        // SAFETY: the caller's promise.
        unsafe {
            handle::share(models, |models| {
                made = Some(TurnModel {
                    session: models.turn()?.session(),
                    floats: Vec::with_capacity(engine::dsp::MEL_SAMPLES),
                });
                Ok(())
            })?;
        }
        Ok(made.expect("it was made, or the call before has failed"))
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(model, detail, build) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `model` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_free(model: *mut listenkit_turn_model) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(model) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `model` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_detail(
    model: *const listenkit_turn_model,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(model) }
}

/// Probability that the user is finished, from the audio of a question. 25 ms of one core in fast precision (Zen 4); on a thread
/// of its own.
///
/// Fails with `LISTENKIT_INPUT` if there is no audio, as when a transcript opened a turn before anything was heard: leave such a
/// question unanswered.
///
/// # Safety
/// `model` and `audio` are live handles; `probability` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_probability(
    model: *mut listenkit_turn_model,
    audio: *const listenkit_turn_audio,
    probability: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(model, |model| {
            let out = Out::new("probability", probability)?;
            handle::enter_named("audio", audio, |snapshot| {
                out.write(ask(&mut model.session, snapshot)?.value());
                Ok(())
            })
        })
    }
}

fn ask(session: &mut SmartTurnSession, snapshot: &TurnSnapshot) -> Result<Probability, Failure> {
    // Smart Turn judges by the sound alone.
    let nowhere = SamplePos(0);
    let context = TurnContext {
        query: TurnQuery {
            id: 0,
            turn: 0,
            start: nowhere,
            last_voiced: nowhere,
            decided_at: nowhere,
        },
        audio: snapshot.audio(),
        transcript: None,
        history: &[],
        language: None,
    };
    session.end_of_turn(&context)?.ok_or_else(|| {
        let text = "the turn audio is empty: fill it with listenkit_detector_turn_audio first";
        Failure::new(LISTENKIT_INPUT, text)
    })
}

/// The same from samples of the caller's own: mono floats, full scale 1.0, the turn so far with the silence at its end; the last
/// 8 s are looked at. `sample_rate` must be 16000.
///
/// # Safety
/// `model` is a live handle; `samples` holds `len` floats; `probability` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_probability_f32(
    model: *mut listenkit_turn_model,
    samples: *const f32,
    len: usize,
    sample_rate: u32,
    probability: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(model, |model| {
            let out = Out::new("probability", probability)?;
            let samples = pointer::slice("samples", samples, len)?;
            check_rate(sample_rate)?;
            out.write(model.session.probability_of_audio(samples, &[]).value());
            Ok(())
        })
    }
}

/// The same from 16-bit samples.
///
/// # Safety
/// `model` is a live handle; `samples` holds `len` values; `probability` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_turn_model_probability_i16(
    model: *mut listenkit_turn_model,
    samples: *const i16,
    len: usize,
    sample_rate: u32,
    probability: *mut f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(model, |model| {
            let out = Out::new("probability", probability)?;
            let samples = pointer::slice("samples", samples, len)?;
            check_rate(sample_rate)?;
            let last = samples.len().saturating_sub(engine::dsp::MEL_SAMPLES);
            model.floats.clear();
            let floats = samples[last..].iter().map(|&v| f32::from(v) / 32_768.0);
            model.floats.extend(floats);
            let answer = model.session.probability_of_audio(&model.floats, &[]);
            out.write(answer.value());
            Ok(())
        })
    }
}

fn check_rate(hz: u32) -> Result<(), Failure> {
    if hz == RATE {
        return Ok(());
    }
    let text = format_args!(
        "sample_rate is {hz}: the model hears {RATE} Hz; convert with listenkit_resampler, or let a detector keep the audio"
    );
    Err(Failure::new(LISTENKIT_INPUT, text))
}
