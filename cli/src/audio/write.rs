//! Writes WAV files.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat as WavFormat, WavSpec, WavWriter};
use listenkit::{Format, SampleFormat, Samples};

use crate::failure::Failure;

/// A WAV file that is being written: 16-bit integers or 32-bit floats, as its format says.
pub struct WavOut {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
}

impl WavOut {
    /// Creates or overwrites `path`.
    ///
    /// # Errors
    /// [`Failure::Input`] if it cannot be written.
    pub fn create(path: &Path, format: Format) -> Result<Self, Failure> {
        let (bits_per_sample, sample_format) = match format.samples {
            SampleFormat::I16 => (16, WavFormat::Int),
            SampleFormat::F32 => (32, WavFormat::Float),
        };
        let spec = WavSpec {
            channels: u16::from(format.channels),
            sample_rate: format.rate.hz(),
            bits_per_sample,
            sample_format,
        };
        let writer = WavWriter::create(path, spec).map_err(|error| failure(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            writer,
        })
    }

    /// Appends interleaved values of the file's own kind.
    ///
    /// # Errors
    /// [`Failure::Input`] if the disk is full or gone.
    pub fn write(&mut self, samples: Samples<'_>) -> Result<(), Failure> {
        let result = match samples {
            Samples::I16(values) => values.iter().try_for_each(|&v| self.writer.write_sample(v)),
            Samples::F32(values) => values.iter().try_for_each(|&v| self.writer.write_sample(v)),
        };
        result.map_err(|error| failure(&self.path, error))
    }

    /// Writes the lengths into the header and closes the file.
    ///
    /// # Errors
    /// [`Failure::Input`] if the disk is full or gone.
    pub fn finish(self) -> Result<(), Failure> {
        self.writer
            .finalize()
            .map_err(|error| failure(&self.path, error))
    }
}

fn failure(path: &Path, error: hound::Error) -> Failure {
    match error {
        hound::Error::IoError(error) => Failure::writing(path, &error),
        other => Failure::writing(path, &io::Error::other(other)),
    }
}
