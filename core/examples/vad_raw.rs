//! Raw audio on stdin, one f32le probability per window on stdout: the model alone, for the parity and speed scripts.
//!
//! `vad_raw [--rate 8000|16000] [--level portable|avx2|avx512|neon] [--f32] [--batch N] [--guard on|off] [--list FILE]`
//!
//! The input is i16le, or f32le with `--f32`. `--batch N` runs N copies of the stream through `VadBatch` and prints the last.
//! The state guard is off unless asked for.
//! With `--list`, stdin is not read: each line of FILE names an input and an output file.

use listenkit::vad::{KernelLevel, SileroVad, StateGuard, VadBatch, VadRate, VadState};
use std::error::Error;
use std::io::{Read, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rate, mut level, mut float, mut batch, mut guard, mut list) =
        (VadRate::Hz16000, None, false, 0, false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--f32" => float = true,
            "--rate" | "--level" | "--batch" | "--guard" | "--list" => {
                let value = args.next().ok_or(format!("{arg} needs a value"))?;
                match arg.as_str() {
                    "--rate" if value == "8000" => rate = VadRate::Hz8000,
                    "--rate" if value == "16000" => rate = VadRate::Hz16000,
                    "--level" => {
                        level = Some(KernelLevel::from_name(&value).ok_or("no such level")?)
                    }
                    "--guard" if value == "on" => guard = true,
                    "--guard" if value == "off" => guard = false,
                    "--guard" => return Err("the guard is on or off".into()),
                    "--batch" => batch = value.parse()?,
                    "--list" => list = Some(value),
                    _ => return Err("the rate is 8000 or 16000".into()),
                }
            }
            _ => return Err(format!("unknown option {arg}").into()),
        }
    }
    let vad = match level {
        Some(level) => SileroVad::embedded_at(rate, level)?,
        None => SileroVad::embedded(rate)?,
    };
    let run = |bytes: &[u8]| {
        let samples = samples(bytes, float);
        let probabilities = if batch == 0 {
            single(&vad, &samples, guard)
        } else {
            batched(&vad, &samples, batch, guard)
        };
        probabilities
            .iter()
            .flat_map(|p| p.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    if let Some(list) = list {
        for line in std::fs::read_to_string(list)?.lines() {
            let (input, output) = line.split_once('\t').ok_or("a line is INPUT<tab>OUTPUT")?;
            std::fs::write(output, run(&std::fs::read(input)?))?;
        }
    } else {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        std::io::stdout().write_all(&run(&bytes))?;
    }
    Ok(())
}

fn samples(bytes: &[u8], float: bool) -> Vec<f32> {
    if float {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()
    } else {
        bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|b| f32::from(i16::from_le_bytes(*b)) / 32_768.0)
            .collect()
    }
}

fn single(vad: &SileroVad, samples: &[f32], guarded: bool) -> Vec<f32> {
    let (mut state, mut guard) = (VadState::new(), StateGuard::new());
    let windows = samples.chunks(vad.rate().window_len());
    windows
        .map(|window| {
            let probability = vad.probability(&mut state, window);
            if guarded {
                guard.observe(probability, &mut state);
            }
            probability
        })
        .collect()
}

fn batched(vad: &SileroVad, samples: &[f32], streams: usize, guarded: bool) -> Vec<f32> {
    let mut batch = VadBatch::new(vad.clone(), streams.min(32));
    let (mut states, mut out) = (vec![VadState::new(); streams], vec![0.0; streams]);
    let mut guards = vec![StateGuard::new(); if guarded { streams } else { 0 }];
    let windows = samples.chunks(vad.rate().window_len());
    windows
        .map(|window| {
            batch.probabilities(&mut states, &vec![window; streams], &mut out);
            for ((guard, state), probability) in guards.iter_mut().zip(&mut states).zip(&out) {
                guard.observe(*probability, state);
            }
            out[streams - 1]
        })
        .collect()
}
