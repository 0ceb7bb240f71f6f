//! What an [`OverlapTracker`](super::OverlapTracker) is told.

use crate::units::SampleCount;

/// Everything an [`OverlapTracker`](super::OverlapTracker) is told once, in samples at the input rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverlapConfig {
    /// Voiced speech over the agent's that makes a claim.
    pub(crate) min_duration: SampleCount,
    /// Words that it needs as well.
    pub(crate) min_words: u32,
    /// No claim this soon after the agent began, unless the user was first.
    pub(crate) playback_guard: SampleCount,
    /// How long after the user's last voiced sample a claim without words is false. `None`: never.
    pub(crate) false_interruption_timeout: Option<SampleCount>,
    /// How long after the last voiced sample an overlap that lacks only words waits for them.
    pub(crate) words_wait: SampleCount,
    /// From this coherence on it is the agent's own voice.
    pub(crate) own_voice_threshold: f32,
}
