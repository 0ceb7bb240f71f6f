//! What the host knows and the audio does not say: one function for each thing.
//!
//! They are alike and written out, because cbindgen reads the source and expands no macros.

use engine::{CueSet, CueVote, Expectation, Frame, Input, SampleCount, SamplePos};

use super::listenkit_detector;
use crate::event::{
    LISTENKIT_EXPECT_DIGITS, LISTENKIT_EXPECT_EMAIL, LISTENKIT_EXPECT_FLOOR_GRANTED,
    LISTENKIT_EXPECT_FREE, LISTENKIT_EXPECT_SPELLING, LISTENKIT_EXPECT_YES_NO, LISTENKIT_UNKNOWN,
};
use crate::handle;
use crate::options;
use crate::pointer;
use crate::status::{Failure, listenkit_status};

/// Answers a TURN_QUERY: `query` is the event's number, `probability` that the user is finished, 0 to 1. One that comes too late does
/// no harm.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_answer_turn(
    detector: *mut listenkit_detector,
    query: u64,
    probability: f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let probability = options::probability("probability", probability)?;
            stream.tell(Input::TurnAnswer {
                id: query,
                probability,
            })
        })
    }
}

/// The audio model's threshold from here on, 0 to 1, where it depends on the language.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_turn_threshold(
    detector: *mut listenkit_detector,
    threshold: f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let threshold = options::probability("threshold", threshold)?;
            stream.tell(Input::TurnThreshold(threshold))
        })
    }
}

/// A text model's vote on the transcript of `turn` so far: `probability` that the user is finished, and its `threshold`. `asked_at` is
/// where the stream was when the transcript was put to the model (`listenkit_detector_position`), or `LISTENKIT_UNKNOWN`: just now.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_answer_text(
    detector: *mut listenkit_detector,
    turn: u64,
    probability: f32,
    threshold: f32,
    asked_at: u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let probability = options::probability("probability", probability)?;
            let threshold = options::probability("threshold", threshold)?;
            stream.tell(Input::TextAnswer {
                turn,
                probability,
                threshold,
                asked_at: known(asked_at),
            })
        })
    }
}

/// What the wording of the transcript of `turn` says, as `listenkit_text_cues_judge` gives it: `lean` from -1 (unfinished) to 1.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_text_cues(
    detector: *mut listenkit_detector,
    turn: u64,
    lean: f32,
    cues: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let reasons = CueSet::from_bits(cues);
            let vote = CueVote { lean, reasons };
            stream.tell(Input::TextCues { turn, vote })
        })
    }
}

/// What the dialogue expects the user to say, `LISTENKIT_EXPECT_*`, for the open turn or the next one; `digits` for
/// `LISTENKIT_EXPECT_DIGITS`, 0 to 255, 0: not known.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_expect(
    detector: *mut listenkit_detector,
    expectation: u32,
    digits: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            stream.tell(Input::Expect(self::expectation(expectation, digits)?))
        })
    }
}

/// A final transcript arrived. `speech_end` is where the speech it covers ended, or `LISTENKIT_UNKNOWN`.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_transcript(
    detector: *mut listenkit_detector,
    speech_end: u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            stream.tell(Input::Transcript {
                speech_end: known(speech_end),
            })
        })
    }
}

/// The agent began to speak.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_agent_started(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::AgentStarted)) }
}

/// The agent stopped speaking.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_agent_stopped(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::AgentStopped)) }
}

/// Whether what the agent says may be interrupted: 1 or 0. 1 again when it stops.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_agent_interruptible(
    detector: *mut listenkit_detector,
    interruptible: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let interruptible = options::flag("interruptible", interruptible)?;
            stream.tell(Input::AgentInterruptible(interruptible))
        })
    }
}

/// How many words are known of what the user says over the agent, interim or final.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_words(
    detector: *mut listenkit_detector,
    words: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::Words(words))) }
}

