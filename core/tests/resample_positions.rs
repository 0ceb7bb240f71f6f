//! Positions are whole numbers at any length of stream: nothing changes near 2^31 s, 2^32 or 2^53 samples.

use listenkit::SampleRate;
use listenkit::resample::Resampler;

const PAIRS: [(u32, u32); 9] = [
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 16_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (16_001, 16_000),
    (191_999, 192_000),
    (192_000, 4_000),
    (16_000, 16_000),
];

fn resampler(from: u32, to: u32) -> Resampler {
    let rate = |hz| SampleRate::new(hz).expect("a rate within range");
    Resampler::new(rate(from), rate(to))
}

fn long_positions(from: u32) -> [u64; 5] {
    let seconds = (1 << 31) - 1;
    [
        u64::from(from) * seconds - 123,
        (1 << 32) - 77,
        (1 << 53) - 501,
        (1 << 53) + 1,
        u64::MAX / 4,
    ]
}

fn outputs(resampler: &mut Resampler, input: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; resampler.output_len_max(input.len()) + resampler.delay()];
    let written = resampler.process(input, &mut output).written;
    let written = written + resampler.flush(&mut output[written..]);
    output.truncate(written);
    output
}

#[test]
fn seeking_is_pushing_zeros() {
    for (from, to) in PAIRS {
        for aligned in [false, true] {
            for position in [0, 1, 2, 3, 5, 440, 16_001, 50_000] {
                let make = || {
                    if aligned {
                        resampler(from, to).aligned()
                    } else {
                        resampler(from, to)
                    }
                };
                let (mut pushed, mut sought) = (make(), make());
                let mut zeros = vec![0.0; pushed.output_len_max(position)];
                let done = pushed.process(&vec![0.0; position], &mut zeros);
                assert_eq!(done.consumed, position);
                sought.seek(position as u64);
                assert_eq!(sought.input_position(), pushed.input_position());
                assert_eq!(sought.output_position(), done.written as u64);
                let input: Vec<f32> = (1..900).map(|i| (i as f32).sin()).collect();
                assert_eq!(
                    outputs(&mut sought, &input),
                    outputs(&mut pushed, &input),
                    "{from} -> {to} at {position}"
                );
            }
        }
    }
}

#[test]
fn long_clocks_give_the_bits_of_short_ones() {
    let input: Vec<f32> = (0..2_000).map(|i| (i as f32 * 0.3).sin()).collect();
    for (from, to) in PAIRS {
        for position in long_positions(from) {
            // The pattern repeats at every whole second of input.
            let short = position % u64::from(from) + u64::from(from);
            let (mut far, mut near) =
                (resampler(from, to).aligned(), resampler(from, to).aligned());
            far.seek(position);
            near.seek(short);
            let seconds = (position - short) / u64::from(from);
            assert_eq!(
                far.output_position() - near.output_position(),
                seconds * u64::from(to)
            );
            assert_eq!(
                outputs(&mut far, &input),
                outputs(&mut near, &input),
                "{from} -> {to} at {position}"
            );
        }
    }
}

#[test]
fn input_needed_is_the_push_with_which_an_output_appears() {
    for (from, to) in PAIRS {
        for aligned in [false, true] {
            for position in [0].into_iter().chain(long_positions(from)) {
                let mut resampler = resampler(from, to);
                if aligned {
                    resampler = resampler.aligned();
                }
                resampler.seek(position);
                let mut output = vec![0.0; resampler.output_len_max(1)];
                let mut next = resampler.output_position();
                for taken in position + 1..position + 700 {
                    let written = resampler.process(&[0.5], &mut output).written;
                    for index in next..next + written as u64 {
                        assert_eq!(
                            resampler.input_needed(index),
                            taken,
                            "{from} -> {to}, output {index}"
                        );
                    }
                    next += written as u64;
                    assert_eq!(resampler.output_position(), next);
                    assert!(
                        resampler.input_needed(next) > taken,
                        "{from} -> {to}: output {next} is due"
                    );
                }
            }
        }
    }
}

#[test]
fn the_end_of_the_number_range_does_not_panic() {
    for (from, to) in PAIRS {
        let mut resampler = resampler(from, to).aligned();
        resampler.seek(u64::MAX - 3);
        let mut output = vec![0.0; resampler.output_len_max(20)];
        resampler.process(&[0.5; 20], &mut output);
        assert_eq!(resampler.input_position(), u64::MAX);
        let _ = (
            resampler.input_needed(u64::MAX),
            resampler.output_len(20),
            resampler.tail_len(),
        );
    }
}
