//! A block of PCM that is cheap to pass on.

use std::sync::Arc;
use std::time::Duration;

/// A block of interleaved 16-bit PCM. Cloning shares the samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    samples: Arc<[i16]>,
    sample_rate: u32,
    channels: u32,
}

/// Samples that make no [`AudioFrame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{len} values are no whole samples of {channels} channels at {sample_rate} Hz: give a multiple of the channels, 1 to 8 of them, at 4000 to 192000 Hz"
)]
pub struct AudioFormatError {
    /// Values that came.
    pub len: usize,
    /// Channels that were declared.
    pub channels: u32,
    /// Rate that was declared, in Hz.
    pub sample_rate: u32,
}

impl AudioFrame {
    /// A block of `samples`, interleaved if there is more than one channel.
    ///
    /// # Errors
    /// [`AudioFormatError`] if they are not whole samples, or the format is none that the core hears.
    pub fn new(
        samples: impl Into<Arc<[i16]>>,
        sample_rate: u32,
        channels: u32,
    ) -> Result<Self, AudioFormatError> {
        let samples = samples.into();
        let known = (1..=8).contains(&channels) && (4_000..=192_000).contains(&sample_rate);
        if !known || samples.len() % channels as usize != 0 {
            return Err(AudioFormatError {
                len: samples.len(),
                channels,
                sample_rate,
            });
        }
        Ok(Self {
            samples,
            sample_rate,
            channels,
        })
    }

    /// The values, interleaved.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// The values, to be kept without a copy.
    pub const fn shared(&self) -> &Arc<[i16]> {
        &self.samples
    }

    /// In Hz.
    pub const fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// 1 to 8.
    pub const fn channels(&self) -> u32 {
        self.channels
    }

    /// Samples of one channel.
    pub fn samples_per_channel(&self) -> usize {
        self.samples.len() / self.channels as usize
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(
            self.samples_per_channel() as u64 * 1_000_000_000 / u64::from(self.sample_rate),
        )
    }
}
