//! Input positions and analysis positions: the only rate arithmetic in the crate.
//!
//! The models listen at 16 or 8 kHz, callers count at their own rate. An [`Epoch`] is a stretch of
//! the stream without a break; inside it, analysis sample `m` is the instant of input sample
//! `m * input / analysis`. All divisions round down, so windows lie back to back on the input.

use crate::units::{SamplePos, SampleRate};

/// A stretch of the stream in one format and without gaps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    /// Input position of its first sample.
    start: u64,
    input_hz: u32,
    analysis_hz: u32,
}

impl Epoch {
    pub(crate) const fn new(start: SamplePos, input: SampleRate, analysis: SampleRate) -> Self {
        Self {
            start: start.0,
            input_hz: input.hz(),
            analysis_hz: analysis.hz(),
        }
    }

    pub(crate) const fn start(&self) -> SamplePos {
        SamplePos(self.start)
    }

    /// The input position of analysis sample `m` of this epoch, rounded down.
    pub(crate) const fn input_at(&self, m: u64) -> SamplePos {
        SamplePos(
            self.start
                .saturating_add(scale(m, self.input_hz, self.analysis_hz)),
        )
    }
}

/// The instant `at` of a stream at `from`, in samples of `to`. Rounds up, so that time never runs
/// backwards in seconds.
pub(crate) const fn convert(at: SamplePos, from: SampleRate, to: SampleRate) -> SamplePos {
    SamplePos(scale_up(at.0, to.hz(), from.hz()))
}

/// `n * up / down`, rounded down, without overflow on the way.
const fn scale(n: u64, up: u32, down: u32) -> u64 {
    saturate(n as u128 * up as u128 / down as u128)
}

const fn scale_up(n: u64, up: u32, down: u32) -> u64 {
    saturate((n as u128 * up as u128).div_ceil(down as u128))
}

const fn saturate(n: u128) -> u64 {
    if n > u64::MAX as u128 {
        u64::MAX
    } else {
        n as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_back_to_back_on_the_input() {
        let epoch = Epoch::new(SamplePos(7), SampleRate::HZ_44100, SampleRate::HZ_16000);
        let lengths: Vec<u64> = (0..4)
            .map(|k| {
                epoch
                    .input_at((k + 1) * 512)
                    .since(epoch.input_at(k * 512))
                    .0
            })
            .collect();
        // 512 * 44.1 / 16 = 1411.2
        assert_eq!(lengths, [1411, 1411, 1411, 1411]);
        assert_eq!(epoch.input_at(512 * 5), SamplePos(7 + 7056));
    }

    #[test]
    fn a_late_clock_is_as_exact_as_an_early_one() {
        let hour = 3600 * 48_000;
        for start in [0, (1 << 31) * 48_000 - 1, (1 << 32) - 1, (1 << 53) + 1] {
            let epoch = Epoch::new(SamplePos(start), SampleRate::HZ_48000, SampleRate::HZ_16000);
            assert_eq!(epoch.input_at(hour / 3 + 1), SamplePos(start + hour + 3));
        }
    }

    #[test]
    fn changing_rate_keeps_the_instant() {
        let at = convert(
            SamplePos(44_101),
            SampleRate::HZ_44100,
            SampleRate::HZ_48000,
        );
        assert_eq!(at, SamplePos(48_002)); // 48001.09 rounded up
        let far = SamplePos(u64::MAX / 2);
        assert_eq!(
            convert(far, SampleRate::HZ_16000, SampleRate::HZ_16000),
            far
        );
    }
}
