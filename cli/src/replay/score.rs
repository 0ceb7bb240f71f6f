//! What a policy did to labelled turns, and the best of many policies.

/// What happened in one labelled turn.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// The turn was declared over before its end.
    pub(crate) cut_off: bool,
    /// Dead air: from the end of the turn's speech to the decision that came behind it, in seconds. `None` if
    /// nothing was heard there to decide about.
    pub(crate) wait: Option<f64>,
}

impl Outcome {
    /// From the positions of all `decisions` in the recording, in seconds.
    ///
    /// A decision counts as behind the end if it falls no more than `tolerance` before the label: labels are made by people and
    /// programs that see the end of speech some milliseconds apart.
    pub(crate) fn of(turn_end: f64, decisions: &[f64], tolerance: f64) -> Self {
        let behind = |at: f64| at >= turn_end - tolerance;
        Self {
            cut_off: decisions.iter().any(|&at| !behind(at)),
            wait: decisions
                .iter()
                .copied()
                .find(|&at| behind(at))
                .map(|at| (at - turn_end).max(0.0)),
        }
    }
}

/// What a policy did to all turns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Turns.
    pub(crate) turns: usize,
    /// Share of the turns that were cut off, 0..1.
    pub(crate) cut_off: f64,
    /// Mean dead air in seconds.
    pub(crate) wait: f64,
    /// Turns whose end was never decided: nothing was heard there.
    pub(crate) missed: usize,
}

impl Score {
    /// Of all outcomes.
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let (mut turns, mut cut, mut waits, mut waited) = (0, 0, 0.0, 0);
        for outcome in outcomes {
            turns += 1;
            cut += usize::from(outcome.cut_off);
            if let Some(wait) = outcome.wait {
                waits += wait;
                waited += 1;
            }
        }
        Self {
            turns,
            cut_off: cut as f64 / turns.max(1) as f64,
            wait: waits / f64::from(waited.max(1)),
            missed: turns - waited as usize,
        }
    }
}

/// The scores that no other beats in both ways, from the shortest wait on.
pub(crate) fn frontier(scores: &[Score]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let key = |i: usize| (scores[i].wait, scores[i].cut_off);
        key(a).partial_cmp(&key(b)).expect("scores are finite")
    });
    let mut best = f64::INFINITY;
    order.retain(|&i| {
        let better = scores[i].cut_off < best;
        best = best.min(scores[i].cut_off);
        better
    });
    order
}

/// The policy with the fewest cut-offs whose mean wait is at most `seconds`.
pub(crate) fn fewest_cut_offs(scores: &[Score], seconds: f64) -> Option<usize> {
    best(scores, |s| s.wait <= seconds, |s| (s.cut_off, s.wait))
}

/// The policy with the shortest mean wait that cuts off at most this share of the turns.
pub(crate) fn shortest_wait(scores: &[Score], share: f64) -> Option<usize> {
    best(scores, |s| s.cut_off <= share, |s| (s.wait, s.cut_off))
}

fn best(
    scores: &[Score],
    allowed: impl Fn(&Score) -> bool,
    key: impl Fn(&Score) -> (f64, f64),
) -> Option<usize> {
    (0..scores.len())
        .filter(|&i| allowed(&scores[i]))
        .min_by(|&a, &b| {
            let order = key(&scores[a]).partial_cmp(&key(&scores[b]));
            order.expect("scores are finite")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_before_the_end_is_a_cut_off_and_the_first_behind_it_is_the_wait() {
        let outcome = Outcome::of(3.0, &[1.2, 3.5, 9.0], 0.1);
        assert_eq!(
            outcome,
            Outcome {
                cut_off: true,
                wait: Some(0.5)
            }
        );
        // The label is a little late: no cut-off, and no negative wait.
        assert_eq!(
            Outcome::of(3.0, &[2.95], 0.1),
            Outcome {
                cut_off: false,
                wait: Some(0.0)
            }
        );
        assert_eq!(
            Outcome::of(3.0, &[], 0.1),
            Outcome {
                cut_off: false,
                wait: None
            }
        );
    }

    #[test]
    fn missed_turns_do_not_shorten_the_mean() {
        let outcomes = [
            Outcome {
                cut_off: true,
                wait: Some(1.0),
            },
            Outcome {
                cut_off: false,
                wait: None,
            },
            Outcome {
                cut_off: false,
                wait: Some(0.5),
            },
            Outcome {
                cut_off: false,
                wait: Some(0.0),
            },
        ];
        let score = Score::of(&outcomes);
        assert_eq!(
            score,
            Score {
                turns: 4,
                cut_off: 0.25,
                wait: 0.5,
                missed: 1
            }
        );
    }

    #[test]
    fn the_frontier_and_the_budgets_pick_what_a_hand_would() {
        let score = |wait, cut_off| Score {
            turns: 100,
            cut_off,
            wait,
            missed: 0,
        };
        let scores = [
            score(0.3, 0.50),
            score(0.6, 0.20),
            score(0.7, 0.20),
            score(0.5, 0.60),
            score(1.0, 0.05),
            score(1.5, 0.04),
        ];
        assert_eq!(frontier(&scores), [0, 1, 4, 5]);
        assert_eq!(fewest_cut_offs(&scores, 0.65), Some(1));
        assert_eq!(fewest_cut_offs(&scores, 0.2), None);
        assert_eq!(shortest_wait(&scores, 0.05), Some(4));
        assert_eq!(shortest_wait(&scores, 0.0), None);
    }
}
