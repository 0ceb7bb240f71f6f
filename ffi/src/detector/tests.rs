//! The C functions beside the core, on recordings.

// Half of this compares answers of the turn model.
#![cfg_attr(not(feature = "smart-turn"), allow(dead_code, unused_imports))]

use std::ptr::null_mut;

use engine::{
    BriefReason, Cue, CueSet, Detector, DetectorConfig, EndReason, Frame, Input, Output, Precision,
    SampleFormat, SampleRate, SileroVad, SmartTurn, TurnContext, TurnEndReason, TurnModel as _,
    TurnPolicy, VadRate, Wait,
};

use super::audio::*;
use super::inputs::*;
use super::queries::*;
use super::*;
use crate::event::*;
use crate::options::*;
use crate::status::*;
use crate::testing::{NO_DETAIL, clip, floats, models, options, text};
use crate::turn::*;

/// Every recording of 16 bits.
const CLIPS: [&str; 5] = [
    "conversation-en",
    "speech-fr-8k",
    "speech-ru-16k-stereo",
    "speech-es-44k1",
    "speech-en-96k",
];

/// A detector that is freed at the end of a test.
struct Owned(*mut listenkit_detector);

impl Owned {
    fn new(options: &listenkit_detector_options) -> Self {
        let (mut detector, mut detail) = (null_mut(), NO_DETAIL);
        // SAFETY: everything is there.
        let status = unsafe {
            listenkit_detector_new(models(), options, &raw mut detector, &raw mut detail)
        };
        assert_eq!(status, LISTENKIT_OK, "{}", text(detail.text.as_ptr()));
        Self(detector)
    }

    fn poll(&self) -> Option<listenkit_event> {
        let mut event = listenkit_event::defaults();
        // SAFETY: a live handle, and room for the event.
        match unsafe { listenkit_detector_poll(self.0, &raw mut event) } {
            LISTENKIT_OK => Some(event),
            LISTENKIT_EMPTY => None,
            status => panic!("{status}: {}", self.detail()),
        }
    }

    fn detail(&self) -> String {
        // SAFETY: a live handle.
        text(unsafe { listenkit_detector_detail(self.0) })
    }

    fn fingerprint(&self) -> u64 {
        let mut fingerprint = 0;
        // SAFETY: a live handle, and room for the number.
        let status = unsafe { listenkit_detector_fingerprint(self.0, &raw mut fingerprint) };
        assert_eq!(status, LISTENKIT_OK);
        fingerprint
    }

