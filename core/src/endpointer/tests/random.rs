//! What holds for any sequence of inputs.

use proptest::prelude::*;

use super::drive::{Doubling, Heard, Op, Run, Stepped, drive, moved};
use super::oracle::{Oracle, TICK};
use super::*;
use crate::event::TurnVotes;

fn ticks(range: std::ops::Range<u64>) -> impl Strategy<Value = SampleCount> {
    range.prop_map(|n| SampleCount(n * TICK))
}

fn probability() -> impl Strategy<Value = Probability> {
    (0..=4u8).prop_map(|n| p(f32::from(n) / 4.0))
}

/// Counted back from the newest.
fn newest() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0u64), 1 => 1..3u64]
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        Just(Expectation::Free),
        Just(Expectation::YesNo),
        (0..12u8).prop_map(|count| Expectation::Digits { count }),
        Just(Expectation::Spelling),
        Just(Expectation::Email),
        Just(Expectation::FloorGranted),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (newest(), probability()).prop_map(|(b, p)| Op::Answer(b, p)),
        4 => (newest(), (probability(), probability()), prop::option::of(0..40u64))
            .prop_map(|(turn, vote, back)| Op::Text(turn, vote, back.map(|n| n * TICK))),
        4 => (newest(), prop_oneof![8 => -1.0..=1.0f32, 2 => Just(2.0f32), 1 => Just(f32::NAN)])
            .prop_map(|(turn, lean)| Op::Cues(turn, lean)),
        2 => expectation().prop_map(Op::Expect),
        4 => prop::option::of(0..300u64).prop_map(|back| Op::Transcript(back.map(|n| n * TICK))),
        2 => Just(Op::AgentStart),
        2 => Just(Op::AgentStop),
        1 => any::<bool>().prop_map(Op::Verdict),
        1 => Just(Op::Commit),
        1 => Just(Op::Clear),
        1 => Just(Op::Finish),
        1 => probability().prop_map(Op::Threshold),
        // Some odd, some longer than the delays.
        2 => prop_oneof![4 => 0..6_000u64, 1 => Just(100_000u64)].prop_map(Op::Age),
    ]
}

fn vote() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..4u64, probability()).prop_map(|(back, p)| Op::Answer(back, p)),
        (probability(), probability()).prop_map(|vote| Op::Text(0, vote, None)),
        (-1.0..=1.0f32).prop_map(|lean| Op::Cues(0, lean)),
    ]
}

fn script() -> impl Strategy<Value = Vec<Run>> {
    let run = (
        any::<bool>(),
        prop_oneof![1..4u64, 1..12u64, 8..60u64],
        prop_oneof![9 => Just(0), 1 => 1..400u64],
        prop::collection::vec((0..20u64, 0..8u64, op()), 0..3),
    );
    prop::collection::vec(
        run.prop_map(|(voiced, windows, gap, mut host)| {
            // Several in one window happen in order of time.
            host.sort_by_key(|&(window, tick, _)| (window, tick));
            Run {
                voiced,
                windows,
                gap,
                host,
            }
        }),
        1..24,
    )
}

fn answer_rule() -> impl Strategy<Value = AnswerRule> {
    prop::sample::select(vec![AnswerRule::Latest, AnswerRule::Mean, AnswerRule::Min])
}

fn model() -> impl Strategy<Value = AudioModel> {
    let again = || prop::option::of(ticks(0..200));
    let again = (again(), again(), again());
    (probability(), ticks(0..300), 0..12u32, again, answer_rule()).prop_map(
        |(threshold, timeout, n, (a, b, c), answers)| {
            let mut query_again = [a, b, c];
            query_again.sort();
            AudioModel {
                threshold,
                timeout,
                query_after_windows: n,
                query_again,
                answers,
            }
        },
    )
}

fn binary() -> impl Strategy<Value = WaitRule> {
    Just(WaitRule::Threshold)
}

