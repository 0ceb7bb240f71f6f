//! Settings of the end of a turn.

use std::time::Duration;

use crate::units::Probability;

/// How long the agent waits after the user's last voiced sample.
///
/// `min_delay` is the wait when the turn seems complete, `max_delay` when it seems unfinished. Fixed delays stay
/// as given; dynamic ones learn `min_delay` from the user's own pauses, between the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Endpointing {
    pub(super) min_delay: Duration,
    pub(super) max_delay: Duration,
    /// Weight of history in the learned delay; `None` is fixed.
    pub(super) alpha: Option<f64>,
}

impl Endpointing {
    /// 0.3 s and 2.5 s: what LiveKit Agents 1.8.9 uses with an audio turn model, and the default here when a turn
    /// model is in use.
    pub const STREAMING: Self =
        Self::fixed(Duration::from_millis(300), Duration::from_millis(2500));

    /// 0.5 s and 3.0 s: what LiveKit Agents uses without an audio turn model, and the default here without one.
    /// The 3 s come from measured mid-turn pauses (95th percentile 2.5 s in a call centre, livekit/agents#3640).
    pub const LEGACY: Self = Self::fixed(Duration::from_millis(500), Duration::from_secs(3));

    /// Weight of history that LiveKit Agents 1.8.9 uses for dynamic endpointing.
    pub const ALPHA: f64 = 0.9;

    /// Delays that stay as they are.
    pub const fn fixed(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            min_delay,
            max_delay,
            alpha: None,
        }
    }

    /// A `min_delay` that is learned from the user's pauses and stays between the two.
    pub const fn dynamic(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            min_delay,
            max_delay,
            alpha: Some(Self::ALPHA),
        }
    }

    /// The same, learning with `alpha` as the weight of history, 0.0..1.0. Makes the delays dynamic.
    #[must_use]
    pub const fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// The shorter delay.
    pub const fn min_delay(&self) -> Duration {
        self.min_delay
    }

    /// The longer delay.
    pub const fn max_delay(&self) -> Duration {
        self.max_delay
    }
}

/// How a turn model takes part: the detector asks, the host answers when it can.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnModelOptions {
    /// Below this probability the turn counts as unfinished. Depends on model and language.
    pub unlikely_threshold: Probability,
    /// How long after the last voiced sample an answer is waited for, at most. Default 1 s, as LiveKit Agents.
    pub timeout: Duration,
    /// Silence after which the question goes out. Default 96 ms: asking at 64 to 128 ms is as accurate as asking at
    /// 200 ms, and hides the model's time inside `min_delay`.
    pub query_after: Duration,
    /// Audio kept for the question. Default 8 s, what Smart Turn v3 looks at; at the rate of the VAD model in use, which for that one
    /// has to be the 16 kHz branch.
    pub audio: Duration,
}

impl TurnModelOptions {
    /// The defaults with the threshold of a model.
    pub const fn new(unlikely_threshold: Probability) -> Self {
        Self {
            unlikely_threshold,
            timeout: Duration::from_secs(1),
            query_after: Duration::from_millis(96),
            audio: Duration::from_secs(8),
        }
    }
}
