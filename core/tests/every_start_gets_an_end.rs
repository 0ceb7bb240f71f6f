//! Rule 3: every start gets exactly one end, whatever happens to the stream.
#![cfg(feature = "embedded-models")]

mod common;

use common::{
    Step, assert_every_start_has_one_end, conversation, events, everything, ms, play, quick, run,
    turns,
};
use listenkit::{
    Detector, EndReason, Endpointing, Event, Frame, Input, Output, SampleCount, SamplePos,
    SampleRate, TurnEndReason, Wait,
};
use proptest::prelude::*;

/// A detector that is in the middle of the first sentence: speech began at 0.5 s of the fixture.
fn in_mid_speech() -> (Detector, Vec<Event>) {
    let case = conversation();
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let outputs: Vec<Output> = detector
        .process(Frame::i16(&case.pcm[..96_000]))
        .expect("good frames")
        .collect();
    let events = events(&outputs);
    assert!(
        matches!(events[..], [Event::StartOfSpeech(_)]),
        "speech is open: {events:?}"
    );
    (detector, events)
}

fn closing_event(end: impl FnOnce(&mut Detector) -> Vec<Output>) -> (Event, Vec<Event>) {
    let (mut detector, mut all) = in_mid_speech();
    let outputs = end(&mut detector);
    let more = events(&outputs);
    all.extend(&more);
    all.extend(events(&detector.flush().collect::<Vec<_>>()));
    assert_every_start_has_one_end(&all);
    let end = more
        .iter()
        .find(|event| matches!(event, Event::EndOfSpeech(_)));
    (*end.expect("the start is closed at once"), more)
}

fn reason(event: &Event) -> EndReason {
    match event {
        Event::EndOfSpeech(end) => end.reason,
        other => panic!("not an end: {other:?}"),
    }
}

#[test]
fn end_of_input_closes_speech_and_turn() {
    let (end, all) = closing_event(|detector| detector.flush().collect());
    assert_eq!(reason(&end), EndReason::Flush);
    let Some(Event::EndOfTurn(turn)) = all.last() else {
        panic!("the turn ends too: {all:?}")
    };
    assert_eq!(
        (turn.wait, turn.reason),
        (Wait::Flush, TurnEndReason::EndOfInput)
    );
}

#[test]
fn reset_closes_speech_and_turn() {
    let (end, all) = closing_event(|detector| detector.reset().collect());
    assert_eq!(reason(&end), EndReason::Reset);
    let Some(Event::EndOfTurn(turn)) = all.last() else {
        panic!("the turn ends too: {all:?}")
    };
    assert_eq!(
        (turn.wait, turn.reason),
        (Wait::Flush, TurnEndReason::Reset)
    );
}

#[test]
fn a_long_gap_closes_speech_where_the_audio_stopped() {
    let gap = SampleCount(48_000 * 5);
    let (end, all) = closing_event(|detector| {
        detector
            .handle(Input::Gap(gap))
            .expect("outputs are taken")
            .collect()
    });
    assert_eq!(reason(&end), EndReason::Gap);
    let Event::EndOfSpeech(end) = end else {
        unreachable!()
    };
    assert!(end.at.0 <= 96_000 && end.at.0 > 90_000, "{end:?}");
    // The user may be expected back: the turn ends by its delay, inside the gap.
    let Some(Event::EndOfTurn(turn)) = all.last() else {
        panic!("the turn ends: {all:?}")
    };
    assert_eq!((turn.wait, turn.delay()), (Wait::Min, SampleCount(14_400)));
}

#[test]
fn a_short_gap_is_heard_as_silence_and_interrupts_nothing() {
    let (mut detector, _) = in_mid_speech();
    let gap = Input::Gap(SampleCount(480 * 5));
    let outputs: Vec<Output> = detector.handle(gap).expect("outputs are taken").collect();
    let [Output::Event(Event::Gap(gap))] = outputs[..] else {
        panic!("only the gap: {outputs:?}")
    };
    assert!(gap.concealed);
    assert_eq!(detector.position().0, 96_000 + 2_400);
}

/// The clock's own zero does not matter: only its progress while no frames come.
#[test]
fn frames_that_are_late_by_the_callers_clock_are_a_gap() {
    let (mut detector, _) = in_mid_speech();
    let at = |samples: u64| Input::Clock(SamplePos(777_000_000 + samples));
    for early in [0, 20_000, 47_999] {
        assert_eq!(detector.handle(at(early)).expect("room").count(), 0);
    }
    let outputs: Vec<Output> = detector.handle(at(48_000)).expect("room").collect();
    assert!(matches!(events(&outputs)[0], Event::EndOfSpeech(end) if end.reason == EndReason::Gap));
    assert_eq!(detector.position().0, 96_000 + 48_000);
    // Starved: time follows the clock without another word, and a clock that runs back is nothing.
    let before = detector.stats().gaps;
    for (clock, position) in [(50_000, 146_000), (49_000, 146_000), (60_000, 156_000)] {
        for _ in detector.handle(at(clock)).expect("room") {}
        assert_eq!(detector.position().0, position);
    }
    assert_eq!(detector.stats().gaps, before);
}

