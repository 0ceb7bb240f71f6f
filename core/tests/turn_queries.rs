//! Rule 4: heavy models are I/O. A query leaves as output, an answer returns as input; late, stale or missing answers are legal.
#![cfg(feature = "embedded-models")]

mod common;

use common::{conversation, ms, turns};
use listenkit::{
    Detector, DetectorConfig, Endpointing, Event, Frame, Input, Output, Probability, TurnEndReason,
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
                let audio = outputs.turn_audio(&query);
                assert_eq!(audio.rate.hz(), 16_000);
                if let Some(p) = answer(&query, &audio.to_vec()) {
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
            audio.len() as u64 + 160 > turn.min(128_000),
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
    let p = first.probability().expect("answered").value();
    assert_eq!(
        (p, first.threshold().expect("a model is in use").value()),
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
        (end.wait, end.reason, end.probability()),
        (Wait::Model, TurnEndReason::NoAnswer, None)
    );
    assert_eq!(end.delay().0, 48_000);
}

#[test]
fn a_stale_answer_is_counted_and_changes_nothing() {
    let expected = listen(0, |_, _| None);
    let mut asked = 0;
    // Answers three seconds late belong to pauses that are over.
    let outputs = listen(300, |_, _| {
        asked += 1;
        Some(0.0)
    });
    assert_eq!(turns(&outputs), turns(&expected));
    let mut detector = detector();
    for id in 0..3 {
        let probability = Probability::clamped(0.5);
        assert_eq!(
            detector
                .handle(Input::TurnAnswer { id, probability })
                .expect("room")
                .count(),
            0
        );
    }
    assert!(asked >= 4);
    assert_eq!(detector.stats().stale_answers, 3);
}

/// The threshold that the host has set for a language outlives a change of rate.
#[test]
fn a_threshold_set_by_the_host_survives_a_change_of_format() {
    let case = conversation();
    let narrow: Vec<i16> = case.pcm.iter().step_by(2).copied().collect();
    let mut detector = detector();
    let threshold = Input::TurnThreshold(Probability::clamped(0.95));
    assert_eq!(detector.handle(threshold).expect("room").count(), 0);
    let mut ends = Vec::new();
    for block in narrow[..110_000].chunks(240) {
        let outputs: Vec<Output> = detector
            .process(Frame::i16(block).at_rate(24_000))
            .expect("good frames")
            .collect();
        for output in &outputs {
            if let Output::TurnQuery(query) = output {
                let probability = Probability::clamped(0.9);
                let answer = Input::TurnAnswer {
                    id: query.id,
                    probability,
                };
                ends.extend(turns(
                    &detector.handle(answer).expect("room").collect::<Vec<_>>(),
                ));
            }
        }
        ends.extend(turns(&outputs));
    }
    ends.extend(turns(&detector.flush().collect::<Vec<_>>()));
    let answered = ends
        .iter()
        .find(|end| end.threshold().is_some())
        .expect("an answered turn");
    assert_eq!(answered.threshold(), Some(Probability::clamped(0.95)));
    assert_ne!(answered.reason, TurnEndReason::Complete);
}

/// The last pause before a change of format is judged by the audio before it.
#[test]
fn the_audio_of_a_query_ends_where_it_was_asked() {
    let case = conversation();
    let mut detector = detector();
    // Into the first pause, but not far enough for the query by itself.
    for _ in detector
        .process(Frame::i16(&case.pcm[..120_000]))
        .expect("good frames")
    {}
    let loud = vec![12_345_i16; 44_100];
    let mut outputs = detector
        .process(Frame::i16(&loud).at_rate(44_100))
        .expect("good frames");
    let mut asked = false;
    while let Some(output) = outputs.next() {
        if let Output::TurnQuery(query) = output
            && query.decided_at.0 == 120_000
        {
            asked = true;
            let audio = outputs.turn_audio(&query).to_vec();
            // A constant is not speech: it must not have been heard yet.
            assert!(
                audio
                    .iter()
                    .rev()
                    .take(100)
                    .all(|v| (v - 12_345.0 / 32_768.0).abs() > 0.01)
            );
        }
    }
    assert!(asked, "the end of speech asks");
}

/// A pause that was lost on the way is silence for the model, not missing time.
#[test]
fn a_gap_is_silence_in_the_audio_of_a_query() {
    let case = conversation();
    let mut detector = Detector::new(
        DetectorConfig::new(case.rate)
            .turn_model(Some(TurnModelOptions::new(Probability::clamped(0.5))))
            .endpointing(Endpointing::fixed(ms(2000), ms(5000))),
        common::vad(),
    )
    .expect("valid");
    let mut lengths = Vec::new();
    let mut listen = |detector: &mut Detector, pcm: &[i16]| {
        for block in pcm.chunks(480) {
            let mut outputs = detector.process(Frame::i16(block)).expect("good frames");
            while let Some(output) = outputs.next() {
                if let Output::TurnQuery(query) = output {
                    let audio = outputs.turn_audio(&query);
                    let turn = (query.decided_at.since(query.start).0 + 24_000) / 3;
                    lengths.push((turn.min(128_000), audio.len() as u64));
                }
            }
        }
    };
    listen(&mut detector, &case.pcm[..160_000]);
    for _ in detector
        .handle(Input::Gap(listenkit::SampleCount(48_000)))
        .expect("room")
    {}
    listen(&mut detector, &case.pcm[220_000..320_000]);
    assert!(
        lengths.iter().any(|(turn, _)| *turn > 80_000),
        "spans the gap: {lengths:?}"
    );
    for (turn, audio) in lengths {
        // It ends with a whole step of 10 ms.
        assert!(
            (turn - 160..=turn + 1).contains(&audio),
            "{audio} samples for a turn of {turn}"
        );
    }
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
    let rest: Vec<Output> = detector.flush().collect();
    assert!(turns(&rest).iter().all(|end| end.turn != 0), "{rest:?}");
    assert!(
        rest.iter()
            .any(|output| matches!(output, Output::Event(Event::EndOfSpeech(_))))
    );
}
