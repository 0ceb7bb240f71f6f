//! What holds for any sequence of inputs.

use proptest::prelude::*;

use super::drive::{Doubling, Heard, Op, Run, Stepped, drive, moved};
use super::oracle::{Oracle, TICK};
use super::*;

fn ticks(range: std::ops::Range<u64>) -> impl Strategy<Value = SampleCount> {
    range.prop_map(|n| SampleCount(n * TICK))
}

fn probability() -> impl Strategy<Value = Probability> {
    (0..=4u8).prop_map(|n| p(f32::from(n) / 4.0))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prop_oneof![4 => Just(0u64), 1 => 1..3u64], probability()).prop_map(|(b, p)| Op::Answer(b, p)),
        4 => prop::option::of(0..300u64).prop_map(|back| Op::Transcript(back.map(|n| n * TICK))),
        2 => Just(Op::AgentStart),
        2 => Just(Op::AgentStop),
        1 => any::<bool>().prop_map(Op::Verdict),
        1 => Just(Op::Commit),
        1 => Just(Op::Clear),
        1 => Just(Op::Finish),
        1 => probability().prop_map(Op::Threshold),
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

fn config(delays: impl Strategy<Value = Delays>) -> impl Strategy<Value = EndpointerConfig> {
    let model =
        (probability(), ticks(0..300), 0..12u32).prop_map(|(threshold, timeout, n)| AudioModel {
            threshold,
            timeout,
            query_after_windows: n,
            query_again: [None; MAX_REPEATS],
            answers: AnswerRule::Latest,
        });
    (
        delays,
        prop::option::of(model),
        prop::option::of(ticks(0..300)),
        prop::option::of(ticks(1..1500)),
        ticks(0..500),
    )
        .prop_map(|(delays, model, transcript_wait, max_turn, amend_window)| {
            EndpointerConfig {
                delays,
                model,
                transcript_wait,
                max_turn,
                amend_window,
                ..BASE
            }
        })
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
    fn it_says_what_the_polling_oracle_says(config in config(fixed()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let expected = drive(&mut Oracle::new(config, 0), &script, 0);
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn a_decision_falls_within_max_delay_and_one_window(config in config(any_delays()), script in script()) {
        let heard = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        for end in ends(&heard) {
            prop_assert!(end.start <= end.last_voiced && end.last_voiced <= end.decided_at, "{:?}", end);
            // The segmenter below needs MIN_SILENCE windows to see the end of speech.
            let slowest = end.max_delay.0.max(u64::from(MIN_SILENCE) * WINDOW);
            prop_assert!(end.delay().0 <= slowest + WINDOW, "{:?}", end);
            prop_assert!(end.min_delay <= end.max_delay, "{:?}", end);
            if !matches!(end.wait, Wait::Ceiling | Wait::Flush) {
                prop_assert!(end.delay() >= end.min_delay, "{:?}", end);
            }
            if let Some(max_turn) = config.max_turn {
                // A turn shorter than the dip after a cut, or than an onset, ends when it is known to exist.
                let longest = max_turn.0.max(u64::from(MIN_SILENCE + 1) * WINDOW);
                prop_assert!(end.decided_at.since(end.start).0 <= longest, "{:?}", end);
            }
        }
    }

    #[test]
    fn every_turn_ends_exactly_once(config in config(any_delays()), script in script()) {
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
        config in config(any_delays()),
        script in script(),
        stride in 1..2000u64,
    ) {
        let once = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let often = drive(&mut Stepped::new(config, 0, stride), &script, 0);
        prop_assert_eq!(once, often);
    }

    #[test]
    fn a_late_clock_decides_like_an_early_one(config in config(any_delays()), script in script()) {
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
        config in config(fixed()),
        script in script(),
        windows_left in 0..200u32,
    ) {
        let plain = drive(&mut Stepped::new(config, 0, 0), &script, 0);
        let inner = Stepped::new(config, 0, 0);
        let mut doubling = Doubling::new(inner, config, windows_left);
        prop_assert_eq!(plain, drive(&mut doubling, &script, 0));
    }

    #[test]
    fn answers_to_no_open_question_change_nothing(config in config(any_delays()), script in script()) {
        let without: Vec<Run> = script.iter().cloned().map(|mut run| {
            run.host.retain(|(_, _, op)| !matches!(op, Op::Answer(..)));
            run
        }).collect();
        let with: Vec<Run> = without.iter().cloned().map(|mut run| {
            run.host.push((0, 1, Op::Answer(1, p(0.0))));
            run.host.push((0, 2, Op::Answer(u64::MAX, p(1.0))));
            run.host.sort_by_key(|&(window, tick, _)| (window, tick));
            run
        }).collect();
        let quiet = drive(&mut Stepped::new(config, 0, 0), &without, 0);
        let noisy = drive(&mut Stepped::new(config, 0, 0), &with, 0);
        prop_assert_eq!(quiet.outputs, noisy.outputs);
        prop_assert_eq!(noisy.stats.stale_answers, 2 * script.len() as u64);
    }
}
