//! The filter against its definition: a sum over all inputs in `f64`, without tables or buffers.

use listenkit_kernels::Level;

use super::kernel::{HALF_WIDTH, impulse_response};
use super::{Resampler, ResamplerDesign};
use crate::units::SampleRate;
use std::sync::Arc;

fn rate(hz: u32) -> SampleRate {
    SampleRate::new(hz).expect("a rate within range")
}

/// White noise in -1..1, the same on every machine.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// Output `m` is the input at time m / to, filtered: h at every input's distance in periods of the lower rate.
fn by_definition(input: &[f32], from: u32, to: u32, m: usize) -> f64 {
    let lower = f64::from(from.min(to));
    let sum: f64 = input
        .iter()
        .enumerate()
        .map(|(n, &x)| {
            // The difference of two fractions, exact before its one rounding.
            let apart = m as i64 * i64::from(from) - n as i64 * i64::from(to);
            let t = apart as f64 / (f64::from(from) * f64::from(to)) * lower;
            f64::from(x) * impulse_response(t)
        })
        .sum();
    sum * lower / f64::from(from)
}

fn resample_aligned(resampler: &mut Resampler, input: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; resampler.output_len_max(input.len()) + resampler.delay()];
    let done = resampler.process(input, &mut output);
    assert_eq!(done.consumed, input.len());
    let len = done.written + resampler.flush(&mut output[done.written..]);
    output.truncate(len);
    output
}

/// Pairs that take every path: lattices with one to three spans of taps, more phases than rows and fewer,
/// whole tables, interpolated tables, a delay that had to be rounded up, both extremes.
const PAIRS: [(u32, u32); 24] = [
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 16_000),
    (8_000, 16_000),
    (12_000, 16_000),
    (22_050, 16_000),
    (32_000, 16_000),
    (96_000, 16_000),
    (16_000, 48_000),
    (48_000, 8_000),
    (4_000, 192_000),
    (192_000, 4_000),
    (44_100, 48_000),
    (48_000, 44_100),
    (11_025, 8_000),
    (16_001, 16_000),
    (16_000, 16_001),
    (191_999, 192_000),
    (192_000, 191_999),
    (192_000, 4_001),
    (4_001, 192_000),
    (20_000, 48_000),
    (40_000, 48_000),
    (16_000, 16_000),
];

#[test]
fn every_path_computes_the_filter_as_defined() {
    for (from, to) in PAIRS {
        let input = noise((from as usize / 50).max(700));
        for level in Level::available() {
            let design = Arc::new(ResamplerDesign::with_level(rate(from), rate(to), level));
            let output = resample_aligned(&mut Resampler::with_design(design).aligned(), &input);
            // Both ends, where zeros stand for what is not there, and a stretch of the middle.
            let middle = output.len() / 2;
            let picked = (0..60)
                .chain(middle..middle + 400)
                .chain(output.len().saturating_sub(60)..output.len())
                .filter(|&m| m < output.len());
            for m in picked {
                let expected = match from == to {
                    true => f64::from(input[m]),
                    false => by_definition(&input, from, to, m),
                };
                let error = (f64::from(output[m]) - expected).abs();
                // Coefficients and about 150 sums rounded to 2^-24 of at most 2.1, or an interpolated
                // table (1.5e-6); the worst seen is 1.1e-6.
                assert!(
                    error < 2.5e-6,
                    "{from} -> {to} at {level:?}: output {m} is off by {error:e}"
                );
            }
        }
    }
}

/// Gain of the continuous kernel at `frequency` (of the lower rate), by the integral of h(t) cos(2πft).
fn gain(frequency: f64) -> f64 {
    // The trapezoid rule errs by the spectrum around multiples of 64, where the kernel has none.
    let steps = 64 * HALF_WIDTH as i64;
    (-steps..steps)
        .map(|i| {
            let t = i as f64 / 64.0;
            impulse_response(t) * (std::f64::consts::TAU * frequency * t).cos() / 64.0
        })
        .sum()
}

#[test]
fn kernel_is_flat_to_0_9_and_closed_from_1_1_of_the_nyquist() {
    let db = |gain: f64| 20.0 * gain.abs().log10();
    let pass: Vec<f64> = (0..=900)
        .map(|i| db(gain(0.5 * f64::from(i) / 1000.0)))
        .collect();
    let ripple =
        pass.iter().fold(f64::MIN, |a, &b| a.max(b)) - pass.iter().fold(f64::MAX, |a, &b| a.min(b));
    assert!(ripple < 0.0202, "pass band ripple is {ripple} dB");
    for i in 1100..6000 {
        let stop = db(gain(0.5 * f64::from(i) / 1000.0));
        assert!(stop < -103.2, "{stop} dB at {i} thousandths of the Nyquist");
    }
    for octave in 1..=20 {
        // Beyond, the lobes fall with the cube of the frequency.
        let frequency = 3.0 * 1.15f64.powi(octave);
        let limit = -103.2 - 60.0 * (frequency / 3.0).log10() + 6.0;
        assert!(db(gain(frequency)) < limit.max(-200.0));
    }
}

#[test]
fn delay_is_half_the_kernel_in_whole_outputs() {
    for (from, to, delay) in [
        (48_000, 16_000, 24),
        (44_100, 16_000, 24),
        (192_000, 4_000, 24),
        (8_000, 16_000, 48),
        (16_000, 48_000, 72),
        // 24 · 48 / 44.1 = 26.1
        (44_100, 48_000, 27),
        (16_000, 16_000, 0),
    ] {
        assert_eq!(
            Resampler::new(rate(from), rate(to)).delay(),
            delay,
            "{from} -> {to}"
        );
    }
}

#[test]
fn tables_are_at_most_half_a_megabyte_and_delay_lines_a_few_kilobytes() {
    for (from, to) in PAIRS {
        let design = ResamplerDesign::new(rate(from), rate(to));
        assert!(
            design.table_bytes() <= 512 * 1024,
            "{from} -> {to}: {}",
            design.table_bytes()
        );
        let state = design.layout.rows * design.layout.stride * size_of::<f32>();
        // Half the kernel alone is 9 KB from 192 to 4 kHz.
        let limit = if to == 16_000 && from <= 48_000 {
            3 * 1024
        } else {
            16 * 1024
        };
        assert!(state <= limit, "{from} -> {to}: {state} bytes of state");
    }
}

#[test]
fn shared_resamplers_have_one_filter_and_the_output_of_their_own() {
    let (first, second) = (
        Resampler::shared(rate(44_101), rate(16_000)),
        Resampler::shared(rate(44_101), rate(16_000)),
    );
    assert!(Arc::ptr_eq(first.design(), second.design()));
    let input = noise(44_101);
    let all = |mut resampler: Resampler| {
        let mut out = vec![0.0; resampler.output_len_max(input.len())];
        let done = resampler.process(&input, &mut out);
        out.truncate(done.written);
        out
    };
    let own = all(Resampler::new(rate(44_101), rate(16_000)));
    assert_eq!(own.len(), 16_000);
    assert!(all(first) == own && all(second) == own);
}
