//! Borrowed blocks of PCM and the one place where they become mono `f32`.

use crate::error::{ConfigError, InputError};
use crate::units::SampleRate;

/// Largest magnitude that reaches the models; anything beyond is limited to it and counted.
///
/// 16 is 24 dB over full scale. Ordinary overshoot of float audio passes untouched; values that could overflow
/// the spectrum to infinity, and so poison a recurrent state for ever, do not.
pub const LIMIT: f32 = 16.0;

/// How one sample value is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// Signed 16-bit integers, full scale 32768.
    #[default]
    I16 = 0,
    /// 32-bit floats, full scale 1.0.
    F32 = 1,
}

/// What a stream of PCM looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    /// Samples per second.
    pub rate: SampleRate,
    /// Interleaved channels, 1..=8.
    pub channels: u8,
    /// How one value is stored.
    pub samples: SampleFormat,
}

impl Format {
    /// Most channels that are accepted.
    pub const MAX_CHANNELS: u8 = 8;

    /// Checks and builds a format.
    ///
    /// # Errors
    /// [`ConfigError::SampleRate`] or [`ConfigError::Channels`] outside their ranges.
    pub fn new(hz: u32, channels: usize, samples: SampleFormat) -> Result<Self, ConfigError> {
        let rate = SampleRate::new(hz)?;
        match u8::try_from(channels) {
            Ok(count @ 1..=Self::MAX_CHANNELS) => Ok(Self {
                rate,
                channels: count,
                samples,
            }),
            _ => Err(ConfigError::Channels { channels }),
        }
    }
}

/// Borrowed interleaved values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Samples<'a> {
    /// Signed 16-bit.
    I16(&'a [i16]),
    /// 32-bit float.
    F32(&'a [f32]),
}

impl<'a> Samples<'a> {
    /// Values, over all channels.
    pub const fn len(&self) -> usize {
        match self {
            Self::I16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the values are stored.
    pub const fn format(&self) -> SampleFormat {
        match self {
            Self::I16(_) => SampleFormat::I16,
            Self::F32(_) => SampleFormat::F32,
        }
    }

    pub(crate) fn slice(&self, start: usize, end: usize) -> Samples<'a> {
        match self {
            Self::I16(values) => Samples::I16(&values[start..end]),
            Self::F32(values) => Samples::F32(&values[start..end]),
        }
    }
}

/// One pushed block: interleaved values of any length, from one sample to hours.
///
/// Rate and channel count are those of the stream unless the block says otherwise; a block that does
/// changes the format of the stream from its first sample on.
///
/// ```
/// use listenkit::Frame;
/// let block = [0_i16; 480];
/// let frame = Frame::i16(&block);                             // as the stream is
/// let stereo = Frame::i16(&block).at_rate(44_100).with_channels(2); // as it says
/// # let _ = (frame, stereo);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    pub(crate) samples: Samples<'a>,
    pub(crate) rate: Option<u32>,
    pub(crate) channels: Option<usize>,
}

impl<'a> Frame<'a> {
    /// Signed 16-bit values, interleaved.
    pub const fn i16(values: &'a [i16]) -> Self {
        Self {
            samples: Samples::I16(values),
            rate: None,
            channels: None,
        }
    }

    /// Float values, interleaved, full scale 1.0. NaN and infinity count as 0.
    pub const fn f32(values: &'a [f32]) -> Self {
        Self {
            samples: Samples::F32(values),
            rate: None,
            channels: None,
        }
    }

    /// The same block, declared to be at `hz` samples per second.
    #[must_use]
    pub const fn at_rate(mut self, hz: u32) -> Self {
        self.rate = Some(hz);
        self
    }

    /// The same block, declared to have `channels` interleaved channels.
    #[must_use]
    pub const fn with_channels(mut self, channels: usize) -> Self {
        self.channels = Some(channels);
        self
    }

    /// The values.
    pub const fn samples(&self) -> Samples<'a> {
        self.samples
    }

    /// The format of this block in a stream that was in `current` format so far.
    pub(crate) fn format(&self, current: Format) -> Result<Format, InputError> {
        let format = Format::new(
            self.rate.unwrap_or(current.rate.hz()),
            self.channels.unwrap_or(usize::from(current.channels)),
            self.samples.format(),
        )?;
        if !self
            .samples
            .len()
            .is_multiple_of(usize::from(format.channels))
        {
            return Err(InputError::PartialSample {
                len: self.samples.len(),
                channels: format.channels,
            });
        }
        Ok(format)
    }
}

/// Which channels are listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downmix {
    /// The mean of all channels.
    #[default]
    Average,
    /// One channel, counted from 0: for call recordings with the user on one side.
    Channel(u8),
}

/// Counts of values that had to be mended on the way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    pub(crate) non_finite: u64,
    pub(crate) limited: u64,
}

/// Turns interleaved values into mono `f32` in [-1, 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonoReader {
    pub(crate) downmix: Downmix,
    /// 1 / full scale of `i16` input.
    pub(crate) i16_scale: f32,
}

