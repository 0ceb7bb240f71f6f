//! What the tests share: fixtures, a detector driver, and streams made from seeds.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

pub mod corpus;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use listenkit::{
    CueVote, Detector, DetectorConfig, EndOfTurn, Endpointing, Event, Expectation, Frame, Input,
    Output, Outputs, OverlapOptions, Probability, SampleCount, SamplePos, SampleRate, Segment,
    SileroVad, TurnModelOptions, VadRate,
};

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The embedded model at 16 kHz, unpacked once.
pub fn vad() -> &'static SileroVad {
    static VAD: OnceLock<SileroVad> = OnceLock::new();
    VAD.get_or_init(|| SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load"))
}

/// Delays short enough that short clips reach the end of a turn.
pub fn quick(rate: SampleRate) -> DetectorConfig {
    DetectorConfig::new(rate).endpointing(Endpointing::fixed(ms(300), ms(700)))
}

/// As [`quick`], with everything switched on that can make an output.
pub fn everything(rate: SampleRate) -> DetectorConfig {
    let model = TurnModelOptions::new(Probability::new(0.5).expect("valid"));
    quick(rate)
        .report_windows(true)
        .segment_audio(true)
        .turn_model(Some(model))
        .overlap(Some(OverlapOptions::new()))
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// A recording as `i16`, mono or interleaved as in the file. A missing fixture fails the test.
pub struct Clip {
    pub rate: SampleRate,
    pub channels: usize,
    pub pcm: Vec<i16>,
}

pub fn clip(case: &str) -> Clip {
    let path = fixtures().join(case).join("audio.wav");
    let mut reader = hound::WavReader::open(&path)
        .unwrap_or_else(|error| panic!("fixture {} cannot be read: {error}", path.display()));
    let spec = reader.spec();
    assert_eq!(
        (spec.bits_per_sample, spec.sample_format),
        (16, hound::SampleFormat::Int)
    );
    Clip {
        rate: SampleRate::new(spec.sample_rate).expect("a rate we support"),
        channels: usize::from(spec.channels),
        pcm: reader
            .samples::<i16>()
            .map(|sample| sample.expect("whole file"))
            .collect(),
    }
}

impl Clip {
    /// The clip from its sample `from` on, repeated without end, as if it had been recorded with another rate and other
    /// channels. The nearest sample will do: speech stays speech. Added channels are softer, so that a mix-up
    /// shows.
    pub fn recorded_at(&self, from: usize, samples: usize, hz: u32, channels: usize) -> Vec<i16> {
        let len = self.pcm.len() / self.channels;
        let sample = |k: usize| (from + k * self.rate.hz() as usize / hz as usize) % len;
        (0..samples * channels)
            .map(|k| {
                let (at, channel) = (sample(k / channels), k % channels);
                let value = self.pcm[at * self.channels + channel % self.channels];
                value >> (channel / self.channels)
            })
            .collect()
    }
}

/// Real speech at 48 kHz: the conversation the README shows.
pub fn conversation() -> Clip {
    clip("conversation-en")
}

/// Everything a detector says about `pcm` in blocks of the given sizes (the last one repeats), then
/// at the end of input.
pub fn run(detector: &mut Detector, pcm: &[i16], channels: usize, blocks: &[usize]) -> Vec<Output> {
    let mut outputs = Vec::new();
    let mut rest = pcm;
    let mut sizes = blocks
        .iter()
        .copied()
        .chain(std::iter::repeat(*blocks.last().expect("a size")));
    while !rest.is_empty() {
        let take = (sizes.next().expect("endless") * channels).min(rest.len());
        outputs.extend(
            detector
                .process(Frame::i16(&rest[..take]))
                .expect("good frames"),
        );
        rest = &rest[take..];
    }
    outputs.extend(detector.flush());
    outputs
}

pub fn events(outputs: &[Output]) -> Vec<Event> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(event) => Some(*event),
            _ => None,
        })
        .collect()
}

pub fn turns(outputs: &[Output]) -> Vec<EndOfTurn> {
    events(outputs)
        .into_iter()
        .filter_map(|event| match event {
            Event::EndOfTurn(end) => Some(end),
            _ => None,
        })
        .collect()
}

pub fn segments(outputs: &[Output]) -> Vec<Segment> {
    events(outputs)
        .into_iter()
        .filter_map(|event| match event {
            Event::SegmentReady(segment) => Some(segment),
            _ => None,
        })
        .collect()
}

/// Starts and ends must alternate and name the same segment; every start has its end.
pub fn assert_every_start_has_one_end(events: &[Event]) {
    let mut open = None;
    for event in events {
        match event {
            Event::StartOfSpeech(start) => {
                assert_eq!(open, None, "a start inside open speech: {start:?}");
                open = Some(start.segment);
            }
            Event::EndOfSpeech(end) => {
                assert_eq!(open, Some(end.segment), "an end without its start: {end:?}");
                open = None;
            }
            _ => {}
        }
    }
    assert_eq!(open, None, "a start without an end");
}

/// A small generator for tests that must give the same stream everywhere (SplitMix64).
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// One thing that happens to a stream.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// This many samples of the clip, from where it was left.
    Audio(usize),
    Gap(u64),
    Flush,
    Reset,
    Format {
        hz: u32,
        channels: usize,
    },
    Answer(f32),
    /// A text model's vote on the open turn, at threshold 0.5.
    Text(f32),
    /// A lean of the wording of the open turn.
    Cues(f32),
    Expect(Expectation),
    Transcript,
    Agent(bool),
    Commit,
    Clear,
}

/// Plays a script over a clip that repeats; answers go to the newest query. Ends with a flush.
pub fn play(detector: &mut Detector, clip: &Clip, script: &[Step]) -> Vec<Output> {
    play_in_blocks(detector, clip, script, || usize::MAX)
        .into_iter()
        .map(|(_, output)| output)
        .collect()
}

