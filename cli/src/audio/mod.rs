//! Reads recordings in blocks: WAV through `hound`, other formats through `symphonia`, raw PCM from a pipe.
//!
//! 16-bit audio stays 16-bit; everything else becomes `f32`. A damaged file gives what can be read of it, with a
//! warning that says how much; a file that gives nothing is an error.

mod compressed;
mod pcm;
mod raw;
pub mod wav;
pub mod write;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use listenkit::{Format, SampleFormat, Samples};

use crate::failure::Failure;

/// Samples per block, all channels counted once. Small enough to stream, large enough to cost nothing.
pub const BLOCK: usize = 4096;

/// Interleaved values read from a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Buffer {
    /// 16-bit.
    I16(Vec<i16>),
    /// Float, full scale 1.0.
    F32(Vec<f32>),
}

impl Buffer {
    /// An empty buffer.
    pub fn new(format: SampleFormat) -> Self {
        match format {
            SampleFormat::I16 => Self::I16(Vec::new()),
            SampleFormat::F32 => Self::F32(Vec::new()),
        }
    }

    /// The values.
    pub fn samples(&self) -> Samples<'_> {
        match self {
            Self::I16(values) => Samples::I16(values),
            Self::F32(values) => Samples::F32(values),
        }
    }

    /// Values, over all channels.
    pub fn len(&self) -> usize {
        self.samples().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the first `count` values.
    pub fn drop_front(&mut self, count: usize) {
        match self {
            Self::I16(values) => drop(values.drain(..count)),
            Self::F32(values) => drop(values.drain(..count)),
        }
    }

    /// Appends values of the same kind; other kinds are converted to this one.
    pub fn extend(&mut self, samples: Samples<'_>) {
        match (self, samples) {
            (Self::I16(to), Samples::I16(from)) => to.extend_from_slice(from),
            (Self::F32(to), Samples::F32(from)) => to.extend_from_slice(from),
            (Self::F32(to), Samples::I16(from)) => {
                to.extend(from.iter().map(|&value| f32::from(value) / 32768.0));
            }
            (Self::I16(to), Samples::F32(from)) => to.extend(from.iter().map(|&v| to_i16(v))),
        }
    }
}

/// The nearest 16-bit value to `value` (full scale 1.0), limited at the ends; NaN is 0.
pub fn to_i16(value: f32) -> i16 {
    // `as` saturates and turns NaN into 0. Ties go to even, so that rounding adds no offset.
    (f64::from(value) * 32768.0).round_ties_even() as i16
}

/// One block of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block<'a> {
    /// Its format. Differs from the block before only where the recording itself changes.
    pub format: Format,
    /// Interleaved values, a whole number of samples.
    pub samples: Samples<'a>,
}

/// What a decoder does.
trait Decode {
    /// The next block, or `None` at the end.
    fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure>;

    /// Things the user should know, found so far; each is told once.
    fn take_warnings(&mut self) -> Vec<String>;
}

/// How raw PCM on standard input is laid out.
#[derive(Clone, Copy, Debug)]
pub struct RawLayout {
    /// Samples per second, channels, and kind of value (little-endian).
    pub format: Format,
}

/// A recording that is being read.
pub struct Source {
    name: String,
    format: Format,
    encoding: String,
    /// Samples, if the file says so.
    declared_len: Option<u64>,
    decoder: Box<dyn Decode>,
    /// Values that are NaN or infinite.
    not_finite: u64,
}

impl Source {
    /// Opens a file, or standard input (`-`) with the given layout.
    ///
    /// # Errors
    /// [`Failure::Input`] if there is no such file, it is not audio, or its format is not supported;
    /// [`Failure::Usage`] for `-` without a layout.
    pub fn open(path: &Path, layout: Option<RawLayout>) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            let layout = layout.ok_or_else(|| {
                Failure::usage("`-` reads raw PCM: say its rate with --rate HZ (and --format i16|f32, --channels N)")
            })?;
            return raw::open_stdin(layout);
        }
        // Before it is opened: that would wait for the pipe's other end.
        let kind = std::fs::metadata(path)
            .map_err(|error| Failure::opening(path, &error))?
            .file_type();
        if kind.is_dir() {
            return Err(Failure::opening(
                path,
                &std::io::ErrorKind::IsADirectory.into(),
            ));
        }
        if !kind.is_file() {
            return Err(Failure::input(format!(
                "{}: is a pipe or device, which cannot be searched; save it to a file first, or pipe raw PCM to `-`",
                path.display()
            )));
        }
        let mut file = File::open(path).map_err(|error| Failure::opening(path, &error))?;
        let mut magic = Vec::with_capacity(12);
        (&mut file)
            .take(12)
            .read_to_end(&mut magic)
            .map_err(|error| Failure::opening(path, &error))?;
        drop(file);
        if magic.is_empty() {
            return Err(Failure::input(format!(
                "{}: the file is empty (0 bytes); record or copy it again",
                path.display()
            )));
        }
        if wav::is_wav(&magic) {
            match wav::open(path)? {
                wav::Opened::Plain(source) => return Ok(source),
                // A codec inside WAV, such as G.711.
                wav::Opened::Other => {}
            }
        }
        compressed::open(path)
    }

    /// The file's name as the user gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The format of the first block.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How the file stores its samples, for people: `16-bit`, `FLAC`.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// Samples the file says it has; a hint, for progress.
    pub fn declared_len(&self) -> Option<u64> {
        self.declared_len
    }

    /// The next block, or `None` at the end.
    ///
    /// # Errors
    /// [`Failure::Input`] if the file cannot be read on and nothing of it was read so far.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, Failure> {
        let block = self.decoder.next_block()?;
        if let Some(Block {
            samples: Samples::F32(values),
            ..
        }) = block
        {
            self.not_finite += values.iter().filter(|v| !v.is_finite()).count() as u64;
        }
        Ok(block)
    }

    /// Warnings found since the last call: what is damaged, and what was read all the same.
    pub fn take_warnings(&mut self) -> Vec<String> {
        let name = self.name.clone();
        let mut found = self.decoder.take_warnings();
        let not_finite = std::mem::take(&mut self.not_finite);
        if not_finite > 0 {
            found.push(format!(
                "{not_finite} values are not finite numbers; they were heard as silence"
            ));
        }
        found
            .into_iter()
            .map(|warning| format!("{name}: {warning}"))
            .collect()
    }
}

/// Builds the core's format, or says why it cannot.
fn checked_format(
    name: &str,
    hz: u32,
    channels: usize,
    samples: SampleFormat,
) -> Result<Format, Failure> {
    Format::new(hz, channels, samples).map_err(|error| Failure::input(format!("{name}: {error}")))
}

/// `count` samples at `hz` in seconds, for messages.
fn seconds(count: u64, hz: u32) -> String {
    format!("{:.3} s", count as f64 / f64::from(hz))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_survive_the_way_through_floats() {
        for value in i16::MIN..=i16::MAX {
            assert_eq!(to_i16(f32::from(value) / 32768.0), value);
        }
    }

    #[test]
    fn conversion_to_sixteen_bits_limits_and_rounds() {
        assert_eq!(to_i16(1.0), 32767);
        assert_eq!(to_i16(-2.0), -32768);
        assert_eq!(to_i16(f32::NAN), 0);
        assert_eq!(to_i16(0.6 / 32768.0), 1);
        assert_eq!(to_i16(-0.6 / 32768.0), -1);
        assert_eq!(to_i16(0.5 / 32768.0), 0);
    }
}
