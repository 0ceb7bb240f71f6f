//! The whole detector at 48 kHz in 10 ms blocks: time per block, and per second of audio.
//!
//! One block in three completes a window and pays for the model, so the mean says little: the distribution over single
//! blocks is printed before criterion's figures.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use listenkit::{
    Detector, DetectorConfig, Frame, Probability, SampleRate, SileroVad, TurnModelOptions, VadRate,
};
use listenkit_bench::{conversation, percentile};

const BLOCK: usize = 480;

fn detector(vad: &SileroVad, guard: bool) -> Detector {
    let config = DetectorConfig::new(SampleRate::HZ_48000).state_guard(guard);
    Detector::new(config, vad).expect("the defaults are valid")
}

fn per_block(vad: &SileroVad, pcm: &[i16]) {
    let mut detector = detector(vad, true);
    let mut times = Vec::new();
    for _ in 0..10 {
        for block in pcm.chunks_exact(BLOCK) {
            let start = Instant::now();
            for output in detector.process(Frame::i16(block)).expect("good frames") {
                black_box(output);
            }
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    println!(
        "detector, us per 10 ms block at 48 kHz: mean {mean:.2}, median {:.2}, p99.9 {:.2}, max {:.2} ({} blocks)",
        percentile(&times, 0.5),
        percentile(&times, 0.999),
        percentile(&times, 1.0),
        times.len()
    );
    println!("state of one stream: {} bytes", detector.state_bytes());
}

fn detectors(criterion: &mut Criterion) {
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load");
    let pcm = conversation();
    per_block(&vad, &pcm);
    let mut group = criterion.benchmark_group("detector_48k");
    group.throughput(Throughput::Elements(pcm.len() as u64));
    for (name, guard) in [("guard_on", true), ("guard_off", false)] {
        let mut detector = detector(&vad, guard);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for block in pcm.chunks_exact(BLOCK) {
                    for output in detector.process(Frame::i16(block)).expect("good frames") {
                        black_box(output);
                    }
                }
            });
        });
    }
    group.finish();
    mel_frames(criterion, &vad, &pcm);
}

/// What the mel frames of a turn model cost, per pass over the conversation, of which nearly all is one turn or another.
fn mel_frames(criterion: &mut Criterion, vad: &SileroVad, pcm: &[i16]) {
    let mut group = criterion.benchmark_group("detector_48k_turn_model");
    group.throughput(Throughput::Elements(pcm.len() as u64));
    for (name, mel_frames) in [("mel_frames_on", true), ("mel_frames_off", false)] {
        let options = TurnModelOptions {
            mel_frames,
            ..TurnModelOptions::new(Probability::clamped(0.5))
        };
        let config = DetectorConfig::new(SampleRate::HZ_48000).turn_model(Some(options));
        let mut detector = Detector::new(config, vad).expect("valid");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for block in pcm.chunks_exact(BLOCK) {
                    for output in detector.process(Frame::i16(block)).expect("good frames") {
                        black_box(output);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, detectors);
criterion_main!(benches);
