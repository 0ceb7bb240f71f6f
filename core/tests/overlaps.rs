//! User speech over the agent's: verdicts of the whole detector on real speech.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Clip, Seeded, conversation, everything, ms, quick};
use listenkit::{
    BriefReason, Detector, DetectorConfig, EndReason, Endpointing, Event, Frame, Input, Output,
    OverlapOptions, OverlapVerdict, Probability, SampleCount, SamplePos,
};
use proptest::prelude::*;

/// What the host does at a position of the clip.
type Script<'s> = &'s [(usize, Input)];

fn judged(config: DetectorConfig) -> DetectorConfig {
    config.overlap(Some(OverlapOptions::new()))
}

fn detector(config: DetectorConfig) -> Detector {
    Detector::new(config, common::vad()).expect("valid")
}

/// Everything said about the clip, in blocks of the given sizes, while the host follows the script.
fn hear(
    detector: &mut Detector,
    pcm: &[i16],
    script: Script<'_>,
    mut block: impl FnMut() -> usize,
) -> Vec<Output> {
    let mut outputs = Vec::new();
    let mut at = 0;
    let mut script = script.iter().peekable();
    loop {
        while let Some((_, input)) = script.next_if(|(when, _)| *when <= at) {
            outputs.extend(detector.handle(*input).expect("outputs are taken"));
        }
        let next = script.peek().map_or(pcm.len(), |(when, _)| *when);
        let end = at.saturating_add(block()).min(next).min(pcm.len());
        if at == end {
            break;
        }
        outputs.extend(detector.process(Frame::i16(&pcm[at..end])).expect("good"));
        at = end;
    }
    outputs.extend(detector.flush());
    outputs
}

fn events(outputs: &[Output]) -> Vec<Event> {
    let about = |event: &Event| {
        !matches!(
            event,
            Event::Window(_)
                | Event::SegmentReady(_)
                | Event::TurnAmended(_)
                | Event::TurnPrediction(_)
        )
    };
    common::events(outputs).into_iter().filter(about).collect()
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| match event {
            Event::StartOfSpeech(_) => "start",
            Event::EndOfSpeech(_) => "end",
            Event::EndOfTurn(_) => "turn",
            Event::OverlapClaim(_) => "claim",
            Event::OverlapBrief(_) => "brief",
            Event::FalseInterruption(_) => "false",
            _ => "other",
        })
        .collect()
}

/// Starts and ends of the speech in the clip.
fn speech_of(case: &Clip) -> Vec<(usize, usize)> {
    let outputs = hear(&mut detector(quick(case.rate)), &case.pcm, &[], || {
        usize::MAX
    });
    let mut found = Vec::new();
    for event in common::events(&outputs) {
        match event {
            Event::StartOfSpeech(start) => found.push((start.at.0 as usize, 0)),
            Event::EndOfSpeech(end) => found.last_mut().expect("a start").1 = end.at.0 as usize,
            _ => {}
        }
    }
    assert!(found.len() > 2, "{found:?}");
    found
}

/// The first second and a half of silence, then the first `speech` samples of the first sentence, then two seconds of silence.
fn burst(case: &Clip, speech: usize) -> Vec<i16> {
    let (start, end) = speech_of(case)[0];
    assert!(end - start > speech, "the first sentence is longer");
    let mut pcm = vec![0; 72_000];
    pcm.extend(&case.pcm[start..start + speech]);
    pcm.resize(pcm.len() + 200_000, 0);
    pcm
}

