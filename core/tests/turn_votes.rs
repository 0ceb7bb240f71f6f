//! Votes of several models through the whole detector, and the records they leave.
#![cfg(feature = "embedded-models")]

mod common;

use common::{conversation, events, ms, turns};
use listenkit::{
    CueVote, Detector, DetectorConfig, EndOfTurn, Endpointing, Event, Expectation, Frame, Fusion,
    Input, Output, Probability, SampleCount, TextVoteOptions, TurnModelOptions, TurnPolicy, Wait,
    WaitRule,
};

fn p(value: f32) -> Probability {
    Probability::new(value).expect("a probability")
}

/// Hears the fixture in blocks of 10 ms; `host` answers every output, with the open turn.
fn listen(
    config: impl FnOnce(DetectorConfig) -> DetectorConfig,
    mut host: impl FnMut(&Output, Option<u64>) -> Vec<Input>,
) -> Vec<Output> {
    let case = conversation();
    let config = config(DetectorConfig::new(case.rate));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let mut all: Vec<Output> = Vec::new();
    for block in case.pcm.chunks(480) {
        let first = all.len();
        all.extend(detector.process(Frame::i16(block)).expect("good frames"));
        let inputs: Vec<Input> = all[first..]
            .iter()
            .flat_map(|output| host(output, detector.open_turn()))
            .collect();
        for input in inputs {
            all.extend(detector.handle(input).expect("room"));
        }
    }
    all.extend(detector.flush());
    all
}

fn model(repeats: bool) -> TurnModelOptions {
    let mut options = TurnModelOptions::new(p(0.5));
    if repeats {
        options.query_again = [Some(ms(200)), Some(ms(400)), Some(ms(800))];
    }
    options
}

fn answer(output: &Output, probability: f32) -> Option<Input> {
    match output {
        Output::TurnQuery(query) => Some(Input::TurnAnswer {
            id: query.id,
            probability: p(probability),
        }),
        _ => None,
    }
}

/// The turns that ended by themselves.
fn decided(outputs: &[Output]) -> Vec<EndOfTurn> {
    let mut ends = turns(outputs);
    ends.retain(|end| end.wait != Wait::Flush);
    assert!(ends.len() >= 2, "{ends:?}");
    ends
}

#[test]
fn a_text_model_that_disagrees_makes_the_turn_wait() {
    let config = |config: DetectorConfig| {
        config
            .turn_model(Some(model(false)))
            .text_model(Some(TextVoteOptions::default()))
            .endpointing(Endpointing::fixed(ms(300), ms(1200)))
    };
    for (text, delay, wait) in [(0.02, 14_400, Wait::Min), (0.0001, 57_600, Wait::Max)] {
        let outputs = listen(config, |output, turn| {
            let mut inputs = Vec::from_iter(answer(output, 0.6));
            if !inputs.is_empty() {
                inputs.push(Input::TextAnswer {
                    turn: turn.expect("a turn is asked about"),
                    probability: p(text),
                    threshold: p(0.01),
                    asked_at: None,
                });
            }
            inputs
        });
        for end in decided(&outputs) {
            assert_eq!(
                (end.delay(), end.wait),
                (SampleCount(delay), wait),
                "{end:?}"
            );
            assert_eq!(
                end.probability(),
                Some(p(0.6)),
                "the audio model's comes first"
            );
            assert_eq!(end.votes.text.expect("sent").probability, p(text));
        }
    }
}

#[test]
fn an_expectation_reaches_the_turn_it_was_meant_for() {
    let mut asked = false;
    let outputs = listen(
        |config| config,
        |output, _| match output {
            // For the turn that has just begun, and for no other.
            Output::Event(Event::StartOfSpeech(start)) if start.turn == 1 && !asked => {
                asked = true;
                vec![Input::Expect(Expectation::FloorGranted)]
            }
            _ => Vec::new(),
        },
    );
    for end in turns(&outputs) {
        let granted = end.turn == 1;
        assert_eq!(
            end.expectation == Expectation::FloorGranted,
            granted,
            "{end:?}"
        );
        assert_eq!(
            end.min_delay,
            SampleCount(if granted { 96_000 } else { 24_000 })
        );
    }
}