fn any_rule() -> impl Strategy<Value = WaitRule> {
    let graded = (probability(), probability()).prop_map(|(a, b)| WaitRule::Graded {
        unfinished_at: if a < b { a } else { b },
        finished_at: if a < b { b } else { a },
    });
    prop_oneof![binary(), graded]
}

fn fusion() -> impl Strategy<Value = Fusion> {
    let weight = || prop_oneof![4 => 0.1..3.0f32, 1 => Just(0.0f32)];
    (weight(), weight(), weight(), 0.5..8.0f32).prop_map(|(audio, text, cues, limit)| Fusion {
        audio,
        text,
        cues,
        limit,
    })
}

fn config(
    delays: impl Strategy<Value = Delays>,
    wait_rule: impl Strategy<Value = WaitRule>,
) -> impl Strategy<Value = EndpointerConfig> {
    let sources = (
        prop::option::of(model()),
        prop::option::of(ticks(0..300)),
        prop::option::of(ticks(0..300)),
    );
    (
        delays,
        wait_rule,
        fusion(),
        sources,
        prop::option::of(ticks(1..1500)),
        ticks(0..500),
    )
        .prop_map(
            |(
                delays,
                wait_rule,
                fusion,
                (model, text_timeout, transcript_wait),
                max_turn,
                amend_window,
            )| {
                EndpointerConfig {
                    delays,
                    wait_rule,
                    fusion,
                    model,
                    text_timeout,
                    transcript_wait,
                    max_turn,
                    amend_window,
                    ..BASE
                }
            },
        )
}

fn fixed() -> impl Strategy<Value = Delays> {
    (ticks(0..160), ticks(0..300)).prop_map(|(min, more)| Delays::Fixed {
        min,
        max: min + more,
    })
}

fn any_delays() -> impl Strategy<Value = Delays> {
    let dynamic = (ticks(0..160), ticks(0..300), 0.1..1.0f64).prop_map(|(min, more, alpha)| {
        Delays::Dynamic {
            min,
            max: min + more,
            alpha,
        }
    });
    prop_oneof![fixed(), dynamic]
}

