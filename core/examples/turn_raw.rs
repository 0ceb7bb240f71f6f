//! Raw audio in, one probability of a complete turn a line: the model alone, for the parity script.
//!
//! `turn_raw [--mode fast|exact] [--kernel portable|avx2|avx512|neon] [--f32] [--weights FILE] [--mel OUT] [CLIP]...`
//!
//! Each clip is a file of 16 kHz mono samples, i16le or with `--f32` f32le; the turn ends where it ends. Without clips their
//! names are read from standard input, one a line. `--mel` writes the features of all clips, each `[80, 800]` f32le.
//! `--weights` reads the model from a file instead of the library.

use listenkit::dsp::{LogMel, boxed_features};
use listenkit::{KernelLevel, Precision, SmartTurn};
use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut precision, mut level, mut float, mut weights, mut mel) =
        (Precision::default(), None, false, None, None);
    let mut clips = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--f32" => float = true,
            "--mode" | "--kernel" | "--weights" | "--mel" => {
                let value = args.next().ok_or(format!("{arg} needs a value"))?;
                match arg.as_str() {
                    "--mode" => {
                        precision =
                            Precision::from_name(&value).ok_or("the mode is fast or exact")?
                    }
                    "--kernel" => {
                        level = Some(KernelLevel::from_name(&value).ok_or("no such level")?)
                    }
                    "--weights" => weights = Some(std::fs::read(value)?),
                    _ => mel = Some(std::io::BufWriter::new(std::fs::File::create(value)?)),
                }
            }
            _ if arg.starts_with("--") => return Err(format!("unknown option {arg}").into()),
            _ => clips.push(arg),
        }
    }
    let smart_turn = match (weights, level) {
        (Some(bytes), Some(level)) => SmartTurn::from_bytes_at(&bytes, precision, level)?,
        (Some(bytes), None) => {
            let fastest = SmartTurn::embedded(precision)?.kernel_level();
            SmartTurn::from_bytes_at(&bytes, precision, fastest)?
        }
        (None, Some(level)) => SmartTurn::embedded_at(precision, level)?,
        (None, None) => SmartTurn::embedded(precision)?,
    };
    let log_mel = LogMel::new();
    let (mut scratch, mut features) = (log_mel.scratch(), boxed_features());
    let mut session = smart_turn.session();
    let mut answer = |clip: &str| -> Result<(), Box<dyn Error>> {
        let samples = samples(&std::fs::read(clip)?, float);
        log_mel.features(&samples, &[], &mut scratch, &mut features);
        if let Some(out) = &mut mel {
            for value in features.iter() {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", session.probability(&features).value())?;
        Ok(out.flush()?)
    };
    if clips.is_empty() {
        for line in std::io::stdin().lines() {
            answer(&line?)?;
        }
    }
    clips.iter().try_for_each(|clip| answer(clip))
}

fn samples(bytes: &[u8], float: bool) -> Vec<f32> {
    if float {
        let (values, _) = bytes.as_chunks::<4>();
        values.iter().map(|b| f32::from_le_bytes(*b)).collect()
    } else {
        let (values, _) = bytes.as_chunks::<2>();
        let value = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32_768.0;
        values.iter().map(value).collect()
    }
}
