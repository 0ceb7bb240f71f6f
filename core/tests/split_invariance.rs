//! Rule 2: how audio is cut into blocks changes nothing.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Seeded, Step, clip, conversation, everything, play_in_blocks, run};
use listenkit::{Detector, EndReason, Event, Output};
use proptest::prelude::*;

fn outputs_and_fingerprint(case: &common::Clip, blocks: &[usize]) -> (Vec<Output>, u64) {
    let config = everything(case.rate).channels(case.channels);
    let mut detector = Detector::new(config, common::vad()).expect("valid settings");
    let outputs = run(&mut detector, &case.pcm, case.channels, blocks);
    (outputs, detector.fingerprint())
}

#[test]
fn any_block_size_gives_the_same_outputs_at_every_rate() {
    // 8 kHz, 16 kHz stereo, 44.1, 48 and 96 kHz: real speech each.
    for name in [
        "speech-fr-8k",
        "speech-ru-16k-stereo",
        "speech-es-44k1",
        "conversation-en",
        "speech-en-96k",
    ] {
        let case = clip(name);
        let samples = case.pcm.len() / case.channels;
        let whole = outputs_and_fingerprint(&case, &[samples]);
        assert!(whole.0.len() > 100, "{name}: windows are reported");
        let hz = case.rate.hz() as usize;
        // 1 sample, 10, 20, 32, 50, 200 ms and an odd size.
        for block in [1, hz / 100, hz / 50, hz * 32 / 1000, hz / 20, hz / 5, 997] {
            let cut = outputs_and_fingerprint(&case, &[block]);
            assert_eq!(
                whole.1, cut.1,
                "{name} in blocks of {block}: fingerprints differ"
            );
            assert_eq!(whole.0, cut.0, "{name} in blocks of {block}");
        }
    }
}

#[test]
fn pushing_and_polling_by_hand_is_the_same_as_process() {
    for name in ["conversation-en", "speech-ru-16k-stereo"] {
        let case = clip(name);
        let expected = outputs_and_fingerprint(&case, &[480]);
        let config = everything(case.rate).channels(case.channels);
        let mut detector = Detector::new(config, common::vad()).expect("valid");
        let mut outputs = Vec::new();
        for block in case.pcm.chunks(4800 * case.channels) {
            let mut rest = block;
            while !rest.is_empty() {
                let taken = detector
                    .push(listenkit::Frame::i16(rest))
                    .expect("good frames");
                // `push` counts samples, not values.
                rest = &rest[taken * case.channels..];
                outputs.extend(std::iter::from_fn(|| detector.poll()));
            }
        }
        outputs.extend(detector.flush());
        assert!((outputs, detector.fingerprint()) == expected, "{name}");
    }
}

#[test]
fn outputs_left_untaken_are_given_by_the_next_call() {
    let case = conversation();
    let expected = outputs_and_fingerprint(&case, &[480]);
    let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
    let mut outputs = Vec::new();
    for (k, block) in case.pcm.chunks(480).enumerate() {
        let mut these = detector
            .process(listenkit::Frame::i16(block))
            .expect("good frames");
        if k % 3 == 0 {
            drop(these); // early: the audio is heard, the outputs wait
        } else {
            outputs.extend(&mut these);
        }
    }
    outputs.extend(detector.flush());
    assert_eq!((outputs, detector.fingerprint()), expected);
    assert_eq!(detector.stats().outputs_dropped, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_block_sizes_give_the_same_outputs(seed in any::<u64>(), skip in 0_usize..200_000) {
        let mut case = conversation();
        case.pcm = case.pcm[skip..skip + 240_000].to_vec();
        let mut seeded = Seeded(seed);
        let blocks: Vec<usize> = (0..400).map(|_| 1 + seeded.below(3000)).collect();
        prop_assert_eq!(outputs_and_fingerprint(&case, &[240_000]), outputs_and_fingerprint(&case, &blocks));
    }
}

/// A stream that changes its format in speech, and has a short and a long gap in speech.
const BROKEN_STREAM: [Step; 11] = [
    Step::Audio(70_000),
    Step::Format {
        hz: 44_100,
        channels: 2,
    },
    Step::Audio(40_000),
    Step::Gap(2_000),
    Step::Audio(30_001),
    Step::Gap(40_000),
    Step::Audio(99_999),
    Step::Format {
        hz: 8_000,
        channels: 1,
    },
    Step::Audio(30_000),
    Step::Gap(500),
    Step::Audio(20_000),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_blocks_give_the_same_outputs_across_gaps_and_changes_of_format(
        seed in any::<u64>(),
        most in 2_usize..6000,
    ) {
        let case = conversation();
        let heard = |block: &mut dyn FnMut() -> usize| {
            let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
            (play_in_blocks(&mut detector, &case, &BROKEN_STREAM, block), detector.fingerprint())
        };
        let (expected, digest) = heard(&mut || usize::MAX);
        let reasons: Vec<_> = expected
            .iter()
            .filter_map(|(_, output)| match output {
                Output::Event(Event::EndOfSpeech(end)) => Some(end.reason),
                _ => None,
            })
            .collect();
        prop_assert!(reasons.starts_with(&[EndReason::FormatChange, EndReason::Gap]), "{reasons:?}");
        let mut seeded = Seeded(seed);
        let (cut, cut_digest) = heard(&mut || 1 + seeded.below(most));
        let difference = expected.iter().zip(&cut).find(|(whole, cut)| whole != cut);
        prop_assert_eq!(difference, None);
        prop_assert_eq!((cut.len(), cut_digest), (expected.len(), digest));
    }
}
