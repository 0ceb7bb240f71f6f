//! Log-mel features of 8 s: from samples alone, and with the frames that a detector has ready when it asks.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use listenkit::dsp::{LogMel, boxed_features};
use listenkit::{
    Detector, DetectorConfig, Endpointing, Frame, Output, Probability, SampleRate, SileroVad,
    TurnModelOptions, TurnSnapshot, VadRate,
};
use listenkit_bench::{conversation, percentile};

/// The longest turn that a detector asks about.
fn asked() -> TurnSnapshot {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load");
    // Nobody answers, so that the conversation becomes one turn.
    let options = TurnModelOptions {
        timeout: Duration::from_secs(60),
        ..TurnModelOptions::new(Probability::clamped(0.5))
    };
    let config = DetectorConfig::new(SampleRate::HZ_48000)
        .turn_model(Some(options))
        .endpointing(Endpointing::fixed(
            Duration::from_secs(5),
            Duration::from_secs(5),
        ));
    let mut detector = Detector::new(config, &vad).expect("valid");
    let mut snapshot = TurnSnapshot::new();
    for block in conversation().chunks(480) {
        let mut outputs = detector.process(Frame::i16(block)).expect("good frames");
        while let Some(output) = outputs.next() {
            if let Output::TurnQuery(query) = output {
                let audio = outputs.turn_audio(&query);
                if audio.len() >= snapshot.audio().len() {
                    audio.copy_to(&mut snapshot);
                }
            }
        }
    }
    snapshot
}

/// The fastest of many calls tells more than the mean where others use the processor too.
fn fastest(name: &str, mut call: impl FnMut()) {
    let mut times: Vec<f64> = (0..2_000)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name}, us: fastest {:.0}, median {:.0}",
        times[0],
        percentile(&times, 0.5)
    );
}

fn features(criterion: &mut Criterion) {
    let turn = asked();
    let audio = turn.audio();
    let ready = audio.frames.map_or(0, |frames| frames.len());
    println!("{} samples, {ready} frames ready", audio.len());
    let log_mel = LogMel::new();
    let mut scratch = log_mel.scratch();
    let mut out = boxed_features();
    fastest("from samples", || {
        log_mel.features(black_box(audio.head), audio.tail, &mut scratch, &mut out);
    });
    fastest("frames ready", || {
        black_box(audio).log_mel(&log_mel, &mut scratch, &mut out);
    });
    let mut group = criterion.benchmark_group("log_mel");
    group.bench_function("from_samples", |bencher| {
        bencher.iter(|| {
            log_mel.features(black_box(audio.head), audio.tail, &mut scratch, &mut out);
        });
    });
    group.bench_function("frames_ready", |bencher| {
        bencher.iter(|| black_box(audio).log_mel(&log_mel, &mut scratch, &mut out));
    });
    let mut copy = TurnSnapshot::new();
    group.bench_function("copy_for_a_worker", |bencher| {
        bencher.iter(|| black_box(audio).copy_to(&mut copy));
    });
    group.finish();
}

criterion_group!(benches, features);
criterion_main!(benches);