#[test]
fn every_question_is_answered_or_cancelled() {
    for every in [1, 2, 3, usize::MAX] {
        let (mut asked, mut answered) = (0, Vec::new());
        let outputs = listen(
            |config| config.turn_model(Some(model(true))),
            |output, _| {
                let answer = answer(output, 0.1);
                asked += usize::from(answer.is_some());
                match answer {
                    Some(Input::TurnAnswer { id, .. }) if asked % every == 0 => {
                        answered.push(id);
                        Vec::from_iter(answer)
                    }
                    _ => Vec::new(),
                }
            },
        );
        assert!(asked > 8, "questions are repeated: {asked}");
        let mut open: Vec<u64> = Vec::new();
        for output in &outputs {
            match output {
                Output::TurnQuery(query) => open.push(query.id),
                Output::Event(Event::TurnPrediction(told)) => {
                    let at = told.votes.audio.expect("an answer").answered_at;
                    assert_eq!(at, told.decided_at);
                }
                Output::TurnQueryCancelled(cancelled) => {
                    open.retain(|id| !answered.contains(id));
                    assert!(open.contains(&cancelled.id), "{cancelled:?} of {open:?}");
                    open.retain(|&id| id > cancelled.id);
                }
                _ => {}
            }
        }
        open.retain(|id| !answered.contains(id));
        assert_eq!(open, Vec::<u64>::new(), "nobody may wait for these");
    }
}

/// The record has everything that the decision was made of: whoever reads it can do the sum again.
#[test]
fn a_record_explains_itself() {
    let fusion = Fusion {
        audio: 0.8,
        text: 0.5,
        cues: 1.5,
        limit: 5.0,
    };
    let rule = WaitRule::Graded {
        unfinished_at: p(0.3),
        finished_at: p(0.9),
    };
    let mut k = 0_u8;
    let outputs = listen(
        |config| {
            config
                .turn_model(Some(model(true)))
                .wait_rule(rule)
                .fusion(fusion)
        },
        |output, turn| {
            let mut inputs = Vec::from_iter(answer(output, f32::from(k % 11) / 10.0));
            if !inputs.is_empty() {
                k += 3;
                let vote = CueVote {
                    lean: f32::from(k % 7) / 3.0 - 1.0,
                    ..CueVote::default()
                };
                let turn = turn.expect("a turn is asked about");
                inputs.push(Input::TextCues { turn, vote });
            }
            inputs
        },
    );
    let (mut told, mut graded) = (0, 0);
    let mut check = |votes: listenkit::TurnVotes, min, max, chosen| {
        let pair = |vote: listenkit::ModelVote| (vote.probability, vote.threshold);
        let fused = fusion.fuse(votes.audio.map(pair), votes.text.map(pair), votes.cues);
        assert_eq!(votes.fused, fused);
        if let Some(fused) = fused {
            told += 1;
            assert_eq!(chosen, rule.wait(fused, min, max));
            graded += u32::from(min < chosen && chosen < max);
        }
    };
    for event in events(&outputs) {
        match event {
            Event::TurnPrediction(e) => check(e.votes, e.min_delay, e.max_delay, e.chosen_delay),
            Event::EndOfTurn(e) => check(e.votes, e.min_delay, e.max_delay, e.chosen_delay),
            _ => {}
        }
    }
    assert!(told > 20 && graded > 5, "{told}, {graded}");
}

#[test]
fn presets_are_valid_and_as_fast_as_they_say() {
    let mut checked = 0;
    for (name, policy) in TurnPolicy::ALL {
        assert_eq!(TurnPolicy::named(name), Some(policy));
        let config = |config: DetectorConfig| {
            config
                .min_silence_duration(ms(160))
                .turn_policy(policy)
                .turn_model(Some(policy.turn_model()))
        };
        let rate = conversation().rate;
        for (probability, delay) in [
            // As sure as a model can be: beyond the grades of every preset.
            (p(0.9999), policy.endpointing.min_delay()),
            (p(0.0001), policy.endpointing.max_delay()),
        ] {
            let outputs = listen(config, |output, _| {
                Vec::from_iter(answer(output, probability.value()))
            });
            // No pause of the clip is as long as the longest of these delays.
            let ends = turns(&outputs);
            for end in ends.iter().filter(|end| end.wait != Wait::Flush) {
                assert_eq!(end.delay(), rate.samples(delay), "{name}: {end:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 12, "{checked}");
    assert_eq!(TurnPolicy::named("hasty"), None);
}

#[test]
fn rules_that_contradict_themselves_are_refused_with_both_values() {
    let config = DetectorConfig::new(conversation().rate);
    let backwards = WaitRule::Graded {
        unfinished_at: p(0.8),
        finished_at: p(0.2),
    };
    let heavy = Fusion {
        text: 11.0,
        ..Fusion::DEFAULT
    };
    let mut unordered = model(false);
    unordered.query_again = [Some(ms(400)), Some(ms(200)), None];
    for (config, words) in [
        (config.wait_rule(backwards), ["0.2", "0.8"]),
        (config.fusion(heavy), ["text", "11"]),
        (config.turn_model(Some(unordered)), ["400ms", "200ms"]),
    ] {
        let error = Detector::new(config, common::vad()).expect_err("refused");
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
