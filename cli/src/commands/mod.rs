//! The subcommands.

pub(crate) mod analyze;
pub(crate) mod bench;
pub(crate) mod models;
pub(crate) mod replay;
pub(crate) mod resample;
pub(crate) mod segment;
mod timeline;
pub(crate) mod turn;
pub(crate) mod vad;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use clap::ValueEnum;
use listenkit::vad::{SileroVad, VadRate};
use listenkit::{Format, KernelLevel, ModelError, Precision, SampleFormat, SampleRate, SmartTurn};

use crate::audio::{RawLayout, Source};
use crate::failure::Failure;

/// How raw PCM on standard input is laid out.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct RawArgs {
    /// Sample rate of raw PCM on standard input (FILE is `-`)
    #[arg(long, value_name = "HZ", value_parser = sample_rate)]
    pub(crate) rate: Option<SampleRate>,
    /// Values of raw PCM on standard input, little-endian
    #[arg(long, value_enum, default_value_t = RawFormat::I16)]
    pub(crate) format: RawFormat,
    /// Interleaved channels of raw PCM on standard input
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) channels: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RawFormat {
    /// 16-bit integers
    I16,
    /// 32-bit floats
    F32,
}

impl RawArgs {
    /// The layout, if a rate was given.
    pub(crate) fn layout(self) -> Option<RawLayout> {
        self.rate.map(|rate| RawLayout {
            format: Format {
                rate,
                channels: self.channels,
                samples: match self.format {
                    RawFormat::I16 => SampleFormat::I16,
                    RawFormat::F32 => SampleFormat::F32,
                },
            },
        })
    }
}

/// A sample rate on the command line.
pub(crate) fn sample_rate(text: &str) -> Result<SampleRate, String> {
    let hz = text
        .parse()
        .map_err(|_| "use a whole number of Hz, such as 16000".to_string())?;
    SampleRate::new(hz).map_err(|error| error.to_string())
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Whether a file can be written; leaves everything as it was.
pub(crate) fn try_writing(path: &Path) -> io::Result<()> {
    let there = path.metadata();
    // Opening a pipe waits for its reader, closing it sends it away.
    if there
        .as_ref()
        .is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
    {
        return Ok(());
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if there.is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Tells what a recording's reader found wrong, on standard error.
pub(crate) fn warn(source: &mut Source) {
    for warning in source.take_warnings() {
        eprintln!("warning: {warning}");
    }
}

/// `48 kHz`, `22.05 kHz`.
pub(crate) fn kilohertz(rate: SampleRate) -> String {
    let text = format!("{:.3}", f64::from(rate.hz()) / 1000.0);
    format!("{} kHz", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `mono`, `stereo`, `6 channels`.
pub(crate) fn channels(count: u8) -> String {
    match count {
        1 => "mono".into(),
        2 => "stereo".into(),
        n => format!("{n} channels"),
    }
}

/// `48 kHz · mono · 16-bit`.
pub(crate) fn describe(source: &Source) -> String {
    let format = source.format();
    format!(
        "{} · {} · {}",
        kilohertz(format.rate),
        channels(format.channels),
        source.encoding()
    )
}

/// A kernel level on the command line.
pub(crate) fn kernel_level(text: &str) -> Result<KernelLevel, String> {
    KernelLevel::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = KernelLevel::ALL.iter().map(|level| level.name()).collect();
        format!("use one of {}", names.join(", "))
    })
}

/// The embedded VAD, at the fastest level of this machine or the one asked for.
pub(crate) fn load_vad(rate: VadRate, kernel: Option<KernelLevel>) -> Result<SileroVad, Failure> {
    match kernel {
        Some(level) => SileroVad::embedded_at(rate, level),
        None => SileroVad::embedded(rate),
    }
    .map_err(unusable)
}

/// The turn model likewise: the embedded one, or that of a weight file.
pub(crate) fn load_turn_model(
    precision: Precision,
    kernel: Option<KernelLevel>,
    file: Option<&Path>,
) -> Result<SmartTurn, Failure> {
    let Some(path) = file else {
        return match kernel {
            Some(level) => SmartTurn::embedded_at(precision, level),
            None => SmartTurn::embedded(precision),
        }
        .map_err(unusable);
    };
    let bytes = std::fs::read(path).map_err(|error| Failure::opening(path, &error))?;
    match kernel {
        Some(level) => SmartTurn::from_bytes_at(&bytes, precision, level),
        None => SmartTurn::from_bytes(&bytes, precision),
    }
    .map_err(|error| match error {
        ModelError::KernelLevel { .. } => unusable(error),
        _ => Failure::input(format!(
            "{}: is no Smart Turn weight file: {error}; make one with models/smart_turn/convert.py",
            path.display()
        )),
    })
}

fn unusable(error: ModelError) -> Failure {
    match error {
        ModelError::KernelLevel { .. } => {
            Failure::usage(format!("--kernel: {error}; leave it out"))
        }
        _ => Failure::input(format!(
            "a built-in model cannot be used: {error}; build listenkit again"
        )),
    }
}
