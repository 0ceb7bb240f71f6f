//! Sample rates, positions, counts and probabilities: the words every other module is written in.
//!
//! Time in listenkit is a count of samples. A *sample* here is one instant of the stream (one value
//! per channel), so counts do not depend on the number of channels. No clock is ever read.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::error::ConfigError;

/// Samples per second of an audio stream, 4,000 to 192,000 Hz.
///
/// ```
/// use listenkit::SampleRate;
/// assert_eq!(SampleRate::HZ_48000.hz(), 48_000);
/// assert!(SampleRate::new(44_100).is_ok());
/// assert!(SampleRate::new(1_000).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SampleRate(u32);

impl SampleRate {
    /// Telephony, 8 kHz.
    pub const HZ_8000: Self = Self(8_000);
    /// Wideband speech and the rate of most speech models, 16 kHz.
    pub const HZ_16000: Self = Self(16_000);
    /// LiveKit rooms deliver this by default, 24 kHz.
    pub const HZ_24000: Self = Self(24_000);
    /// Compact disc, 44.1 kHz.
    pub const HZ_44100: Self = Self(44_100);
    /// WebRTC, 48 kHz.
    pub const HZ_48000: Self = Self(48_000);

    /// The highest rate accepted.
    pub const MAX: Self = Self(Self::MAX_HZ);

    /// Lowest rate accepted, in Hz. Speech below a 2 kHz bandwidth is outside what the models saw.
    pub const MIN_HZ: u32 = 4_000;
    /// Highest rate accepted, in Hz: the highest in common use.
    pub const MAX_HZ: u32 = 192_000;

    /// A rate of `hz` samples per second.
    ///
    /// # Errors
    /// [`ConfigError::SampleRate`] outside 4,000..=192,000.
    pub const fn new(hz: u32) -> Result<Self, ConfigError> {
        if hz < Self::MIN_HZ || hz > Self::MAX_HZ {
            return Err(ConfigError::SampleRate { hz });
        }
        Ok(Self(hz))
    }

    /// Samples per second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// The number of samples that last at least `duration`: rounded up, because a caller who asks
    /// for 250 ms must never get less.
    pub fn samples(self, duration: Duration) -> SampleCount {
        let samples = (duration.as_nanos() * u128::from(self.0)).div_ceil(1_000_000_000);
        SampleCount(u64::try_from(samples).unwrap_or(u64::MAX))
    }

    /// `count` samples in seconds. For showing to people: decisions are made on counts.
    pub fn seconds(self, count: SampleCount) -> f64 {
        count.0 as f64 / f64::from(self.0)
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// A place in the stream: how many samples came before it, at the input rate.
///
/// Position 0 is before the first sample. As the end of a range it is exclusive. Arithmetic
/// saturates; at 192 kHz the end of `u64` is three million years away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SamplePos(pub u64);

impl SamplePos {
    /// Samples from `earlier` to here; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> SampleCount {
        SampleCount(self.0.saturating_sub(earlier.0))
    }

    /// This position in seconds at `rate`. For showing to people.
    pub fn seconds(self, rate: SampleRate) -> f64 {
        rate.seconds(SampleCount(self.0))
    }
}

impl Add<SampleCount> for SamplePos {
    type Output = Self;
    fn add(self, count: SampleCount) -> Self {
        Self(self.0.saturating_add(count.0))
    }
}

impl Sub<SampleCount> for SamplePos {
    type Output = Self;
    /// Stops at the start of the stream.
    fn sub(self, count: SampleCount) -> Self {
        Self(self.0.saturating_sub(count.0))
    }
}

impl fmt::Display for SamplePos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of audio, in samples at the input rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SampleCount(pub u64);

impl SampleCount {
    /// No audio at all.
    pub const ZERO: Self = Self(0);
}

impl Add for SampleCount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for SampleCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A probability, always within 0.0..=1.0 and never NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Probability(f32);

impl Probability {
    /// The probability `value`.
    ///
    /// # Errors
    /// [`ConfigError::Probability`] if `value` is NaN or outside 0.0..=1.0.
    pub fn new(value: f32) -> Result<Self, ConfigError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(ConfigError::Probability {
                name: "probability",
                value,
            })
        }
    }

    /// The nearest probability to `value`; NaN becomes 0. For model outputs, which are a sigmoid and
    /// may leave the range by a rounding error only.
    pub fn clamped(value: f32) -> Self {
        if value.is_nan() {
            Self(0.0)
        } else {
            Self(value.clamp(0.0, 1.0))
        }
    }

    /// A probability that is written in the source.
    pub(crate) const fn constant(value: f32) -> Self {
        assert!(value >= 0.0 && value <= 1.0, "a probability");
        Self(value)
    }

    /// The number itself, 0.0..=1.0.
    pub const fn value(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_up_to_samples() {
        let rate = SampleRate::HZ_44100;
        assert_eq!(rate.samples(Duration::from_millis(10)), SampleCount(441));
        assert_eq!(rate.samples(Duration::from_nanos(1)), SampleCount(1));
        assert_eq!(rate.samples(Duration::ZERO), SampleCount::ZERO);
        assert_eq!(rate.samples(Duration::MAX), SampleCount(u64::MAX));
    }

    #[test]
    fn rates_outside_the_range_are_refused_with_the_number() {
        assert!(
            SampleRate::new(3_999)
                .unwrap_err()
                .to_string()
                .contains("3999")
        );
        assert!(SampleRate::new(192_001).is_err());
        assert_eq!(SampleRate::new(4_000).expect("lowest").hz(), 4_000);
    }

    #[test]
    fn probability_is_never_nan() {
        assert!(Probability::new(f32::NAN).is_err());
        assert_eq!(Probability::clamped(f32::NAN).value(), 0.0);
        assert_eq!(Probability::clamped(1.5).value(), 1.0);
    }

    #[test]
    fn positions_stop_at_the_ends_of_the_clock() {
        assert_eq!(SamplePos(5) - SampleCount(9), SamplePos(0));
        assert_eq!(SamplePos(u64::MAX) + SampleCount(9), SamplePos(u64::MAX));
        assert_eq!(SamplePos(5).since(SamplePos(9)), SampleCount(0));
    }
}
