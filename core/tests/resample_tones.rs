//! What comes out is what went in, below the Nyquist of the lower rate, and nothing else. Judged by sines of
//! known frequency and by another library, `rubato`.

use std::f64::consts::TAU;

use listenkit::SampleRate;
use listenkit::resample::Resampler;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

fn sine(rate: u32, hz: f64, len: usize) -> Vec<f32> {
    let step = TAU * hz / f64::from(rate);
    (0..len)
        .map(|n| (0.9 * (step * n as f64 + 0.3).sin()) as f32)
        .collect()
}

/// The aligned stream with its tail, pushed 10 ms at a time.
fn resample(from: u32, to: u32, input: &[f32]) -> Vec<f32> {
    let rate = |hz| SampleRate::new(hz).expect("a rate within range");
    let mut resampler = Resampler::new(rate(from), rate(to)).aligned();
    let mut output = vec![0.0; resampler.output_len_max(input.len())];
    let mut len = 0;
    for push in input.chunks(from as usize / 100) {
        len += resampler.process(push, &mut output[len..]).written;
    }
    len += resampler.flush(&mut output[len..]);
    assert_eq!(len, output.len());
    output
}

/// Away from both ends, where the signal starts and stops.
fn middle(samples: &[f32]) -> (usize, &[f32]) {
    let start = samples.len() / 4;
    (start, &samples[start..3 * samples.len() / 4])
}

fn level_db(samples: impl ExactSizeIterator<Item = f64>) -> f64 {
    let len = samples.len() as f64;
    10.0 * (samples.map(|x| x * x).sum::<f64>() / len / (0.9 * 0.9 / 2.0)).log10()
}

/// Gain and phase of a sine in the output, by correlation over whole windows; and the level of the rest.
fn measure(output: &[f32], rate: u32, hz: f64) -> (f64, f64, f64) {
    let (start, middle) = middle(output);
    let step = TAU * hz / f64::from(rate);
    let at = |i: usize| step * (start + i) as f64 + 0.3;
    // Least squares for a sine and a cosine, since the stretch need not hold whole periods.
    let (mut ss, mut sc, mut cc, mut ys, mut yc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, &y) in middle.iter().enumerate() {
        let (s, c) = at(i).sin_cos();
        (ss, sc, cc) = (ss + s * s, sc + s * c, cc + c * c);
        (ys, yc) = (ys + f64::from(y) * s, yc + f64::from(y) * c);
    }
    let scale = ss * cc - sc * sc;
    let (a, b) = ((ys * cc - yc * sc) / scale, (yc * ss - ys * sc) / scale);
    let rest = middle.iter().enumerate().map(|(i, &y)| {
        let (s, c) = at(i).sin_cos();
        f64::from(y) - a * s - b * c
    });
    (
        20.0 * (a.hypot(b) / 0.9).log10(),
        b.atan2(a),
        level_db(rest),
    )
}

const PAIRS: [(u32, u32); 9] = [
    (48_000, 16_000),
    (44_100, 16_000),
    (24_000, 16_000),
    (8_000, 16_000),
    (16_000, 48_000),
    (96_000, 16_000),
    (22_050, 16_000),
    (48_000, 44_100),
    (16_001, 16_000),
];

#[test]
fn tones_below_the_nyquist_come_out_alone_at_their_level_and_place() {
    for (from, to) in PAIRS {
        let nyquist = f64::from(from.min(to)) / 2.0;
        for part in [0.01, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9] {
            let hz = part * nyquist;
            let output = resample(from, to, &sine(from, hz, from as usize / 4));
            let (gain, phase, rest) = measure(&output, to, hz);
            // The kernel's ripple is 0.0101 dB either way.
            assert!(
                gain.abs() < 0.0105,
                "{from} -> {to}: {gain} dB at {part} of the Nyquist"
            );
            // A thousandth of an output sample: aligned means exact, only rounding is left.
            let samples = phase * f64::from(to) / (TAU * hz);
            assert!(
                samples.abs() < 1e-3,
                "{from} -> {to}: off by {samples} samples at {part}"
            );
            // Images and aliases: 103.3 dB each, of which a few add up; the interpolated table of
            // the last pair adds at most 116 dB down.
            assert!(
                rest < -100.0,
                "{from} -> {to}: {rest} dB beside the tone at {part}"
            );
        }
    }
}

