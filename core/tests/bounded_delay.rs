//! Rule 7: 0 <= decision - last voiced sample <= max_delay + one window, whatever the inputs.

mod common;

use common::{Step, conversation, everything, ms, play, quick, turns};
use listenkit::{Detector, Endpointing, Wait};
use proptest::prelude::*;

const WINDOW: u64 = 1536; // 32 ms at 48 kHz

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1_usize..40_000).prop_map(Step::Audio),
        2 => (0_u64..200_000).prop_map(Step::Gap),
        3 => (0.0_f32..=1.0).prop_map(Step::Answer),
        2 => Just(Step::Transcript),
        1 => any::<bool>().prop_map(Step::Agent),
        1 => Just(Step::Commit),
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
    ) {
        let case = conversation();
        let endpointing = if dynamic {
            Endpointing::dynamic(ms(300), ms(700))
        } else {
            Endpointing::fixed(ms(300), ms(700))
        };
        let mut config = if model { everything(case.rate) } else { quick(case.rate) };
        config = config.endpointing(endpointing).transcript_wait(transcripts.then_some(ms(2000)));
        let mut detector = Detector::new(config, common::vad()).expect("valid");
        for end in turns(&play(&mut detector, &case, &script)) {
            prop_assert!(end.last_voiced <= end.decided_at, "{end:?}");
            if end.wait != Wait::Flush {
                prop_assert!(end.delay().0 <= 48 * 700 + WINDOW, "{end:?}");
            }
        }
    }
}
