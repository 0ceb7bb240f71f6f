//! What holds for any order of inputs. The checks read an onlooker's log, not the tracker's state.

use std::ops::RangeInclusive;

use proptest::prelude::*;

use super::drive::{Log, Op, Stream, moved, turn_of};
use super::*;

/// Some windows alike, and what the host does at which sixteenth of them.
type Run = (bool, u64, Vec<(u64, Op)>);

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<bool>().prop_map(Op::Agent),
        2 => any::<bool>().prop_map(Op::Interruptible),
        3 => (0..4u32).prop_map(Op::Words),
        1 => Just(Op::Transcript(None)),
        1 => (0..40u64).prop_map(|back| Op::Transcript(Some(back * WINDOW))),
        1 => (0..=4u8).prop_map(|n| Op::Answer(f32::from(n) / 4.0)),
        1 => Just(Op::Commit),
        1 => (0..200u64).prop_map(|n| Op::Gap(n * 300)),
    ]
}

fn script() -> impl Strategy<Value = Vec<Run>> {
    let windows = prop_oneof![1..4u64, 4..24u64, 20..90u64];
    let host = prop::collection::vec((0..16u64, op()), 0..3);
    prop::collection::vec((any::<bool>(), windows, host), 1..24)
}

fn config() -> impl Strategy<Value = OverlapConfig> {
    let windows = |range: std::ops::Range<u64>| range.prop_map(|n| SampleCount(n * 300));
    (
        windows(0..60),
        0..3u32,
        windows(0..60),
        prop::option::of(windows(0..120)),
        windows(0..60),
    )
        .prop_map(
            |(min_duration, min_words, playback_guard, timeout, words_wait)| OverlapConfig {
                min_duration,
                min_words,
                playback_guard,
                false_interruption_timeout: timeout,
                words_wait,
                own_voice_threshold: 0.8,
            },
        )
}

fn play(stream: &mut Stream, script: &[Run]) -> Vec<Event> {
    stream.host(Op::Agent(true));
    for (voiced, windows, host) in script {
        let mut host = host.clone();
        host.sort_by_key(|&(sixteenth, _)| sixteenth);
        let mut host = host.into_iter().peekable();
        for window in 0..*windows {
            while let Some((at, op)) = host.next_if(|(at, _)| at * windows / 16 <= window) {
                // Anywhere inside the window.
                stream.host_at(stream.now + at * 31 % WINDOW, op);
            }
            if *voiced {
                stream.voiced(1);
            } else {
                stream.silent(1);
            }
        }
    }
    stream.finish()
}

/// Voiced samples of a segment in one of the agent's speeches, in windows that end in `heard`.
fn both(log: &Log, segment: u64, agent: u64, heard: RangeInclusive<u64>) -> u64 {
    let (start, _, end) = log.segments[segment as usize];
    log.voiced
        .iter()
        .filter(|window| window.speech_start == start && end.is_none_or(|end| window.end <= end))
        .filter(|window| heard.contains(&window.end))
        .map(|window| window.end.saturating_sub(window.start.max(agent)))
        .sum()
}

fn agent_at(log: &Log, at: u64) -> Option<(u64, Option<u64>)> {
    let speaking =
        |&&(start, end): &&(u64, Option<u64>)| start <= at && end.is_none_or(|end| at <= end);
    log.agent.iter().rev().find(speaking).copied()
}

fn interruptible_at(log: &Log, at: u64) -> Vec<bool> {
    // At the position itself both values may have been in force.
    let before = log.interruptible.iter().rev().find(|change| change.0 < at);
    let now = log.interruptible.iter().filter(|change| change.0 == at);
    std::iter::once(before.is_none_or(|change| change.1))
        .chain(now.map(|change| change.1))
        .collect()
}

