//! Rule 7: 0 <= decision - last voiced sample <= max_delay + one window, whatever the inputs.
#![cfg(feature = "embedded-models")]

mod common;

use std::time::Duration;

use common::{Step, conversation, everything, ms, play_in_blocks, quick};
use listenkit::{
    Detector, Endpointing, Event, Expectation, ExpectationDelays, Output, Probability,
    TextVoteOptions, Wait, WaitRule,
};
use proptest::prelude::*;

const WINDOW: Duration = ms(32);
const MAX_DELAY: Duration = ms(700);

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1_usize..40_000).prop_map(Step::Audio),
        2 => (0_u64..200_000).prop_map(Step::Gap),
        3 => (0.0_f32..=1.0).prop_map(Step::Answer),
        2 => (0.0_f32..=1.0).prop_map(Step::Text),
        2 => prop_oneof![-1.0_f32..=1.0, Just(f32::NAN)].prop_map(Step::Cues),
        2 => prop::sample::select(vec![
            Expectation::Free,
            Expectation::YesNo,
            Expectation::Digits { count: 4 },
            Expectation::FloorGranted,
        ])
        .prop_map(Step::Expect),
        2 => Just(Step::Transcript),
        1 => any::<bool>().prop_map(Step::Agent),
        1 => Just(Step::Commit),
        1 => Just(Step::Clear),
        1 => Just(Step::Flush),
        1 => Just(Step::Reset),
        2 => (prop::sample::select(vec![8_000, 16_000, 44_100, 48_000, 96_000]), 1_usize..=2)
            .prop_map(|(hz, channels)| Step::Format { hz, channels }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn turns_end_in_time(
        script in prop::collection::vec(step(), 1..30),
        transcripts in any::<bool>(),
        model in any::<bool>(),
        dynamic in any::<bool>(),
        graded in any::<bool>(),
    ) {
        let case = conversation();
        let endpointing = if dynamic {
            Endpointing::dynamic(ms(300), MAX_DELAY)
        } else {
            Endpointing::fixed(ms(300), MAX_DELAY)
        };
        let mut config = if model { everything(case.rate) } else { quick(case.rate) };
        config = config.endpointing(endpointing).transcript_wait(transcripts.then_some(ms(2000)));
        // No expectation may give more than that, so that one bound holds for all.
        config = config.expectation_delays(ExpectationDelays {
            dictation_min: ms(500),
            dictation_max: MAX_DELAY,
            floor_min: ms(600),
            floor_max: MAX_DELAY,
            ..ExpectationDelays::DEFAULT
        });
        if graded {
            config = config.text_model(Some(TextVoteOptions::default())).wait_rule(WaitRule::Graded {
                unfinished_at: Probability::clamped(0.1),
                finished_at: Probability::clamped(0.9),
            });
        }
        let mut detector = Detector::new(config, common::vad()).expect("valid");
        for (rate, output) in play_in_blocks(&mut detector, &case, &script, || usize::MAX) {
            if let Output::Event(Event::EndOfTurn(end)) = output {
                prop_assert!(end.last_voiced <= end.decided_at, "{end:?}");
                // One window after `max_delay`, each rounded up to whole samples of the rate in force.
                let bound = rate.samples(MAX_DELAY) + rate.samples(WINDOW);
                prop_assert!(end.delay() <= bound, "{end:?} at {rate:?}");
                if !matches!(end.wait, Wait::Flush | Wait::Ceiling) {
                    prop_assert!(end.delay() >= end.min_delay, "{end:?} at {rate:?}");
                }
            }
        }
    }
}
