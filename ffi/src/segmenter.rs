//! The segmenter alone: probabilities of the caller's own model in, events of speech out.

use std::ffi::c_char;

use engine::{Event, Format, Output, SampleFormat, SamplePos, Segmenter, SegmenterEvents};

use crate::event::{listenkit_event, record};
use crate::handle::{self, Opaque};
use crate::options::listenkit_detector_options;
use crate::pointer::{SizedOut, Versioned, read_sized};
use crate::status::{
    Failure, LISTENKIT_EMPTY, LISTENKIT_OK, LISTENKIT_OUTPUTS_WAITING, listenkit_detail,
    listenkit_status,
};

/// Finds speech in the probabilities of a voice activity model of your own, by the rules that a detector has.
#[allow(non_camel_case_types)]
pub struct listenkit_segmenter {
    _opaque: [u8; 0],
}

pub(crate) struct Alone {
    segmenter: Segmenter,
    format: Format,
    /// What the last call said and nobody has polled yet.
    waiting: Option<SegmenterEvents>,
}

impl Opaque for listenkit_segmenter {
    type Value = Alone;
    const TAG: u32 = u32::from_le_bytes(*b"LKsg");
}

impl Alone {
    fn new(options: &listenkit_detector_options) -> Result<Self, Failure> {
        Ok(Self {
            segmenter: Segmenter::new(options.config()?)?,
            format: Format::new(options.sample_rate, 1, SampleFormat::I16)?,
            waiting: None,
        })
    }

    /// Lets the segmenter speak, once everything it said before was polled.
    fn say(&mut self, say: impl FnOnce(&mut Segmenter) -> SegmenterEvents) -> Result<(), Failure> {
        if self.next_waiting().is_some() {
            let text = "events are waiting: poll until LISTENKIT_EMPTY first";
            return Err(Failure::new(LISTENKIT_OUTPUTS_WAITING, text));
        }
        self.waiting = Some(say(&mut self.segmenter));
        Ok(())
    }

    fn next_waiting(&self) -> Option<Event> {
        self.waiting.clone()?.next()
    }

    fn poll(&mut self) -> Option<listenkit_event> {
        let said = self.waiting.as_mut()?.next()?;
        let mut event = record(&Output::Event(said), self.format);
        // The samples are the caller's.
        event.audio_len = 0;
        Some(event)
    }
}

/// A segmenter for windows that begin at `start_at`. `options` may be NULL for the defaults, which are for 16 kHz.
///
/// Of the options it uses `sample_rate`, `start_at`, the thresholds, `min_speech_ms`, `min_silence_ms`, the paddings, `max_segment_ms` and the
/// preset. Durations of speech and silence are counted in windows of 32 ms. Smoothing is the caller's.
///
/// # Safety
/// `options` is NULL or valid; `segmenter` has room for a pointer; `detail` is NULL or has room
/// for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_new(
    options: *const listenkit_detector_options,
    segmenter: *mut *mut listenkit_segmenter,
    detail: *mut listenkit_detail,
) -> listenkit_status {
    let build = || {
        let options = if options.is_null() {
            Versioned::defaults()
        } else {
            // SAFETY: the caller's promise.
            unsafe { read_sized("options", options)? }
        };
        Alone::new(&options)
    };
    // SAFETY: the caller's promise.
    unsafe { handle::make(segmenter, detail, build) }
}

/// Ends it. NULL is fine.
///
/// # Safety
/// `segmenter` is NULL or a live handle that no other thread uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_free(segmenter: *mut listenkit_segmenter) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(segmenter) }
}

/// What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle.
///
/// # Safety
/// `segmenter` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_detail(
    segmenter: *const listenkit_segmenter,
) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { handle::detail(segmenter) }
}

