//! Any bytes, read as a script of blocks and inputs: nothing panics, every start gets one end, a segment's audio is there
//! when it comes out, no output is lost.

use std::sync::OnceLock;
use std::time::Duration;

use listenkit::{
    CueVote, Detector, DetectorConfig, EndReason, Endpointing, Event, Expectation, Frame, Input,
    Output, Outputs, OverlapOptions, Probability, SampleCount, SampleFormat, SamplePos, SampleRate,
    SileroVad, TurnModelOptions, TurnPolicy, VadRate,
};

/// What a script led to, so that a test can tell scripts that do something from scripts that are refused.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) outputs: usize,
    pub(crate) starts: usize,
    /// Ends of speech because frames were late by the caller's clock.
    pub(crate) starved: usize,
    ended_by_gap: usize,
    open: Option<u64>,
    newest_query: u64,
}

impl Heard {
    fn take(&mut self, mut outputs: Outputs<'_, '_>) {
        while let Some(output) = outputs.next() {
            self.outputs += 1;
            match output {
                Output::Event(Event::StartOfSpeech(start)) => {
                    self.starts += 1;
                    let open = self.open.replace(start.segment);
                    assert_eq!(open, None, "a start in open speech");
                }
                Output::Event(Event::EndOfSpeech(end)) => {
                    self.ended_by_gap += usize::from(end.reason == EndReason::Gap);
                    let open = self.open.take();
                    assert_eq!(open, Some(end.segment), "an end without a start");
                }
                Output::Event(Event::SegmentReady(segment)) => {
                    let audio = outputs.audio(&segment).expect("audio until it is read");
                    let channels = usize::from(audio.format.channels);
                    assert_eq!(audio.len(), segment.len().0 as usize * channels);
                }
                Output::TurnQuery(asked) => self.newest_query = asked.id,
                _ => {}
            }
        }
    }
}

/// `None` if there are too few bytes for the settings.
pub(crate) fn run(data: &[u8]) -> Option<Heard> {
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next();
    let mut detector = detector(&mut next)?;
    let mut heard = Heard::default();
    while let Some(op) = next() {
        let a = next().unwrap_or(0);
        let b = next().unwrap_or(0);
        let (kind, variant) = (op % 16, op / 16);
        let odd = a & 1 == 1;
        let now = detector.position();
        let input = match kind {
            0..=6 => {
                block(&mut detector, variant, a, b, &mut heard);
                continue;
            }
            7 => {
                // Up to 1.4 s at 48 kHz, or up to minutes.
                let b = u64::from(b);
                let factor = if variant == 0 { b * b } else { b };
                Input::Gap(SampleCount(u64::from(a) * factor))
            }
            8 => Input::TurnAnswer {
                id: heard.newest_query.wrapping_sub(u64::from(a % 3)),
                probability: Probability::clamped(f32::from(b) / 255.0),
            },
            9 => {
                let end = now.0.saturating_sub(u64::from(b) * 500);
                Input::Transcript {
                    speech_end: odd.then_some(SamplePos(end)),
                }
            }
            10 if variant % 4 == 1 => Input::AgentInterruptible(odd),
            10 if variant % 4 == 3 => {
                let far = if odd { u64::MAX } else { 0 };
                Input::AudioAge(SampleCount(far ^ (u64::from(b) * 100)))
            }
            10 if variant % 4 == 2 => Input::Words(u32::from(b)),
            10 if odd => Input::AgentStarted,
            10 => Input::AgentStopped,
            11 if odd => Input::CommitTurn,
            11 => Input::ClearTurn,
            12 => {
                // The caller's clock, read twice and 0 to 4 s apart; 1 s is starvation.
                let late = u64::from(detector.format().rate.hz()) * u64::from(a) / 64;
                let before = heard.ended_by_gap;
                for clock in [now, now + SampleCount(late)] {
                    if let Ok(outputs) = detector.handle(Input::Clock(clock)) {
                        heard.take(outputs);
                    }
                }
                heard.starved += heard.ended_by_gap - before;
                continue;
            }
            13 if variant % 4 == 1 => Input::TextAnswer {
                turn: detector.open_turn().unwrap_or(0),
                probability: Probability::clamped(f32::from(a) / 255.0),
                threshold: Probability::clamped(f32::from(b) / 255.0),
                asked_at: odd.then(|| now - SampleCount(u64::from(b) * 500)),
            },
            13 if variant % 4 == 2 => Input::TextCues {
                turn: detector.open_turn().unwrap_or(0),
                vote: CueVote {
                    lean: f32::from_bits(u32::from(a) << 24 | u32::from(b) << 16),
                    ..CueVote::default()
                },
            },
            13 if variant % 4 == 3 => Input::Expect(match a % 6 {
                0 => Expectation::Free,
                1 => Expectation::YesNo,
                2 => Expectation::Digits { count: b },
                3 => Expectation::Spelling,
                4 => Expectation::Email,
                _ => Expectation::FloorGranted,
            }),
            13 => Input::TurnThreshold(Probability::clamped(f32::from(b) / 255.0)),
            14 => Input::Interruption(odd),
            _ => {
                heard.take(if odd {
                    detector.flush()
                } else {
                    detector.reset()
                });
                continue;
            }
        };
        if let Ok(outputs) = detector.handle(input) {
            heard.take(outputs);
        }
    }
    heard.take(detector.flush());
    assert_eq!(heard.open, None, "a start without an end");
    assert_eq!(detector.stats().outputs_dropped, 0);
    Some(heard)
}

