//! Segments and the gaps between them give the input back, sample for sample.

mod common;

use common::{Seeded, clip, everything, ms};
use listenkit::{Detector, Event, Frame, Output, Segment};

/// The segments of a clip with their audio, read at the moment they come out.
fn segments_with_audio(
    case: &common::Clip,
    max_segment_ms: u64,
    block: usize,
) -> Vec<(Segment, Vec<i16>)> {
    let config = everything(case.rate)
        .channels(case.channels)
        .max_segment_duration(ms(max_segment_ms))
        .prefix_padding_duration(ms(500));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let mut found = Vec::new();
    for block in case.pcm.chunks(block * case.channels) {
        let mut outputs = detector.process(Frame::i16(block)).expect("good frames");
        while let Some(output) = outputs.next() {
            if let Output::Event(Event::SegmentReady(segment)) = output {
                let audio = outputs
                    .audio(&segment)
                    .expect("the audio lasts until it is read");
                found.push((segment, audio.to_i16()));
            }
        }
    }
    let mut outputs = detector.flush();
    while let Some(output) = outputs.next() {
        if let Output::Event(Event::SegmentReady(segment)) = output {
            let audio = outputs
                .audio(&segment)
                .expect("the audio lasts until it is read");
            found.push((segment, audio.to_i16()));
        }
    }
    found
}

#[test]
fn segments_and_gaps_tile_the_input() {
    let mut seeded = Seeded(1);
    for name in [
        "conversation-en",
        "speech-ru-16k-stereo",
        "speech-es-44k1",
        "speech-fr-8k",
        "speech-en-96k",
    ] {
        let case = clip(name);
        let block = 1 + seeded.below(9000);
        let found = segments_with_audio(&case, 30_000, block);
        assert!(!found.is_empty(), "{name} has speech");
        let mut rebuilt = Vec::new();
        for (segment, audio) in &found {
            let start = segment.start.0 as usize * case.channels;
            assert!(
                start >= rebuilt.len(),
                "{name}: segments overlap at {}",
                segment.start
            );
            rebuilt.extend_from_slice(&case.pcm[rebuilt.len()..start]); // the gap before it
            rebuilt.extend_from_slice(audio);
            assert_eq!(rebuilt.len(), segment.end.0 as usize * case.channels);
        }
        rebuilt.extend_from_slice(&case.pcm[rebuilt.len()..]);
        assert!(
            rebuilt == case.pcm,
            "{name}: the audio of a segment differs from the input"
        );
    }
}

#[test]
fn long_speech_is_split_without_losing_a_sample() {
    // A sentence again and again without pauses, so that only the limit can end a segment.
    let mut case = clip("conversation-en");
    let sentence = case.pcm[24_000..153_600].to_vec();
    case.pcm = std::iter::repeat_n(sentence, 6).flatten().collect();
    let found = segments_with_audio(&case, 5_000, 480);
    let parts: Vec<_> = found.iter().map(|(segment, _)| segment).collect();
    let split = parts.iter().filter(|part| part.continues).count();
    assert!(split >= 2, "16 s of speech at 5 s a segment: {parts:?}");
    for pair in parts.windows(2) {
        if pair[0].continues {
            assert_eq!(pair[0].end, pair[1].start, "parts lie back to back");
            assert_eq!(
                (pair[1].segment, pair[1].part),
                (pair[0].segment, pair[0].part + 1)
            );
            assert!(pair[1].is_continuation());
        }
    }
    for (segment, audio) in &found {
        assert!(segment.len().0 <= 5 * 48_000, "{segment:?}");
        assert!(audio[..] == case.pcm[segment.start.0 as usize..segment.end.0 as usize]);
    }
}
