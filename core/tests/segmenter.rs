//! The segmenter alone does what the one inside a detector does.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Seeded, assert_every_start_has_one_end, clip, events, ms, quick, run};
use listenkit::{
    ConfigError, Detector, DetectorConfig, EndReason, Event, SampleCount, SamplePos, SampleRate,
    Segmenter,
};
use proptest::prelude::*;

/// A speech event as a segmenter without turns tells it, whose newest window ended at `heard`. A detector knows a window later, by
/// the delay of its filter.
fn without_turn(event: Event, heard: SamplePos) -> Option<Event> {
    match event {
        Event::StartOfSpeech(mut e) => {
            (e.turn, e.decided_at) = (0, heard);
            Some(Event::StartOfSpeech(e))
        }
        Event::EndOfSpeech(mut e) => {
            (e.turn, e.decided_at) = (0, heard);
            Some(Event::EndOfSpeech(e))
        }
        Event::SegmentReady(mut e) => {
            (e.turn, e.decided_at) = (0, heard);
            Some(Event::SegmentReady(e))
        }
        _ => None,
    }
}

/// The windows of a detector, given to a segmenter with the same settings, give the detector's speech events: same
/// numbers, ranges, durations, probabilities and reasons.
#[test]
fn the_windows_of_a_detector_give_its_speech_events() {
    for name in [
        "conversation-en",
        "speech-ru-16k-stereo",
        "speech-es-44k1",
        "speech-fr-8k",
        "speech-en-96k",
    ] {
        let case = clip(name);
        let plain = quick(case.rate);
        let configs = [
            plain,
            plain
                .start_at(SamplePos((1 << 53) + 1))
                .activation_threshold(0.6)
                .deactivation_threshold(0.2)
                .min_speech_duration(ms(90))
                .min_silence_duration(ms(400))
                .prefix_padding_duration(ms(300))
                .tail_padding_duration(ms(100)),
            plain
                .min_silence_duration(ms(500))
                .max_segment_duration(ms(2_000)),
            DetectorConfig::livekit_core(case.rate),
            DetectorConfig::livekit_plugin(case.rate),
        ];
        for config in configs {
            let config = config.channels(case.channels).report_windows(true);
            let mut detector =
                Detector::new(config.segment_audio(true), common::vad()).expect("valid");
            let said = events(&run(&mut detector, &case.pcm, case.channels, &[700]));
            let mut alone = Segmenter::new(config).expect("valid");
            let (mut expected, mut told) = (Vec::new(), Vec::new());
            let mut heard = config_start(&said);
            for event in said {
                if let Event::Window(window) = event {
                    assert_eq!(alone.position(), window.start);
                    told.extend(alone.window(window.end, window.probability.value()));
                    heard = window.end;
                } else {
                    expected.extend(without_turn(event, heard));
                }
            }
            told.extend(alone.flush());
            assert!(expected.len() >= 3, "{name}: {expected:?}");
            assert_eq!(told, expected, "{name}");
            assert_every_start_has_one_end(&told);
        }
    }
}

fn config_start(said: &[Event]) -> SamplePos {
    match said.first() {
        Some(Event::Window(window)) => window.start,
        other => panic!("a window comes first, not {other:?}"),
    }
}

fn speak(segmenter: &mut Segmenter, windows: u64, probability: f32) -> Vec<Event> {
    (0..windows)
        .flat_map(|_| segmenter.window(segmenter.position() + SampleCount(512), probability))
        .collect()
}

#[test]
fn open_speech_ends_at_a_flush_and_numbers_go_on() {
    let mut segmenter = Segmenter::new(DetectorConfig::new(SampleRate::HZ_16000)).expect("valid");
    assert_eq!(segmenter.flush().count(), 0, "nothing was open");
    for segment in 0..3 {
        let started = speak(&mut segmenter, 5, 0.9);
        assert!(matches!(started[..], [Event::StartOfSpeech(start)] if start.segment == segment));
        assert!(segmenter.is_open());
        let ended: Vec<Event> = segmenter.flush().collect();
        let [Event::EndOfSpeech(end), Event::SegmentReady(ready)] = ended[..] else {
            panic!("{ended:?}")
        };
        assert_eq!(
            (end.reason, end.at),
            (EndReason::Flush, segmenter.position())
        );
        assert_eq!((ready.segment, ready.end), (segment, segmenter.position()));
        // The next beginning is behind what was delivered.
        assert_eq!(ready.start, SamplePos(segment * 5 * 512));
        assert_eq!(ready.audio_key(), u64::MAX);
        assert!(!segmenter.is_open());
    }
}