fn check(config: &OverlapConfig, log: &Log, events: &[Event]) -> Result<(), TestCaseError> {
    let mut verdicts = Vec::new();
    // The agent's speech that is claimed, and whether the claim is open.
    let mut claimed: Option<(u64, OverlapClaim)> = None;
    // No speech counts twice: from the first position behind the last false interruption.
    let mut from = 0;
    for event in events {
        match event {
            Event::OverlapClaim(claim) => {
                let at = claim.decided_at.0;
                let agent = claim.facts.agent_start.0;
                prop_assert_eq!(agent_at(log, at).map(|(start, _)| start), Some(agent));
                prop_assert!(
                    claimed.is_none_or(|(of, _)| of != agent),
                    "two claims: {:?}",
                    claim
                );
                let speech = both(log, claim.segment, agent, from..=at);
                prop_assert_eq!(claim.facts.speech_duration.0, speech);
                prop_assert!(speech >= config.min_duration.0);
                prop_assert!(
                    interruptible_at(log, at).contains(&true),
                    "protected: {:?}",
                    claim
                );
                let user_first = log.segments[claim.segment as usize].0 < agent;
                prop_assert!(
                    user_first || at >= agent + config.playback_guard.0,
                    "{:?}",
                    claim
                );
                prop_assert!(claim.facts.words.unwrap_or(0) >= config.min_words);
                prop_assert!(claim.at <= claim.decided_at);
                claimed = Some((agent, *claim));
                verdicts.push((claim.segment, agent));
            }
            Event::OverlapBrief(brief) => {
                let agent = brief.facts.agent_start.0;
                prop_assert!(brief.at < brief.until && brief.until <= brief.decided_at);
                let speech = both(log, brief.segment, agent, from..=brief.decided_at.0);
                prop_assert_eq!(brief.facts.speech_duration.0, speech);
                let short = speech < config.min_duration.0;
                prop_assert_eq!(short, brief.reason == BriefReason::TooShort);
                prop_assert!(
                    claimed.is_none_or(|(of, _)| of != agent),
                    "brief after claim: {:?}",
                    brief
                );
                verdicts.push((brief.segment, agent));
            }
            Event::FalseInterruption(event) => {
                let Some((_, claim)) = claimed.take() else {
                    return Err(TestCaseError::fail(format!(
                        "nothing was claimed: {event:?}"
                    )));
                };
                prop_assert_eq!(event.claim_at, claim.decided_at);
                from = event.decided_at.0 + 1;
                let timeout = config.false_interruption_timeout.expect("it is on");
                prop_assert!(event.decided_at >= event.at + timeout);
                let worded = log.words.iter().find(|&&(at, words)| {
                    words > 0 && claim.decided_at.0 <= at && at < event.decided_at.0
                });
                prop_assert_eq!(worded, None, "words came: {:?}", event);
                // The user was silent for the timeout, but for onsets that came to nothing.
                let spoke = log.segments.iter().find(|(start, confirmed, _)| {
                    *start >= event.at.0 && *confirmed <= event.decided_at.0
                });
                prop_assert_eq!(spoke, None, "{:?}", event);
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
    prop_assert!(
        events.iter().map(Event::decided_at).is_sorted(),
        "{:?}",
        events
    );

    let mut expected = Vec::new();
    for (segment, (_, confirmed, _)) in log.segments.iter().enumerate() {
        let segment = segment as u64;
        for &(agent, stop) in &log.agent {
            let over = stop.is_none_or(|stop| *confirmed <= stop);
            let (claimed, from) = claimed_before(events, segment, agent);
            let speech = both(log, segment, agent, from..=stop.unwrap_or(u64::MAX));
            if over && speech > 0 && !claimed {
                expected.push((segment, agent));
            }
        }
    }
    verdicts.sort_unstable();
    prop_assert_eq!(verdicts, expected, "{:?}", events);
    Ok(())
}

/// Whether an earlier segment has claimed this speech of the agent; and from where on speech over it counts again.
fn claimed_before(events: &[Event], segment: u64, agent: u64) -> (bool, u64) {
    let (mut claimed, mut from) = (false, 0);
    for event in events {
        match event {
            Event::OverlapClaim(e) if e.facts.agent_start.0 == agent && e.segment < segment => {
                claimed = true;
            }
            Event::FalseInterruption(e) if e.segment < segment => {
                (claimed, from) = (false, e.decided_at.0 + 1);
            }
            _ => {}
        }
    }
    (claimed, from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_overlap_has_one_verdict_and_every_verdict_its_reasons(
        config in config(),
        script in script(),
    ) {
        let mut stream = Stream::new(config);
        let events = play(&mut stream, &script);
        check(&config, &stream.log, &events)?;
    }

    #[test]
    fn telling_the_time_more_often_changes_nothing(
        config in config(),
        script in script(),
        stride in 1..2000u64,
    ) {
        let expected = play(&mut Stream::new(config), &script);
        let mut often = Stream::new(config);
        often.stride = Some(stride);
        prop_assert_eq!(expected, play(&mut often, &script));
    }

    #[test]
    fn a_late_clock_decides_like_an_early_one(config in config(), script in script()) {
        let expected = play(&mut Stream::new(config), &script);
        for origin in [(1 << 31) * 48_000 - 1, (1 << 32) - 1, (1 << 53) + 1] {
            let events = play(&mut Stream::starting_at(config, origin), &script);
            let events: Vec<Event> = events.into_iter().map(|e| moved(e, origin, 1)).collect();
            prop_assert_eq!(&expected, &events);
        }
    }

    #[test]
    fn a_change_of_rate_changes_no_verdict(
        config in config(),
        before in script(),
        after in script(),
    ) {
        let double = |count: SampleCount| SampleCount(count.0 * 2);
        let doubled = OverlapConfig {
            min_duration: double(config.min_duration),
            playback_guard: double(config.playback_guard),
            false_interruption_timeout: config.false_interruption_timeout.map(double),
            words_wait: double(config.words_wait),
            ..config
        };
        let heard = |change: bool| {
            let mut stream = Stream::new(config);
            play_on(&mut stream, &before);
            let first = stream.events.len();
            if change {
                stream.tracker.rebase(doubled, |at| SamplePos(at.0 * 2));
                stream.factor = 2;
            }
            play(&mut stream, &after);
            let factor = stream.factor;
            let (first, second) = stream.events.split_at(first);
            let second = second.iter().map(|&event| moved(event, 0, factor));
            first.iter().copied().chain(second).collect::<Vec<Event>>()
        };
        prop_assert_eq!(heard(false), heard(true));
    }

    #[test]
    fn verdicts_of_segments_and_turns_are_those_of_their_events(
        config in config(),
        script in script(),
    ) {
        let mut stream = Stream::new(config);
        let events = play(&mut stream, &script);
        let Some(segment) = stream.log.segments.len().checked_sub(1) else {
            return Ok(());
        };
        let segment = segment as u64;
        let last = events.iter().rev().find_map(|event| match event {
            Event::OverlapClaim(e) if e.segment == segment => Some(true),
            Event::OverlapBrief(e) if e.segment == segment => Some(false),
            _ => None,
        });
        let said = stream.tracker.is_interruption(segment);
        prop_assert!(said.is_none() || last.is_some());
        let turn = stream.tracker.turn_verdict(turn_of(segment));
        if turn == Some(OverlapVerdict::Claim) {
            let claimed = |e: &Event| matches!(e, Event::OverlapClaim(e) if e.turn == turn_of(segment));
            prop_assert!(events.iter().any(claimed));
        }
    }
}

/// As [`play`], up to a break in the stream instead of its end.
fn play_on(stream: &mut Stream, script: &[Run]) {
    let mut script = script.to_vec();
    if let Some((_, _, host)) = script.last_mut() {
        host.clear();
    }
    for (voiced, windows, host) in &script {
        for &(_, op) in host {
            stream.host(op);
        }
        if *voiced {
            stream.voiced(*windows);
        } else {
            stream.silent(*windows);
        }
    }
    stream.host(Op::Gap(0));
}