    /// Pushes a whole recording in blocks and hands over what comes out.
    fn run(&self, pcm: &[i16], block: usize, mut hear: impl FnMut(&listenkit_event)) {
        for mut block in pcm.chunks(block) {
            while !block.is_empty() {
                let mut taken = 0;
                // SAFETY: a live handle, a whole block, room for the number.
                let status = unsafe {
                    listenkit_detector_push_i16(self.0, block.as_ptr(), block.len(), &raw mut taken)
                };
                assert_eq!(status, LISTENKIT_OK, "{}", self.detail());
                block = &block[taken..];
                while let Some(event) = self.poll() {
                    hear(&event);
                }
            }
        }
        // SAFETY: a live handle.
        assert_eq!(unsafe { listenkit_detector_flush(self.0) }, LISTENKIT_OK);
        while let Some(event) = self.poll() {
            hear(&event);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: a live handle, and the last use of it.
        unsafe { listenkit_detector_free(self.0) }
    }
}

/// What the core says of the same recording, with the balanced policy and the exact turn model; and its fingerprint.
#[cfg(feature = "smart-turn")]
fn core_run(rate: u32, channels: usize, pcm: &[i16]) -> (Vec<Output>, u64) {
    let rate = SampleRate::new(rate).expect("a rate");
    let policy = TurnPolicy::BALANCED;
    let config = DetectorConfig::new(rate)
        .channels(channels)
        .sample_format(SampleFormat::I16)
        .segment_audio(true)
        .turn_policy(policy)
        .turn_model(Some(policy.turn_model()));
    let vad = SileroVad::embedded(VadRate::for_input(rate)).expect("weights");
    let mut detector = Detector::new(config, &vad).expect("valid");
    let model = SmartTurn::embedded(Precision::Fast).expect("weights");
    let mut session = model.session();
    let mut said = Vec::new();
    let mut rest = pcm;
    loop {
        while let Some(output) = detector.poll() {
            said.push(output);
            if let Output::TurnQuery(query) = output {
                let context = TurnContext {
                    query,
                    audio: detector.turn_audio(&query),
                    transcript: None,
                    history: &[],
                    language: None,
                };
                let answer = session.end_of_turn(&context).expect("it runs");
                let probability = answer.expect("there is audio");
                let id = query.id;
                drop(detector.handle(Input::TurnAnswer { id, probability }));
            }
        }
        if rest.is_empty() {
            break;
        }
        let taken = detector.push(Frame::i16(rest)).expect("whole samples");
        rest = &rest[taken * channels..];
    }
    said.extend(detector.flush());
    (said, detector.fingerprint())
}

fn balanced(rate: u32, channels: usize) -> listenkit_detector_options {
    let mut options = options(rate);
    options.channels = channels as u32;
    options.segment_audio = 1;
    // SAFETY: options that were filled.
    let status =
        unsafe { listenkit_detector_options_policy(&raw mut options, LISTENKIT_POLICY_BALANCED) };
    assert_eq!(status, LISTENKIT_OK);
    options
}

#[test]
#[cfg(feature = "smart-turn")]
fn recordings_give_the_events_and_the_fingerprint_of_the_core() {
    let mut model = null_mut();
    let mut audio = null_mut();
    // SAFETY: live handles, and room for what is made.
    unsafe {
        assert_eq!(
            listenkit_turn_model_new(models(), &raw mut model, null_mut()),
            LISTENKIT_OK
        );
        assert_eq!(listenkit_turn_audio_new(&raw mut audio), LISTENKIT_OK);
    }
    for name in CLIPS {
        let (rate, channels, pcm) = clip(name);
        let (expected, fingerprint) = core_run(rate, channels, &pcm);
        for block in [channels * 160, channels * 479, pcm.len()] {
            let detector = Owned::new(&balanced(rate, channels));
            let mut said = Vec::new();
            detector.run(&pcm, block, |event| {
                said.push(*event);
                if event.kind == LISTENKIT_EVENT_TURN_QUERY {
                    let mut probability = 0.0;
                    // SAFETY: live handles, an event of this detector, room for the number.
                    unsafe {
                        assert_eq!(
                            listenkit_detector_turn_audio(detector.0, event, audio),
                            LISTENKIT_OK
                        );
                        assert_eq!(
                            listenkit_turn_model_probability(model, audio, &raw mut probability),
                            LISTENKIT_OK
                        );
                        listenkit_detector_answer_turn(detector.0, event.query, probability);
                    }
                }
            });
            assert_eq!(
                detector.fingerprint(),
                fingerprint,
                "{name}, blocks of {block}"
            );
            assert_eq!(said.len(), expected.len(), "{name}");
            for (said, expected) in said.iter().zip(&expected) {
                same(said, expected);
            }
        }
    }
    // SAFETY: live handles, and the last use of them.
    unsafe {
        listenkit_turn_model_free(model);
        listenkit_turn_audio_free(audio);
    }
}

/// The fields that a host decides by, one by one, from the core's own types.
fn same(said: &listenkit_event, expected: &Output) {
    use engine::Event;
    let close = |a: f32, b: Option<engine::Probability>| match b {
        Some(b) => assert_eq!(a.to_bits(), b.value().to_bits()),
        None => assert!(a.is_nan()),
    };
    match expected {
        Output::Event(Event::StartOfSpeech(e)) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_START_OF_SPEECH);
            assert_eq!((said.at, said.decided_at), (e.at.0, e.decided_at.0));
            assert_eq!((said.segment, said.turn), (e.segment, e.turn));
        }
        Output::Event(Event::EndOfSpeech(e)) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_END_OF_SPEECH);
            assert_eq!((said.at, said.decided_at), (e.at.0, e.decided_at.0));
            assert_eq!(said.speech_duration, e.speech_duration.0);
            assert_eq!(said.segment_duration, e.segment_duration.0);
        }
        Output::Event(Event::SegmentReady(e)) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_SEGMENT_READY);
            assert_eq!((said.start, said.end), (e.start.0, e.end.0));
            assert_eq!(
                (said.speech_start, said.speech_end),
                (e.speech_start.0, e.speech_end.0)
            );
            assert!(said.audio_len >= said.end - said.start);
        }
        Output::Event(Event::TurnPrediction(e)) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_TURN_PREDICTION);
            close(said.fused, e.votes.fused);
            close(said.probability, e.votes.probability());
            let vote = e.votes.audio.expect("the audio model voted");
            assert_eq!(said.audio_vote.answers, vote.answers);
            assert_eq!(said.audio_vote.asked_at, vote.asked_at.0);
            assert_eq!(said.ends_at, e.ends_at.0);
            assert_eq!(said.chosen_delay, e.chosen_delay.0);
        }
        Output::Event(Event::EndOfTurn(e)) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_END_OF_TURN);
            assert_eq!(
                (said.at, said.last_voiced),
                (e.last_voiced.0, e.last_voiced.0)
            );
            assert_eq!((said.start, said.decided_at), (e.start.0, e.decided_at.0));
            assert_eq!((said.wait, said.reason), (e.wait as u32, e.reason as u32));
            close(said.threshold, e.threshold());
            close(said.fused, e.votes.fused);
            assert_eq!(
                (said.min_delay, said.max_delay),
                (e.min_delay.0, e.max_delay.0)
            );
            assert_eq!(said.silence_delay, e.silence_delay.0);
        }
        Output::TurnQuery(q) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_TURN_QUERY);
            assert_eq!((said.query, said.turn), (q.id, q.turn));
            assert_eq!(event::query(said), *q);
        }
        Output::TurnQueryCancelled(q) => {
            assert_eq!(said.kind, LISTENKIT_EVENT_TURN_QUERY_CANCELLED);
            assert_eq!((said.query, said.turn), (q.id, q.turn));
        }
        other => panic!("recordings do not say {other:?}"),
    }
}