#[test]
fn half_a_second_of_speech_interrupts_and_names_where_it_began() {
    let case = conversation();
    let pcm = burst(&case, 40_000);
    let script = [(0, Input::AgentStarted)];
    let outputs = hear(
        &mut detector(judged(quick(case.rate))),
        &pcm,
        &script,
        || 480,
    );
    let events = events(&outputs);
    let said = names(&events);
    assert_eq!(said[..3], ["start", "claim", "end"], "{events:?}");
    let (Event::StartOfSpeech(start), Event::OverlapClaim(claim)) = (events[0], events[1]) else {
        panic!("{events:?}");
    };
    assert_eq!(claim.at, start.at);
    assert!(claim.facts.speech_duration >= case.rate.samples(ms(500)));
    assert!(claim.decided_at.since(claim.at) < case.rate.samples(ms(900)));
    let turn = events.iter().find_map(|event| match event {
        Event::EndOfTurn(end) => Some(end.overlap),
        _ => None,
    });
    assert_eq!(turn, Some(Some(OverlapVerdict::Claim)));
    assert!(said.contains(&"false"), "no words came: {said:?}");
}

/// The peer's bug: with 0.55 s of `min_silence`, a burst of 150 ms interrupted after 0.288 s of silence.
#[test]
fn a_burst_of_150_ms_is_brief_whatever_silence_follows() {
    let case = conversation();
    let pcm = burst(&case, 7_200);
    let config = judged(quick(case.rate)).min_silence_duration(ms(550));
    let mut detector = detector(config);
    let outputs = hear(&mut detector, &pcm, &[(0, Input::AgentStarted)], || 480);
    let events = events(&outputs);
    assert_eq!(
        names(&events),
        ["start", "end", "brief", "turn"],
        "{events:?}"
    );
    let (Event::OverlapBrief(brief), Event::EndOfTurn(turn)) = (events[2], events[3]) else {
        panic!("{events:?}");
    };
    assert_eq!(brief.reason, BriefReason::TooShort);
    // The model hears speech for a few windows longer than it lasts.
    assert!(
        brief.facts.speech_duration < case.rate.samples(ms(350)),
        "{brief:?}"
    );
    let verdict = OverlapVerdict::Brief(BriefReason::TooShort);
    assert_eq!(turn.overlap, Some(verdict), "nobody waits for an answer");
    let stats = detector.stats();
    assert_eq!((stats.overlap_briefs, stats.overlap_claims), (1, 0));
}

#[test]
fn without_the_agent_or_without_the_option_nothing_is_said() {
    let case = conversation();
    let started = [(0, Input::AgentStarted)];
    let plain = hear(&mut detector(quick(case.rate)), &case.pcm, &started, || 480);
    let silent = hear(
        &mut detector(judged(quick(case.rate))),
        &case.pcm,
        &[],
        || 480,
    );
    assert_eq!(events(&plain), events(&silent));
    assert!(!names(&events(&plain)).contains(&"brief"));
    let digest = |config| {
        let mut detector = detector(config);
        hear(&mut detector, &case.pcm, &[], || 480);
        detector.fingerprint()
    };
    assert_eq!(digest(quick(case.rate)), digest(judged(quick(case.rate))));
}

#[test]
fn a_false_interruption_is_decided_at_its_exact_position() {
    let case = conversation();
    let pcm = burst(&case, 40_000);
    let script = [(0, Input::AgentStarted), (110_000, Input::AgentStopped)];
    for block in [480, 1, usize::MAX] {
        let outputs = hear(
            &mut detector(judged(quick(case.rate))),
            &pcm,
            &script,
            || block,
        );
        let events = events(&outputs);
        let mut end = None;
        let mut found = None;
        for event in &events {
            match event {
                Event::EndOfSpeech(e) => end = Some(e.at),
                Event::FalseInterruption(e) => found = Some((e.at, e.decided_at)),
                _ => {}
            }
        }
        let end = end.expect("speech ended");
        let expected = (end, end + case.rate.samples(ms(2000)));
        assert_eq!(
            found,
            Some(expected),
            "the agent's silence did not stop the timer"
        );
    }
}

