//! Settings that may change while the stream runs.

use super::Detector;
use crate::config::DetectorConfig;
use crate::error::ConfigError;

impl Detector {
    /// Finds speech by other rules from the next window on: of `config` the thresholds, `min_speech_duration`,
    /// `min_silence_duration` and the two paddings; the rest is left as it is. Nothing is interrupted: what has been counted of speech
    /// and silence goes on counting, against the new numbers.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of range, contradicts one that stays, or asks for more audio than a stream in segmenting
    /// mode has room for. Nothing has changed then.
    pub fn tune(&mut self, config: &DetectorConfig) -> Result<(), ConfigError> {
        let config = self.config.tuned(config);
        config.check()?;
        let parsed = config.parse(self.format.rate);
        if config.segment_audio {
            self.retained.check_room(&parsed, self.format)?;
        }
        self.config = config;
        self.segmenter.tune(parsed.segmenter);
        Ok(())
    }
}
