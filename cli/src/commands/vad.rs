//! `listenkit vad`: the probability of every window.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::ValueEnum;
use listenkit::{Audio, Detector, DetectorConfig, Event, SampleRate};

use listenkit::KernelLevel;
use listenkit::vad::VadRate;

use super::{RawArgs, load_vad, warn};
use crate::audio::Source;
use crate::failure::Failure;
use crate::listen::{Listener, Pace, listen};

/// Print the speech probability of every 32 ms window
///
/// One row per window: its first sample at the input's rate, that in seconds, and the probability.
/// The last window is filled up with zeros if the recording ends inside it.
///
/// Example: ffmpeg -i in.webm -f s16le -ar 16000 -ac 1 - | listenkit vad - --rate 16000
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Recording, or `-` for raw PCM on standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write CSV with the header sample,time_s,probability (the default)
    #[arg(long, conflicts_with = "f32")]
    csv: bool,
    /// Write the bare probabilities as little-endian 32-bit floats
    #[arg(long)]
    f32: bool,
    /// Keep the model from going deaf in long noise or music; off is the raw model
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    guard: Switch,
    /// Branch of the model, in Hz: audio is converted to this rate (default: 8000 for 8 kHz audio and below)
    #[arg(long, value_enum)]
    model_rate: Option<Branch>,
    #[command(flatten)]
    raw: RawArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Branch {
    #[value(name = "16000")]
    Hz16000,
    #[value(name = "8000")]
    Hz8000,
}

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let mut source = Source::open(&args.file, args.raw.layout())?;
    warn(&mut source);
    let branch = match args.model_rate {
        Some(Branch::Hz16000) => VadRate::Hz16000,
        Some(Branch::Hz8000) => VadRate::Hz8000,
        None => VadRate::for_input(source.format().rate),
    };
    let vad = load_vad(branch, kernel)?;
    let format = source.format();
    let config = DetectorConfig::new(format.rate)
        .channels(usize::from(format.channels))
        .sample_format(format.samples)
        .state_guard(args.guard == Switch::On)
        .report_windows(true);
    let mut detector = Detector::new(config, &vad)
        .map_err(|error| Failure::input(format!("{}: {error}", source.name())))?;
    let mut rows = Rows {
        out: io::BufWriter::new(io::stdout().lock()),
        rate: format.rate,
        bare: args.f32,
    };
    if !args.f32 {
        rows.write(b"sample,time_s,probability\n")?;
    }
    let pace = Pace {
        push: None,
        live: false,
    };
    listen(&mut source, &mut detector, pace, None, &mut rows)?;
    rows.out.flush().map_err(|error| Failure::output(&error))?;
    warn(&mut source);
    Ok(())
}

struct Rows<'a> {
    out: io::BufWriter<io::StdoutLock<'a>>,
    rate: SampleRate,
    bare: bool,
}

impl Rows<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out
            .write_all(bytes)
            .map_err(|error| Failure::output(&error))
    }
}

impl Listener for Rows<'_> {
    fn event(&mut self, event: &Event, _audio: Option<Audio<'_>>) -> Result<(), Failure> {
        match event {
            Event::Window(window) => {
                let p = window.probability.value();
                if self.bare {
                    self.write(&p.to_le_bytes())
                } else {
                    let row = format!(
                        "{},{:.6},{p}\n",
                        window.start,
                        window.start.seconds(self.rate)
                    );
                    self.write(row.as_bytes())
                }
            }
            Event::FormatChanged(change) => {
                self.rate = change.to.rate;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