/// Takes the next window, from the end of the one before it to `window_end`, with the probability that it holds speech. Then poll until
/// `LISTENKIT_EMPTY`: the next window is refused with `LISTENKIT_OUTPUTS_WAITING` before.
///
/// Windows should be 32 ms; others count as 32 ms in durations of speech and silence. NaN counts as 0. A window that ends where the one
/// before it ended, or earlier, says nothing. Allocates nothing.
///
/// # Safety
/// `segmenter` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_push(
    segmenter: *mut listenkit_segmenter,
    window_end: u64,
    probability: f32,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe {
        handle::enter(segmenter, |alone| {
            alone.say(|segmenter| segmenter.window(SamplePos(window_end), probability))
        })
    }
}

/// The next event, or `LISTENKIT_EMPTY`. Set `event->struct_size` to its `sizeof` first.
///
/// START_OF_SPEECH, END_OF_SPEECH (exactly one for every start) and SEGMENT_READY come out, each with `turn` 0; `segment_audio` need not be
/// set. Of a segment there is the range alone: `audio_len` is 0, the samples are yours.
///
/// # Safety
/// `segmenter` is a live handle; `event` has room for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_poll(
    segmenter: *mut listenkit_segmenter,
    event: *mut listenkit_event,
) -> listenkit_status {
    let mut said = false;
    // SAFETY: the caller's promise.
    let status = unsafe {
        handle::enter(segmenter, |alone| {
            let out = SizedOut::new("event", event)?;
            if let Some(event) = alone.poll() {
                out.write(&event);
                said = true;
            }
            Ok(())
        })
    };
    match status {
        LISTENKIT_OK if !said => LISTENKIT_EMPTY,
        status => status,
    }
}

/// End of input: open speech ends. Then poll until `LISTENKIT_EMPTY`. More windows may follow, as a new beginning at the same position.
///
/// # Safety
/// `segmenter` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_flush(
    segmenter: *mut listenkit_segmenter,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(segmenter, |alone| alone.say(Segmenter::flush)) }
}

/// Ends open speech (reason `LISTENKIT_END_RESET`) and is as new, at `start_at`. Then poll until `LISTENKIT_EMPTY`.
///
/// # Safety
/// `segmenter` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn listenkit_segmenter_reset(
    segmenter: *mut listenkit_segmenter,
) -> listenkit_status {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(segmenter, |alone| alone.say(Segmenter::reset)) }
}

#[cfg(test)]
mod tests {
    use std::ptr::{null, null_mut};

    use engine::{DetectorConfig, SampleRate};

    use super::*;
    use crate::event::{
        LISTENKIT_END_FLUSH, LISTENKIT_END_RESET, LISTENKIT_EVENT_END_OF_SPEECH,
        LISTENKIT_EVENT_SEGMENT_READY, LISTENKIT_EVENT_START_OF_SPEECH,
    };
    use crate::options::{LISTENKIT_PRESET_LIVEKIT_PLUGIN, listenkit_detector_options_preset};
    use crate::status::{
        LISTENKIT_CONFIG, LISTENKIT_MISALIGNED, LISTENKIT_NULL_POINTER, LISTENKIT_STRUCT_SIZE,
    };
    use crate::testing::{NO_DETAIL, options, skewed, text};
    use crate::vad::tests::reference;

    /// A segmenter that is freed at the end of a test.
    struct Speech(*mut listenkit_segmenter);

    impl Speech {
        fn new(options: *const listenkit_detector_options) -> Self {
            let mut segmenter = null_mut();
            // SAFETY: whole options, room for the handle.
            let status =
                unsafe { listenkit_segmenter_new(options, &raw mut segmenter, null_mut()) };
            assert_eq!(status, LISTENKIT_OK);
            Self(segmenter)
        }

        fn push(&self, end: u64, probability: f32) -> listenkit_status {
            // SAFETY: a live handle.
            unsafe { listenkit_segmenter_push(self.0, end, probability) }
        }

        fn flush(&self) -> listenkit_status {
            // SAFETY: a live handle.
            unsafe { listenkit_segmenter_flush(self.0) }
        }

