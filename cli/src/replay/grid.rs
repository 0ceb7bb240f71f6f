//! The policies that a sweep tries.

use std::fmt::Write as _;
use std::time::Duration;

use listenkit::{AnswerRule, Endpointing, Probability, TurnPolicy, WaitRule};

/// One policy of a sweep: with the turn model, or silence alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Candidate {
    /// The agent answers after this much silence.
    Silence(Duration),
    /// The turn model decides between two delays.
    Model(TurnPolicy),
}

/// Delays of silence alone: from a quick answer to the longest pause that matters.
pub(crate) fn silence() -> Vec<Candidate> {
    let hundreds = [
        200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1500, 1800, 2200, 3000,
    ]
    .into_iter();
    hundreds
        .map(|ms| Candidate::Silence(Duration::from_millis(ms)))
        .collect()
}

/// Thresholds, delays and rules around `base`, of which everything else is taken.
///
/// Thresholds are dense where Smart Turn's best ones lie on public benchmarks (0.01 to 0.21) and reach to what it calls certain.
pub(crate) fn model(base: TurnPolicy) -> Vec<Candidate> {
    const THRESHOLDS: [f32; 9] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.95];
    const MIN: [u64; 7] = [200, 300, 400, 500, 700, 1000, 1500];
    const MAX: [u64; 5] = [800, 1000, 1500, 2000, 3000];
    const GRADES: [(f32, f32); 1] = [(0.02, 0.98)];
    let graded = |(from, to)| WaitRule::Graded {
        unfinished_at: Probability::clamped(from),
        finished_at: Probability::clamped(to),
    };
    let rules: Vec<WaitRule> = [WaitRule::Threshold]
        .into_iter()
        .chain(GRADES.map(graded))
        .collect();
    let mut all = Vec::new();
    for threshold in THRESHOLDS {
        for min in MIN {
            for max in MAX.into_iter().filter(|max| *max > min) {
                for &wait_rule in &rules {
                    all.push(Candidate::Model(TurnPolicy {
                        endpointing: Endpointing::fixed(
                            Duration::from_millis(min),
                            Duration::from_millis(max),
                        ),
                        wait_rule,
                        audio_threshold: Probability::clamped(threshold),
                        ..base
                    }));
                }
            }
        }
    }
    all
}

/// A policy as settings for `--config`.
pub(crate) fn toml(policy: &TurnPolicy) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<20} = {value}");
    };
    let ms = |duration: Duration| format!("\"{}ms\"", duration.as_millis());
    line("turn_model", "\"smart-turn\"".into());
    line("min_delay", ms(policy.endpointing.min_delay()));
    line("max_delay", ms(policy.endpointing.max_delay()));
    line(
        "unlikely_threshold",
        policy.audio_threshold.value().to_string(),
    );
    match policy.wait_rule {
        WaitRule::Graded {
            unfinished_at,
            finished_at,
        } => {
            line("wait_rule", "\"graded\"".into());
            line("unfinished_at", unfinished_at.value().to_string());
            line("finished_at", finished_at.value().to_string());
        }
        _ => line("wait_rule", "\"threshold\"".into()),
    }
    line("query_after", ms(policy.query_after));
    let repeats: Vec<String> = policy.query_again.into_iter().flatten().map(ms).collect();
    line("query_again", format!("[{}]", repeats.join(", ")));
    line("answers", format!("\"{}\"", policy.answers.as_str()));
    line("model_timeout", ms(policy.timeout));
    out
}

/// A policy in a few words.
pub(crate) fn words(candidate: &Candidate) -> String {
    match candidate {
        Candidate::Silence(delay) => format!("{} ms of silence", delay.as_millis()),
        Candidate::Model(policy) => {
            let (min, max) = (
                policy.endpointing.min_delay(),
                policy.endpointing.max_delay(),
            );
            let rule = match policy.wait_rule {
                WaitRule::Graded {
                    unfinished_at,
                    finished_at,
                } => format!(
                    ", graded {}..{}",
                    unfinished_at.value(),
                    finished_at.value()
                ),
                _ => String::new(),
            };
            let answers = match policy.answers {
                AnswerRule::Latest => String::new(),
                other => format!(", {} of its answers", other.as_str()),
            };
            format!(
                "threshold {}, {} to {} ms{rule}{answers}",
                policy.audio_threshold.value(),
                min.as_millis(),
                max.as_millis()
            )
        }
    }
}
