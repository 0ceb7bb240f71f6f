//! Time per window on this machine, for `benches/speed_silero.py`, which runs a peer between the rounds.
//!
//! `vad_speed [--rate 8000|16000] [--level LEVEL] [--audio FILE]`, then one line per round on stdin: `single`, `batch N` or `load`.
//! The audio is raw i16le at the model's rate, or the library's test signal: weights that meet zeros are skipped, so time depends on it.
//! Each answers with the median and the fastest time in microseconds per window and stream over about 0.2 s.

use listenkit::vad::{KernelLevel, SileroVad, VadBatch, VadRate, VadState, test_signal};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rate, mut level, mut audio) = (VadRate::Hz16000, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match (arg.as_str(), value.as_str()) {
            ("--rate", "8000") => rate = VadRate::Hz8000,
            ("--rate", "16000") => rate = VadRate::Hz16000,
            ("--level", name) => level = Some(KernelLevel::from_name(name).ok_or("no such level")?),
            ("--audio", file) => audio = Some(std::fs::read(file)?),
            _ => return Err(format!("unknown option {arg} {value}").into()),
        }
    }
    let load = || match level {
        Some(level) => SileroVad::embedded_at(rate, level),
        None => SileroVad::embedded(rate),
    };
    let vad = load()?;
    let signal = match &audio {
        Some(bytes) => {
            let (samples, _) = bytes.as_chunks::<2>();
            let scale = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32_768.0;
            samples.iter().map(scale).collect()
        }
        None => test_signal(rate, 256),
    };
    let windows: Vec<&[f32]> = signal.chunks_exact(rate.window_len()).take(256).collect();
    if windows.is_empty() {
        return Err("the audio is shorter than a window".into());
    }
    println!("{}", vad.kernel_level());
    for line in std::io::stdin().lines() {
        let line = line?;
        let (median, fastest) = match line.split_once(' ').unwrap_or((&line, "1")) {
            ("single", _) => {
                let mut state = VadState::new();
                let mut window = windows.iter().cycle();
                time(16, || {
                    for _ in 0..16 {
                        let window = window.next().expect("cycles");
                        black_box(vad.probability(&mut state, black_box(window)));
                    }
                })
            }
            ("batch", streams) => {
                let streams: usize = streams.parse()?;
                let mut batch = VadBatch::new(vad.clone(), 32);
                let (mut states, mut out) = (vec![VadState::new(); streams], vec![0.0; streams]);
                let mut at = 0;
                let many: Vec<&[f32]> = windows
                    .iter()
                    .cycle()
                    .take(256 + streams)
                    .copied()
                    .collect();
                time(streams, || {
                    batch.probabilities(&mut states, &many[at..at + streams], &mut out);
                    black_box(&out);
                    at = (at + 1) % 256;
                })
            }
            ("load", _) => time(1, || {
                let vad = load().expect("loaded before");
                black_box(vad.probability(&mut VadState::new(), windows[0]));
            }),
            _ => return Err(format!("unknown round {line}").into()),
        };
        println!("{median:.4} {fastest:.4}");
    }
    Ok(())
}

/// Microseconds per unit: median and fastest of the calls in 0.2 s, each of which does `units`.
fn time(units: usize, mut call: impl FnMut()) -> (f64, f64) {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 10 || start.elapsed().as_secs_f64() < 0.2 {
        let one = Instant::now();
        call();
        times.push(one.elapsed().as_secs_f64() * 1e6 / units as f64);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}
