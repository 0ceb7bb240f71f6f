//! The learned delay, beside the peer's own class.

use super::delay::{DelayPolicy, Lesson};
use super::*;

/// Written by `benches/livekit_endpointing.py`.
const TABLE: &str = include_str!("livekit.csv");

const DYNAMIC: Delays = Delays::Dynamic {
    min: ms(300),
    max: ms(2500),
    alpha: 0.9,
};

fn number<T: std::str::FromStr>(field: &str) -> T {
    field
        .parse()
        .unwrap_or_else(|_| panic!("{field} is not a number"))
}

#[test]
fn the_learned_delay_is_livekits_for_random_events() {
    let rate = SampleRate::HZ_48000;
    let grace = SampleCount(12_000);
    let mut policy = None;
    let (mut pauses, mut early) = (0, 0);
    for (line_number, line) in TABLE.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let (kind, rest) = (fields[0], &fields[1..]);
        if kind.starts_with('#') {
            continue;
        }
        if kind == "new" {
            let delays = Delays::Dynamic {
                min: SampleCount(number(rest[0])),
                max: SampleCount(number(rest[1])),
                alpha: number(rest[2]),
            };
            policy = Some(DelayPolicy::new(delays, rate, grace));
            continue;
        }
        let policy = policy.as_mut().expect("a sequence begins with `new`");
        let at = SamplePos(number(rest[0]));
        let flag = (!rest[1].is_empty()).then(|| rest[1] == "true");
        let mut lesson = Lesson::None;
        match kind {
            "user_start" => policy.user_started(at, flag == Some(true)),
            "user_end" => lesson = policy.user_ended(at, flag),
            "agent_start" => policy.agent_started(at),
            "agent_stop" => policy.agent_stopped(at),
            _ => panic!("unknown event {kind}"),
        }
        let expected = number::<f64>(rest[2]) * f64::from(rate.hz());
        let found = policy.min().0 as f64;
        // Half a sample of our rounding, and the seven digits of the table.
        assert!(
            (found - expected).abs() < 0.51,
            "line {}: {line}: {found} samples, LiveKit {expected}",
            line_number + 1
        );
        let reason = match lesson {
            Lesson::None => "none",
            Lesson::Pause => "pause",
            Lesson::EarlyAgent => "early_agent",
        };
        assert_eq!(reason, rest[3], "line {}: {line}", line_number + 1);
        pauses += usize::from(lesson == Lesson::Pause);
        early += usize::from(lesson == Lesson::EarlyAgent);
    }
    assert!(
        pauses > 50 && early > 20,
        "{pauses} pauses, {early} early answers"
    );
}

#[test]
fn pauses_of_one_second_teach_what_the_worked_example_says() {
    // One second of speech, one second of pause, and the agent never speaks.
    let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
    let mut learned = Vec::new();
    for k in 0..6 {
        policy.user_started(SamplePos(16_000 * (2 * k + 1)), false);
        policy.user_ended(SamplePos(16_000 * (2 * k + 2)), None);
        learned.push(policy.min());
    }
    // 0.300, 0.370, 0.433, 0.4897, 0.54073, 0.586657 s
    let samples = [4800, 5920, 6928, 7835, 8652, 9387];
    assert_eq!(learned, samples.map(SampleCount));
}

#[test]
fn an_agent_that_answers_too_early_teaches_the_pause() {
    let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
    policy.user_started(SamplePos(0), false);
    policy.user_ended(SamplePos(16_000), None);
    policy.agent_started(SamplePos(16_000 + 6_400)); // 0.4 s later
    policy.user_started(SamplePos(16_000 + 9_600), true); // 0.6 s later
    let lesson = policy.user_ended(SamplePos(40_000), Some(true));
    assert_eq!(lesson, Lesson::EarlyAgent);
    assert_eq!(policy.min(), SampleCount(5280)); // 0.330 s
}

#[test]
fn a_backchannel_teaches_nothing_unless_it_began_with_the_agent() {
    let overlap = |start: u64, verdict| {
        let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
        policy.user_started(SamplePos(0), false);
        policy.user_ended(SamplePos(16_000), None);
        policy.agent_started(SamplePos(20_000));
        policy.user_started(SamplePos(20_000 + start), true);
        policy.user_ended(SamplePos(40_000), verdict)
    };
    assert_eq!(overlap(3_999, Some(false)), Lesson::EarlyAgent);
    assert_eq!(overlap(4_000, Some(false)), Lesson::None); // 0.25 s
    assert_eq!(overlap(4_000, Some(true)), Lesson::EarlyAgent);
    assert_eq!(overlap(4_000, None), Lesson::EarlyAgent);
}

