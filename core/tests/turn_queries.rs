//! Rule 4: heavy models are I/O. A query leaves as output, an answer returns as input; late, stale or missing answers are legal.

mod common;

use common::{conversation, ms, turns};
use listenkit::{
    Detector, DetectorConfig, Endpointing, Frame, Input, Output, Probability, TurnEndReason,
    TurnModelOptions, TurnQuery, Wait,
};

fn detector() -> Detector {
    let case = conversation();
    let model = TurnModelOptions::new(Probability::clamped(0.5));
    let config = DetectorConfig::new(case.rate)
        .turn_model(Some(model))
        .endpointing(Endpointing::fixed(ms(300), ms(2500)));
    Detector::new(config, common::vad()).expect("valid")
}

/// Hears the fixture; `answer` is asked at every query, with the audio, and answers `late` blocks afterwards.
fn listen(late: usize, mut answer: impl FnMut(&TurnQuery, &[f32]) -> Option<f32>) -> Vec<Output> {
    let case = conversation();
    let mut detector = detector();
    let mut all = Vec::new();
    let mut due: Vec<(usize, u64, f32)> = Vec::new();
    for (k, block) in case.pcm.chunks(480).enumerate() {
        let mut outputs = detector.process(Frame::i16(block)).expect("good frames");
        while let Some(output) = outputs.next() {
            all.push(output);
            if let Output::TurnQuery(query) = output {
                let (head, tail) = outputs.turn_audio(&query);
                if let Some(p) = answer(&query, &[head, tail].concat()) {
                    due.push((k + late, query.id, p));
                }
            }
        }
        drop(outputs);
        while let Some(at) = due.iter().position(|(when, _, _)| *when <= k) {
            let (_, id, p) = due.remove(at);
            let probability = Probability::clamped(p);
            all.extend(
                detector
                    .handle(Input::TurnAnswer { id, probability })
                    .expect("room"),
            );
        }
    }
    all.extend(detector.flush());
    all
}

#[test]
fn a_query_hides_inside_the_shortest_delay_and_carries_the_turn() {
    let mut queries = Vec::new();
    listen(0, |query, audio| {
        let turn = query.decided_at.since(query.start).0 / 3; // at 16 kHz
        assert!(
            audio.len() as u64 >= turn.min(128_000),
            "{} samples for {turn}",
            audio.len()
        );
        assert!(audio.len() <= 128_000, "no more than the 8 s asked for");
        queries.push(*query);
        Some(0.9)
    });
    assert!(queries.len() >= 4, "a query for every pause");
    for query in queries {
        let silence = query.decided_at.since(query.last_voiced).0;
        // Three windows of silence and the filter's delay.
        assert!((4608..=4608 + 144).contains(&silence), "{query:?}");
    }
}

#[test]
fn a_likely_turn_ends_early_and_an_unlikely_one_late() {
    let likely = turns(&listen(0, |_, _| Some(0.9)));
    let unlikely = turns(&listen(0, |_, _| Some(0.1)));
    assert!(
        unlikely.len() < likely.len(),
        "pauses inside sentences are waited out"
    );
    let first = likely[0];
    assert_eq!(
        (first.wait, first.reason),
        (Wait::Min, TurnEndReason::Complete)
    );
    assert_eq!(first.delay().0, 14_400);
    let p = first.probability.expect("answered").value();
    assert_eq!(
        (p, first.threshold.expect("a model is in use").value()),
        (0.9, 0.5)
    );
    let waited = unlikely
        .iter()
        .find(|turn| turn.wait == Wait::Max)
        .expect("a pause over 2.5 s");
    assert_eq!(
        (waited.delay().0, waited.reason),
        (120_000, TurnEndReason::Unfinished)
    );
}

#[test]
fn a_late_answer_ends_the_turn_when_it_comes() {
    // 40 blocks after the query at about 96 ms: between min_delay (300 ms) and timeout (1 s).
    let end = turns(&listen(40, |_, _| Some(0.9)))[0];
    assert_eq!(
        (end.wait, end.reason),
        (Wait::Model, TurnEndReason::Complete)
    );
    assert!((23_000..26_000).contains(&end.delay().0), "{end:?}");
}

#[test]
fn without_an_answer_silence_decides_after_the_timeout() {
    let end = turns(&listen(0, |_, _| None))[0];
    assert_eq!(
        (end.wait, end.reason, end.probability),
        (Wait::Model, TurnEndReason::NoAnswer, None)
    );
    assert_eq!(end.delay().0, 48_000);
}

#[test]
fn a_stale_answer_is_counted_and_changes_nothing() {
    let expected = listen(0, |_, _| None);
    // Answers three seconds late belong to pauses that are over.
    let outputs = listen(300, |_, _| Some(0.0));
    assert_eq!(turns(&outputs), turns(&expected));
}

#[test]
fn nobody_is_asked_about_a_turn_that_the_end_of_input_ends() {
    let case = conversation();
    let mut detector = detector();
    // The middle of the first sentence.
    for output in detector
        .process(Frame::i16(&case.pcm[..96_000]))
        .expect("good frames")
    {
        assert!(!matches!(output, Output::TurnQuery(_)));
    }
    let last: Vec<Output> = detector.flush().collect();
    assert!(
        !last
            .iter()
            .any(|output| matches!(output, Output::TurnQuery(_))),
        "{last:?}"
    );
    assert_eq!(turns(&last)[0].reason, TurnEndReason::EndOfInput);
}

#[test]
fn a_cleared_turn_has_no_end_and_is_counted() {
    let case = conversation();
    let mut detector = detector();
    for _ in detector
        .process(Frame::i16(&case.pcm[..96_000]))
        .expect("good frames")
    {}
    assert_eq!(detector.handle(Input::ClearTurn).expect("room").count(), 0);
    assert_eq!(detector.stats().cleared_turns, 1);
}
