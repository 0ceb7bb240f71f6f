//! The voice activity model: one stream, batches, and loading, at every kernel level of this machine.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use listenkit::vad::{KernelLevel, SileroVad, VadBatch, VadRate, VadState, test_signal};
use std::hint::black_box;

fn models(rate: VadRate) -> impl Iterator<Item = SileroVad> {
    KernelLevel::ALL
        .into_iter()
        .filter_map(move |level| SileroVad::embedded_at(rate, level).ok())
}

fn vad(c: &mut Criterion) {
    for rate in [VadRate::Hz16000, VadRate::Hz8000] {
        let signal = test_signal(rate, 256);
        let windows: Vec<&[f32]> = signal.chunks(rate.window_len()).collect();
        let mut group = c.benchmark_group(format!("vad {} Hz", rate.hz()));
        for vad in models(rate) {
            let level = vad.kernel_level();
            let (mut state, mut next) = (VadState::new(), windows.iter().cycle());
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("single {level}"), |b| {
                b.iter(|| {
                    vad.probability(&mut state, black_box(next.next().expect("cycles")));
                });
            });
            for streams in [8, 32] {
                let mut batch = VadBatch::new(vad.clone(), 32);
                let (mut states, mut out) = (vec![VadState::new(); streams], vec![0.0; streams]);
                let mut at = 0;
                group.throughput(Throughput::Elements(streams as u64));
                group.bench_function(format!("batch {streams} {level}"), |b| {
                    b.iter(|| {
                        at = (at + 1) % (windows.len() - streams);
                        batch.probabilities(&mut states, &windows[at..at + streams], &mut out);
                        black_box(&out);
                    });
                });
            }
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function("load to first probability", |b| {
            b.iter(|| {
                let vad = SileroVad::embedded(rate).expect("embedded");
                vad.probability(&mut VadState::new(), windows[0])
            });
        });
    }
}

criterion_group!(benches, vad);
criterion_main!(benches);