#[test]
fn user_and_agent_that_begin_at_once_teach_nothing() {
    let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
    policy.user_started(SamplePos(0), false);
    policy.user_ended(SamplePos(16_000), None);
    policy.agent_started(SamplePos(20_000));
    policy.user_started(SamplePos(20_000), true);
    assert_eq!(policy.user_ended(SamplePos(40_000), None), Lesson::None);
}

#[test]
fn the_learned_delay_stays_between_the_floor_and_max_delay() {
    let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
    let mut now = 0;
    for pause in [1_600, 160_000, 1_600_000].repeat(100) {
        policy.user_started(SamplePos(now + pause), false);
        now += pause + 8_000;
        policy.user_ended(SamplePos(now), None);
        assert!((ms(300)..=ms(2500)).contains(&policy.min()));
    }
    assert_eq!(policy.max(), ms(2500));
}

#[test]
fn a_change_of_rate_keeps_what_was_learned_in_seconds() {
    let mut policy = DelayPolicy::new(DYNAMIC, RATE, ms(250));
    for k in 0..2 {
        policy.user_started(SamplePos(32_000 * k), false);
        policy.user_ended(SamplePos(32_000 * k + 16_000), None);
    }
    assert_eq!(policy.min(), ms(370));
    let delays = Delays::Dynamic {
        min: SampleCount(14_400),
        max: SampleCount(120_000),
        alpha: 0.9,
    };
    let grace = SampleCount(12_000);
    policy.rebase(delays, SampleRate::HZ_48000, grace, |at| {
        SamplePos(at.0 * 3)
    });
    assert_eq!(policy.min(), SampleCount(17_760));
    // The last utterance ended at 48,000 samples of the old rate: one second before this one.
    policy.user_started(SamplePos(192_000), false);
    policy.user_ended(SamplePos(200_000), None);
    assert_eq!(policy.min(), SampleCount(20_784)); // 0.433 s
}

#[test]
fn a_turn_waits_for_the_delay_learned_from_this_user() {
    let mut rig = Rig::new(EndpointerConfig {
        delays: DYNAMIC,
        ..BASE
    });
    rig.speech(10).silence(30).speech(10).silence(30);
    // 0.9 * 300 ms + 0.1 * 960 ms
    let delays: Vec<_> = rig.ends.iter().map(|e| (e.delay(), e.min_delay)).collect();
    assert_eq!(delays, [(ms(300), ms(300)), (ms(366), ms(366))]);
}

#[test]
fn a_turn_learns_nothing_across_the_answer_of_the_agent() {
    let mut rig = Rig::new(EndpointerConfig {
        delays: DYNAMIC,
        ..BASE
    });
    rig.speech(10).silence(12);
    rig.host(|e, now| e.agent_started(now)).silence(30);
    rig.host(|e, now| e.agent_stopped(now)).silence(5);
    rig.speech(10).silence(30);
    assert_eq!(rig.ends[1].min_delay, ms(300));
}

#[test]
fn a_verdict_is_about_the_speech_that_is_open() {
    let ends_with = |verdict: Option<bool>, early: bool| {
        let mut rig = Rig::new(EndpointerConfig {
            delays: DYNAMIC,
            ..BASE
        });
        rig.speech(10).silence(12);
        rig.host(|e, now| e.agent_started(now)).silence(8);
        if early && let Some(verdict) = verdict {
            rig.host(|e, _| e.interruption_verdict(verdict));
        }
        rig.speech(10);
        if !early && let Some(verdict) = verdict {
            rig.host(|e, _| e.interruption_verdict(verdict));
        }
        rig.silence(40);
        rig.ends[1].min_delay
    };
    let learned = ms(334); // 0.9 * 300 + 0.1 * 640
    assert_eq!(ends_with(None, false), learned);
    assert_eq!(ends_with(Some(true), false), learned);
    assert_eq!(ends_with(Some(false), false), ms(300));
    assert_eq!(ends_with(Some(false), true), learned);
}