        fn reset(&self) -> listenkit_status {
            // SAFETY: a live handle.
            unsafe { listenkit_segmenter_reset(self.0) }
        }

        fn poll(&self) -> Option<listenkit_event> {
            let mut event = listenkit_event::defaults();
            // SAFETY: a live handle, and an event that knows its size.
            match unsafe { listenkit_segmenter_poll(self.0, &raw mut event) } {
                LISTENKIT_EMPTY => None,
                status => {
                    assert_eq!(status, LISTENKIT_OK);
                    Some(event)
                }
            }
        }

        fn all(&self) -> Vec<listenkit_event> {
            std::iter::from_fn(|| self.poll()).collect()
        }
    }

    impl Drop for Speech {
        fn drop(&mut self) {
            // SAFETY: a live handle that nothing uses any more.
            unsafe { listenkit_segmenter_free(self.0) };
        }
    }

    /// What an event says, by name: a field in the wrong place shows.
    fn told(event: &listenkit_event) -> String {
        let e = event;
        assert_eq!((e.sample_rate, e.turn, e.audio_len), (16_000, 0, 0));
        match e.kind {
            LISTENKIT_EVENT_START_OF_SPEECH => {
                format!(
                    "start {} {} {} {}",
                    e.segment, e.at, e.decided_at, e.probability
                )
            }
            LISTENKIT_EVENT_END_OF_SPEECH => {
                let durations = (e.speech_duration, e.segment_duration);
                format!(
                    "end {} {} {} {durations:?} {}",
                    e.segment, e.at, e.decided_at, e.reason
                )
            }
            LISTENKIT_EVENT_SEGMENT_READY => {
                let range = (
                    e.start,
                    e.end,
                    e.speech_start,
                    e.speech_end,
                    e.speech_duration,
                );
                assert_eq!(e.at, e.start);
                let (part, decided_at, reason) = (e.part, e.decided_at, e.reason);
                format!(
                    "ready {} {part} {range:?} {decided_at} {} {reason}",
                    e.segment, e.continues
                )
            }
            other => panic!("kind {other}"),
        }
    }

