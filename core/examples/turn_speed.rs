//! Time per answer and memory of Smart Turn, for `benches/speed_smart_turn.py`, which runs peers between the rounds.
//!
//! `turn_speed --audio CLIP [--mode fast|exact|none] [--kernel LEVEL] [--vad on|off]`: loads, runs each model once over the clip (16 kHz
//! mono i16le), prints the kernel level and the probability, and then waits. Each line on stdin is a round of about 0.3 s:
//! `features`, `model` or `both`; it answers with the median and the fastest CPU time in milliseconds.
//! With `--mode none` only the VAD is there, to tell its memory from Smart Turn's.

use cpu_time::ProcessTime;
use listenkit::dsp::{LogMel, boxed_features};
use listenkit::{KernelLevel, Precision, SileroVad, SmartTurn, VadRate, VadState};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut precision, mut level, mut audio, mut vad) =
        (Some(Precision::default()), None, None, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match (arg.as_str(), value.as_str()) {
            ("--mode", "none") => precision = None,
            ("--mode", name) => {
                precision = Some(Precision::from_name(name).ok_or("the mode is fast, exact, none")?)
            }
            ("--kernel", name) => {
                level = Some(KernelLevel::from_name(name).ok_or("no such level")?)
            }
            ("--audio", file) => audio = Some(std::fs::read(file)?),
            ("--vad", "on") => vad = true,
            ("--vad", "off") => vad = false,
            _ => return Err(format!("unknown option {arg} {value}").into()),
        }
    }
    let audio = audio.ok_or("--audio CLIP is needed")?;
    let (values, _) = audio.as_chunks::<2>();
    let value = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32_768.0;
    let samples: Vec<f32> = values.iter().map(value).collect();
    drop(audio);

    let mut kept = None;
    if vad {
        let vad = SileroVad::embedded(VadRate::Hz16000)?;
        let mut state = VadState::new();
        for window in samples.chunks(vad.rate().window_len()) {
            black_box(vad.probability(&mut state, window));
        }
        kept = Some((vad, state));
    }
    let Some(precision) = precision else {
        println!("none");
        for line in std::io::stdin().lines() {
            line?;
        }
        drop(kept);
        return Ok(());
    };
    let smart_turn = match level {
        Some(level) => SmartTurn::embedded_at(precision, level)?,
        None => SmartTurn::embedded(precision)?,
    };
    let log_mel = LogMel::new();
    let (mut scratch, mut features) = (log_mel.scratch(), boxed_features());
    let mut session = smart_turn.session();
    log_mel.features(&samples, &[], &mut scratch, &mut features);
    let probability = session.probability(&features).value();
    println!("{} {probability}", smart_turn.kernel_level());
    for line in std::io::stdin().lines() {
        let (median, fastest) = match line?.as_str() {
            "features" => time(|| {
                log_mel.features(black_box(&samples), &[], &mut scratch, &mut features);
            }),
            "model" => time(|| {
                black_box(session.probability(black_box(&features)));
            }),
            "both" => time(|| {
                log_mel.features(black_box(&samples), &[], &mut scratch, &mut features);
                black_box(session.probability(&features));
            }),
            line => return Err(format!("unknown round {line}").into()),
        };
        println!("{median:.4} {fastest:.4}");
    }
    drop(kept);
    Ok(())
}

/// Milliseconds of CPU time: median and fastest of the calls in 0.3 s.
fn time(mut call: impl FnMut()) -> (f64, f64) {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed().as_secs_f64() < 0.3 {
        let one = ProcessTime::now();
        call();
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}