#[test]
fn words_confirm_an_interruption() {
    let case = conversation();
    let pcm = burst(&case, 40_000);
    let script = [(0, Input::AgentStarted), (150_000, Input::Words(1))];
    let mut detector = detector(judged(quick(case.rate)));
    let outputs = hear(&mut detector, &pcm, &script, || 480);
    assert!(!names(&events(&outputs)).contains(&"false"));
    assert_eq!(detector.stats().overlap_claims, 1);
}

/// What endpointing learns from: the detector's verdict, unless the host has one.
#[test]
fn the_hosts_verdict_counts_more_than_the_detectors() {
    let case = conversation();
    let sentences = speech_of(&case);
    let delays = Endpointing::dynamic(ms(300), ms(3000));
    // The agent speaks over the second sentence from before it to behind it.
    let (second, third) = (sentences[1], sentences[2]);
    let over = second.0.saturating_sub(9_000);
    let learned = |overlap: bool, said: Option<bool>| {
        let mut script = vec![(over, Input::AgentStarted)];
        if let Some(said) = said {
            script.push(((second.0 + second.1) / 2, Input::Interruption(said)));
        }
        script.push((third.0 - 4_800, Input::AgentStopped));
        script.sort_by_key(|(at, _)| *at);
        let options = OverlapOptions {
            // Longer than the sentence: brief.
            min_duration: ms(9000),
            ..OverlapOptions::new()
        };
        let config = quick(case.rate)
            .endpointing(delays)
            .overlap(overlap.then_some(options));
        let outputs = hear(&mut detector(config), &case.pcm, &script, || 480);
        let turns = common::turns(&outputs);
        turns.iter().map(|turn| turn.min_delay).collect::<Vec<_>>()
    };
    assert_eq!(learned(true, None), learned(false, Some(false)));
    assert_eq!(learned(true, Some(true)), learned(false, Some(true)));
}

#[test]
fn an_answer_in_the_overlap_is_in_its_record() {
    let case = conversation();
    let pcm = burst(&case, 12_000);
    let model = listenkit::TurnModelOptions::new(Probability::clamped(0.5));
    let mut detector = detector(judged(quick(case.rate)).turn_model(Some(model)));
    let mut all: Vec<Output> = detector
        .handle(Input::AgentStarted)
        .expect("room")
        .collect();
    for block in pcm.chunks(480) {
        let said: Vec<Output> = detector.process(Frame::i16(block)).expect("good").collect();
        for output in &said {
            if let Output::TurnQuery(query) = output {
                let probability = Probability::clamped(0.75);
                let id = query.id;
                let answer = Input::TurnAnswer { id, probability };
                all.extend(detector.handle(answer).expect("room"));
            }
        }
        all.extend(said);
    }
    let briefs: Vec<_> = common::events(&all)
        .into_iter()
        .filter_map(|event| match event {
            Event::OverlapBrief(brief) => Some(brief.facts.probability),
            _ => None,
        })
        .collect();
    assert_eq!(briefs, [Some(Probability::clamped(0.75))]);
}

#[test]
fn gaps_formats_and_resets_close_overlaps() {
    let case = conversation();
    let (start, _) = speech_of(&case)[0];
    let speech = &case.pcm[start..start + 20_000];
    let heard = |break_off: &dyn Fn(&mut Detector) -> Vec<Output>| {
        let mut detector = detector(judged(quick(case.rate)));
        let mut outputs: Vec<Output> = detector
            .handle(Input::AgentStarted)
            .expect("room")
            .collect();
        outputs.extend(detector.process(Frame::i16(speech)).expect("good"));
        outputs.extend(break_off(&mut detector));
        let events = events(&outputs);
        let said = names(&events);
        let place = said.iter().position(|name| *name == "brief");
        let place = place.unwrap_or_else(|| panic!("{events:?}"));
        assert_eq!(said[place - 1], "end", "right behind the end of speech");
        let (Event::EndOfSpeech(end), Event::OverlapBrief(brief)) =
            (events[place - 1], events[place])
        else {
            panic!("{events:?}");
        };
        assert_eq!((brief.until, brief.decided_at), (end.at, end.decided_at));
        end.reason
    };
    let gap = |d: &mut Detector| {
        d.handle(Input::Gap(SampleCount(96_000)))
            .expect("room")
            .collect()
    };
    assert_eq!(heard(&gap), EndReason::Gap);
    let format = |d: &mut Detector| {
        let frame = Frame::i16(&[0; 320]).at_rate(16_000);
        d.process(frame).expect("good").collect()
    };
    assert_eq!(heard(&format), EndReason::FormatChange);
    assert_eq!(
        heard(&|d: &mut Detector| d.flush().collect()),
        EndReason::Flush
    );
    assert_eq!(
        heard(&|d: &mut Detector| d.reset().collect()),
        EndReason::Reset
    );
}