    fn told_by_the_core(event: &Event) -> String {
        match event {
            Event::StartOfSpeech(e) => {
                format!(
                    "start {} {} {} {}",
                    e.segment, e.at, e.decided_at, e.probability
                )
            }
            Event::EndOfSpeech(e) => {
                let durations = (e.speech_duration.0, e.segment_duration.0);
                let reason = e.reason as u32;
                format!(
                    "end {} {} {} {durations:?} {reason}",
                    e.segment, e.at, e.decided_at
                )
            }
            Event::SegmentReady(e) => {
                let speech = (e.speech_start.0, e.speech_end.0, e.speech_duration.0);
                let range = (e.start.0, e.end.0, speech.0, speech.1, speech.2);
                let (part, decided_at, reason) = (e.part, e.decided_at, e.reason as u32);
                let continues = u32::from(e.continues);
                format!(
                    "ready {} {part} {range:?} {decided_at} {continues} {reason}",
                    e.segment
                )
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_those_of_the_core() {
        let pcm = crate::testing::speech(16_000);
        let mut probabilities = reference(16_000, true, &pcm);
        // Twice the clip, the second time as one long speech that has to be split.
        probabilities.extend(probabilities.clone().iter().map(|p| p.max(0.4 + p * 0.2)));
        let plain = options(16_000);
        let mut own = plain;
        own.start_at = 1 << 40;
        own.activation_threshold = 0.35;
        own.deactivation_threshold = 0.1;
        own.min_speech_ms = 100;
        own.min_silence_ms = 100;
        own.prefix_padding_ms = 200;
        own.tail_padding_ms = 50;
        own.max_segment_ms = 2_000;
        let mut peer = plain;
        // SAFETY: filled by `init`.
        let status = unsafe {
            listenkit_detector_options_preset(&raw mut peer, LISTENKIT_PRESET_LIVEKIT_PLUGIN)
        };
        assert_eq!(status, LISTENKIT_OK);
        let rate = SampleRate::HZ_16000;
        let ms = std::time::Duration::from_millis;
        let cases = [
            (plain, DetectorConfig::new(rate)),
            (
                own,
                DetectorConfig::new(rate)
                    .start_at(SamplePos(1 << 40))
                    .activation_threshold(0.35)
                    .deactivation_threshold(0.1)
                    .min_speech_duration(ms(100))
                    .min_silence_duration(ms(100))
                    .prefix_padding_duration(ms(200))
                    .tail_padding_duration(ms(50))
                    .max_segment_duration(ms(2_000)),
            ),
            (peer, DetectorConfig::livekit_plugin(rate)),
        ];
        let mut splits = 0;
        for (options, config) in cases {
            let speech = Speech::new(&options);
            let mut core = Segmenter::new(config).expect("valid");
            let (mut ours, mut cores) = (Vec::new(), Vec::new());
            let ends = (1..).map(|n| options.start_at + 512 * n);
            for (end, &p) in ends.zip(&probabilities) {
                assert_eq!(speech.push(end, p), LISTENKIT_OK);
                ours.extend(speech.all());
                cores.extend(core.window(SamplePos(end), p));
            }
            assert_eq!(speech.flush(), LISTENKIT_OK);
            ours.extend(speech.all());
            cores.extend(core.flush());
            splits += ours.iter().filter(|event| event.continues == 1).count();
            let ours: Vec<String> = ours.iter().map(told).collect();
            let cores: Vec<String> = cores.iter().map(told_by_the_core).collect();
            assert!(cores.len() >= 3, "{cores:?}");
            assert_eq!(ours, cores);
        }
        assert!(splits > 0, "something was split");
    }

    #[test]
    fn events_wait_until_they_are_polled() {
        let speech = Speech::new(&options(16_000));
        assert!(speech.poll().is_none());
        assert_eq!(speech.push(512, 0.9), LISTENKIT_OK);
        assert_eq!(speech.push(1_024, 0.8), LISTENKIT_OK);
        let waiting = LISTENKIT_OUTPUTS_WAITING;
        assert_eq!(speech.push(1_536, 0.1), waiting);
        assert_eq!((speech.flush(), speech.reset()), (waiting, waiting));
        let start = speech.poll().expect("the start");
        assert_eq!((start.kind, start.at), (LISTENKIT_EVENT_START_OF_SPEECH, 0));
        assert_eq!(start.probability, 0.8);
        for (end, reason) in [
            (Speech::flush as fn(&Speech) -> _, LISTENKIT_END_FLUSH),
            (Speech::reset, LISTENKIT_END_RESET),
        ] {
            assert_eq!(end(&speech), LISTENKIT_OK);
            let ended = speech.poll().expect("the end");
            assert_eq!(
                (ended.kind, ended.reason),
                (LISTENKIT_EVENT_END_OF_SPEECH, reason)
            );
            assert_eq!(speech.push(99_999, 0.9), waiting, "one event is left");
            let ready = speech.poll().expect("the segment");
            assert_eq!(
                (ready.kind, ready.reason),
                (LISTENKIT_EVENT_SEGMENT_READY, reason)
            );
            assert_eq!(ready.audio_at, u64::MAX, "no detector has this audio");
            assert!(speech.poll().is_none());
            // Speech goes on: behind the flush at the same position, after the reset at the start.
            let first = if reason == LISTENKIT_END_FLUSH {
                1_024
            } else {
                0
            };
            for n in 1..=2 {
                assert_eq!(speech.push(first + n * 512, 0.9), LISTENKIT_OK);
            }
            assert_eq!(speech.poll().expect("a start").at, first);
        }
    }

    /// A program built against a smaller event gets as much as it has room for.
    #[test]
    fn polling_writes_no_more_than_the_caller_has_room_for() {
        let speech = Speech::new(&options(16_000));
        let start = |event: &mut listenkit_event| {
            // SAFETY: a live handle; the event is there in full, whatever size it claims.
            unsafe { listenkit_segmenter_poll(speech.0, event) }
        };
        assert_eq!(speech.push(512, 0.9), LISTENKIT_OK);
        assert_eq!(speech.push(1_024, 0.9), LISTENKIT_OK);
        for size in [0, 4, listenkit_event::FIRST as u32 - 1, u32::MAX] {
            let mut event = listenkit_event::defaults();
            event.struct_size = size;
            assert_eq!(start(&mut event), LISTENKIT_STRUCT_SIZE, "{size}");
            assert_eq!(event.kind, 0);
        }
        assert!(speech.poll().is_some(), "what was refused is not lost");
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let speech = Speech::new(&options(16_000));
        let mut event = listenkit_event::defaults();
        let (s, out) = (speech.0, &raw mut event);
        assert_eq!(speech.push(512, 0.9), LISTENKIT_OK);
        assert_eq!(speech.push(1_024, 0.9), LISTENKIT_OK);
        let null_pointer = LISTENKIT_NULL_POINTER;
        // SAFETY: what is wrong here is refused before it is followed.
        let refused = unsafe {
            [
                listenkit_segmenter_push(null_mut(), 0, 0.0),
                listenkit_segmenter_flush(null_mut()),
                listenkit_segmenter_reset(null_mut()),
                listenkit_segmenter_poll(null_mut(), out),
                listenkit_segmenter_poll(s, null_mut()),
                listenkit_segmenter_poll(s, skewed(out).cast_mut()),
            ]
        };
        let n = null_pointer;
        assert_eq!(refused, [n, n, n, n, n, LISTENKIT_MISALIGNED]);
        // SAFETY: a place of this function.
        assert_eq!(unsafe { (*out).kind }, 0);
        assert!(speech.poll().is_some());
        // SAFETY: a live handle; the text is read before the next call.
        let detail = text(unsafe { listenkit_segmenter_detail(s) });
        assert!(detail.contains("event"), "{detail}");
    }

    #[test]
    fn a_segmenter_is_made_from_sensible_settings_only() {
        let make = |options: *const listenkit_detector_options| {
            let mut segmenter = null_mut();
            let mut detail = NO_DETAIL;
            // SAFETY: options that are NULL, skewed, or whole; room for the rest.
            let status =
                unsafe { listenkit_segmenter_new(options, &raw mut segmenter, &raw mut detail) };
            assert!(segmenter.is_null());
            (status, text(detail.text.as_ptr()))
        };
        let good = options(16_000);
        let mut wrong = good;
        wrong.activation_threshold = 1.5;
        let (status, detail) = make(&wrong);
        assert_eq!(status, LISTENKIT_CONFIG);
        assert!(
            detail.contains("activation_threshold") && detail.contains("1.5"),
            "{detail}"
        );
        wrong.struct_size = 8;
        assert_eq!(make(&wrong).0, LISTENKIT_STRUCT_SIZE);
        assert_eq!(make(skewed(&good)).0, LISTENKIT_MISALIGNED);
        let mut patient = good;
        patient.min_silence_ms = 8_000;
        drop(Speech::new(&patient));
        // Without options: the defaults.
        let speech = Speech::new(null());
        assert_eq!(speech.push(512, 0.5), LISTENKIT_OK);
        assert_eq!(speech.push(1_024, 0.5), LISTENKIT_OK);
        assert_eq!(speech.poll().map(|start| start.sample_rate), Some(16_000));
        // SAFETY: NULL is fine; room for nothing is refused.
        unsafe {
            listenkit_segmenter_free(null_mut());
            let status = listenkit_segmenter_new(&good, null_mut(), null_mut());
            assert_eq!(status, LISTENKIT_NULL_POINTER);
        }
    }
}