#[test]
fn a_reset_segmenter_is_as_new() {
    let config = DetectorConfig::new(SampleRate::HZ_48000).start_at(SamplePos(1_000));
    let mut used = Segmenter::new(config).expect("valid");
    assert_eq!(speak(&mut used, 40, 0.8).len(), 1);
    let ended: Vec<Event> = used.reset().collect();
    assert!(
        matches!(ended[..], [Event::EndOfSpeech(end), Event::SegmentReady(_)] if end.reason == EndReason::Reset)
    );
    let mut new = Segmenter::new(config).expect("valid");
    assert_eq!(used.position(), SamplePos(1_000));
    let said = [(3, 0.2), (4, 0.9), (30, 0.1), (9, 0.7)].map(|(n, p)| {
        let of_new = speak(&mut new, n, p);
        assert_eq!(speak(&mut used, n, p), of_new);
        of_new.len()
    });
    assert_eq!(said, [0, 1, 2, 1]);
}

#[test]
fn settings_of_a_segmenter_are_checked_and_others_are_not() {
    let config = DetectorConfig::new(SampleRate::HZ_16000);
    let wrong = [
        config.activation_threshold(1.5),
        config.deactivation_threshold(0.9),
        config.min_speech_duration(ms(11_000)),
        config.min_silence_duration(ms(11_000)),
        config.prefix_padding_duration(ms(11_000)),
        config.tail_padding_duration(ms(11_000)),
        config.max_segment_duration(ms(1_000)),
        config
            .max_segment_duration(ms(2_000))
            .min_silence_duration(ms(4_000)),
    ];
    for config in wrong {
        let refused = Segmenter::new(config).expect_err("out of range");
        let detector = Detector::new(config, common::vad()).expect_err("out of range");
        assert_eq!(refused.to_string(), detector.to_string());
    }
    // Longer than the largest delay of a turn, which a segmenter has not.
    let patient = config.min_silence_duration(ms(8_000));
    assert!(matches!(
        Detector::new(patient, common::vad()),
        Err(ConfigError::Order { .. })
    ));
    assert!(Segmenter::new(patient).is_ok());
}

/// Ends that stand still, run back or jump to the end of the clock, probabilities that are none: nothing panics, positions only move
/// forward, every start has its end, and a window that is none says nothing.
fn hostile(seed: u64) {
    let mut seeded = Seeded(seed);
    let rate = [4_000, 8_000, 44_100, 192_000][seeded.below(4)];
    let start = [0, 1 << 32, u64::MAX - 100_000][seeded.below(3)];
    let config = DetectorConfig::new(SampleRate::new(rate).expect("valid"))
        .start_at(SamplePos(start))
        .min_silence_duration(ms(seeded.below(300) as u64))
        .max_segment_duration(ms(2_000));
    let mut segmenter = Segmenter::new(config).expect("valid");
    let mut said = Vec::new();
    for _ in 0..400 {
        let before = segmenter.position();
        let end = match seeded.below(12) {
            0 => SamplePos(seeded.next()),
            1 => before,
            2 => SamplePos(before.0.saturating_sub(seeded.next() % 5_000)),
            _ => before + SampleCount(seeded.next() % 8_000),
        };
        let probability = match seeded.below(12) {
            0 => f32::NAN,
            1 => f32::NEG_INFINITY,
            2 => f32::INFINITY,
            3..=7 => 0.9,
            _ => 0.1,
        };
        let events: Vec<Event> = match seeded.below(60) {
            0 => segmenter.flush().collect(),
            1 => {
                let ended: Vec<Event> = segmenter.reset().collect();
                said.extend(ended);
                assert_eq!(segmenter.position(), SamplePos(start));
                assert_every_start_has_one_end(&said);
                said.clear();
                continue;
            }
            _ => segmenter.window(end, probability).collect(),
        };
        assert!(events.len() <= 2);
        assert!(segmenter.position() >= before);
        for event in events {
            assert!(event.decided_at() <= segmenter.position());
            if let Event::SegmentReady(ready) = event {
                assert!(ready.start <= ready.speech_start && ready.speech_end <= ready.end);
                assert!(ready.start < ready.end && ready.end <= segmenter.position());
            }
            said.push(event);
        }
    }
    said.extend(segmenter.flush());
    assert_every_start_has_one_end(&said);
}

proptest! {
    #![proptest_config(ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_window_is_too_strange(seed in any::<u64>()) {
        hostile(seed);
    }
}
