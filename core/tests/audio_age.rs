//! The wait that ends a turn counts from when the user fell silent, however late their voice comes in.
#![cfg(feature = "embedded-models")]

mod common;

use std::time::Duration;

use common::{conversation, ms, run, turns, vad};
use listenkit::{Detector, DetectorConfig, EndOfTurn, Endpointing, Input, SampleCount, Wait};

const MIN_DELAY: Duration = ms(500);

fn turns_at_age(age: Duration) -> Vec<EndOfTurn> {
    let case = conversation();
    let config = DetectorConfig::new(case.rate).endpointing(Endpointing::fixed(MIN_DELAY, ms(900)));
    let mut detector = Detector::new(config, vad()).expect("a good configuration");
    let age = Input::AudioAge(case.rate.samples(age));
    assert_eq!(detector.handle(age).expect("room").count(), 0);
    turns(&run(&mut detector, &case.pcm, case.channels, &[480]))
        .into_iter()
        .filter(|turn| turn.wait == Wait::Min)
        .collect()
}

#[test]
fn a_turn_ends_sooner_by_the_age_of_the_audio() {
    let rate = conversation().rate;
    let now = turns_at_age(Duration::ZERO);
    assert!(now.len() > 2, "{now:?}");
    assert!(
        now.iter()
            .all(|turn| turn.delay() == rate.samples(MIN_DELAY))
    );
    for age in [ms(1), ms(60), ms(200)] {
        let old = turns_at_age(age);
        assert_eq!(
            now.len(),
            old.len(),
            "no pause of the clip ends a turn at one age only"
        );
        for (now, old) in now.iter().zip(&old) {
            assert_eq!(old.last_voiced, now.last_voiced);
            assert_eq!(old.delay() + rate.samples(age), now.delay());
            assert_eq!(
                old.min_delay,
                rate.samples(MIN_DELAY),
                "the record has what was configured"
            );
        }
    }
}

#[test]
fn no_age_ends_a_turn_before_its_speech() {
    // The end of speech is known after 250 ms in whole windows: 256 ms, and what the resampler looks ahead.
    let rate = conversation().rate;
    for turn in turns_at_age(Duration::from_secs(3600)) {
        let delay = rate.seconds(turn.delay());
        assert!((0.256..0.270).contains(&delay), "{delay} s: {turn:?}");
    }
}

#[test]
fn a_reset_forgets_the_age() {
    let case = conversation();
    let config = DetectorConfig::new(case.rate).endpointing(Endpointing::fixed(MIN_DELAY, ms(900)));
    let mut detector = Detector::new(config, vad()).expect("a good configuration");
    let fresh = run(&mut detector, &case.pcm, case.channels, &[480]);
    detector.reset().for_each(drop);
    let age = Input::AudioAge(SampleCount(9_600));
    detector.handle(age).expect("room").for_each(drop);
    detector.reset().for_each(drop);
    assert_eq!(fresh, run(&mut detector, &case.pcm, case.channels, &[480]));
}
