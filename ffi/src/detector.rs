//! The detector: push audio, poll events.

use std::ffi::c_char;

use engine::{
    CueSet, CueVote, Detector, Expectation, Frame, Input, InputError, SampleCount, SamplePos,
    Samples, VadRate,
};

use crate::event::{
    self, LISTENKIT_EVENT_SEGMENT_READY, LISTENKIT_EVENT_TURN_QUERY, LISTENKIT_EXPECT_DIGITS,
    LISTENKIT_EXPECT_EMAIL, LISTENKIT_EXPECT_FLOOR_GRANTED, LISTENKIT_EXPECT_FREE,
    LISTENKIT_EXPECT_SPELLING, LISTENKIT_EXPECT_YES_NO, LISTENKIT_UNKNOWN, listenkit_event,
};
use crate::handle::{self, Opaque};
use crate::models::listenkit_models;
use crate::options::{self, listenkit_detector_options, rate};
use crate::pointer::{self, Out, SizedOut, Versioned, read_sized};
use crate::status::{
    Failure, LISTENKIT_EMPTY, LISTENKIT_OVERWRITTEN, LISTENKIT_VALUE, listenkit_detail,
    listenkit_status,
};
use crate::turn::listenkit_turn_audio;

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
/// Fails with `LISTENKIT_INPUT` (not whole samples); nothing was taken then.
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
/// FORMAT_CHANGED comes out, positions go on in the new rate.
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

/// Ends what is open as flush does, then forgets everything: when its events are polled, the detector is as new, at its first
/// position and format.
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
            Ok(())
        })
    }
}

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
            let status = handle::enter(audio, |snapshot| {
                stream.detector.turn_audio(&query).copy_to(snapshot);
                Ok(())
            });
            if status < 0 {
                return Err(Failure::new(
                    status,
                    "the turn audio: give a live handle that no other thread uses",
                ));
            }
            Ok(())
        })
    }
}

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
            stream.tell(Input::AgentInterruptible(interruptible != 0))
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
            stream.tell(Input::Interruption(interruption != 0))
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

/// Where the stream is: samples so far, gaps included.
///
/// # Safety
/// `detector` is a live handle; `position` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_position(
    detector: *const listenkit_detector,
    position: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("position", position)?.write(stream.detector.position().0);
            Ok(())
        })
    }
}

/// A 64-bit digest of every probability and every event so far. Equal inputs give equal digests on the same kernel level, in
/// C, Rust and Python alike.
///
/// # Safety
/// `detector` is a live handle; `fingerprint` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_fingerprint(
    detector: *const listenkit_detector,
    fingerprint: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("fingerprint", fingerprint)?.write(stream.detector.fingerprint());
            Ok(())
        })
    }
}

/// Bytes of this stream's state, without the weights, which are shared, and retained audio.
///
/// # Safety
/// `detector` is a live handle; `state_bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_state_bytes(
    detector: *const listenkit_detector,
    state_bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("state_bytes", state_bytes)?.write(stream.detector.state_bytes());
            Ok(())
        })
    }
}

/// Bytes of audio this stream may keep, for segments and turn models.
///
/// # Safety
/// `detector` is a live handle; `retained_bytes` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_retained_bytes(
    detector: *const listenkit_detector,
    retained_bytes: *mut usize,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("retained_bytes", retained_bytes)?.write(stream.detector.retained_bytes());
            Ok(())
        })
    }
}

/// Samples of input beyond the end of a window that are needed to score it, at most: the delay of the resampler. 0 where the stream has
/// the VAD's rate.
///
/// # Safety
/// `detector` is a live handle; `delay` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_delay(
    detector: *const listenkit_detector,
    delay: *mut u64,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            Out::new("delay", delay)?.write(stream.detector.delay().0);
            Ok(())
        })
    }
}

