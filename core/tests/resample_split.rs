//! What a resampler must keep whatever the blocks it is fed: bits, counts, and independence of the past.

use listenkit::SampleRate;
use listenkit::resample::{Progress, Resampler};
use proptest::prelude::*;

const PAIRS: [(u32, u32); 12] = [
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 16_000),
    (8_000, 16_000),
    (12_000, 16_000),
    (22_050, 16_000),
    (16_000, 48_000),
    (96_000, 16_000),
    (192_000, 4_000),
    (4_000, 192_000),
    (16_001, 16_000),
    (16_000, 16_000),
];

fn resampler(from: u32, to: u32) -> Resampler {
    let rate = |hz| SampleRate::new(hz).expect("a rate within range");
    Resampler::new(rate(from), rate(to))
}

/// Noise with loud clicks in it, so that a sample in the wrong place shows.
fn signal(len: usize) -> Vec<f32> {
    let mut state = 7u32;
    let step = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let click = if i.is_multiple_of(97) { 8.0 } else { 0.0 };
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0 + click
    };
    (0..len).map(step).collect()
}

/// Feeds everything, writing at most `room` outputs per call, and flushes likewise.
fn run(resampler: &mut Resampler, input: &[f32], pushes: &[usize], room: usize) -> Vec<f32> {
    let mut output = Vec::new();
    let mut block = vec![f32::NAN; room.max(resampler.output_len_max(1))];
    let mut left = input;
    let mut pushes = pushes.iter().cycle();
    while !left.is_empty() {
        let len = left
            .len()
            .min(*pushes.next().expect("a cycle does not end"));
        let mut push = &left[..len];
        left = &left[len..];
        while !push.is_empty() {
            let expected = resampler.output_len(push.len());
            let Progress { consumed, written } = resampler.process(push, &mut block);
            if expected <= block.len() {
                assert_eq!(
                    (consumed, written),
                    (push.len(), expected),
                    "sizes are told beforehand"
                );
            }
            assert!(
                consumed > 0,
                "room for the outputs of one input is enough to go on"
            );
            output.extend_from_slice(&block[..written]);
            push = &push[consumed..];
        }
    }
    while resampler.tail_len() > 0 {
        let (expected, before) = (resampler.tail_len().min(block.len()), output.len());
        let written = resampler.flush(&mut block);
        output.extend_from_slice(&block[..written]);
        assert_eq!(output.len() - before, expected);
    }
    output
}

