//! The audio that events speak of.

use engine::{SampleCount, Samples};

use super::{Stream, listenkit_detector};
use crate::event::{
    self, LISTENKIT_EVENT_SEGMENT_READY, LISTENKIT_EVENT_TURN_QUERY, listenkit_event,
};
use crate::handle;
use crate::pointer::{self, read_sized};
use crate::status::{Failure, LISTENKIT_OVERWRITTEN, LISTENKIT_VALUE, listenkit_status};
use crate::turn::listenkit_turn_audio;

/// Copies the samples of a SEGMENT_READY event, interleaved, at the stream's own rate: `event->audio_len` values. To be called
/// before more audio is pushed. Floats become 16-bit values, scaled by 32768, rounded and limited. With `out` NULL and `capacity`
/// 0 only `*len` is written.
///
/// Fails with `LISTENKIT_OVERWRITTEN` if the audio is gone, `LISTENKIT_VALUE` if the event is of another kind.
///
/// # Safety
/// `detector` is a live handle; `event` is one that came from it; `out` has room for `capacity` values; `len` for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_audio_i16(
    detector: *const listenkit_detector,
    event: *const listenkit_event,
    out: *mut i16,
    capacity: usize,
    len: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let (head, tail) = segment(stream, event)?;
            let needed = head.len() + tail.len();
            pointer::fill((out, capacity), len, needed, |out| {
                let (first, last) = out.split_at_mut(head.len());
                to_i16(head, first);
                to_i16(tail, last);
            })
        })
    }
}

/// The same as floats, full scale 1.0: 16-bit values are divided by 32768.
///
/// # Safety
/// As for `listenkit_detector_audio_i16`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_audio_f32(
    detector: *const listenkit_detector,
    event: *const listenkit_event,
    out: *mut f32,
    capacity: usize,
    len: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let (head, tail) = segment(stream, event)?;
            let needed = head.len() + tail.len();
            pointer::fill((out, capacity), len, needed, |out| {
                let (first, last) = out.split_at_mut(head.len());
                to_f32(head, first);
                to_f32(tail, last);
            })
        })
    }
}

/// # Safety
/// `event` is NULL or points to an event.
unsafe fn segment(
    stream: &Stream,
    event: *const listenkit_event,
) -> Result<(Samples<'_>, Samples<'_>), Failure> {
    // SAFETY: the caller's promise.
    let event = unsafe { read_sized("event", event)? };
    if event.kind != LISTENKIT_EVENT_SEGMENT_READY {
        let text = format_args!("the event is of kind {}: give a SEGMENT_READY", event.kind);
        return Err(Failure::new(LISTENKIT_VALUE, text));
    }
    let channels = u64::from(stream.detector.format().channels);
    let len = SampleCount(event.audio_len / channels);
    match stream.detector.audio_at(event.audio_at, len) {
        Some(audio) => Ok((audio.head, audio.tail)),
        None => Err(Failure::new(
            LISTENKIT_OVERWRITTEN,
            "this segment's audio is gone: copy it before more audio is pushed",
        )),
    }
}

fn to_i16(samples: Samples<'_>, out: &mut [i16]) {
    match samples {
        Samples::I16(samples) => out.copy_from_slice(samples),
        Samples::F32(samples) => {
            for (out, value) in out.iter_mut().zip(samples) {
                // `as` limits to the range of i16 and turns NaN into 0.
                *out = (value * 32_768.0).round() as i16;
            }
        }
    }
}

fn to_f32(samples: Samples<'_>, out: &mut [f32]) {
    match samples {
        Samples::F32(samples) => out.copy_from_slice(samples),
        Samples::I16(samples) => {
            for (out, &value) in out.iter_mut().zip(samples) {
                *out = f32::from(value) / 32_768.0;
            }
        }
    }
}

/// Copies what a turn model should look at for a TURN_QUERY into `audio`, for the thread that runs the model. To be called when the
/// event came out, before more audio is pushed.
///
/// # Safety
/// `detector` and `audio` are live handles; `query` is an event that came from it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_turn_audio(
    detector: *const listenkit_detector,
    query: *const listenkit_event,
    audio: *mut listenkit_turn_audio,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let query = read_sized("query", query)?;
            if query.kind != LISTENKIT_EVENT_TURN_QUERY {
                let text = format_args!("the event is of kind {}: give a TURN_QUERY", query.kind);
                return Err(Failure::new(LISTENKIT_VALUE, text));
            }
            let query = event::query(&query);
            handle::enter_named("audio", audio, |snapshot| {
                stream.detector.turn_audio(&query).copy_to(snapshot);
                Ok(())
            })
        })
    }
}
