//! What the dialogue's expectation changes: the delays, never a vote.

use crate::event::Expectation;
use crate::units::SampleCount;

/// The delays of each expectation, in samples at the input rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpectationRules {
    /// Turns up to this long, from first to last voiced sample, are short answers.
    pub(crate) short_answer: SampleCount,
    /// The smallest delay after one when a yes or no is expected.
    pub(crate) short_min: SampleCount,
    /// The smallest and the largest delay while something is dictated, at least.
    pub(crate) dictation: (SampleCount, SampleCount),
    /// The same while the user has the floor.
    pub(crate) floor: (SampleCount, SampleCount),
    /// From this lean on, the wording says that what was dictated is complete.
    pub(crate) satisfied_lean: f32,
}

impl ExpectationRules {
    /// The smallest and the largest delay in force. `spoken`: from the first to the last voiced sample of the turn; `lean`: of
    /// the wording, if it voted.
    pub(super) fn delays(
        &self,
        expectation: Expectation,
        (min, max): (SampleCount, SampleCount),
        spoken: SampleCount,
        lean: Option<f32>,
    ) -> (SampleCount, SampleCount) {
        let at_least = |(least_min, least_max): (SampleCount, SampleCount)| {
            (min.max(least_min), max.max(least_max))
        };
        match expectation {
            Expectation::YesNo if spoken <= self.short_answer => (min.min(self.short_min), max),
            Expectation::Digits { .. } | Expectation::Spelling | Expectation::Email => {
                let (long_min, long_max) = at_least(self.dictation);
                if lean.is_some_and(|lean| lean >= self.satisfied_lean) {
                    (min, long_max)
                } else {
                    (long_min, long_max)
                }
            }
            Expectation::FloorGranted => at_least(self.floor),
            _ => (min, max),
        }
    }
}
