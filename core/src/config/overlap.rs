//! Settings of user speech over the agent's.

use std::time::Duration;

use super::{DetectorConfig, probability, within};
use crate::error::ConfigError;
use crate::overlap::OverlapConfig;
use crate::units::{SampleCount, SampleRate};

/// When user speech over the agent's is an interruption, and when it is only an "mhm".
///
/// Needs [`Input::AgentStarted`](crate::Input::AgentStarted) and [`AgentStopped`](crate::Input::AgentStopped).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlapOptions {
    /// Voiced speech that makes an interruption, up to 10 s. Default 0.5 s, as LiveKit Agents 1.8.9; but pauses and the silence
    /// behind the speech are never counted.
    pub min_duration: Duration,
    /// Words that it needs as well. Default 0: words are not waited for. With more, a recogniser has to run beside the
    /// detector; words are waited for up to `transcript_wait` after the last voiced sample.
    pub min_words: u32,
    /// No interruption this soon after the agent began, unless the user was speaking before; up to 10 s. Default 0.3 s, within
    /// which echo of playback begins in vellum-ai/vellum-assistant#38347 (transport and jitter). Where a client's
    /// echo canceller has to settle, LiveKit Agents waits 3 s.
    pub playback_guard: Duration,
    /// How long after the user's last voiced sample an interruption without words is called false, up to 60 s. Default
    /// 2 s, as LiveKit Agents. `None`: never; to be set where nothing recognises words, because every
    /// interruption would be false there.
    pub false_interruption_timeout: Option<Duration>,
    /// The rate of the agent's playback, if it is given to [`Detector::reference`](crate::Detector::reference); it costs 20 KB. Default
    /// none.
    pub reference: Option<SampleRate>,
    /// Coherence with the playback from which on an overlap is the agent's own voice, 0.0..=1.0. Default 0.75: of 100 agents of
    /// 6 s 5 interrupt themselves, with 0.8 14 and with 0.7 2; lower hears users later (`core/tests/own_voice.rs`).
    pub own_voice_threshold: f32,
}

impl OverlapOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            min_duration: Duration::from_millis(500),
            min_words: 0,
            playback_guard: Duration::from_millis(300),
            false_interruption_timeout: Some(Duration::from_secs(2)),
            reference: None,
            own_voice_threshold: 0.75,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (zero, ten) = (Duration::ZERO, Duration::from_secs(10));
        within("overlap min_duration", self.min_duration, zero, ten)?;
        probability("own_voice_threshold", self.own_voice_threshold)?;
        within("playback_guard", self.playback_guard, zero, ten)?;
        if let Some(timeout) = self.false_interruption_timeout {
            let minute = Duration::from_secs(60);
            within("false_interruption_timeout", timeout, zero, minute)?;
        }
        Ok(())
    }
}

impl Default for OverlapOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DetectorConfig {
    /// Judge user speech over the agent's: [`Event::OverlapClaim`](crate::Event::OverlapClaim) and
    /// [`OverlapBrief`](crate::Event::OverlapBrief) come out. Default: none.
    #[must_use]
    pub const fn overlap(mut self, options: Option<OverlapOptions>) -> Self {
        self.overlap = options;
        self
    }

    /// The rate of the agent's playback, if it is compared with what is heard.
    pub(crate) const fn reference(&self) -> Option<SampleRate> {
        match self.overlap {
            Some(options) => options.reference,
            None => None,
        }
    }

    pub(super) fn overlap_config(&self, rate: SampleRate) -> Option<OverlapConfig> {
        let options = self.overlap?;
        Some(OverlapConfig {
            min_duration: rate.samples(options.min_duration),
            min_words: options.min_words,
            playback_guard: rate.samples(options.playback_guard),
            false_interruption_timeout: options
                .false_interruption_timeout
                .map(|timeout| rate.samples(timeout)),
            words_wait: self
                .transcript_wait
                .map_or(SampleCount::ZERO, |wait| rate.samples(wait)),
            own_voice_threshold: options.own_voice_threshold,
        })
    }
}
