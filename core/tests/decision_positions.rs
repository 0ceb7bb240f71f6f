//! Rule 1: `at` is where it happened, `decided_at` is how much audio it took; both count input samples.
#![cfg(feature = "embedded-models")]

mod common;

use common::{clip, conversation, events, everything, quick, run};
use listenkit::{Detector, DetectorConfig, Event, Frame, Output, SampleRate, SileroVad, VadRate};

/// `decided_at` must be true: with one sample less the event is not there, with that many it is.
#[test]
fn an_event_comes_out_exactly_at_decided_at() {
    for name in ["conversation-en", "speech-es-44k1", "speech-fr-8k"] {
        let case = clip(name);
        let mut whole = Detector::new(everything(case.rate), common::vad()).expect("valid");
        let outputs = run(&mut whole, &case.pcm, 1, &[480]);
        let decided: Vec<usize> = events(&outputs)
            .iter()
            .filter(|event| !matches!(event, Event::Window(_)))
            .map(|event| event.decided_at().0 as usize)
            .filter(|&at| at < case.pcm.len())
            .collect();
        assert!(decided.len() > 3, "{name}: {decided:?}");
        let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
        let mut fed = 0;
        let mut said = 0;
        let mut feed_to = |to: usize, said: &mut usize| {
            let block = Frame::i16(&case.pcm[fed..to]);
            let outputs: Vec<Output> = detector.process(block).expect("good frames").collect();
            *said += events(&outputs)
                .iter()
                .filter(|e| !matches!(e, Event::Window(_)))
                .count();
            fed = to;
        };
        for (k, &at) in decided.iter().enumerate() {
            if k > 0 && decided[k - 1] == at {
                continue; // comes with the one before it
            }
            feed_to(at - 1, &mut said);
            assert_eq!(said, k, "{name}: event {k} came before {at}");
            feed_to(at, &mut said);
            assert!(said > k, "{name}: event {k} did not come at {at}");
        }
    }
}

/// The delay of the filter is inside `decided_at`, and small: 3 ms at most.
#[test]
fn a_window_is_decided_within_three_milliseconds_of_its_end() {
    for name in [
        "conversation-en",
        "speech-es-44k1",
        "speech-en-96k",
        "speech-fr-8k",
    ] {
        let case = clip(name);
        let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
        let outputs = run(&mut detector, &case.pcm, 1, &[480]);
        let mut previous_end = 0;
        for event in events(&outputs) {
            if let Event::Window(window) = event {
                assert_eq!(window.start.0, previous_end, "windows lie back to back");
                previous_end = window.end.0;
                let delay = window.decided_at.since(window.end).0;
                assert!(
                    delay * 1000 <= 3 * u64::from(case.rate.hz()),
                    "{name}: {delay} samples"
                );
            }
        }
        assert_eq!(
            previous_end as usize,
            case.pcm.len(),
            "windows cover the whole clip"
        );
    }
}

/// `delay` is what windows wait for, at most, at any rate, and no window waits more than one sample less.
#[test]
fn a_window_waits_for_the_delay_that_is_stated() {
    let narrow = SileroVad::embedded(VadRate::Hz8000).expect("the embedded weights load");
    let mut stated = Vec::new();
    for vad in [common::vad(), &narrow] {
        for hz in [
            8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 8_001,
        ] {
            let rate = SampleRate::new(hz).expect("valid");
            let config = DetectorConfig::new(rate).report_windows(true);
            let mut detector = Detector::new(config, vad).expect("valid");
            // After 125 windows 8,001 Hz begins again, the others sooner.
            let silence = vec![0; 5 * hz as usize];
            let outputs = detector.process(Frame::i16(&silence)).expect("good frames");
            let waits: Vec<u64> = events(&outputs.collect::<Vec<_>>())
                .iter()
                .filter_map(|event| match event {
                    Event::Window(window) => Some(window.decided_at.since(window.end).0),
                    _ => None,
                })
                .collect();
            let delay = detector.delay().0;
            assert!(waits.len() > 125, "{hz} Hz: {} windows", waits.len());
            assert_eq!(waits.iter().max(), Some(&delay), "{hz} Hz: {waits:?}");
            assert!(waits.iter().all(|&wait| wait + 1 >= delay), "{hz} Hz");
            stated.push((vad.rate().hz(), hz, delay));
        }
    }
    // 24 periods of the lower rate: 1.5 ms at 16 kHz. By hand, so that a delay of 0 cannot pass.
    for expected in [
        (16_000, 16_000, 0),
        (16_000, 48_000, 70),
        (16_000, 8_000, 24),
    ] {
        assert!(stated.contains(&expected), "{stated:?}");
    }
}

/// At the model's own rate there is no filter and so no delay at all.
#[test]
fn at_sixteen_kilohertz_a_window_is_decided_at_its_end() {
    let case = clip("speech-ru-16k-stereo");
    assert_eq!(case.rate, SampleRate::HZ_16000);
    let config = quick(case.rate)
        .channels(case.channels)
        .report_windows(true);
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    for event in events(&run(&mut detector, &case.pcm, case.channels, &[160])) {
        if let Event::Window(window) = event {
            assert_eq!(window.decided_at, window.end);
        }
    }
}

/// The words of the fixture lie at known samples: starts come within a few windows of the first, and
/// no speech is reported where there is none.
#[test]
fn speech_is_found_where_the_words_are() {
    let case = conversation();
    // manifest.toml: the words, in samples, by construction of the file.
    let words = [
        (24_000, 153_600),
        (225_600, 303_840),
        (337_440, 433_440),
        (505_440, 530_400),
        (655_200, 771_360),
    ];
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let events = events(&run(&mut detector, &case.pcm, 1, &[480]));
    let window = 1536;
    for event in &events {
        match event {
            Event::StartOfSpeech(start) => {
                let near = words
                    .iter()
                    .any(|&(from, to)| start.at.0 + 4 * window >= from && start.at.0 <= to);
                assert!(near, "speech where there are no words: {start:?}");
            }
            Event::EndOfSpeech(end) => {
                let near = words
                    .iter()
                    .any(|&(from, to)| end.at.0 >= from && end.at.0 <= to + 8 * window);
                assert!(near, "speech ends where there are no words: {end:?}");
            }
            _ => {}
        }
    }
    for (from, to) in words {
        let heard = events.iter().any(|event| {
            matches!(event, Event::StartOfSpeech(start) if start.at.0 + 4 * window >= from && start.at.0 < from + 8 * window && start.at.0 < to)
        });
        assert!(heard, "the words at {from}..{to} are not heard");
    }
}
