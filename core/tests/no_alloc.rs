//! Rule 6: `process` and `handle` allocate nothing after construction.
#![cfg(feature = "embedded-models")]

mod common;

use common::{clip, everything};
use listenkit::dsp::{LogMel, boxed_features};
use listenkit::{
    CueVote, Detector, Event, Expectation, Frame, Input, Output, Probability, SampleCount,
    SileroVad, TurnSnapshot, VadRate,
};

#[test]
fn a_running_detector_allocates_nothing() {
    let narrow = SileroVad::embedded(VadRate::Hz8000).expect("the embedded weights load");
    let wide = common::vad();
    let log_mel = LogMel::new();
    let (mut scratch, mut features) = (log_mel.scratch(), boxed_features());
    for (name, vad) in [
        ("speech-fr-8k", &narrow),
        ("speech-fr-8k", wide),
        ("speech-ru-16k-stereo", wide),
        ("speech-es-44k1", wide),
        ("conversation-en", wide),
    ] {
        let case = clip(name);
        let config = everything(case.rate).channels(case.channels);
        let mut detector = Detector::new(config, vad).expect("valid");
        let mut snapshot = TurnSnapshot::new();
        let mut said = 0;
        let allocations = allocation_counter::measure(|| {
            said += detector.handle(Input::AgentStarted).expect("room").count();
            for block in case
                .pcm
                .chunks(case.rate.hz() as usize / 100 * case.channels)
            {
                let mut query = None;
                let mut outputs = detector.process(Frame::i16(block)).expect("good frames");
                while let Some(output) = outputs.next() {
                    said += 1;
                    match output {
                        Output::Event(Event::SegmentReady(segment)) => {
                            assert!(outputs.audio(&segment).is_some());
                        }
                        Output::TurnQuery(asked) => {
                            outputs.turn_audio(&asked).copy_to(&mut snapshot);
                            let audio = snapshot.audio();
                            assert!(!audio.is_empty());
                            assert!(audio.frames.is_some_and(|frames| !frames.is_empty()));
                            audio.log_mel(&log_mel, &mut scratch, &mut features);
                            query = Some(asked.id);
                        }
                        _ => {}
                    }
                }
                drop(outputs);
                if let Some(id) = query {
                    let probability = Probability::clamped(0.4);
                    said += detector
                        .handle(Input::TurnAnswer { id, probability })
                        .expect("room")
                        .count();
                }
            }
            said += detector
                .handle(Input::Gap(SampleCount(1_000)))
                .expect("room")
                .count();
            said += detector
                .handle(Input::Gap(SampleCount(1_000_000)))
                .expect("room")
                .count();
            said += detector
                .handle(Input::Transcript { speech_end: None })
                .expect("room")
                .count();
            let votes = [
                Input::Expect(Expectation::Spelling),
                Input::TextAnswer {
                    turn: detector.open_turn().unwrap_or(0),
                    probability: Probability::clamped(0.3),
                    threshold: Probability::clamped(0.1),
                    asked_at: None,
                },
                Input::TextCues {
                    turn: detector.open_turn().unwrap_or(0),
                    vote: CueVote {
                        lean: -0.5,
                        ..CueVote::default()
                    },
                },
            ];
            for vote in votes {
                said += detector.handle(vote).expect("room").count();
            }
            said += detector.flush().count();
            said += detector.reset().count();
        });
        assert!(said > 100, "{name}: something happened");
        assert_eq!(allocations.count_total, 0, "{name}: {allocations:?}");
    }
}

/// The counter counts: without this a broken counter would pass the test above.
#[test]
fn the_counter_sees_an_allocation() {
    let allocations = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(allocations.count_total, 1);
}
