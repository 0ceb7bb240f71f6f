//! `listenkit turn`: how finished a recording sounds.

use std::path::{Path, PathBuf};

use listenkit::resample::Resampler;
use listenkit::{KernelLevel, Precision, SampleRate, Samples, SmartTurnSession};

use super::timeline::counted;
use super::{RawArgs, load_turn_model, warn};
use crate::audio::Source;
use crate::failure::Failure;
use crate::json::Line;

/// Say how likely it is that the speaker is finished
///
/// Prints end_of_turn_probability, one line a recording: what Smart Turn v3.2 hears in the eight seconds before the end, or before
/// --at. Put the end where the speaker falls silent, or up to 0.3 s later, as in a live conversation; what happens
/// at every pause of a longer recording is shown by `listenkit analyze`.
///
/// Example: listenkit turn answer.wav --at 3.2
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Recordings, or `-` for raw PCM on standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Judge the audio before this many seconds (default: all of it)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    at: Option<f64>,
    /// Compute in floating point throughout: slower, and the reference for the default
    #[arg(long)]
    exact: bool,
    /// Weights of your own, converted by models/smart_turn/convert.py
    #[arg(long, value_name = "FILE.lkw")]
    model: Option<PathBuf>,
    /// Print one JSON object a recording
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    raw: RawArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("use seconds from the start, above 0, such as 3.2".into()),
    }
}

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let precision = if args.exact {
        Precision::Exact
    } else {
        Precision::Fast
    };
    let mut model = load_turn_model(precision, kernel, args.model.as_deref())?.session();
    let mut failed = 0;
    for file in &args.files {
        match one(args, &mut model, file) {
            Ok(line) => super::print(&line)?,
            Err(failure @ Failure::Input(_)) if args.files.len() > 1 => {
                eprintln!("error: {failure}");
                failed += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
    if failed > 0 {
        return Err(Failure::input(format!(
            "{failed} of {} recordings could not be judged; see the lines above",
            args.files.len()
        )));
    }
    Ok(())
}

fn one(args: &Args, model: &mut SmartTurnSession, file: &Path) -> Result<String, Failure> {
    let mut source = Source::open(file, args.raw.layout())?;
    warn(&mut source);
    let (audio, judged) = mono_16k(&mut source, args.at)?;
    warn(&mut source);
    let probability = model.probability_of_audio(&audio, &[]).value();
    let name = source.name();
    Ok(if args.json {
        let line = Line::default()
            .with("file", name)
            .with("at_s", crate::json::seconds(judged))
            .probability("end_of_turn_probability", Some(probability));
        format!("{line}\n")
    } else {
        format!("{probability:.4}  {name}\n")
    })
}

/// Seconds before the end that are kept at least: the model's eight, and what a resampler's filter reaches.
const KEPT: usize = 10;

/// The audio before `at` as the model hears it, and how long it is in seconds.
fn mono_16k(source: &mut Source, at: Option<f64>) -> Result<(Vec<f32>, f64), Failure> {
    let format = source.format();
    let rate = f64::from(format.rate.hz());
    let wanted = at.map_or(u64::MAX, |at| (at * rate).round() as u64);
    let width = usize::from(format.channels);
    let seconds = format.rate.hz() as usize;
    let mut mono: Vec<f32> = Vec::new();
    let (mut dropped, mut limited) = (0_u64, 0_u64);
    // As the detector does, and by as much.
    let mut limit = |value: f32| {
        limited += u64::from(value.abs() > 16.0);
        value.clamp(-16.0, 16.0)
    };
    while let Some(block) = source.next_block()? {
        if block.format != format {
            return Err(Failure::input(format!(
                "{}: changes its format midway; convert it first",
                source.name()
            )));
        }
        match block.samples {
            Samples::I16(values) => mono.extend(values.chunks_exact(width).map(|sample| {
                let sum: i32 = sample.iter().map(|&value| i32::from(value)).sum();
                sum as f32 / (32768.0 * width as f32)
            })),
            Samples::F32(values) => mono.extend(
                values
                    .chunks_exact(width)
                    .map(|sample| sample.iter().map(|&v| limit(v)).sum::<f32>() / width as f32),
            ),
        }
        if dropped + mono.len() as u64 >= wanted {
            break;
        }
        // Whole seconds, so that the resampler's grid stays where it is.
        let whole = mono.len() / seconds;
        if whole > 3 * KEPT {
            mono.drain(..(whole - KEPT) * seconds);
            dropped += ((whole - KEPT) * seconds) as u64;
        }
    }
    let heard = dropped + mono.len() as u64;
    if limited > 0 {
        eprintln!(
            "warning: {}: {} far beyond full scale; heard as 16 times full scale",
            source.name(),
            counted(limited, "value")
        );
    }
    if let Some(at) = at
        && heard < wanted
    {
        return Err(Failure::input(format!(
            "{}: lasts {:.3} s, --at {at:?} is beyond its end",
            source.name(),
            heard as f64 / rate
        )));
    }
    if mono.is_empty() {
        return Err(Failure::input(format!("{}: holds no audio", source.name())));
    }
    if wanted == 0 {
        return Err(Failure::usage(format!(
            "--at {}: is before the first sample of {}; use a later time",
            at.unwrap_or_default(),
            source.name()
        )));
    }
    mono.truncate(usize::try_from(wanted.saturating_sub(dropped)).unwrap_or(usize::MAX));
    for value in &mut mono {
        if !value.is_finite() {
            *value = 0.0;
        }
    }
    let judged = heard.min(wanted) as f64 / rate;
    Ok((resampled(mono, format.rate), judged))
}

/// At 16 kHz, without the filter's delay.
fn resampled(mono: Vec<f32>, from: SampleRate) -> Vec<f32> {
    let to = SampleRate::HZ_16000;
    if from == to {
        return mono;
    }
    let mut resampler = Resampler::new(from, to).aligned();
    let room = mono.len() * to.hz() as usize / from.hz() as usize + 4096;
    let mut out = vec![0.0; room];
    let done = resampler.process(&mono, &mut out);
    let flushed = resampler.flush(&mut out[done.written..]);
    out.truncate(done.written + flushed);
    out
}