/// What the speech over the agent's was: 1 an interruption, 0 a backchannel such as "mhm". Only dynamic endpointing uses it.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_interruption(
    detector: *mut listenkit_detector,
    interruption: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let interruption = options::flag("interruption", interruption)?;
            stream.tell(Input::Interruption(interruption))
        })
    }
}

/// The turn is over because the caller says so.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_commit_turn(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::CommitTurn)) }
}

/// Forget the turn: no END_OF_TURN follows.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_clear_turn(
    detector: *mut listenkit_detector,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::ClearTurn)) }
}

/// The next samples are missing: muted or lost. `samples` per channel. Shorter than `min_silence_ms`, they are heard as silence; longer,
/// open speech ends here.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_gap(
    detector: *mut listenkit_detector,
    samples: u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            stream.tell(Input::Gap(SampleCount(samples)))
        })
    }
}

/// How long ago the audio that comes from here on was spoken, in samples: what packets, network and jitter buffer cost it. 0 until it is
/// said; more than a minute counts as one. The wait that ends a turn counts from when the user fell silent, so it is that much shorter here,
/// but no shorter than finding the end of speech takes (`min_silence_ms`).
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_audio_age(
    detector: *mut listenkit_detector,
    samples: u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            stream.tell(Input::AudioAge(SampleCount(samples)))
        })
    }
}

/// What the caller's own clock says, in samples of the stream's rate; only its progress counts. If frames stay away for
/// `starvation_ms` by it, that is a gap.
///
/// Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
///
/// # Safety
/// `detector` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_clock(
    detector: *mut listenkit_detector,
    at: u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(detector, |stream| stream.tell(Input::Clock(SamplePos(at)))) }
}

/// What the agent plays, when it is handed to the speaker: 16-bit values at `sample_rate` with `channels` interleaved channels. Needs
/// `overlap` and `reference_rate` in the options; without, nothing happens. Makes no events.
///
/// Fails with `LISTENKIT_INPUT` (not whole samples, format not supported).
///
/// # Safety
/// `detector` is a live handle; `samples` holds `len` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_reference_i16(
    detector: *mut listenkit_detector,
    samples: *const i16,
    len: usize,
    sample_rate: u32,
    channels: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let samples = pointer::slice("samples", samples, len)?;
            let frame = Frame::i16(samples)
                .at_rate(sample_rate)
                .with_channels(channels as usize);
            Ok(stream.detector.reference(frame)?)
        })
    }
}

/// The same with floats, full scale 1.0.
///
/// # Safety
/// `detector` is a live handle; `samples` holds `len` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_reference_f32(
    detector: *mut listenkit_detector,
    samples: *const f32,
    len: usize,
    sample_rate: u32,
    channels: u32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let samples = pointer::slice("samples", samples, len)?;
            let frame = Frame::f32(samples)
                .at_rate(sample_rate)
                .with_channels(channels as usize);
            Ok(stream.detector.reference(frame)?)
        })
    }
}

fn known(at: u64) -> Option<SamplePos> {
    (at != LISTENKIT_UNKNOWN).then_some(SamplePos(at))
}

/// What a number for an expectation means.
pub(crate) fn expectation(expectation: u32, digits: u32) -> Result<Expectation, Failure> {
    Ok(match expectation {
        LISTENKIT_EXPECT_FREE => Expectation::Free,
        LISTENKIT_EXPECT_YES_NO => Expectation::YesNo,
        LISTENKIT_EXPECT_DIGITS => Expectation::Digits {
            count: u8::try_from(digits)
                .map_err(|_| Failure::value("digits", digits, "0 (not known) to 255"))?,
        },
        LISTENKIT_EXPECT_SPELLING => Expectation::Spelling,
        LISTENKIT_EXPECT_EMAIL => Expectation::Email,
        LISTENKIT_EXPECT_FLOOR_GRANTED => Expectation::FloorGranted,
        other => {
            return Err(Failure::value(
                "expectation",
                other,
                "LISTENKIT_EXPECT_*, 0 to 5",
            ));
        }
    })
}