impl MonoReader {
    /// Fills `mono` with one value per sample of `samples`, which holds exactly
    /// `mono.len() * channels` values.
    pub(crate) fn read(&self, samples: Samples<'_>, channels: u8, mono: &mut [f32]) -> Mended {
        let width = usize::from(channels);
        debug_assert_eq!(samples.len(), mono.len() * width, "whole samples only");
        let mut mended = Mended::default();
        match samples {
            Samples::I16(values) => self.read_i16(values, width, mono),
            Samples::F32(values) => self.read_f32(values, width, mono, &mut mended),
        }
        mended
    }

    fn read_i16(&self, values: &[i16], width: usize, mono: &mut [f32]) {
        if width == 1 {
            for (out, &value) in mono.iter_mut().zip(values) {
                *out = f32::from(value) * self.i16_scale;
            }
            return;
        }
        match self.downmix {
            Downmix::Channel(channel) => {
                for (out, sample) in mono.iter_mut().zip(values.chunks_exact(width)) {
                    *out = f32::from(sample[usize::from(channel)]) * self.i16_scale;
                }
            }
            Downmix::Average => {
                let scale = self.i16_scale / width as f32;
                for (out, sample) in mono.iter_mut().zip(values.chunks_exact(width)) {
                    // Eight channels of 16 bits fit 19 bits: the sum is exact, and so is its `f32`.
                    *out = sample.iter().map(|&v| i32::from(v)).sum::<i32>() as f32 * scale;
                }
            }
        }
    }

    fn read_f32(&self, values: &[f32], width: usize, mono: &mut [f32], mended: &mut Mended) {
        let mut clean = |value: f32| -> f32 {
            if value.abs() <= LIMIT {
                value
            } else if value.is_finite() {
                mended.limited += 1;
                LIMIT.copysign(value)
            } else {
                mended.non_finite += 1;
                0.0
            }
        };
        match (width, self.downmix) {
            (1, _) => {
                for (out, &value) in mono.iter_mut().zip(values) {
                    *out = clean(value);
                }
            }
            (_, Downmix::Channel(channel)) => {
                for (out, sample) in mono.iter_mut().zip(values.chunks_exact(width)) {
                    *out = clean(sample[usize::from(channel)]);
                }
            }
            (_, Downmix::Average) => {
                for (out, sample) in mono.iter_mut().zip(values.chunks_exact(width)) {
                    *out = sample.iter().map(|&v| clean(v)).sum::<f32>() / width as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READER: MonoReader = MonoReader {
        downmix: Downmix::Average,
        i16_scale: 1.0 / 32768.0,
    };

    #[test]
    fn i16_is_scaled_by_32768() {
        let mut mono = [0.0; 3];
        READER.read(Samples::I16(&[-32768, 0, 16384]), 1, &mut mono);
        assert_eq!(mono, [-1.0, 0.0, 0.5]);
    }

    #[test]
    fn channels_are_averaged_without_wrapping() {
        let mut mono = [0.0; 1];
        READER.read(Samples::I16(&[32767; 8]), 8, &mut mono);
        assert_eq!(mono, [32767.0 / 32768.0]);
        READER.read(Samples::F32(&[1.0, -0.5]), 2, &mut mono);
        assert_eq!(mono, [0.25]);
    }

    #[test]
    fn one_channel_can_be_chosen() {
        let reader = MonoReader {
            downmix: Downmix::Channel(1),
            ..READER
        };
        let mut mono = [0.0; 2];
        reader.read(Samples::I16(&[1, 16384, 2, -16384]), 2, &mut mono);
        assert_eq!(mono, [0.5, -0.5]);
        reader.read(Samples::F32(&[f32::NAN, 0.25, 9.0, 0.125]), 2, &mut mono);
        assert_eq!(mono, [0.25, 0.125]);
    }

    #[test]
    fn values_that_are_not_numbers_become_silence_and_are_counted() {
        let mut mono = [9.0; 5];
        let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -0.5];
        let mended = READER.read(Samples::F32(&values), 1, &mut mono);
        assert_eq!(mono, [0.0, 0.0, 0.0, LIMIT, -0.5]);
        assert_eq!(
            mended,
            Mended {
                non_finite: 3,
                limited: 1
            }
        );
    }

    #[test]
    fn a_block_that_splits_a_sample_is_refused() {
        let current = Format::new(48_000, 2, SampleFormat::I16).expect("valid");
        let error = Frame::i16(&[0; 3]).format(current).unwrap_err();
        assert_eq!(
            error,
            InputError::PartialSample {
                len: 3,
                channels: 2
            }
        );
        assert!(
            Frame::i16(&[0; 4])
                .with_channels(9)
                .format(current)
                .is_err()
        );
        assert!(
            Frame::i16(&[0; 4])
                .with_channels(0)
                .format(current)
                .is_err()
        );
    }
}