/// A turn whose frames stop ends when its delay is over by the clock, not a second late.
#[test]
fn a_starving_turn_ends_by_its_delay() {
    let case = conversation();
    let delays = Endpointing::fixed(ms(1200), ms(3000));
    let mut detector =
        Detector::new(quick(case.rate).endpointing(delays), common::vad()).expect("valid");
    for _ in detector
        .process(Frame::i16(&case.pcm[..96_000]))
        .expect("good frames")
    {}
    let mut ends = Vec::new();
    for tick in 0..300 {
        let clock = Input::Clock(SamplePos(96_000 + tick * 480));
        ends.extend(turns(
            &detector.handle(clock).expect("room").collect::<Vec<_>>(),
        ));
    }
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].delay(), SampleCount(1200 * 48));
}

/// A sound card whose second is 0.2 % longer than the host's never starves.
#[test]
fn a_clock_that_drifts_against_the_frames_is_no_gap() {
    let case = conversation();
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let silence = [0_i16; 479];
    for tick in 0..60_000_u64 {
        for _ in detector.process(Frame::i16(&silence)).expect("good frames") {}
        let clock = Input::Clock(SamplePos(tick * 480));
        assert_eq!(
            detector.handle(clock).expect("room").count(),
            0,
            "tick {tick}"
        );
    }
    assert_eq!(detector.stats().gaps, 0);
}

#[test]
fn a_change_of_format_closes_speech_and_goes_on() {
    let (end, all) = closing_event(|detector| {
        let stereo = vec![0_i16; 882];
        let frame = Frame::i16(&stereo).at_rate(44_100).with_channels(2);
        detector.process(frame).expect("good frames").collect()
    });
    assert_eq!(reason(&end), EndReason::FormatChange);
    let Some(Event::FormatChanged(change)) = all
        .iter()
        .find(|event| matches!(event, Event::FormatChanged(_)))
    else {
        panic!("an event says so: {all:?}")
    };
    assert_eq!((change.at.0, change.resumes_at.0), (96_000, 88_200));
    assert_eq!(
        (change.to.rate, change.to.channels),
        (SampleRate::HZ_44100, 2)
    );
}

#[test]
fn silence_closes_speech_in_its_own_time() {
    let case = conversation();
    let mut detector = Detector::new(quick(case.rate), common::vad()).expect("valid");
    let outputs = run(&mut detector, &case.pcm, 1, &[480]);
    let events = events(&outputs);
    assert_every_start_has_one_end(&events);
    let ends = events
        .iter()
        .filter(|e| matches!(e, Event::EndOfSpeech(_)))
        .count();
    assert!(
        ends >= 5,
        "the fixture has eight spans of speech, some joined: {ends}"
    );
    assert!(!turns(&outputs).is_empty());
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1_usize..60_000).prop_map(Step::Audio),
        2 => (0_u64..300_000).prop_map(Step::Gap),
        1 => Just(Step::Flush),
        1 => Just(Step::Reset),
        1 => (prop_oneof![Just(8_000_u32), Just(16_000), Just(44_100), Just(48_000)], 1_usize..=2)
            .prop_map(|(hz, channels)| Step::Format { hz, channels }),
        2 => (0.0_f32..=1.0).prop_map(Step::Answer),
        2 => Just(Step::Transcript),
        1 => any::<bool>().prop_map(Step::Agent),
        1 => Just(Step::Commit),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_order_of_things_keeps_every_promise(script in prop::collection::vec(step(), 1..25)) {
        let case = conversation();
        let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
        let outputs = play(&mut detector, &case, &script);
        let events = events(&outputs);
        assert_every_start_has_one_end(&events);
        // Turns end once each, in order, and the clock of the events never runs back.
        // A reset starts both anew without a trace if nothing was open.
        if !script.iter().any(|step| matches!(step, Step::Reset)) {
            let mut next_turn = 0;
            let mut last = 0;
            for event in &events {
                match event {
                    Event::EndOfTurn(end) => {
                        prop_assert!(end.turn >= next_turn, "turn {} ended twice", end.turn);
                        next_turn = end.turn + 1;
                    }
                    Event::FormatChanged(change) => {
                        prop_assert!(change.at.0 >= last, "{change:?} before {last}");
                        last = change.resumes_at.0;
                    }
                    _ => {}
                }
                prop_assert!(event.decided_at().0 >= last, "{event:?} before {last}");
                last = event.decided_at().0;
            }
        }
        prop_assert_eq!(detector.stats().outputs_dropped, 0);
    }
}
