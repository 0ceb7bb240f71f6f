//! Rule 10: a clock that starts late behaves as one that starts at 0.

mod common;

use common::{Step, conversation, everything, play, shifted};
use listenkit::{Detector, SamplePos};

#[test]
fn clocks_near_the_limits_of_other_types_behave_the_same() {
    let case = conversation();
    let script = [
        Step::Audio(150_000),
        Step::Answer(0.2),
        Step::Audio(100_000),
        Step::Gap(1_000),
        Step::Audio(100_000),
        Step::Gap(70_000),
        Step::Transcript,
        Step::Audio(300_000),
    ];
    let from = |start: u64| {
        let config = everything(case.rate).start_at(SamplePos(start));
        let mut detector = Detector::new(config, common::vad()).expect("valid");
        let outputs = play(&mut detector, &case, &script);
        outputs
            .iter()
            .map(|output| shifted(output, start))
            .collect::<Vec<_>>()
    };
    let expected = from(0);
    assert!(
        expected.iter().any(|line| line.starts_with("turn")),
        "{expected:?}"
    );
    let second = u64::from(case.rate.hz());
    // 2^31 - 1 s overflows signed 32-bit seconds, 2^32 unsigned 32-bit samples, 2^53 is where f64
    // stops counting.
    for start in [
        ((1 << 31) - 1) * second,
        (1 << 31) - 1,
        (1 << 32) - 100_000,
        (1 << 53) - 100_000,
    ] {
        assert_eq!(from(start), expected, "start at {start}");
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
