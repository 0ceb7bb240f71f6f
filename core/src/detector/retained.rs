//! The audio that segments are read from.

use std::time::Duration;

use crate::buf::History;
use crate::config::{DetectorConfig, Parsed, WINDOW_DURATION};
use crate::error::ConfigError;
use crate::pcm::{Format, SampleFormat, Samples};
use crate::units::SampleCount;

/// Audio kept for segments, in the input's own format.
#[derive(Debug)]
pub(super) enum Retained {
    I16(History<i16>),
    F32(History<f32>),
}

impl Retained {
    /// Room for what a stream with these settings can reach back to; the first sample gets position `start`.
    pub(super) fn new(
        config: &DetectorConfig,
        parsed: &Parsed,
        format: Format,
        start: u64,
    ) -> Self {
        let samples = if config.segment_audio {
            reach(parsed, format)
        } else {
            0
        };
        let width = usize::from(format.channels);
        match format.samples {
            SampleFormat::I16 => Self::I16(History::starting_at(start, samples, width)),
            SampleFormat::F32 => Self::F32(History::starting_at(start, samples, width)),
        }
    }

    /// Whether other settings still find what they reach back to.
    pub(super) fn check_room(&self, parsed: &Parsed, format: Format) -> Result<(), ConfigError> {
        let values = match self {
            Self::I16(_) => self.bytes() / size_of::<i16>(),
            Self::F32(_) => self.bytes() / size_of::<f32>(),
        };
        let (kept, needed) = (values / usize::from(format.channels), reach(parsed, format));
        let seconds = |samples: usize| {
            Duration::from_secs_f64(format.rate.seconds(SampleCount(samples as u64)))
        };
        if needed <= kept {
            return Ok(());
        }
        Err(ConfigError::Order {
            smaller: "what segments reach back to",
            smaller_is: seconds(needed),
            larger: "the audio that is kept",
            larger_is: seconds(kept),
        })
    }

    pub(super) fn push(&mut self, samples: Samples<'_>) {
        match (self, samples) {
            (Self::I16(history), Samples::I16(values)) => history.push(values),
            (Self::F32(history), Samples::F32(values)) => history.push(values),
            _ => unreachable!("a change of format replaces the history first"),
        }
    }

    pub(super) const fn end(&self) -> u64 {
        match self {
            Self::I16(history) => history.end(),
            Self::F32(history) => history.end(),
        }
    }

    pub(super) fn range(&self, start: u64, end: u64) -> Option<(Samples<'_>, Samples<'_>)> {
        match self {
            Self::I16(history) => history
                .range(start, end)
                .map(|(a, b)| (Samples::I16(a), Samples::I16(b))),
            Self::F32(history) => history
                .range(start, end)
                .map(|(a, b)| (Samples::F32(a), Samples::F32(b))),
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::I16(history) => history.bytes(),
            Self::F32(history) => history.bytes(),
        }
    }
}

/// Samples of audio that segments can reach back to.
fn reach(parsed: &Parsed, format: Format) -> usize {
    // What lies in no window yet: the window being filled and the resampler's delay, at most 3 ms. The rest is what
    // may be pushed before the segment is read: a concealed gap, shorter than the silence that ends speech.
    let window = format.rate.samples(WINDOW_DURATION);
    let ahead = 2 * window.0 + parsed.min_silence.0;
    let samples = parsed.segmenter.longest_reach(window).0 + ahead;
    usize::try_from(samples).unwrap_or(usize::MAX)
}