/// The turn that is open: `LISTENKIT_OK` and its number is written, or `LISTENKIT_EMPTY`.
///
/// # Safety
/// `detector` is a live handle; `turn` has room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_open_turn(
    detector: *const listenkit_detector,
    turn: *mut u64,
) -> listenkit_status {
    let mut none = false;
    // SAFETY: the caller's promise.
    let status = unsafe {
        handle::enter(detector, |stream| {
            let out = Out::new("turn", turn)?;
            match stream.detector.open_turn() {
                Some(turn) => out.write(turn),
                None => none = true,
            }
            Ok(())
        })
    };
    if none { LISTENKIT_EMPTY } else { status }
}

/// Counters since the detector was made or reset.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct listenkit_stats {
    /// `sizeof` this struct, set before the call.
    pub struct_size: u32,
    /// Probability of the last window.
    pub last_probability: f32,
    /// Position that the last event needed.
    pub last_event_at: u64,
    /// Samples pushed, per channel, gaps not included.
    pub samples_in: u64,
    /// Model windows run.
    pub windows: u64,
    /// Speech segments started.
    pub segments: u64,
    /// Turns ended.
    pub turns: u64,
    /// Gaps, concealed or not.
    pub gaps: u64,
    /// Changes of format.
    pub format_changes: u64,
    /// Values that were NaN or infinite and were heard as 0.
    pub non_finite_values: u64,
    /// Values far beyond full scale that were limited.
    pub limited_values: u64,
    /// Answers to turn queries that came too late or were never asked for.
    pub stale_answers: u64,
    /// Votes on the text that were ignored.
    pub stale_votes: u64,
    /// Turns forgotten by `listenkit_detector_clear_turn`.
    pub cleared_turns: u64,
    /// Transcripts that came late for such a turn.
    pub dropped_transcripts: u64,
    /// Speech over the agent's that was an interruption.
    pub overlap_claims: u64,
    /// Speech over the agent's that was not.
    pub overlap_briefs: u64,
    /// Interruptions without words.
    pub false_interruptions: u64,
    /// Samples of the agent's playback that were too far ahead to be kept.
    pub reference_dropped: u64,
    /// Events that were lost because nobody polled them.
    pub outputs_dropped: u64,
}

// SAFETY: `repr(C)`, `struct_size` first, numbers only: two halves of a word and then words, so no padding.
unsafe impl Versioned for listenkit_stats {
    const FIRST: usize = size_of::<Self>();

    fn defaults() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            last_probability: 0.0,
            last_event_at: 0,
            samples_in: 0,
            windows: 0,
            segments: 0,
            turns: 0,
            gaps: 0,
            format_changes: 0,
            non_finite_values: 0,
            limited_values: 0,
            stale_answers: 0,
            stale_votes: 0,
            cleared_turns: 0,
            dropped_transcripts: 0,
            overlap_claims: 0,
            overlap_briefs: 0,
            false_interruptions: 0,
            reference_dropped: 0,
            outputs_dropped: 0,
        }
    }
}

/// Counters since the detector was made or reset. `stats->struct_size` must be set.
///
/// # Safety
/// `detector` is a live handle; `stats` has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_detector_stats(
    detector: *const listenkit_detector,
    stats: *mut listenkit_stats,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(detector, |stream| {
            let out = SizedOut::new("stats", stats)?;
            let stats = stream.detector.stats();
            out.write(&listenkit_stats {
                struct_size: 0,
                last_probability: stats.last_probability.value(),
                last_event_at: stats.last_event_at.0,
                samples_in: stats.samples_in,
                windows: stats.windows,
                segments: stats.segments,
                turns: stats.turns,
                gaps: stats.gaps,
                format_changes: stats.format_changes,
                non_finite_values: stats.non_finite_values,
                limited_values: stats.limited_values,
                stale_answers: stats.stale_answers,
                stale_votes: stats.stale_votes,
                cleared_turns: stats.cleared_turns,
                dropped_transcripts: stats.dropped_transcripts,
                overlap_claims: stats.overlap_claims,
                overlap_briefs: stats.overlap_briefs,
                false_interruptions: stats.false_interruptions,
                reference_dropped: stats.reference_dropped,
                outputs_dropped: stats.outputs_dropped,
            });
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
