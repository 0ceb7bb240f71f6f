//! Rule 5: `reset` equals fresh, replay equals live, two streams interleaved equal two streams alone.
#![cfg(feature = "embedded-models")]

mod common;

use common::{Step, clip, conversation, everything, play, run};
use listenkit::{Detector, Event, Frame, Input, Output, SampleCount};

fn detector() -> Detector {
    Detector::new(everything(conversation().rate), common::vad()).expect("valid")
}

const SCRIPT: [Step; 12] = [
    Step::Audio(100_000),
    Step::Answer(0.9),
    Step::Audio(90_000),
    Step::Agent(true),
    Step::Gap(2_000),
    Step::Audio(60_000),
    Step::Agent(false),
    Step::Gap(100_000),
    Step::Transcript,
    Step::Audio(200_000),
    Step::Commit,
    Step::Audio(150_000),
];

#[test]
fn replay_of_the_same_inputs_equals_live() {
    let case = conversation();
    let (mut live, mut again) = (detector(), detector());
    assert_eq!(
        play(&mut live, &case, &SCRIPT),
        play(&mut again, &case, &SCRIPT)
    );
    assert_eq!(live.fingerprint(), again.fingerprint());
}

#[test]
fn a_reset_detector_is_as_new() {
    let case = conversation();
    let mut fresh = detector();
    let expected = play(&mut fresh, &case, &SCRIPT);
    let mut used = detector();
    // Leave it in the middle of everything: speech, another format, a learned state.
    play(&mut used, &case, &SCRIPT[..5]);
    let stereo = vec![100_i16; 20_000];
    let frame = Frame::i16(&stereo).at_rate(44_100).with_channels(2);
    for _ in used.process(frame).expect("good frames") {}
    for _ in used.reset() {}
    assert_eq!(used.position().0, 0);
    assert_eq!(used.format(), fresh.format());
    assert_eq!(play(&mut used, &case, &SCRIPT), expected);
    assert_eq!(used.fingerprint(), fresh.fingerprint());
    assert_eq!(used.stats(), fresh.stats());
}

#[test]
fn two_streams_interleaved_equal_two_streams_alone() {
    let (one, two) = (conversation(), clip("speech-es-44k1"));
    let alone = |case: &common::Clip| {
        let mut detector = Detector::new(everything(case.rate), common::vad()).expect("valid");
        run(&mut detector, &case.pcm, 1, &[480])
    };
    let expected = (alone(&one), alone(&two));
    let mut first = Detector::new(everything(one.rate), common::vad()).expect("valid");
    let mut second = Detector::new(everything(two.rate), common::vad()).expect("valid");
    let (mut said_first, mut said_second): (Vec<Output>, Vec<Output>) = (Vec::new(), Vec::new());
    let mut blocks = (one.pcm.chunks(480), two.pcm.chunks(480));
    loop {
        let (a, b) = (blocks.0.next(), blocks.1.next());
        if a.is_none() && b.is_none() {
            break;
        }
        if let Some(block) = a {
            said_first.extend(first.process(Frame::i16(block)).expect("good frames"));
        }
        if let Some(block) = b {
            said_second.extend(second.process(Frame::i16(block)).expect("good frames"));
        }
    }
    said_first.extend(first.flush());
    said_second.extend(second.flush());
    assert_eq!((said_first, said_second), expected);
}

/// Whoever takes outputs late gets them all the same, through a gap, a flush and a reset.
#[test]
fn outputs_wait_through_flush_and_reset() {
    let case = conversation();
    let mut expected = Vec::new();
    let mut prompt = detector();
    expected.extend(
        prompt
            .process(Frame::i16(&case.pcm[..96_000]))
            .expect("good frames"),
    );
    expected.extend(prompt.handle(Input::Gap(SampleCount(2_000))).expect("room"));
    expected.extend(prompt.flush());
    let mut late = detector();
    let mut outputs: Vec<Output> = Vec::new();
    outputs.extend(
        late.process(Frame::i16(&case.pcm[..96_000]))
            .expect("good frames"),
    );
    drop(late.handle(Input::Gap(SampleCount(2_000))).expect("room"));
    drop(late.flush());
    outputs.extend(std::iter::from_fn(|| late.poll()));
    assert_eq!(outputs, expected);
    assert_eq!(late.stats().outputs_dropped, 0);
}

/// A block that follows a reset is in the first format again, even while outputs wait.
#[test]
fn after_a_reset_blocks_are_in_the_first_format() {
    let mut detector = detector();
    let stereo = vec![0_i16; 200_000];
    drop(
        detector
            .process(Frame::i16(&stereo).with_channels(2))
            .expect("good frames"),
    );
    drop(detector.reset());
    assert!(detector.process(Frame::i16(&stereo[..481])).is_ok());
}

/// A segment of the old format is never read from the new format's memory.
#[test]
fn audio_of_an_old_format_is_gone_not_wrong() {
    let case = conversation();
    let mut detector = detector();
    let mut segment = None;
    for output in detector
        .process(Frame::i16(&case.pcm[..200_000]))
        .expect("good frames")
    {
        if let Output::Event(Event::SegmentReady(ready)) = output {
            segment = Some(ready);
        }
    }
    let segment = segment.expect("the first sentence is over");
    assert_eq!(
        detector.audio(&segment).expect("still held").len() as u64,
        segment.len().0
    );
    let stereo = vec![1_234_i16; 400_000];
    for _ in detector
        .process(Frame::i16(&stereo).with_channels(2))
        .expect("good frames")
    {}
    assert_eq!(detector.audio(&segment), None);
}

/// Streams move between threads, and share their model.
#[test]
fn detectors_and_models_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Detector>();
    check::<listenkit::SileroVad>();
    check::<listenkit::VadBatch>();
}
