//! The agent's own playback, beside the stream.

use super::Detector;
use crate::config::DetectorConfig;
use crate::dsp::EchoCheck;
use crate::error::InputError;
use crate::pcm::{Downmix, Format, Frame, MonoReader, SampleFormat};
use crate::units::SampleRate;

/// Most samples that are mixed to mono at once.
const BLOCK: usize = 64;

/// What is needed to know the agent's own voice.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) check: EchoCheck,
    format: Format,
    reader: MonoReader,
}

impl Reference {
    /// `None` if nothing is to be compared; `near` is the stream's format.
    pub(super) fn new(config: &DetectorConfig, near: Format) -> Option<Self> {
        let rate = config.reference()?;
        Some(Self {
            check: EchoCheck::new(near.rate, rate),
            format: first_format(rate),
            reader: MonoReader {
                downmix: Downmix::Average,
                i16_scale: 1.0 / 32768.0,
            },
        })
    }

    /// As new, for a stream that starts over; the near rate has been set.
    pub(super) fn reset(&mut self, config: &DetectorConfig) {
        if let Some(rate) = config.reference() {
            self.format = first_format(rate);
            self.check.reset(rate);
        }
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.check.state_bytes()
    }
}

/// What blocks are that do not say what they are.
const fn first_format(rate: SampleRate) -> Format {
    Format {
        rate,
        channels: 1,
        samples: SampleFormat::I16,
    }
}

impl Detector {
    /// Tells what the agent plays: its own audio, when it is handed to the speaker. Needs
    /// [`OverlapOptions::reference`](crate::OverlapOptions); without, nothing happens.
    ///
    /// A block plays from here on, or behind the blocks before it; it may be handed over up to 9 s ahead, and what was is
    /// forgotten at [`Input::AgentStopped`](crate::Input::AgentStopped). Blocks are mono at the rate of the options unless they say otherwise.
    ///
    /// With it, an overlap that the playback explains is a brief one, [`BriefReason::OwnVoice`](crate::BriefReason). The audio itself is not
    /// changed: this is no echo canceller, and a user who is softer than the echo is taken for it.
    ///
    /// # Errors
    /// [`InputError`] if the block is not whole samples or its format is not supported.
    pub fn reference(&mut self, frame: Frame<'_>) -> Result<(), InputError> {
        while self.has_room() && self.step_pending() {}
        let Some(reference) = &mut self.reference else {
            return Ok(());
        };
        let format = frame.format(Format {
            samples: frame.samples.format(),
            ..reference.format
        })?;
        reference.format = format;
        reference.check.set_far(format.rate);
        let width = usize::from(format.channels);
        let total = frame.samples.len() / width;
        let mut mono = [0.0; BLOCK];
        let mut done = 0;
        while done < total {
            let take = BLOCK.min(total - done);
            let samples = frame.samples.slice(done * width, (done + take) * width);
            let mono = &mut mono[..take];
            reference.reader.read(samples, format.channels, mono);
            self.stats.reference_dropped += reference.check.play(mono) as u64;
            done += take;
        }
        Ok(())
    }
}