/// A script of host inputs at random positions, most of them about the agent.
fn random_script(seeded: &mut Seeded, len: usize) -> Vec<(usize, Input)> {
    let mut script: Vec<(usize, Input)> = (0..40)
        .map(|_| {
            let at = seeded.below(len);
            let input = match seeded.below(10) {
                0..=2 => Input::AgentStarted,
                3..=4 => Input::AgentStopped,
                5 => Input::AgentInterruptible(seeded.below(3) > 0),
                6..=7 => Input::Words(seeded.below(4) as u32),
                8 => Input::Transcript {
                    speech_end: (seeded.below(2) == 0).then_some(SamplePos(at as u64)),
                },
                _ => Input::CommitTurn,
            };
            (at, input)
        })
        .collect();
    script.sort_by_key(|(at, _)| *at);
    script
}

fn options(seeded: &mut Seeded) -> OverlapOptions {
    OverlapOptions {
        min_duration: ms(seeded.below(900) as u64),
        min_words: seeded.below(3) as u32,
        playback_guard: ms(seeded.below(900) as u64),
        false_interruption_timeout: (seeded.below(4) > 0).then(|| ms(seeded.below(2500) as u64)),
        ..OverlapOptions::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_blocks_give_the_same_verdicts(seed in any::<u64>(), most in 2_usize..6000) {
        let case = conversation();
        let mut seeded = Seeded(seed);
        let config = everything(case.rate)
            .transcript_wait(Some(ms(400)))
            .overlap(Some(options(&mut seeded)));
        let script = random_script(&mut seeded, case.pcm.len());
        let heard = |block: &mut dyn FnMut() -> usize| {
            let mut detector = detector(config);
            (hear(&mut detector, &case.pcm, &script, block), detector.fingerprint())
        };
        let whole = heard(&mut || usize::MAX);
        let cut = heard(&mut || 1 + seeded.below(most));
        prop_assert_eq!(whole.1, cut.1);
        prop_assert_eq!(whole.0, cut.0);
    }

    #[test]
    fn verdicts_come_in_order_and_a_reset_forgets_them(seed in any::<u64>()) {
        let case = conversation();
        let mut seeded = Seeded(seed);
        let config = quick(case.rate).overlap(Some(options(&mut seeded)));
        let script = random_script(&mut seeded, case.pcm.len());
        let mut used = detector(config);
        let expected = hear(&mut used, &case.pcm, &script, || usize::MAX);
        let digest = used.fingerprint();
        let decided: Vec<SamplePos> = events(&expected).iter().map(Event::decided_at).collect();
        prop_assert!(decided.is_sorted());
        // Left in the middle of speech, protected, with the agent speaking.
        for input in [Input::AgentStarted, Input::AgentInterruptible(false)] {
            used.handle(input).expect("room").for_each(drop);
        }
        used.process(Frame::i16(&case.pcm[..100_000])).expect("good").for_each(drop);
        used.reset().for_each(drop);
        prop_assert_eq!(hear(&mut used, &case.pcm, &script, || 999), expected);
        prop_assert_eq!(used.fingerprint(), digest);
        prop_assert_eq!(used.stats().outputs_dropped, 0);
    }
}
