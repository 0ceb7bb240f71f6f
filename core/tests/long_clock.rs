//! Rule 10: a clock that starts late behaves as one that starts at 0.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Step, conversation, everything, play, play_in_blocks, shifted};
use listenkit::{Detector, SamplePos};

/// What a stream says whose clock starts at `start`, positions counted from there.
fn heard_from(start: u64, script: &[Step]) -> Vec<String> {
    let case = conversation();
    let config = everything(case.rate).start_at(SamplePos(start));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    play_in_blocks(&mut detector, &case, script, || usize::MAX)
        .iter()
        .map(|(rate, output)| {
            shifted(*rate, output, |rate| {
                let (to, from) = (u128::from(rate.hz()), u128::from(case.rate.hz()));
                (u128::from(start) * to / from) as u64
            })
        })
        .collect()
}

const SCRIPT: [Step; 8] = [
    Step::Audio(150_000),
    Step::Answer(0.2),
    Step::Audio(100_000),
    Step::Gap(1_000),
    Step::Audio(100_000),
    Step::Gap(70_000),
    Step::Transcript,
    Step::Audio(300_000),
];

#[test]
fn clocks_near_the_limits_of_other_types_behave_the_same() {
    let expected = heard_from(0, &SCRIPT);
    assert!(
        expected.iter().any(|line| line.starts_with("turn")),
        "{expected:?}"
    );
    // 2^31 - 1 s overflows signed 32-bit seconds, 2^32 unsigned 32-bit samples, 2^53 is where f64
    // stops counting.
    for start in [
        ((1 << 31) - 1) * 48_000,
        (1 << 31) - 1,
        (1 << 32) - 100_000,
        (1 << 53) - 100_000,
    ] {
        assert_eq!(heard_from(start, &SCRIPT), expected, "start at {start}");
    }
}

#[test]
fn a_late_clock_survives_changes_of_format() {
    let mut script = SCRIPT.to_vec();
    for (hz, channels) in [(44_100, 2), (8_000, 1), (16_000, 1)] {
        script.push(Step::Format { hz, channels });
        script.push(Step::Audio(4 * hz as usize));
    }
    let expected = heard_from(0, &script);
    let changes = expected.iter().filter(|line| line.starts_with("format"));
    assert_eq!(changes.count(), 3);
    let after: Vec<_> = expected
        .iter()
        .skip_while(|line| !line.starts_with("format"))
        .collect();
    assert!(
        after.iter().any(|line| line.starts_with("turn")),
        "{after:?}"
    );
    for start in [
        ((1 << 31) - 1) * 48_000,
        (1 << 32) - 100_000,
        // As above, but reached at 44.1 kHz, 3 s after the change.
        (1_u64 << 32) * 160 / 147 - 720_000 - 144_000,
        (1 << 53) - 100_000,
    ] {
        // 480 samples at 48 kHz are a whole number at every rate of the script, so nothing is rounded differently.
        let start = start / 480 * 480;
        assert_eq!(heard_from(start, &script), expected, "start at {start}");
    }
}

#[test]
fn the_end_of_the_clock_is_survived() {
    let case = conversation();
    let config = everything(case.rate).start_at(SamplePos(u64::MAX - 1000));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    play(
        &mut detector,
        &case,
        &[
            Step::Audio(50_000),
            Step::Gap(u64::MAX),
            Step::Audio(50_000),
        ],
    );
    assert_eq!(detector.position(), SamplePos(u64::MAX));
}