#[test]
fn a_segments_audio_is_that_of_the_recording() {
    let (rate, channels, pcm) = clip("speech-ru-16k-stereo");
    let reals = floats(&pcm);
    let detector = Owned::new(&{
        let mut options = options(rate);
        options.channels = channels as u32;
        options.segment_audio = 1;
        options
    });
    let mut segments = 0;
    detector.run(&pcm, 320, |event| {
        if event.kind != LISTENKIT_EVENT_SEGMENT_READY {
            return;
        }
        segments += 1;
        let values = event.audio_len as usize;
        let from = event.start as usize * channels;
        let (mut ints, mut real) = (vec![0_i16; values], vec![0.0_f32; values]);
        let mut len = 0;
        // SAFETY: a live handle, its own event, room for the values and their number.
        unsafe {
            assert_eq!(
                listenkit_detector_audio_i16(detector.0, event, null_mut(), 0, &raw mut len),
                LISTENKIT_OK
            );
            assert_eq!(len, values);
            let d = detector.0;
            let short =
                listenkit_detector_audio_i16(d, event, ints.as_mut_ptr(), values - 1, &raw mut len);
            assert_eq!(short, LISTENKIT_BUFFER_TOO_SMALL);
            let whole =
                listenkit_detector_audio_i16(d, event, ints.as_mut_ptr(), values, &raw mut len);
            assert_eq!(whole, LISTENKIT_OK);
            let whole =
                listenkit_detector_audio_f32(d, event, real.as_mut_ptr(), values, &raw mut len);
            assert_eq!(whole, LISTENKIT_OK);
        }
        assert_eq!(ints, pcm[from..from + values]);
        assert_eq!(real, reals[from..from + values]);
    });
    assert!(segments > 0);
}