/// As [`play`], with audio in blocks of the sizes that `block` gives. With every output comes the rate its positions count
/// in; a change of format has the new one.
pub fn play_in_blocks(
    detector: &mut Detector,
    clip: &Clip,
    script: &[Step],
    mut block: impl FnMut() -> usize,
) -> Vec<(SampleRate, Output)> {
    let mut outputs: Vec<(SampleRate, Output)> = Vec::new();
    let mut at = 0;
    let first = (clip.rate.hz(), clip.channels);
    let (mut hz, mut channels) = first;
    let rate = Cell::new(clip.rate);
    let mut query = 7;
    let mut take = |more: Outputs<'_, '_>| {
        for output in more {
            match output {
                Output::TurnQuery(asked) => query = asked.id,
                Output::Event(Event::FormatChanged(change)) => rate.set(change.to.rate),
                _ => {}
            }
            outputs.push((rate.get(), output));
        }
        query
    };
    let mut newest = 7;
    for step in script {
        match *step {
            Step::Audio(samples) => {
                let values = clip.recorded_at(at, samples, hz, channels);
                at += samples * clip.rate.hz() as usize / hz as usize;
                let mut rest = &values[..];
                while !rest.is_empty() {
                    let len = block().saturating_mul(channels).min(rest.len());
                    let frame = Frame::i16(&rest[..len]).at_rate(hz).with_channels(channels);
                    newest = take(detector.process(frame).expect("good frames"));
                    rest = &rest[len..];
                }
            }
            Step::Format {
                hz: new_hz,
                channels: new_channels,
            } => (hz, channels) = (new_hz, new_channels),
            Step::Flush => newest = take(detector.flush()),
            Step::Reset => {
                take(detector.reset());
                (hz, channels) = first;
                rate.set(clip.rate);
            }
            other => {
                let input = match other {
                    Step::Gap(samples) => Input::Gap(SampleCount(samples)),
                    Step::Answer(p) => Input::TurnAnswer {
                        id: newest,
                        probability: Probability::clamped(p),
                    },
                    Step::Text(p) => Input::TextAnswer {
                        turn: detector.open_turn().unwrap_or(0),
                        probability: Probability::clamped(p),
                        threshold: Probability::clamped(0.5),
                        asked_at: None,
                    },
                    Step::Cues(lean) => Input::TextCues {
                        turn: detector.open_turn().unwrap_or(0),
                        vote: CueVote {
                            lean,
                            ..CueVote::default()
                        },
                    },
                    Step::Expect(expectation) => Input::Expect(expectation),
                    Step::Transcript => Input::Transcript { speech_end: None },
                    Step::Agent(true) => Input::AgentStarted,
                    Step::Agent(false) => Input::AgentStopped,
                    Step::Commit => Input::CommitTurn,
                    _ => Input::ClearTurn,
                };
                newest = take(detector.handle(input).expect("outputs are taken"));
            }
        }
    }
    take(detector.flush());
    outputs
}

/// An output without what differs between streams whose clocks start elsewhere: `by(rate)` is the start of this one's, in
/// samples of that rate. `rate` is the one the output's positions count in.
pub fn shifted(rate: SampleRate, output: &Output, by: impl Fn(SampleRate) -> u64) -> String {
    // Positions are the only large numbers in an output; shifting them in the debug text would be
    // fragile, so each kind is spelled out.
    let less = |at: SamplePos| at.0.wrapping_sub(by(rate));
    match output {
        Output::Event(event) => match event {
            Event::Window(e) => format!(
                "window {} {} {} {:?}",
                less(e.start),
                less(e.end),
                less(e.decided_at),
                e.probability
            ),
            Event::StartOfSpeech(e) => format!(
                "start {} {} {} {}",
                e.segment,
                e.turn,
                less(e.at),
                less(e.decided_at)
            ),
            Event::EndOfSpeech(e) => format!(
                "end {} {} {} {} {:?}",
                e.segment,
                less(e.at),
                less(e.decided_at),
                e.speech_duration,
                e.reason
            ),
            Event::SegmentReady(e) => format!(
                "ready {} {} {} {}",
                e.segment,
                less(e.start),
                less(e.end),
                e.continues
            ),
            Event::EndOfTurn(e) => format!(
                "turn {} {} {} {} {:?} {:?}",
                e.turn,
                less(e.start),
                less(e.last_voiced),
                less(e.decided_at),
                e.wait,
                e.reason
            ),
            Event::TurnPrediction(e) => format!(
                "prediction {} {} {} {} {:?} {}",
                e.turn,
                less(e.at),
                less(e.decided_at),
                less(e.ends_at),
                e.votes.fused,
                e.chosen_delay
            ),
            Event::TurnAmended(e) => {
                format!("amended {} {} {}", e.turn, less(e.at), less(e.decided_at))
            }
            Event::Gap(e) => format!("gap {} {} {}", less(e.at), e.duration, e.concealed),
            Event::FormatChanged(e) => format!(
                "format {} {} {:?} {:?}",
                e.at.0.wrapping_sub(by(e.from.rate)),
                less(e.resumes_at),
                e.from,
                e.to
            ),
            other => panic!("cannot be compared across clocks: {other:?}"),
        },
        Output::TurnQuery(q) => format!(
            "query {} {} {} {} {}",
            q.id,
            q.turn,
            less(q.start),
            less(q.last_voiced),
            less(q.decided_at)
        ),
        Output::TurnQueryCancelled(q) => {
            format!("cancelled {} {} {}", q.id, q.turn, less(q.decided_at))
        }
        other => panic!("unknown output: {other:?}"),
    }
}
