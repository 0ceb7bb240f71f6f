//! From votes to a wait: how a model's probability, a text model's and the wording become one number, and that number a delay.
//!
//! A probability of a model means little by itself: 0.02 is a clear "finished" for one and "never" for another. Its threshold says
//! where that model is undecided. So a vote is the distance between the two in log-odds, distances add up, and 0 is
//! undecided for the sum as for each. One vote alone is thus decided exactly as its own threshold decides it.

#[cfg(test)]
mod tests;

use crate::event::CueVote;
use crate::units::{Probability, SampleCount};

/// How votes are weighed against each other. Applies to all votes alike, whichever of them are there.
///
/// With weights `w` and every distance limited to `limit`:
///
/// `fused = sigmoid( audio * (logit(p) - logit(threshold)) + text * (the same of the text) + cues * lean )`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Weight of the audio model, 0.0..=10.0; 0 leaves it out: it is asked and in the record, and not waited for.
    pub audio: f32,
    /// Weight of the text model, 0.0..=10.0; 0 leaves it out in the same way.
    pub text: f32,
    /// Log-odds of a lean of 1, 0.0..=10.0; 0 leaves the wording out.
    pub cues: f32,
    /// Largest distance of one model from its threshold that counts, in log-odds, 0.1..=100.0.
    pub limit: f32,
}

impl Fusion {
    /// Equal weight for both models: their errors have different causes (prosody, wording), which is what sums of log-odds are
    /// for. The wording at full lean counts 2.2, odds of 9 to 1: it overrules a model that is nearly undecided, and never
    /// one that is sure. A limit of 6, odds of 400 to 1, keeps a saturated sigmoid from silencing everybody else.
    pub const DEFAULT: Self = Self {
        audio: 1.0,
        text: 1.0,
        cues: 2.2,
        limit: 6.0,
    };

    /// The votes in one number: 0.5 or more if they find the turn complete. Models are given as (probability, threshold).
    /// `None` if nobody votes; a lean of 0 or NaN is no vote.
    ///
    /// With one model alone, `fused < 0.5` exactly when `probability < threshold`.
    pub fn fuse(
        &self,
        audio: Option<(Probability, Probability)>,
        text: Option<(Probability, Probability)>,
        cues: Option<CueVote>,
    ) -> Option<Probability> {
        let model = |weight: f32, vote: Option<(Probability, Probability)>| {
            let (probability, threshold) = vote.filter(|_| weight > 0.0)?;
            let distance = logit(probability) - logit(threshold);
            // The fields are anybody's: a limit that is none keeps every distance at 0.
            let limit = f64::from(self.limit).max(0.0);
            Some(f64::from(weight) * distance.clamp(-limit, limit))
        };
        let wording = cues
            .filter(|cues| self.cues > 0.0 && cues.lean.abs() > 0.0)
            .map(|cues| f64::from(self.cues) * f64::from(cues.lean.clamp(-1.0, 1.0)));
        let votes = [model(self.audio, audio), model(self.text, text), wording];
        let mut sum = None;
        for vote in votes.into_iter().flatten() {
            sum = Some(sum.unwrap_or(0.0) + vote);
        }
        sum.map(sigmoid)
    }

    /// The weight or limit that is out of range.
    pub(crate) fn wrong(&self) -> Option<(&'static str, f32)> {
        let weights = [
            ("fusion audio weight", self.audio),
            ("fusion text weight", self.text),
            ("fusion cues weight", self.cues),
        ];
        weights
            .into_iter()
            .find(|(_, weight)| !(0.0..=10.0).contains(weight))
            .or_else(|| {
                (!(0.1..=100.0).contains(&self.limit)).then_some(("fusion limit", self.limit))
            })
    }
}

