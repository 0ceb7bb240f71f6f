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
    mel_frames(&vad, &pcm);
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
}

/// What the mel frames of a turn model cost, on a conversation of which nearly all is one turn or another. With and without in
/// turn; every block counts with its fastest time of many passes, so that other users of the processor do not show.
fn mel_frames(vad: &SileroVad, pcm: &[i16]) {
    let mut contenders = [true, false].map(|mel_frames| {
        let options = TurnModelOptions {
            mel_frames,
            ..TurnModelOptions::new(Probability::clamped(0.5))
        };
        let config = DetectorConfig::new(SampleRate::HZ_48000).turn_model(Some(options));
        let detector = Detector::new(config, vad).expect("valid");
        (detector, vec![f64::INFINITY; pcm.len() / BLOCK])
    });
    for _ in 0..30 {
        for (detector, fastest) in &mut contenders {
            for (block, fastest) in pcm.chunks_exact(BLOCK).zip(fastest) {
                let start = Instant::now();
                for output in detector.process(Frame::i16(block)).expect("good frames") {
                    black_box(output);
                }
                *fastest = fastest.min(start.elapsed().as_secs_f64());
            }
            detector.reset().for_each(drop);
        }
    }
    let seconds = pcm.len() as f64 / 48_000.0;
    let cost = contenders.map(|(_, fastest)| fastest.iter().sum::<f64>() * 1e6 / seconds);
    println!(
        "detector, us per second of conversation: {:.0} with mel frames, {:.0} without",
        cost[0], cost[1]
    );
}

criterion_group!(benches, detectors);
criterion_main!(benches);
