//! Any bytes, read as a script of blocks and inputs: nothing panics, every start gets one end, no
//! output is lost.

use std::time::Duration;

use listenkit::{
    Detector, DetectorConfig, Endpointing, Event, Frame, Input, Output, Probability, SampleCount,
    SampleFormat, SamplePos, SampleRate, SileroVad, TurnModelOptions, VadRate,
};

pub(crate) fn run(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next();
    let Some(mut detector) = detector(&mut next) else {
        return;
    };
    let mut open = None;
    let mut query = 0;
    let mut check = |outputs: listenkit::Outputs<'_, '_>| {
        for output in outputs {
            match output {
                Output::Event(Event::StartOfSpeech(start)) => {
                    assert_eq!(open.replace(start.segment), None, "a start in open speech");
                }
                Output::Event(Event::EndOfSpeech(end)) => {
                    assert_eq!(open.take(), Some(end.segment), "an end without a start");
                }
                Output::TurnQuery(asked) => query = asked.id,
                _ => {}
            }
        }
        query
    };
    let mut newest = 0;
    while let Some(op) = next() {
        let a = next().unwrap_or(0);
        let b = next().unwrap_or(0);
        let input = match op % 12 {
            0..=4 => {
                newest = block(&mut detector, a, b, op, &mut check).unwrap_or(newest);
                continue;
            }
            5 => Input::Gap(SampleCount(u64::from(a) * u64::from(b) * u64::from(b))),
            6 => Input::TurnAnswer {
                id: newest.wrapping_sub(u64::from(a % 3)),
                probability: Probability::clamped(f32::from(b) / 255.0),
            },
            7 => Input::Transcript {
                speech_end: (a % 2 == 0).then(|| SamplePos(u64::from(b) * 500)),
            },
            8 if a % 2 == 0 => Input::AgentStarted,
            8 => Input::AgentStopped,
            9 if a % 2 == 0 => Input::CommitTurn,
            9 => Input::ClearTurn,
            10 => Input::Clock(detector.position() + SampleCount(u64::from(a) * 1000)),
            _ => {
                newest = check(if a % 2 == 0 {
                    detector.flush()
                } else {
                    detector.reset()
                });
                continue;
            }
        };
        if let Ok(outputs) = detector.handle(input) {
            newest = check(outputs);
        }
    }
    check(detector.flush());
    assert_eq!(open, None, "a start without an end");
    assert_eq!(detector.stats().outputs_dropped, 0);
}

fn detector(next: &mut impl FnMut() -> Option<u8>) -> Option<Detector> {
    let (kind, rate) = (next()?, next()?);
    let rate = [8_000, 16_000, 44_100, 48_000, 4_001, 191_999][usize::from(rate) % 6];
    let delay = |byte: u8| Duration::from_millis(u64::from(byte) * 12);
    let mut config = DetectorConfig::new(SampleRate::new(rate).ok()?)
        .channels(usize::from(kind % 3) + 1)
        .report_windows(kind & 4 != 0)
        .segment_audio(kind & 8 != 0)
        .state_guard(kind & 16 != 0)
        .max_segment_duration(Duration::from_secs(2))
        .prefix_padding_duration(delay(next()?))
        .min_silence_duration(delay(next()?))
        // Low thresholds make speech out of almost anything.
        .activation_threshold(f32::from(next()?) / 2550.0)
        .endpointing(Endpointing::fixed(delay(next()?), Duration::from_secs(3)));
    if kind & 32 != 0 {
        config = config.turn_model(Some(TurnModelOptions::new(Probability::clamped(0.5))));
    }
    if kind & 64 != 0 {
        config = config.transcript_wait(Some(delay(next()?)));
    }
    if kind & 128 != 0 {
        config = config
            .sample_format(SampleFormat::F32)
            .max_turn_duration(Some(Duration::from_secs(1)));
    }
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load");
    Detector::new(config, &vad).ok()
}

/// A block of noise; its length, loudness and format come from the script. `None` if it was refused.
fn block(
    detector: &mut Detector,
    len: u8,
    loud: u8,
    op: u8,
    check: &mut impl FnMut(listenkit::Outputs<'_, '_>) -> u64,
) -> Option<u64> {
    let len = usize::from(len) * 23;
    let noise = |k: usize| (k as u32).wrapping_mul(2_654_435_761) >> 16;
    if op & 16 != 0 {
        let scale = if loud == 255 {
            f32::MAX
        } else {
            f32::from(loud) / 32.0
        };
        let values: Vec<f32> = (0..len)
            .map(|k| {
                if noise(k) % 97 == 0 {
                    f32::NAN
                } else {
                    noise(k) as f32 / 32768.0 * scale
                }
            })
            .collect();
        let frame = Frame::f32(&values).at_rate(if op & 32 != 0 { 24_000 } else { 48_000 });
        detector.process(frame).ok().map(check)
    } else {
        let values: Vec<i16> = (0..len)
            .map(|k| (noise(k) as i16 / 256).wrapping_mul(i16::from(loud)))
            .collect();
        let mut frame = Frame::i16(&values);
        if op & 32 != 0 {
            frame = frame.with_channels(usize::from(loud % 10));
        }
        detector.process(frame).ok().map(check)
    }
}