#[test]
fn tones_from_1_1_of_the_output_nyquist_are_100_db_down() {
    for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
        let nyquist = f64::from(to) / 2.0;
        let top = f64::from(from) / 2.0 / nyquist * 0.99;
        for i in 0..40 {
            let part = 1.1 + (top - 1.1) * f64::from(i) / 39.0;
            // Rates that differ little have nothing above 1.1 of the output Nyquist.
            if part < 1.1 || top < 1.1 {
                continue;
            }
            let output = resample(from, to, &sine(from, part * nyquist, from as usize / 5));
            let (_, middle) = middle(&output);
            let level = level_db(middle.iter().map(|&y| f64::from(y)));
            assert!(
                level < -100.0,
                "{from} -> {to}: {level} dB at {part} of the Nyquist"
            );
        }
    }
}

/// rubato's FFT resampler, with blocks long enough to be flat beyond 0.9 of the Nyquist, and even, since
/// it delays by half a block.
fn rubato(from: u32, to: u32, input: &[f32]) -> Vec<f32> {
    let window = WindowFunction::BlackmanHarris2;
    let (rate_in, rate_out) = (from as usize, to as usize);
    let period = (1..=rate_in)
        .find(|n| (n * rate_out).is_multiple_of(rate_in))
        .expect("one second");
    let block = (rate_in / 5).next_multiple_of(2 * period);
    let mut fft = Fft::<f32>::new_custom(rate_in, rate_out, block, 1, 1, window, FixedSync::Input)
        .expect("valid rates");
    let input = InterleavedSlice::new(input, 1, input.len()).expect("one channel");
    let len = (input_len(&input) * rate_out).div_ceil(rate_in);
    let output = fft
        .process_all(&input, input_len(&input), None)
        .expect("enough room");
    output.take_data()[..len].to_vec()
}

fn input_len(input: &InterleavedSlice<&[f32]>) -> usize {
    use rubato::audioadapter::Adapter;
    input.frames()
}

#[test]
fn agrees_with_rubato_on_band_limited_sound() {
    for (from, to) in PAIRS {
        let nyquist = f64::from(from.min(to)) / 2.0;
        // Forty tones without a common period, up to 0.85 of the Nyquist, 0.5 in all.
        let tones: Vec<Vec<f32>> = (0..40)
            .map(|i| {
                sine(
                    from,
                    nyquist * (0.01 + 0.84 * (f64::from(i) * 0.618).fract()),
                    from as usize,
                )
            })
            .collect();
        let input: Vec<f32> = (0..from as usize)
            .map(|n| tones.iter().map(|tone| tone[n]).sum::<f32>() / 72.0)
            .collect();
        let (ours, theirs) = (resample(from, to, &input), rubato(from, to, &input));
        assert_eq!(ours.len(), theirs.len());
        let (start, ours) = middle(&ours);
        let energy = |x: f64| x * x;
        let sum: f64 = ours.iter().map(|&y| energy(f64::from(y))).sum();
        let apart: f64 = ours
            .iter()
            .zip(&theirs[start..])
            .map(|(&a, &b)| energy(f64::from(a) - f64::from(b)))
            .sum();
        // Our ripple is 1.15e-3 of each tone at most, rubato's far less below 0.85 of the Nyquist.
        let relative = (apart / sum).sqrt();
        assert!(
            relative < 1.15e-3,
            "{from} -> {to}: differs from rubato by {relative}"
        );
    }
}
