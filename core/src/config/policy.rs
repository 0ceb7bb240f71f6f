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
/// The numbers of the presets are the best of a sweep of Smart Turn v3.2 over 221 turns in ten languages (`listenkit replay --sweep`,
/// `docs/turn-taking.md`), and hold for that model alone. A binary rule with the thresholds that are best on LiveKit's eot-bench
/// (English: 0.05, 0.21 and 0.09 with 0.2/1.0, 0.5/1.0 and 0.7/3.0 s) cut off more of these turns at the same wait.
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
    /// For quick exchanges: 0.2 to 0.8 s around a threshold of 0.2, the best of a sweep for a mean wait of 300 ms.
    /// `min_silence_duration` has to be 200 ms or less for the 0.2 s to be reached.
    pub const FAST: Self = Self {
        endpointing: Endpointing::fixed(ms(200), ms(800)),
        audio_threshold: Probability::constant(0.2),
        ..Self::BALANCED
    };

    /// For most agents: 0.3 to 1.5 s around a threshold of 0.5, the best of a sweep for a mean wait of 600 ms.
    pub const BALANCED: Self = Self {
        endpointing: Endpointing::fixed(ms(300), ms(1500)),
        wait_rule: WaitRule::Graded {
            unfinished_at: Probability::constant(0.02),
            finished_at: Probability::constant(0.98),
        },
        fusion: Fusion::DEFAULT,
        audio_threshold: Probability::constant(0.5),
        tuned_for: ModelHash::SMART_TURN_V3_2,
        query_after: ms(64),
        query_again: [Some(ms(200)), None, None],
        answers: AnswerRule::Mean,
        timeout: ms(1000),
    };

    /// For people who think while they speak: 0.5 to 3 s around a threshold of 0.7, the best of a sweep for 5 % of turns cut off.
    pub const PATIENT: Self = Self {
        endpointing: Endpointing::fixed(ms(500), ms(3000)),
        audio_threshold: Probability::constant(0.7),
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
