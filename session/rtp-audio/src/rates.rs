//! Which rate Opus runs at for a rate that is asked for.

use listenkit::SampleRate;
use listenkit::resample::Resampler;

use crate::{CLOCK_RATE, Error};

/// What is decoded to. Opus has 8 and 12 kHz too, but at these opus-rs 0.1.40 makes noise of wideband speech (0 to 3 dB beside libopus, against 216 dB at 16 kHz: `reference/libopus.py quality`).
pub(crate) const DECODED: [u32; 3] = [16_000, 24_000, 48_000];

/// What is encoded from. Opus has 12 kHz too, but there opus-rs 0.1.40 makes noise in its low-delay mode.
pub(crate) const ENCODED: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// The lowest of `rates` that loses nothing of audio at `sample_rate`.
pub(crate) fn codec_rate(rates: &[u32], sample_rate: u32) -> u32 {
    let fitting = rates.iter().copied().find(|&rate| rate >= sample_rate);
    fitting.unwrap_or(CLOCK_RATE)
}

/// One converter for each channel; none if the rates are equal.
pub(crate) fn converters(from: u32, to: u32, channels: usize) -> Result<Vec<Resampler>, Error> {
    let refused = |sample_rate| Error::Format {
        sample_rate,
        channels: channels as u32,
    };
    let source = SampleRate::new(from).map_err(|_| refused(from))?;
    let target = SampleRate::new(to).map_err(|_| refused(to))?;
    if !(1..=2).contains(&channels) {
        return Err(refused(from));
    }
    if from == to {
        return Ok(Vec::new());
    }
    Ok((0..channels)
        .map(|_| Resampler::shared(source, target))
        .collect())
}