fn ends(heard: &Heard) -> impl Iterator<Item = &EndOfTurn> {
    heard.outputs.iter().filter_map(|output| match output {
        TurnOutput::EndOfTurn(end) => Some(end),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_says_what_the_polling_oracle_says(config in config(fixed(), any_rule()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let expected = drive(&mut Oracle::new(config, 0), &script, 0);
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn a_decision_falls_within_max_delay_and_one_window(config in config(any_delays(), any_rule()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let oldest = script.iter().flat_map(|run| &run.host).fold(0, |oldest, (_, _, op)| match op {
            Op::Age(age) => oldest.max(*age),
            _ => oldest,
        });
        for end in ends(&heard) {
            prop_assert!(end.start <= end.last_voiced && end.last_voiced <= end.decided_at, "{:?}", end);
            // The segmenter below needs MIN_SILENCE windows to see the end of speech. A longer delay that an expectation had
            // given may be taken back when it has lasted a while: then the turn ends at once.
            let taken_back = script.iter().flat_map(|run| &run.host)
                .any(|(_, _, op)| matches!(op, Op::Expect(_)));
            let granted = if taken_back { config.expectations.floor.1.0 } else { 0 };
            let slowest = end.max_delay.0.max(u64::from(MIN_SILENCE) * WINDOW).max(granted);
            prop_assert!(end.delay().0 <= slowest + WINDOW, "{:?}", end);
            prop_assert!(end.min_delay <= end.max_delay, "{:?}", end);
            if !matches!(end.wait, Wait::Ceiling | Wait::Flush) {
                prop_assert!(end.delay().0 + oldest >= end.min_delay.0, "{:?}", end);
            }
            if let Some(max_turn) = config.max_turn {
                // A turn shorter than the dip after a cut, or than an onset, ends when it is known to exist.
                let longest = max_turn.0.max(u64::from(MIN_SILENCE + 1) * WINDOW);
                prop_assert!(end.decided_at.since(end.start).0 <= longest, "{:?}", end);
            }
        }
    }

    #[test]
    fn every_turn_ends_exactly_once(config in config(any_delays(), any_rule()), script in script()) {
        let mut machine = Stepped::new(config, 0, 0);
        let heard = drive(&mut machine, &script, 0);
        let numbers: Vec<u64> = ends(&heard).map(|end| end.turn).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", numbers);
        prop_assert_eq!(numbers.len() as u64 + heard.stats.cleared_turns, machine.endpointer.next_turn);
        prop_assert!(heard.starts.is_sorted());
        prop_assert!(heard.starts.iter().all(|&turn| turn < machine.endpointer.next_turn));
        prop_assert_eq!(machine.endpointer.turn(), None);
        prop_assert_eq!(machine.endpointer.deadline(), None);

        let decided: Vec<SamplePos> = heard.outputs.iter().map(|output| match output {
            TurnOutput::EndOfTurn(end) => end.decided_at,
            TurnOutput::Query(query) => query.decided_at,
            TurnOutput::Amended(amended) => amended.decided_at,
            TurnOutput::Prediction(prediction) => prediction.decided_at,
            TurnOutput::Cancelled(cancelled) => cancelled.decided_at,
        }).collect();
        prop_assert!(decided.is_sorted(), "{:?}", heard.outputs);
        let queries = heard.outputs.iter().filter_map(|output| match output {
            TurnOutput::Query(query) => Some(query.id),
            _ => None,
        });
        prop_assert!(queries.eq(0..machine.endpointer.next_query));
    }

    #[test]
    fn telling_the_time_more_often_changes_nothing(
        config in config(any_delays(), any_rule()),
        script in script(),
        stride in 1..2000u64,
    ) {
        let once = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let often = drive(&mut Stepped::new(config, 0, stride), &script, 0);
        prop_assert_eq!(once, often);
    }

    #[test]
    fn a_late_clock_decides_like_an_early_one(config in config(any_delays(), any_rule()), script in script()) {
        let early = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        for origin in [(1 << 31) * 48_000 - 1, (1 << 32) - 1, (1 << 53) + 1] {
            let mut late = drive(&mut Stepped::new(config, origin, 0), &script, origin);
            for output in &mut late.outputs {
                *output = moved(*output, |at| SamplePos(at.0 - origin));
            }
            prop_assert_eq!(&early, &late);
        }
    }

    #[test]
    fn a_change_of_rate_changes_no_decision(
        config in config(fixed(), binary()),
        script in script(),
        windows_left in 0..200u32,
    ) {
        let plain = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let inner = Stepped::new(config, 0, 0);
        let mut doubling = Doubling::new(inner, config, windows_left);
        prop_assert_eq!(plain, drive(&mut doubling, &script, 0));
    }

    #[test]
    fn answers_to_no_open_question_change_nothing(config in config(any_delays(), any_rule()), script in script()) {
        let without: Vec<Run> = script.iter().cloned().map(|mut run| {
            run.host.retain(|(_, _, op)| !matches!(op, Op::Answer(..) | Op::Text(..) | Op::Cues(..)));
            run
        }).collect();
        let with: Vec<Run> = without.iter().cloned().map(|mut run| {
            // A pause has four questions at most, so the fifth before the newest is about an older one.
            run.host.push((0, 1, Op::Answer(4, p(0.0))));
            run.host.push((0, 2, Op::Answer(u64::MAX - 1000, p(1.0))));
            run.host.push((0, 3, Op::Text(1, (p(0.0), p(0.5)), None)));
            run.host.push((0, 4, Op::Cues(1, -1.0)));
            run.host.push((0, 5, Op::Cues(0, f32::NAN)));
            run.host.sort_by_key(|&(window, tick, _)| (window, tick));
            run
        }).collect();
        let quiet = drive(&mut Stepped::new(config, 0, 0), &without, 0);
        let noisy = drive(&mut Stepped::new(config, 0, 0), &with, 0);
        prop_assert_eq!(quiet.outputs, noisy.outputs);
        prop_assert_eq!(noisy.stats.stale_answers, 2 * script.len() as u64);
        prop_assert_eq!(noisy.stats.stale_votes, 3 * script.len() as u64);
    }

    #[test]
    fn an_expectation_that_nobody_has_changes_nothing(config in config(any_delays(), any_rule()), script in script()) {
        let strip = |keep: bool| -> Vec<Run> {
            script.iter().cloned().map(|mut run| {
                for (_, _, op) in &mut run.host {
                    if let Op::Expect(expectation) = op {
                        *expectation = Expectation::Free;
                    }
                }
                run.host.retain(|(_, _, op)| keep || !matches!(op, Op::Expect(_)));
                run
            }).collect()
        };
        let with = drive(&mut Stepped::new(config, 0, 0), &strip(true), 0);
        let without = drive(&mut Stepped::new(config, 0, 0), &strip(false), 0);
        prop_assert_eq!(with, without);
    }

    #[test]
    fn votes_in_any_order_decide_the_same(
        config in config(prop_oneof![(72..160u64, 0..300u64).prop_map(|(min, more)| Delays::Fixed {
            min: SampleCount(min * TICK),
            max: SampleCount((min + more) * TICK),
        })], any_rule()),
        votes in prop::collection::vec(vote(), 1..6),
        order in prop::collection::vec(any::<u32>(), 6),
        expectation in expectation(),
    ) {
        // One vote of a kind: a later text replaces an earlier one, and that order counts.
        let mut kinds = Vec::new();
        let votes: Vec<Op> = votes.into_iter().filter(|op| {
            let kind = match op {
                Op::Answer(back, _) => *back,
                Op::Text(..) => 10,
                _ => 11,
            };
            let is_first = !kinds.contains(&kind);
            kinds.push(kind);
            is_first
        }).collect();
        let mut places: Vec<usize> = (0..votes.len()).collect();
        places.sort_by_key(|&k| order[k]);
        let shuffled: Vec<Op> = places.iter().map(|&k| votes[k]).collect();
        // Asked after one, two, three and four windows of silence; the votes come in the fifth, before any delay is over. A turn
        // that reaches its longest length among them has only heard those before it, so there the order is not free.
        let first_vote = 14 * WINDOW + TICK;
        let last_vote = 14 * WINDOW + votes.len() as u64 * TICK;
        let config = EndpointerConfig {
            max_turn: config.max_turn.filter(|max| !(first_vote..=last_vote).contains(&max.0)),
            model: config.model.map(|model| AudioModel {
                query_after_windows: 1,
                query_again: [2, 3, 4].map(|n| Some(SampleCount(n * WINDOW))),
                ..model
            }),
            ..config
        };
        let decide = |votes: &[Op]| {
            let mut host = vec![(0, 0, Op::Expect(expectation))];
            host.extend(votes.iter().enumerate().map(|(k, &op)| (4, 1 + k as u64, op)));
            let script = [
                Run { voiced: true, windows: 10, gap: 0, host: vec![] },
                Run { voiced: false, windows: 400, gap: 0, host },
            ];
            let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
            let end = *ends(&heard).next().expect("the turn ends");
            let plain = |vote: ModelVote| ModelVote { asked_at: SamplePos(0), answered_at: SamplePos(0), ..vote };
            let votes = TurnVotes {
                audio: end.votes.audio.map(plain),
                text: end.votes.text.map(plain),
                ..end.votes
            };
            // Which of two that came after the delay was over was waited for depends on the order, and nothing else does.
            EndOfTurn { votes, wait: Wait::Min, ..end }
        };
        prop_assert_eq!(decide(&votes), decide(&shuffled));
    }
}
