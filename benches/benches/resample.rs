//! Resampling to 16 kHz in pushes of 10 ms, beside rubato's FFT and sinc resamplers on the same input.
//!
//! One iteration is one push (160 outputs), so 3.2 iterations make a window of the model.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use listenkit::SampleRate;
use listenkit::resample::{Resampler, ResamplerDesign};
use listenkit_kernels::Level;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Resampler as Rubato, SincInterpolationParameters,
    WindowFunction,
};

const TO: u32 = 16_000;

fn rubato_push(resampler: &mut dyn Rubato<f32>, input: &[f32], output: &mut [f32]) -> usize {
    let (frames_in, frames_out) = (input.len(), output.len());
    let input = InterleavedSlice::new(input, 1, frames_in).expect("one channel");
    let mut output = InterleavedSlice::new_mut(output, 1, frames_out).expect("one channel");
    let done = resampler
        .process_into_buffer(&input, &mut output, None)
        .expect("enough room");
    done.1
}

fn pushes(criterion: &mut Criterion) {
    for from in [48_000, 44_100, 24_000, 8_000] {
        let push = from as usize / 100;
        let input: Vec<f32> = (0..push).map(|n| (n as f32 * 0.1).sin() * 0.5).collect();
        let mut output = vec![0.0; 1024];
        let mut group = criterion.benchmark_group(format!("resample_{from}_to_{TO}_10ms"));
        group.throughput(Throughput::Elements(push as u64));
        let rate = |hz| SampleRate::new(hz).expect("a rate within range");
        for level in Level::available() {
            let design = ResamplerDesign::with_level(rate(from), rate(TO), level);
            let mut resampler = Resampler::with_design(design.into());
            group.bench_function(format!("listenkit_{}", level.kind()), |bencher| {
                bencher.iter(|| resampler.process(black_box(&input), black_box(&mut output)));
            });
        }
        let mut fft = Fft::<f32>::new(from as usize, TO as usize, push, 1, FixedSync::Input)
            .expect("valid rates");
        group.bench_function("rubato_fft", |bencher| {
            bencher.iter(|| rubato_push(&mut fft, black_box(&input), black_box(&mut output)));
        });
        let parameters = SincInterpolationParameters::new(128, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(TO) / f64::from(from);
        let mut sinc = Async::<f32>::new_sinc(ratio, 1.0, &parameters, push, 1, FixedAsync::Input)
            .expect("valid");
        group.bench_function("rubato_sinc128", |bencher| {
            bencher.iter(|| rubato_push(&mut sinc, black_box(&input), black_box(&mut output)));
        });
        group.finish();
    }
}

/// The worst case of pushing: one sample at a time. One iteration is 10 ms.
fn single_samples(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample_to_16000_sample_by_sample");
    for from in [48_000u32, 44_100] {
        let rate = |hz| SampleRate::new(hz).expect("a rate within range");
        let mut resampler = Resampler::new(rate(from), rate(TO));
        let mut output = [0.0; 4];
        group.bench_function(from.to_string(), |bencher| {
            bencher.iter(|| {
                for _ in 0..from / 100 {
                    resampler.process(black_box(&[0.25]), black_box(&mut output));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pushes, single_samples);
criterion_main!(benches);
