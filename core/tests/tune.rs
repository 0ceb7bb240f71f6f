//! Settings that change in mid-stream take effect from the next window on, and nothing else happens.
#![cfg(feature = "embedded-models")]

mod common;

use common::{assert_every_start_has_one_end, conversation, events, everything, ms, quick};
use listenkit::{
    ConfigError, Detector, DetectorConfig, Event, Frame, SampleCount, SamplePos, SampleRate,
};

/// In the fixture: the first sentence's last voiced window ends here (`expected.jsonl`).
const SENTENCE_END: usize = 158_208;

fn other(rate: SampleRate) -> DetectorConfig {
    quick(rate)
        .activation_threshold(0.8)
        .deactivation_threshold(0.3)
        .min_speech_duration(ms(160))
        .min_silence_duration(ms(640))
        .prefix_padding_duration(ms(100))
        .tail_padding_duration(ms(64))
}

fn hear(detector: &mut Detector, samples: &[i16]) -> Vec<Event> {
    let outputs: Vec<_> = detector
        .process(Frame::i16(samples))
        .expect("good frames")
        .collect();
    events(&outputs)
}

/// Where speech ended and where that was decided, of a stream that is tuned `later` samples after the end of the sentence.
fn first_end(later: usize, config: &DetectorConfig) -> (SamplePos, SamplePos) {
    let case = conversation();
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let (before, after) = case.pcm.split_at(SENTENCE_END + later);
    let mut all = hear(&mut detector, before);
    detector.tune(config).expect("valid");
    all.extend(hear(&mut detector, after));
    all.extend(events(&detector.flush().collect::<Vec<_>>()));
    assert_every_start_has_one_end(&all);
    let ends = all.iter().filter_map(|event| match event {
        Event::EndOfSpeech(end) => Some((end.at, end.decided_at)),
        _ => None,
    });
    ends.into_iter().next().expect("speech ends")
}

#[test]
fn tuned_before_the_first_audio_is_as_made_so() {
    let case = conversation();
    let mut made = Detector::new(other(case.rate), common::vad()).expect("valid");
    let mut tuned = Detector::new(quick(case.rate), common::vad()).expect("valid");
    tuned.tune(&other(case.rate)).expect("valid");
    for detector in [&mut made, &mut tuned] {
        hear(detector, &case.pcm);
    }
    assert_eq!(made.fingerprint(), tuned.fingerprint());
    let mut plain = Detector::new(quick(case.rate), common::vad()).expect("valid");
    hear(&mut plain, &case.pcm);
    assert_ne!(
        plain.fingerprint(),
        tuned.fingerprint(),
        "the settings matter here"
    );
}

#[test]
fn silence_that_has_been_heard_counts_against_the_new_number() {
    let rate = conversation().rate;
    let window = rate.samples(ms(32));
    let delay = SampleCount(240);
    let with = |silence| quick(rate).min_silence_duration(ms(silence));
    let decided = |later, silence| {
        let (at, decided_at) = first_end(later, &with(silence));
        assert_eq!(at, SamplePos(SENTENCE_END as u64));
        decided_at.since(at)
    };
    // 100 ms into the pause three windows of silence have been heard.
    assert_in(decided(4800, 640), window.0 * 20, delay);
    assert_in(decided(4800, 160), window.0 * 5, delay);
    // Less than has been heard: at the next window.
    assert_in(decided(4800, 32), window.0 * 4, delay);
}

fn assert_in(found: SampleCount, least: u64, delay: SampleCount) {
    assert!(
        (least..=least + delay.0).contains(&found.0),
        "{} samples, expected {least} and the filter's delay",
        found.0
    );
}

#[test]
fn a_refused_change_changes_nothing() {
    let case = conversation();
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let wrong = quick(case.rate)
        .min_silence_duration(ms(640))
        .activation_threshold(1.5);
    assert!(matches!(
        detector.tune(&wrong),
        Err(ConfigError::Probability { .. })
    ));
    // A turn could never end by its own delays, which stay: 0.7 s at most.
    let contradiction = quick(case.rate).min_silence_duration(ms(900));
    assert!(matches!(
        detector.tune(&contradiction),
        Err(ConfigError::Order { .. })
    ));
    hear(&mut detector, &case.pcm);
    let mut plain = Detector::new(quick(case.rate), common::vad()).expect("valid");
    hear(&mut plain, &case.pcm);
    assert_eq!(detector.fingerprint(), plain.fingerprint());
}

#[test]
fn kept_audio_bounds_what_can_be_asked_for() {
    let rate = SampleRate::HZ_16000;
    // Full parts of 2 s are kept; a prefix of 10 s cannot be.
    let config = everything(rate).max_segment_duration(ms(3000));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    detector
        .tune(&config.prefix_padding_duration(ms(1000)))
        .expect("there is room");
    let error = detector
        .tune(&config.prefix_padding_duration(ms(10_000)))
        .expect_err("there is none");
    assert!(error.to_string().contains("prefix"), "{error}");
}