impl Default for Fusion {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How the fused probability becomes a wait between `min_delay` and `max_delay`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum WaitRule {
    /// `min_delay` from 0.5 on, `max_delay` below: with one model, what LiveKit Agents and Pipecat do.
    #[default]
    Threshold,
    /// `max_delay` up to `unfinished_at`, `min_delay` from `finished_at` on, and between them shorter the more finished the turn
    /// seems: linear in log-odds.
    Graded {
        /// Up to this fused probability the wait is `max_delay`.
        unfinished_at: Probability,
        /// From this one on it is `min_delay`. Not below `unfinished_at`.
        finished_at: Probability,
    },
}

impl WaitRule {
    /// The wait for a fused probability. Never rises with it, and lies between `min` and `max`.
    pub fn wait(&self, fused: Probability, min: SampleCount, max: SampleCount) -> SampleCount {
        let min = min.min(max);
        let finished = match *self {
            Self::Threshold => f64::from(u8::from(fused.value() >= 0.5)),
            Self::Graded {
                unfinished_at,
                finished_at,
            } => {
                if fused >= finished_at {
                    1.0
                } else if fused <= unfinished_at {
                    0.0
                } else {
                    let (from, to) = (logit(unfinished_at), logit(finished_at));
                    (logit(fused) - from) / (to - from)
                }
            }
        };
        let longest = max.0 - min.0;
        let shortened = (finished.clamp(0.0, 1.0) * longest as f64).round() as u64;
        SampleCount(max.0 - shortened.min(longest))
    }
}

/// How several answers of a model about one pause become one. Each was asked with more silence in view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnswerRule {
    /// That to the newest question.
    #[default]
    Latest,
    /// Their mean in log-odds.
    Mean,
    /// The lowest: one "not finished" is enough.
    Min,
}

impl AnswerRule {
    /// The answers, in the order of their questions, as one; `None` if there are none.
    pub fn combine(self, answers: impl IntoIterator<Item = Probability>) -> Option<Probability> {
        let mut answers = answers.into_iter();
        let first = answers.next()?;
        let (mut latest, mut min, mut sum, mut count) = (first, first, bounded_logit(first), 1.0);
        for answer in answers {
            latest = answer;
            if answer < min {
                min = answer;
            }
            sum += bounded_logit(answer);
            count += 1.0;
        }
        Some(match self {
            Self::Min => min,
            // A single answer is itself, to the last bit.
            Self::Mean if count > 1.0 => sigmoid(sum / count),
            Self::Latest | Self::Mean => latest,
        })
    }

    /// The name used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Mean => "mean",
            Self::Min => "min",
        }
    }
}

/// Log-odds of a model that is as good as certain: in a mean, a single saturated answer shall not outweigh all others.
fn bounded_logit(probability: Probability) -> f64 {
    logit(probability).clamp(-12.0, 12.0)
}

/// Log-odds of 0 and 1: beyond every other `f32`, of which the smallest has -103.3.
const CERTAIN: f64 = 110.0;

/// ln(p / (1 - p)), strictly rising over all `f32` probabilities and finite.
fn logit(probability: Probability) -> f64 {
    let p = f64::from(probability.value());
    if p <= 0.0 {
        -CERTAIN
    } else if p >= 1.0 {
        CERTAIN
    } else {
        ln(p) - ln(1.0 - p)
    }
}

/// 1 / (1 + e^-x), with the sign of `x` kept: below 0.5 exactly if `x` is below 0, however close.
fn sigmoid(x: f64) -> Probability {
    const BELOW_HALF: f32 = 0.5_f32.next_down();
    let value = (1.0 / (1.0 + exp(-x))) as f32;
    Probability::clamped(if x < 0.0 {
        value.min(BELOW_HALF)
    } else {
        value.max(0.5)
    })
}

/// Natural logarithm of a positive, normal number. Our own, because that of the platform may differ in the last bit, and with it
/// a wait, and with that the fingerprint. `x = m * 2^e` with `m` in [sqrt(1/2), sqrt(2)), then
/// `ln m = 2 artanh((m - 1) / (m + 1))` as its power series; relative error below 1e-15.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut m = f64::from_bits((bits & MANTISSA) | (1023 << 52));
    if m >= std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    // |s| < 0.172: the first term left out is below 1e-18 of the sum.
    let mut series = 0.0;
    for k in (0..12).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

/// e^x for |x| <= 700, for the same reason: `x = k ln 2 + r`, Taylor series of `r`; relative error below 1e-15.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x / std::f64::consts::LN_2).round();
    let r = x - k * std::f64::consts::LN_2;
    // |r| < 0.347: the first term left out is below 1e-17.
    let mut series = 1.0;
    for n in (1..=14).rev() {
        series = 1.0 + series * r / f64::from(n);
    }
    series * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}
