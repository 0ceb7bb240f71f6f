//! `listenkit resample`: another sample rate, from file to file or through a pipe.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use listenkit::resample::{Resampler, ResamplerDesign};
use listenkit::{Format, SampleFormat, SampleRate, Samples};

use super::{sample_rate, warn};
use crate::audio::write::WavOut;
use crate::audio::{Block, Buffer, RawLayout, Source, to_i16};
use crate::failure::Failure;

/// Convert a recording to another sample rate
///
/// All channels are kept. 16-bit recordings give 16-bit WAV (rounded, limited at full scale), all others 32-bit float WAV.
/// With `-` as IN or OUT, raw little-endian 32-bit floats are read from standard input or written to standard output.
///
/// Example: listenkit resample call.wav call-16k.wav --rate 16000
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Recording, or `-` for raw floats on standard input
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// WAV file, or `-` for raw floats on standard output
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Rate to convert to
    #[arg(long, value_name = "HZ", value_parser = sample_rate)]
    rate: SampleRate,
    /// Rate of standard input
    #[arg(long, value_name = "HZ", value_parser = sample_rate)]
    from: Option<SampleRate>,
    /// Channels of standard input
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    channels: u8,
    /// The filter's delay: removed by default from files, so that times stay; kept in a pipe, as a live stream has it
    #[arg(long, value_enum)]
    delay: Option<Delay>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Delay {
    Keep,
    Remove,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let piped = args.input.as_os_str() == "-";
    let layout = match (piped, args.from) {
        (true, None) => {
            return Err(Failure::usage(
                "`-` reads raw 32-bit floats: say their rate with --from HZ",
            ));
        }
        (false, Some(_)) => {
            return Err(Failure::usage(format!(
                "--from: {} says its own rate; leave --from out, or read from `-`",
                args.input.display()
            )));
        }
        (true, Some(rate)) => Some(RawLayout {
            format: Format {
                rate,
                channels: args.channels,
                samples: SampleFormat::F32,
            },
        }),
        (false, None) => None,
    };
    check_output(&args.output)?;
    if let (Ok(from), Ok(to)) = (args.input.canonicalize(), args.output.canonicalize())
        && from == to
    {
        return Err(Failure::usage(format!(
            "{}: IN and OUT are the same file; choose another name for OUT",
            args.output.display()
        )));
    }
    let mut source = Source::open(&args.input, layout)?;
    warn(&mut source);
    let format = source.format();
    let mut to = Format {
        rate: args.rate,
        ..format
    };
    if args.output.as_os_str() == "-" {
        to.samples = SampleFormat::F32;
    }
    let keep_delay = match args.delay {
        Some(delay) => delay == Delay::Keep,
        None => piped,
    };
    let mut sink = Sink::open(&args.output, to)?;
    let mut converter = Converter::new(format, to.rate, keep_delay);
    let mut output = Buffer::new(to.samples);
    while let Some(block) = source.next_block()? {
        if block.format != format {
            return Err(Failure::input(format!(
                "{}: changes its format midway; split it there first, for example with ffmpeg",
                args.input.display()
            )));
        }
        converter.convert(block, &mut output);
        sink.write(&output)?;
    }
    converter.finish(&mut output);
    sink.write(&output)?;
    sink.finish()?;
    warn(&mut source);
    Ok(())
}

fn check_output(path: &Path) -> Result<(), Failure> {
    let is_wav = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("wav"));
    if is_wav || path.as_os_str() == "-" {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{}: WAV is what can be written; end the name in .wav, or use `-` for raw floats",
        path.display()
    )))
}

/// One resampler per channel.
struct Converter {
    channels: Vec<Resampler>,
    input: Vec<f32>,
    planes: Vec<Vec<f32>>,
}

impl Converter {
    fn new(from: Format, to: SampleRate, keep_delay: bool) -> Self {
        let design = Arc::new(ResamplerDesign::new(from.rate, to));
        let channels: Vec<Resampler> = (0..from.channels)
            .map(|_| {
                let resampler = Resampler::with_design(Arc::clone(&design));
                if keep_delay {
                    resampler
                } else {
                    resampler.aligned()
                }
            })
            .collect();
        Self {
            planes: vec![Vec::new(); channels.len()],
            channels,
            input: Vec::new(),
        }
    }

    fn convert(&mut self, block: Block<'_>, output: &mut Buffer) {
        let width = self.channels.len();
        for (channel, (resampler, plane)) in
            self.channels.iter_mut().zip(&mut self.planes).enumerate()
        {
            self.input.clear();
            match block.samples {
                Samples::I16(values) => self.input.extend(
                    values
                        .iter()
                        .skip(channel)
                        .step_by(width)
                        .map(|&v| f32::from(v) / 32768.0),
                ),
                Samples::F32(values) => {
                    // NaN or infinity would stay in the filter; they count as silence everywhere here.
                    let clean = |v: f32| if v.is_finite() { v } else { 0.0 };
                    self.input.extend(
                        values
                            .iter()
                            .skip(channel)
                            .step_by(width)
                            .map(|&v| clean(v)),
                    );
                }
            }
            plane.resize(resampler.output_len_max(self.input.len()), 0.0);
            let progress = resampler.process(&self.input, plane);
            debug_assert_eq!(
                progress.consumed,
                self.input.len(),
                "there is room for all of it"
            );
            plane.truncate(progress.written);
        }
        interleave(&self.planes, output);
    }

    fn finish(&mut self, output: &mut Buffer) {
        for (resampler, plane) in self.channels.iter_mut().zip(&mut self.planes) {
            plane.resize(resampler.tail_len(), 0.0);
            let written = resampler.flush(plane);
            plane.truncate(written);
        }
        interleave(&self.planes, output);
    }
}

fn interleave(planes: &[Vec<f32>], output: &mut Buffer) {
    let len = planes.first().map_or(0, Vec::len);
    match output {
        Buffer::I16(values) => {
            values.clear();
            values.extend((0..len).flat_map(|n| planes.iter().map(move |plane| to_i16(plane[n]))));
        }
        Buffer::F32(values) => {
            values.clear();
            values.extend((0..len).flat_map(|n| planes.iter().map(move |plane| plane[n])));
        }
    }
}

enum Sink {
    Wav(WavOut),
    Raw(io::BufWriter<io::Stdout>),
}

impl Sink {
    fn open(path: &Path, format: Format) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::Raw(io::BufWriter::new(io::stdout())));
        }
        let is_wav = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("wav"));
        if !is_wav {
            return Err(Failure::usage(format!(
                "{}: WAV is what can be written; end the name in .wav, or use `-` for raw floats",
                path.display()
            )));
        }
        WavOut::create(path, format).map(Self::Wav)
    }

    fn write(&mut self, buffer: &Buffer) -> Result<(), Failure> {
        match self {
            Self::Wav(wav) => wav.write(buffer.samples()),
            Self::Raw(out) => match buffer.samples() {
                Samples::F32(values) => values
                    .iter()
                    .try_for_each(|v| out.write_all(&v.to_le_bytes())),
                Samples::I16(_) => unreachable!("a pipe is given floats"),
            }
            .map_err(|error| Failure::output(&error)),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Wav(wav) => wav.finish(),
            Self::Raw(mut out) => out.flush().map_err(|error| Failure::output(&error)),
        }
    }
}