#[test]
fn another_format_is_announced_before_it_is_pushed() {
    let (_, _, pcm) = clip("conversation-en");
    let detector = Owned::new(&options(48_000));
    let mut kinds = Vec::new();
    detector.run(&pcm[..96_000], 480, |event| kinds.push(event.kind));
    // SAFETY: a live handle.
    let status = unsafe { listenkit_detector_set_format(detector.0, 16_000, 2) };
    assert_eq!(status, LISTENKIT_OK);
    let mut change = None;
    detector.run(&pcm[..32_000], 320, |event| {
        if event.kind == LISTENKIT_EVENT_FORMAT_CHANGED {
            change = Some(*event);
        }
    });
    let change = change.expect("the change is said");
    assert_eq!((change.from.sample_rate, change.from.channels), (48_000, 1));
    assert_eq!((change.to.sample_rate, change.to.channels), (16_000, 2));
    assert_eq!((change.at, change.decided_at), (96_000, 32_000));
    // SAFETY: a live handle.
    let status = unsafe { listenkit_detector_set_format(detector.0, 3_000, 1) };
    assert_eq!(status, LISTENKIT_CONFIG);
    assert!(
        detector.detail().contains("3000 Hz"),
        "{}",
        detector.detail()
    );
}

/// A reset detector hears the next block in its first format, whatever was said in between, as a new one does.
#[test]
fn a_reset_takes_the_format_back() {
    let (rate, _, pcm) = clip("conversation-en");
    assert_eq!(rate, 48_000);
    let (used, fresh) = (Owned::new(&options(48_000)), Owned::new(&options(48_000)));
    let hear = |detector: &Owned| {
        let (mut rest, mut events) = (&pcm[..], 0);
        while !rest.is_empty() {
            let mut taken = 0;
            // SAFETY: a live handle and a slice.
            let status = unsafe {
                listenkit_detector_push_i16(detector.0, rest.as_ptr(), rest.len(), &raw mut taken)
            };
            assert_eq!(status, LISTENKIT_OK);
            rest = &rest[taken..];
            while let Some(event) = detector.poll() {
                assert_ne!(event.kind, LISTENKIT_EVENT_FORMAT_CHANGED);
                events += 1;
            }
        }
        (events, detector.fingerprint())
    };
    let expected = hear(&fresh);
    // SAFETY: a live handle.
    unsafe {
        assert_eq!(
            listenkit_detector_set_format(used.0, 16_000, 2),
            LISTENKIT_OK
        );
        assert_eq!(listenkit_detector_reset(used.0), LISTENKIT_OK);
    }
    while used.poll().is_some() {}
    assert_eq!(hear(&used), expected);
}

#[test]
fn settings_that_cannot_work_are_named() {
    type Change = fn(&mut listenkit_detector_options);
    let cases: [(Change, i32, &str); 9] = [
        (|o| o.sample_rate = 1, LISTENKIT_CONFIG, "sample rate 1 Hz"),
        (|o| o.channels = 9, LISTENKIT_CONFIG, "9 channels"),
        (|o| o.channels = 0, LISTENKIT_CONFIG, "0 channels"),
        (
            |o| o.sample_format = 2,
            LISTENKIT_VALUE,
            "sample_format is 2",
        ),
        (
            |o| o.activation_threshold = 1.5,
            LISTENKIT_CONFIG,
            "activation_threshold is 1.5",
        ),
        (
            |o| o.min_silence_ms = LISTENKIT_NONE_MS,
            LISTENKIT_CONFIG,
            "min_silence_duration",
        ),
        (
            |o| o.segment_audio = 7,
            LISTENKIT_VALUE,
            "segment_audio is 7",
        ),
        (|o| o.preset = 3, LISTENKIT_VALUE, "preset is 3"),
        (|o| o.wait_rule = 9, LISTENKIT_VALUE, "wait_rule is 9"),
    ];
    for (change, expected, says) in cases {
        let mut options = options(16_000);
        change(&mut options);
        let (mut detector, mut detail) = (null_mut(), NO_DETAIL);
        // SAFETY: everything is there.
        let status = unsafe {
            listenkit_detector_new(models(), &options, &raw mut detector, &raw mut detail)
        };
        let found = text(detail.text.as_ptr());
        assert_eq!(status, expected, "{found}");
        assert!(found.contains(says), "{found}");
        assert!(detector.is_null());
    }
}