/// A detector whose settings come from the bytes, each within its bounds.
fn detector(next: &mut impl FnMut() -> Option<u8>) -> Option<Detector> {
    let (kind, rate) = (next()?, next()?);
    let rate = [8_000, 16_000, 44_100, 48_000, 4_001, 191_999][usize::from(rate) % 6];
    let mut delay = |most: u64| Some(Duration::from_millis(u64::from(next()?) * most / 255));
    let mut config = DetectorConfig::new(SampleRate::new(rate).expect("a rate we support"))
        .channels(usize::from(kind % 3) + 1)
        .report_windows(kind & 4 != 0)
        .segment_audio(kind & 8 != 0)
        .state_guard(kind & 16 != 0)
        .max_segment_duration(Duration::from_secs(2))
        .prefix_padding_duration(delay(500)?)
        .min_silence_duration(delay(1000)?)
        .endpointing(Endpointing::fixed(delay(2000)?, Duration::from_secs(2)));
    let wait = delay(3000)?;
    if kind & 32 != 0 {
        // Preset and questions repeated, or the plain rule.
        let policy = TurnPolicy::FAST;
        config = if kind & 1 == 0 {
            config.turn_model(Some(policy.turn_model()))
        } else {
            config.turn_model(Some(TurnModelOptions::new(Probability::clamped(0.5))))
        };
    }
    if kind & 64 != 0 {
        config = config.transcript_wait(Some(wait));
    }
    if kind & 128 != 0 {
        config = config
            .sample_format(SampleFormat::F32)
            .max_turn_duration(Some(Duration::from_secs(1)));
    }
    // Low thresholds make speech out of almost anything.
    let threshold = next()?;
    config = config.activation_threshold(f32::from(threshold) / 2550.0);
    if threshold % 4 != 0 {
        config = config.overlap(Some(OverlapOptions {
            min_duration: Duration::from_millis(u64::from(threshold) * 2),
            min_words: u32::from(threshold % 3),
            ..OverlapOptions::new()
        }));
    }
    Some(Detector::new(config, vad()).expect("every setting is within its bounds"))
}

/// Unpacked once: a fuzzer would spend most of its time on it otherwise.
fn vad() -> &'static SileroVad {
    static VAD: OnceLock<SileroVad> = OnceLock::new();
    VAD.get_or_init(|| SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load"))
}

/// A block of noise; its length, loudness and format come from the script. It may be refused.
fn block(detector: &mut Detector, variant: u8, len: u8, loud: u8, heard: &mut Heard) {
    let len = usize::from(len) * 64;
    let noise = |k: usize| (k as u32).wrapping_mul(2_654_435_761) >> 16;
    let float = match variant {
        0 => true,
        1 => false,
        _ => detector.format().samples == SampleFormat::F32,
    };
    // Too many channels, or half a sample: said, and nothing was consumed.
    let _refused = if float {
        let scale = match loud {
            255 => f32::MAX,
            _ => f32::from(loud) / 32.0,
        };
        let value = |k| match noise(k) {
            mask if mask % 97 == 0 => f32::NAN,
            value => (value as f32 / 32768.0 - 1.0) * scale,
        };
        let values: Vec<f32> = (0..len).map(value).collect();
        let frame = Frame::f32(&values);
        let other_rate = frame.at_rate(if loud < 128 { 24_000 } else { 48_000 });
        detector
            .process(if variant == 0 { other_rate } else { frame })
            .map(|outputs| heard.take(outputs))
    } else {
        let value = |k| (noise(k) as i16 / 256).wrapping_mul(i16::from(loud));
        let values: Vec<i16> = (0..len).map(value).collect();
        let frame = Frame::i16(&values);
        let other_channels = frame.with_channels(usize::from(loud % 10));
        detector
            .process(if variant == 1 { other_channels } else { frame })
            .map(|outputs| heard.take(outputs))
    };
}
