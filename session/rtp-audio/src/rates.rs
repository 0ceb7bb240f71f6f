//! Which rate Opus runs at for a rate that is asked for.

use listenkit::SampleRate;
use listenkit::resample::Resampler;

use crate::Error;

/// The rates that Opus has (RFC 6716, section 2).
const OPUS: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// The lowest rate of Opus that loses nothing of audio at `sample_rate`.
pub(crate) fn opus_rate(sample_rate: u32) -> u32 {
    OPUS.into_iter()
        .find(|&rate| rate >= sample_rate)
        .unwrap_or(48_000)
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