#[test]
fn the_defaults_are_those_of_the_core() {
    let ours = options(48_000)
        .config()
        .unwrap_or_else(|failure| panic!("{}", text(failure.text.as_c_str())));
    let core = DetectorConfig::new(SampleRate::HZ_48000);
    // A smoothing of none and a derived threshold are the same settings.
    assert_eq!(ours, core);
    for (preset, core) in [
        (
            LISTENKIT_PRESET_LIVEKIT_CORE,
            DetectorConfig::livekit_core(SampleRate::HZ_48000),
        ),
        (
            LISTENKIT_PRESET_LIVEKIT_PLUGIN,
            DetectorConfig::livekit_plugin(SampleRate::HZ_48000),
        ),
    ] {
        let mut options = options(48_000);
        // SAFETY: options that were filled.
        let status = unsafe { listenkit_detector_options_preset(&raw mut options, preset) };
        assert_eq!(status, LISTENKIT_OK);
        assert_eq!(
            options
                .config()
                .unwrap_or_else(|failure| panic!("{}", text(failure.text.as_c_str()))),
            core
        );
    }
    for (number, policy) in [
        (LISTENKIT_POLICY_FAST, TurnPolicy::FAST),
        (LISTENKIT_POLICY_BALANCED, TurnPolicy::BALANCED),
        (LISTENKIT_POLICY_PATIENT, TurnPolicy::PATIENT),
    ] {
        let mut options = options(48_000);
        // SAFETY: options that were filled.
        let status = unsafe { listenkit_detector_options_policy(&raw mut options, number) };
        assert_eq!(status, LISTENKIT_OK);
        let core = core
            .turn_policy(policy)
            .turn_model(Some(policy.turn_model()));
        assert_eq!(
            options
                .config()
                .unwrap_or_else(|failure| panic!("{}", text(failure.text.as_c_str()))),
            core
        );
    }
}

/// The numbers of the header are those of the core, which are part of the fingerprint.
#[test]
fn numbers_are_those_of_the_core() {
    let ends = [
        (EndReason::Silence, LISTENKIT_END_SILENCE),
        (EndReason::Split, LISTENKIT_END_SPLIT),
        (EndReason::Flush, LISTENKIT_END_FLUSH),
        (EndReason::Gap, LISTENKIT_END_GAP),
        (EndReason::FormatChange, LISTENKIT_END_FORMAT_CHANGE),
        (EndReason::Reset, LISTENKIT_END_RESET),
    ];
    assert!(ends.iter().all(|&(core, c)| core as u32 == c));
    let turns = [
        (TurnEndReason::Silence, LISTENKIT_TURN_END_SILENCE),
        (TurnEndReason::Complete, LISTENKIT_TURN_END_COMPLETE),
        (TurnEndReason::Unfinished, LISTENKIT_TURN_END_UNFINISHED),
        (TurnEndReason::NoAnswer, LISTENKIT_TURN_END_NO_ANSWER),
        (
            TurnEndReason::NoTranscript,
            LISTENKIT_TURN_END_NO_TRANSCRIPT,
        ),
        (TurnEndReason::TooLong, LISTENKIT_TURN_END_TOO_LONG),
        (TurnEndReason::Committed, LISTENKIT_TURN_END_COMMITTED),
        (TurnEndReason::EndOfInput, LISTENKIT_TURN_END_END_OF_INPUT),
        (TurnEndReason::Reset, LISTENKIT_TURN_END_RESET),
    ];
    assert!(turns.iter().all(|&(core, c)| core as u32 == c));
    let waits = [
        (Wait::Min, LISTENKIT_WAIT_MIN),
        (Wait::Max, LISTENKIT_WAIT_MAX),
        (Wait::Model, LISTENKIT_WAIT_MODEL),
        (Wait::Transcript, LISTENKIT_WAIT_TRANSCRIPT),
        (Wait::Ceiling, LISTENKIT_WAIT_CEILING),
        (Wait::Flush, LISTENKIT_WAIT_FLUSH),
        (Wait::Text, LISTENKIT_WAIT_TEXT),
        (Wait::Graded, LISTENKIT_WAIT_GRADED),
    ];
    assert!(waits.iter().all(|&(core, c)| core as u32 == c));
    let briefs = [
        (BriefReason::OwnVoice, LISTENKIT_BRIEF_OWN_VOICE),
        (BriefReason::TooShort, LISTENKIT_BRIEF_TOO_SHORT),
        (BriefReason::Protected, LISTENKIT_BRIEF_PROTECTED),
        (BriefReason::Guard, LISTENKIT_BRIEF_GUARD),
        (BriefReason::TooFewWords, LISTENKIT_BRIEF_TOO_FEW_WORDS),
    ];
    assert!(briefs.iter().all(|&(core, c)| core as u32 == c));
    assert_eq!(CueSet::from_iter([Cue::Filler]).bits(), 1);
}

