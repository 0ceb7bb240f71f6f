//! Log-mel features of 8 s, all at once.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use listenkit::dsp::{LogMel, MEL_SAMPLES, boxed_features};
use listenkit_bench::conversation;

fn features(criterion: &mut Criterion) {
    // What matters is that it is speech, not at which rate.
    let pcm = conversation();
    let samples: Vec<f32> = pcm[..MEL_SAMPLES]
        .iter()
        .map(|v| f32::from(*v) / 32768.0)
        .collect();
    let log_mel = LogMel::new();
    let mut scratch = log_mel.scratch();
    let mut out = boxed_features();
    criterion.bench_function("log_mel/one_shot_8s", |bencher| {
        bencher.iter(|| {
            log_mel.features(black_box(&samples), &[], &mut scratch, &mut out);
        });
    });
}

criterion_group!(benches, features);
criterion_main!(benches);
