//! Presets for the end of a turn: how fast, how patient.

use std::time::Duration;

use super::turns::{Endpointing, TurnModelOptions};
use crate::endpointer::MAX_REPEATS;
use crate::turn::{AnswerRule, Fusion, ModelHash, ThresholdTable, WaitRule};
use crate::units::Probability;

/// Everything about the end of a turn that is a matter of taste, in one value: delays, wait rule, how the audio model is asked, and
/// the threshold it was tuned with.
///
/// ```
/// use listenkit::{DetectorConfig, SampleRate, TurnPolicy};
///
/// let policy = TurnPolicy::BALANCED;
/// let config = DetectorConfig::new(SampleRate::HZ_48000)
///     .turn_policy(policy)
///     .turn_model(Some(policy.turn_model()));
/// # let _ = config;
/// ```
///
/// The numbers of the presets are operating points of Smart Turn v3.2 on LiveKit's public benchmark for the end of a turn
/// (eot-bench, English, 400 turns): the best triple of threshold, action delay and timeout for a budget. They hold for that model alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TurnPolicy {
    /// Smallest and largest delay.
    pub endpointing: Endpointing,
    /// How the votes become a wait between them.
    pub wait_rule: WaitRule,
    /// How the votes become one.
    pub fusion: Fusion,
    /// The audio model's threshold, for every language that has no other in a [`ThresholdTable`].
    pub audio_threshold: Probability,
    /// The model that the threshold was measured with.
    pub tuned_for: ModelHash,
    /// Silence after which the audio model is asked.
    pub query_after: Duration,
    /// Silence after which it is asked again.
    pub query_again: [Option<Duration>; MAX_REPEATS],
    /// How its answers about one pause become one.
    pub answers: AnswerRule,
    /// How long its answer is waited for.
    pub timeout: Duration,
}

impl TurnPolicy {
    /// For quick exchanges: threshold 0.05, 0.2 s and 1.0 s, the best for answers within 300 ms of the end (35 % of turns cut off on
    /// that benchmark, silence alone 56 %). `min_silence_duration` has to be 200 ms or less for the 0.2 s to be reached.
    pub const FAST: Self = Self {
        endpointing: Endpointing::fixed(ms(200), ms(1000)),
        audio_threshold: Probability::constant(0.05),
        query_after: ms(64),
        query_again: [Some(ms(128)), None, None],
        ..Self::BALANCED
    };

    /// For most agents: threshold 0.21, 0.5 s and 1.0 s, the best for answers within 600 ms (15 % cut off, silence alone 22 %).
    pub const BALANCED: Self = Self {
        endpointing: Endpointing::fixed(ms(500), ms(1000)),
        wait_rule: WaitRule::Threshold,
        fusion: Fusion::DEFAULT,
        audio_threshold: Probability::constant(0.21),
        tuned_for: ModelHash::SMART_TURN_V3_2,
        query_after: ms(96),
        query_again: [Some(ms(200)), Some(ms(400)), None],
        answers: AnswerRule::Latest,
        timeout: ms(1000),
    };

    /// For people who think while they speak: threshold 0.09, 0.7 s and 3.0 s, the best for 5 % of turns cut off (1.05 s of
    /// waiting on average, silence alone 1.6 s).
    pub const PATIENT: Self = Self {
        endpointing: Endpointing::fixed(ms(700), ms(3000)),
        audio_threshold: Probability::constant(0.09),
        query_again: [Some(ms(200)), Some(ms(400)), Some(ms(600))],
        ..Self::BALANCED
    };

    /// The presets with their names in settings.
    pub const ALL: [(&'static str, Self); 3] = [
        ("fast", Self::FAST),
        ("balanced", Self::BALANCED),
        ("patient", Self::PATIENT),
    ];

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|preset| preset.0 == name).map(|preset| preset.1)
    }

    /// The policy's threshold as a table that refuses other models.
    pub const fn thresholds(&self) -> ThresholdTable {
        ThresholdTable::new(self.tuned_for, self.audio_threshold)
    }

    /// What the policy says about the audio model, for [`DetectorConfig::turn_model`](crate::DetectorConfig::turn_model).
    pub const fn turn_model(&self) -> TurnModelOptions {
        let mut options = TurnModelOptions::new(self.audio_threshold);
        options.query_after = self.query_after;
        options.query_again = self.query_again;
        options.answers = self.answers;
        options.timeout = self.timeout;
        options
    }
}

impl Default for TurnPolicy {
    fn default() -> Self {
        Self::BALANCED
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