#[test]
fn structs_of_other_versions_are_understood_or_refused() {
    let detector = Owned::new(&options(16_000));
    // A newer caller: its struct is longer, and what this library does not know is zero.
    #[repr(C)]
    struct Newer {
        known: listenkit_detector_options,
        unknown: [u64; 4],
    }
    let mut newer = Newer {
        known: options(16_000),
        unknown: [u64::MAX; 4],
    };
    let size = size_of::<Newer>();
    // SAFETY: room for `size` bytes.
    let status = unsafe { listenkit_detector_options_init((&raw mut newer).cast(), size) };
    assert_eq!(status, LISTENKIT_OK);
    assert_eq!(newer.unknown, [0; 4]);
    assert_eq!(newer.known.struct_size as usize, size);
    let mut made = null_mut();
    // SAFETY: everything is there, and `struct_size` bytes behind the options.
    unsafe {
        let options = (&raw const newer).cast();
        let status = listenkit_detector_new(models(), options, &raw mut made, null_mut());
        assert_eq!(status, LISTENKIT_OK);
        listenkit_detector_free(made);
        newer.unknown[3] = 1;
        let options = (&raw const newer).cast();
        let status = listenkit_detector_new(models(), options, &raw mut made, null_mut());
        assert_eq!(status, LISTENKIT_STRUCT_SIZE);
    }
    // Nobody set the size.
    let mut event = listenkit_event::defaults();
    event.struct_size = 0;
    // SAFETY: a live handle, room for the event.
    let status = unsafe { listenkit_detector_poll(detector.0, &raw mut event) };
    assert_eq!(status, LISTENKIT_STRUCT_SIZE);
    assert!(detector.detail().contains("event.struct_size is 0"));
}

#[test]
#[cfg(feature = "test-hooks")]
fn a_panic_poisons_its_handle_and_no_other() {
    let (detector, other) = (Owned::new(&options(16_000)), Owned::new(&options(16_000)));
    let pcm = [0_i16; 160];
    let mut taken = usize::MAX;
    // SAFETY: live handles, whole blocks, room for the number.
    unsafe {
        listenkit_detector_test_panic(detector.0);
        let push = |d: &Owned, taken: &mut usize| {
            listenkit_detector_push_i16(d.0, pcm.as_ptr(), pcm.len(), taken)
        };
        assert_eq!(push(&detector, &mut taken), LISTENKIT_PANICKED);
        assert_eq!(push(&detector, &mut taken), LISTENKIT_POISONED);
        assert_eq!(taken, usize::MAX, "nothing is written on failure");
        assert_eq!(listenkit_detector_flush(detector.0), LISTENKIT_POISONED);
        assert_eq!(push(&other, &mut taken), LISTENKIT_OK);
    }
}
