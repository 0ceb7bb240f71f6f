//! Segments and the gaps between them give the input back, sample for sample.
#![cfg(feature = "embedded-models")]

mod common;

use std::cell::Cell;

use common::{Seeded, clip, conversation, everything, ms};
use listenkit::{
    Audio, Detector, DetectorConfig, Event, Frame, Input, Output, Outputs, SampleCount,
    SampleFormat, SamplePos, Segment,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

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

/// One thing that happens to the stream. Lengths are in samples at 48 kHz, so that a step lasts as long at any rate.
#[derive(Clone, Copy, Debug)]
enum Step {
    Audio(u64),
    Gap(u64),
    Flush,
    /// The audio that follows has another format.
    Format {
        hz: u32,
        channels: usize,
        float: bool,
    },
}

/// What was fed in one format: the truth that segments are held against.
struct Stretch {
    start: u64,
    hz: u32,
    channels: usize,
    float: bool,
    /// Missing samples are zeros.
    values: Vec<i16>,
    /// Gaps that nothing may reach across.
    cuts: Vec<(u64, u64)>,
}

impl Stretch {
    fn new(start: u64, hz: u32, channels: usize, float: bool) -> Self {
        let (values, cuts) = (Vec::new(), Vec::new());
        Self {
            start,
            hz,
            channels,
            float,
            values,
            cuts,
        }
    }

    fn end(&self) -> u64 {
        self.start + (self.values.len() / self.channels) as u64
    }
}

/// Holds what a detector says against the truth, while it says it.
struct Judge {
    truth: Vec<Stretch>,
    /// The stretch that outputs are about.
    current: usize,
    outputs: Vec<Output>,
    /// End of the newest segment in this stretch.
    told: u64,
    parts: Vec<Segment>,
    segments: usize,
}

impl Judge {
    fn hear(&mut self, output: Output, audio: impl FnOnce(&Segment) -> Option<Vec<i16>>) {
        let stretch = &mut self.truth[self.current];
        match output {
            Output::Event(Event::SegmentReady(segment)) => {
                let audio = audio(&segment).expect("the audio lasts until it is read");
                assert!(segment.start.0 >= self.told, "overlaps: {segment:?}");
                self.told = segment.end.0;
                let value = |at: SamplePos| (at.0 - stretch.start) as usize * stretch.channels;
                assert!(
                    audio == stretch.values[value(segment.start)..value(segment.end)],
                    "other audio than was fed: {segment:?}"
                );
                for (from, to) in &stretch.cuts {
                    let apart = segment.end.0 <= *from || segment.start.0 >= *to;
                    assert!(apart, "reaches across the gap {from}..{to}: {segment:?}");
                }
                self.parts.push(segment);
                if !segment.continues {
                    self.segments += 1;
                    self.check_parts();
                }
            }
            Output::Event(Event::Gap(gap)) if !gap.concealed => {
                stretch.cuts.push((gap.at.0, gap.at.0 + gap.duration.0));
            }
            Output::Event(Event::FormatChanged(change)) => {
                assert_eq!(change.at.0, stretch.end());
                self.current += 1;
                self.told = self.truth[self.current].start;
                assert_eq!(change.resumes_at.0, self.told);
            }
            _ => {}
        }
        self.outputs.push(output);
    }

    /// The parts of a segment lie back to back and hold all of its speech.
    fn check_parts(&mut self) {
        let spoken = self.outputs.iter().rev().find_map(|output| match output {
            Output::Event(Event::EndOfSpeech(end)) => Some((end.segment, end.at)),
            _ => None,
        });
        let begun = self.outputs.iter().rev().find_map(|output| match output {
            Output::Event(Event::StartOfSpeech(start)) => Some((start.segment, start.at)),
            _ => None,
        });
        let (Some(spoken), Some(begun)) = (spoken, begun) else {
            panic!("audio without speech");
        };
        let (first, last) = (self.parts[0], self.parts[self.parts.len() - 1]);
        assert_eq!((spoken.0, begun.0), (first.segment, first.segment));
        assert!(first.start <= begun.1 && last.end >= spoken.1);
        for pair in self.parts.windows(2) {
            assert_eq!(pair[0].end, pair[1].start, "parts lie back to back");
        }
        self.parts.clear();
    }

    fn hear_all(&mut self, mut outputs: Outputs<'_, '_>) {
        while let Some(output) = outputs.next() {
            let float = self.truth[self.current].float;
            self.hear(output, |segment| values(outputs.audio(segment)?, float));
        }
    }
}

/// The audio of a segment, if it is of the kind that was fed.
fn values(audio: Audio<'_>, float: bool) -> Option<Vec<i16>> {
    let kind = [SampleFormat::I16, SampleFormat::F32][usize::from(float)];
    (audio.format.samples == kind).then(|| audio.to_i16())
}

/// Plays a script; with a seed, in blocks of random sizes, some of them pushed by hand. Gives the outputs, the fingerprint and
/// how many segments there were.
fn judged(config: DetectorConfig, script: &[Step], seed: Option<u64>) -> (Vec<Output>, u64, usize) {
    let case = conversation();
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let mut judge = Judge {
        truth: vec![Stretch::new(0, case.rate.hz(), case.channels, false)],
        current: 0,
        outputs: Vec::new(),
        told: 0,
        parts: Vec::new(),
        segments: 0,
    };
    let mut seeded = Seeded(seed.unwrap_or(0));
    let mut next = (case.rate.hz(), case.channels, false);
    let mut at = 0;
    for step in script {
        let stretch = judge.truth.last_mut().expect("there is a first");
        match *step {
            Step::Format {
                hz,
                channels,
                float,
            } => next = (hz, channels, float),
            Step::Flush => judge.hear_all(detector.flush()),
            Step::Gap(duration) => {
                let missing = duration * u64::from(stretch.hz) / 48_000;
                let zeros = missing as usize * stretch.channels;
                stretch.values.resize(stretch.values.len() + zeros, 0);
                let gap = Input::Gap(SampleCount(missing));
                judge.hear_all(detector.handle(gap).expect("outputs are taken"));
            }
            Step::Audio(duration) => {
                let (hz, channels, float) = next;
                if next != (stretch.hz, stretch.channels, stretch.float) {
                    // The same instant at the new rate, rounded up.
                    let start = (stretch.end() * u64::from(hz)).div_ceil(u64::from(stretch.hz));
                    judge.truth.push(Stretch::new(start, hz, channels, float));
                }
                let samples = (duration * u64::from(hz)).div_ceil(48_000) as usize;
                let fed = case.recorded_at(at, samples, hz, channels);
                at += duration as usize;
                let stretch = judge.truth.last_mut().expect("there is a first");
                stretch.values.extend(&fed);
                feed(&mut detector, &mut judge, &fed, next, || {
                    let size = [3, 700, 20_000][seeded.below(3)];
                    let pushed = seeded.below(4) == 0;
                    seed.map_or((samples, false), |_| (1 + seeded.below(size), pushed))
                });
            }
        }
    }
    judge.hear_all(detector.flush());
    let truth = judge.truth.last().expect("there is a first");
    assert_eq!(detector.position().0, truth.end(), "every sample counts");
    assert_eq!(detector.stats().outputs_dropped, 0);
    let ended = |output: &&Output| matches!(output, Output::Event(Event::EndOfSpeech(_)));
    let ends = judge.outputs.iter().filter(ended).count();
    assert_eq!(judge.segments, ends, "all speech has its audio");
    (judge.outputs, detector.fingerprint(), judge.segments)
}

/// Feeds audio in blocks: `block` gives the samples of each and whether it is pushed by hand.
fn feed(
    detector: &mut Detector,
    judge: &mut Judge,
    fed: &[i16],
    (hz, channels, float): (u32, usize, bool),
    mut block: impl FnMut() -> (usize, bool),
) {
    let floats: Vec<f32> = fed.iter().map(|&v| f32::from(v) / 32768.0).collect();
    let frame = |from: usize, to: usize| {
        let (from, to) = (from * channels, to * channels);
        let frame = match float {
            true => Frame::f32(&floats[from..to]),
            false => Frame::i16(&fed[from..to]),
        };
        frame.at_rate(hz).with_channels(channels)
    };
    let samples = fed.len() / channels;
    let mut done = 0;
    while done < samples {
        let (len, pushed) = block();
        let end = (done + len).min(samples);
        if pushed {
            while done < end {
                let taken = detector.push(frame(done, end)).expect("good frames");
                done += taken;
                let before = judge.outputs.len();
                while let Some(output) = detector.poll() {
                    let float = judge.truth[judge.current].float;
                    judge.hear(output, |segment| values(detector.audio(segment)?, float));
                }
                assert!(taken > 0 || judge.outputs.len() > before, "no progress");
            }
        } else {
            judge.hear_all(detector.process(frame(done, end)).expect("good frames"));
            done = end;
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let rates = prop::sample::select(vec![8_000, 16_000, 44_100, 48_000, 96_000]);
    prop_oneof![
        9 => (1_u64..100_000).prop_map(Step::Audio),
        // Mostly concealed.
        2 => (0_u64..16_000).prop_map(Step::Gap),
        1 => (0_u64..150_000).prop_map(Step::Gap),
        1 => Just(Step::Flush),
        2 => (rates, 1_usize..=3, any::<bool>())
            .prop_map(|(hz, channels, float)| Step::Format { hz, channels, float }),
    ]
}

/// Gaps, changes of format and flushes come in the middle of speech, blocks have any size: every segment holds the very
/// samples that were fed at its range, segments do not overlap, and together they hold all speech. Where they end does not
/// depend on the blocks.
#[test]
fn segments_hold_what_was_fed_whatever_happens_to_the_stream() {
    let scripts = (
        prop::collection::vec(step(), 2..14),
        prop::sample::select(vec![32, 250, 600]),
        0_u64..600,
        any::<u64>(),
    );
    let segments = Cell::new(0);
    let config = ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(32)
    };
    TestRunner::new(config)
        .run(&scripts, |(script, min_silence, prefix, seed)| {
            let config = everything(conversation().rate)
                .min_silence_duration(ms(min_silence))
                .prefix_padding_duration(ms(prefix))
                .max_segment_duration(ms(2500));
            let whole = judged(config, &script, None);
            segments.set(segments.get() + whole.2);
            let cut = judged(config, &script, Some(seed));
            let difference = whole.0.iter().zip(&cut.0).find(|(whole, cut)| whole != cut);
            prop_assert_eq!(difference, None);
            prop_assert_eq!((cut.0.len(), cut.1), (whole.0.len(), whole.1));
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(segments.get() > 20, "only {} segments", segments.get());
}