fn bits(samples: &[f32]) -> Vec<u32> {
    samples.iter().map(|sample| sample.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_split_gives_the_same_bits(
        pair in 0..PAIRS.len(),
        len in 0..4_000usize,
        pushes in prop::collection::vec(1..700usize, 1..8),
        room in 1..900usize,
        aligned: bool,
    ) {
        let (from, to) = PAIRS[pair];
        let make = || if aligned { resampler(from, to).aligned() } else { resampler(from, to) };
        let input = signal(len);
        let whole = run(&mut make(), &input, &[usize::MAX], usize::from(u16::MAX) * 4);
        let split = run(&mut make(), &input, &pushes, room);
        prop_assert_eq!(bits(&whole), bits(&split));
        // All instants m / to before the end n / from, and the delay's worth more if that is kept.
        let outputs = (len as u64 * u64::from(to)).div_ceil(u64::from(from)) as usize;
        let kept = if aligned || len == 0 { 0 } else { make().delay() };
        prop_assert_eq!(split.len(), outputs + kept);
    }

    #[test]
    fn a_used_resampler_is_as_new_after_reset_and_after_flush(
        pair in 0..PAIRS.len(),
        used in 1..3_000usize,
        flush: bool,
        part in 0..20usize,
    ) {
        let (from, to) = PAIRS[pair];
        let fresh = run(&mut resampler(from, to), &signal(1_500), &[160], 4_096);
        let mut reused = resampler(from, to);
        let mut scratch = vec![0.0; reused.output_len_max(used) + reused.delay()];
        reused.process(&signal(used), &mut scratch);
        if flush {
            // Part of a tail, abandoned: the next push begins a new stream all the same.
            reused.flush(&mut scratch[..part]);
            prop_assume!(part > 0 || from == to);
            if from == to { reused.reset(); }
        } else {
            reused.reset();
        }
        prop_assert_eq!(bits(&run(&mut reused, &signal(1_500), &[160], 4_096)), bits(&fresh));
    }
}

#[test]
fn one_sample_pushes_give_the_same_bits() {
    for (from, to) in PAIRS {
        let input = signal(3_001);
        let whole = run(&mut resampler(from, to), &input, &[usize::MAX], 1 << 18);
        assert_eq!(
            bits(&run(&mut resampler(from, to), &input, &[1], 64)),
            bits(&whole),
            "{from} -> {to}"
        );
    }
}

#[test]
fn ten_milliseconds_in_are_ten_milliseconds_out_from_the_first_push() {
    for (from, to) in PAIRS {
        let mut resampler = resampler(from, to);
        let push = vec![0.5; from as usize / 100];
        let mut output = vec![0.0; resampler.output_len_max(push.len())];
        for k in 0..300 {
            let done = resampler.process(&push, &mut output);
            assert_eq!(done.consumed, push.len());
            let apart = done.written as f64 - f64::from(to) * push.len() as f64 / f64::from(from);
            assert!(
                apart.abs() < 1.0,
                "{from} -> {to}: push {k} gave {} outputs",
                done.written
            );
        }
    }
}

#[test]
fn aligned_is_the_plain_stream_without_its_first_delay_samples() {
    for (from, to) in PAIRS {
        let input = signal(2_345);
        let plain = run(&mut resampler(from, to), &input, &[100], 8_192);
        let aligned = run(&mut resampler(from, to).aligned(), &input, &[100], 8_192);
        let delay = resampler(from, to).delay();
        assert_eq!(bits(&plain[delay..]), bits(&aligned), "{from} -> {to}");
    }
}

#[test]
fn equal_rates_copy_every_bit_without_delay() {
    let mut resampler = resampler(44_100, 44_100);
    let input = [
        0.1,
        f32::MIN_POSITIVE / 4.0,
        -0.0,
        1e30,
        f32::NAN,
        f32::INFINITY,
    ];
    let mut output = [9.0; 8];
    let done = resampler.process(&input, &mut output);
    assert_eq!(
        done,
        Progress {
            consumed: 6,
            written: 6
        }
    );
    assert_eq!(bits(&output[..6]), bits(&input));
    assert_eq!(
        (
            resampler.delay(),
            resampler.tail_len(),
            resampler.flush(&mut output)
        ),
        (0, 0, 0)
    );
}

#[test]
fn streams_that_share_a_filter_do_not_disturb_each_other() {
    let mut alone = resampler(44_100, 16_000);
    let (mut a, mut b) = (
        alone.clone(),
        Resampler::with_design(alone.design().clone()),
    );
    let (one, two) = (signal(2_000), vec![0.9; 2_000]);
    let expected = run(&mut alone, &one, &[100], 512);
    let mut found = Vec::new();
    let mut output = [0.0; 64];
    for (one, two) in one.chunks(100).zip(two.chunks(100)) {
        let written = a.process(one, &mut output).written;
        found.extend_from_slice(&output[..written]);
        b.process(two, &mut output);
    }
    assert_eq!(bits(&found), bits(&expected[..found.len()]));
}

#[test]
fn a_bad_sample_is_forgotten_after_the_length_of_the_kernel() {
    for (from, to) in PAIRS.into_iter().filter(|(from, to)| from != to) {
        let kernel = 48 * (from.max(to) / to) as usize + 20;
        let mut resampler = resampler(from, to).aligned();
        let mut input = signal(8 * kernel.max(48 * from.div_ceil(to) as usize + 100));
        let expected = run(&mut resampler, &input, &[64], 8_192);
        let bad = input.len() / 2;
        input[bad] = f32::NAN;
        let found = run(&mut resampler, &input, &[64], 8_192);
        let lower = f64::from(from.min(to));
        for (m, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let apart = (m as f64 / f64::from(to) - bad as f64 / f64::from(from)) * lower;
            // A window is padded by up to 16 samples, or a period of the pattern, towards the past.
            if !(-24.0..=24.0 + 40.0).contains(&apart) {
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "{from} -> {to}: output {m}"
                );
            }
        }
    }
}

#[test]
fn no_pair_of_rates_panics() {
    // Every 7,919 Hz (a prime), the usual rates and the limits, against each other.
    let usual = [
        4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 191_999, 192_000,
    ];
    let rates: Vec<u32> = (4_001..192_000).step_by(7_919).chain(usual).collect();
    for (i, &from) in rates.iter().enumerate() {
        for &to in rates.iter().skip(i % 3).step_by(3) {
            let mut resampler = resampler(from, to).aligned();
            let input = [
                f32::MAX,
                f32::NAN,
                -1.0,
                f32::NEG_INFINITY,
                0.25,
                1e-40,
                3.0,
            ];
            let mut output = vec![0.0; resampler.output_len_max(input.len())];
            for _ in 0..20 {
                let done = resampler.process(&input, &mut output);
                assert_eq!(done.consumed, input.len());
            }
            let tail = resampler.tail_len();
            assert_eq!(
                resampler.flush(&mut vec![0.0; tail]),
                tail,
                "{from} -> {to}"
            );
        }
    }
}
