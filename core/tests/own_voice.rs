//! The agent's own voice in the microphone: the far-end reference, on real speech through made-up rooms.
#![cfg(feature = "embedded-models")]

mod common;

use std::path::{Path, PathBuf};

use common::{Seeded, clip, quick};
use listenkit::{
    BriefReason, Detector, Event, Frame, Input, Output, OverlapOptions, SampleCount, SampleRate,
};

const RATE: usize = 16_000;

/// A path from loudspeaker to microphone.
struct Room {
    delay: usize,
    /// Impulse response behind the delay.
    response: Vec<f32>,
    /// Weight of the value before in the loudspeaker's low-pass.
    low_pass: f32,
    /// How hard the loudspeaker is driven.
    drive: f32,
    /// Echo against playback, in dB.
    gain: f32,
}

impl Room {
    /// 30 to 300 ms of delay, 0.1 to 0.35 s of reverberation, a low-pass at 2.5 to 7 kHz, -6 to -30 dB.
    fn random(seeded: &mut Seeded) -> Self {
        let mut between = |low: f32, high: f32| low + (high - low) * unit(seeded);
        let delay = (between(0.03, 0.3) * RATE as f32) as usize;
        let len = (between(0.1, 0.35) * RATE as f32) as usize;
        let direct = between(0.6, 1.5);
        let cut = between(2500.0, 7000.0);
        let (drive, gain) = (between(2.0, 8.0), between(-30.0, -6.0));
        // Every 8th value: sparse reflections, for the sake of time.
        let mut response: Vec<f32> = (0..len)
            .map(|k| match k % 8 {
                0 => between(-1.0, 1.0) * 10_f32.powf(-3.0 * k as f32 / len as f32) * 0.25,
                _ => 0.0,
            })
            .collect();
        response[0] += direct;
        Self {
            delay,
            response,
            low_pass: (-std::f32::consts::TAU * cut / RATE as f32).exp(),
            drive,
            gain,
        }
    }

    fn echo(&self, far: &[f32]) -> Vec<f32> {
        let played: Vec<f32> = far.iter().map(|v| (v * self.drive).tanh()).collect();
        let mut echo = vec![0.0; far.len()];
        for (tap, weight) in self.response.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let at = (self.delay + tap).min(far.len());
            for (out, value) in echo[at..].iter_mut().zip(&played) {
                *out += weight * value;
            }
        }
        let mut state = 0.0;
        for value in &mut echo {
            state = self.low_pass * state + (1.0 - self.low_pass) * *value;
            *value = state;
        }
        at_level(echo, rms(far) * 10_f32.powf(self.gain / 20.0))
    }
}

fn unit(seeded: &mut Seeded) -> f32 {
    (seeded.next() >> 40) as f32 / (1_u32 << 24) as f32
}

fn rms(signal: &[f32]) -> f32 {
    (signal.iter().map(|v| v * v).sum::<f32>() / signal.len().max(1) as f32).sqrt()
}

fn at_level(mut signal: Vec<f32>, level: f32) -> Vec<f32> {
    let gain = level / rms(&signal).max(1e-9);
    signal.iter_mut().for_each(|value| *value *= gain);
    signal
}

/// -70 dB of full scale: a quiet microphone.
fn with_noise(mut signal: Vec<f32>, seeded: &mut Seeded) -> Vec<f32> {
    for value in &mut signal {
        *value += (unit(seeded) - 0.5) * 1.1e-3;
    }
    signal
}

/// What becomes of the agent's speech `far` while the microphone hears `near`: events of overlaps, in blocks of 20 ms that are handed to
/// the speaker as they are heard.
fn overlaps(near: &[f32], far: Option<&[f32]>) -> Vec<Event> {
    let rate = SampleRate::new(RATE as u32).expect("valid");
    let options = OverlapOptions {
        reference: far.map(|_| rate),
        ..OverlapOptions::new()
    };
    let config = quick(rate)
        .sample_format(listenkit::SampleFormat::F32)
        .overlap(Some(options));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let mut outputs: Vec<Output> = detector
        .handle(Input::AgentStarted)
        .expect("room")
        .collect();
    for (k, near) in near.chunks(320).enumerate() {
        if let Some(far) = far.and_then(|far| far.chunks(320).nth(k)) {
            detector.reference(Frame::f32(far)).expect("good frames");
        }
        outputs.extend(detector.process(Frame::f32(near)).expect("good frames"));
    }
    outputs.extend(detector.flush());
    let about = |event: &Event| matches!(event, Event::OverlapClaim(_) | Event::OverlapBrief(_));
    common::events(&outputs).into_iter().filter(about).collect()
}

fn claimed(events: &[Event]) -> Option<u64> {
    events.iter().find_map(|event| match event {
        Event::OverlapClaim(claim) => Some(claim.decided_at.0),
        _ => None,
    })
}

/// A fixture at 16 kHz, by the nearest sample, at the level of speech.
fn fixture(name: &str) -> Vec<f32> {
    let case = clip(name);
    let samples = case.pcm.len() / case.channels * RATE / case.rate.hz() as usize;
    let pcm = case.recorded_at(0, samples, RATE as u32, 1);
    at_level(pcm.iter().map(|&v| f32::from(v) / 32768.0).collect(), 0.05)
}

#[test]
fn echo_of_the_playback_is_no_interruption_and_a_user_is() {
    let (far, user) = (fixture("conversation-en"), fixture("speech-es-44k1"));
    let mut seeded = Seeded(5);
    let room = Room::random(&mut seeded);
    let echo = with_noise(room.echo(&far), &mut seeded);
    assert!(
        claimed(&overlaps(&echo, None)).is_some(),
        "without a reference it interrupts itself"
    );
    let events = overlaps(&echo, Some(&far));
    assert_eq!(claimed(&events), None, "{events:?}");
    let own = |event: &Event| matches!(event, Event::OverlapBrief(brief) if brief.reason == BriefReason::OwnVoice);
    assert!(events.iter().any(own), "{events:?}");

    let mut both = echo;
    for (value, user) in both[2 * RATE..].iter_mut().zip(&user) {
        *value += user;
    }
    let at = claimed(&overlaps(&both, Some(&far)));
    assert!(at.is_some_and(|at| at > 2 * RATE as u64), "{at:?}");
}

#[test]
fn without_a_word_from_the_agent_the_reference_changes_no_verdict() {
    let user = fixture("speech-es-44k1");
    let silent = vec![0.0; user.len()];
    let (plain, beside) = (overlaps(&user, None), overlaps(&user, Some(&silent)));
    assert_eq!(claimed(&plain), claimed(&beside));
    assert!(claimed(&plain).is_some());
}

#[test]
fn playback_may_come_in_any_format_and_allocates_nothing() {
    let far = clip("conversation-en");
    let near = fixture("conversation-en");
    let rate = SampleRate::new(RATE as u32).expect("valid");
    let options = OverlapOptions {
        reference: Some(SampleRate::HZ_24000),
        ..OverlapOptions::new()
    };
    let config = quick(rate)
        .sample_format(listenkit::SampleFormat::F32)
        .overlap(Some(options));
    let mut detector = Detector::new(config, common::vad()).expect("valid");
    let fresh = detector.state_bytes();
    let stereo: Vec<i16> = far.pcm.iter().flat_map(|&v| [v, v]).collect();
    let play = |detector: &mut Detector| {
        let mut claims = 0;
        detector
            .handle(Input::AgentStarted)
            .expect("room")
            .for_each(drop);
        for (near, far) in near.chunks(320).zip(stereo.chunks(2 * 960)) {
            let frame = Frame::i16(far).at_rate(48_000).with_channels(2);
            detector.reference(frame).expect("good frames");
            for output in detector.process(Frame::f32(near)).expect("good frames") {
                claims += usize::from(matches!(output, Output::Event(Event::OverlapClaim(_))));
            }
        }
        detector
            .handle(Input::Gap(SampleCount(1 << 40)))
            .expect("room")
            .for_each(drop);
        detector.flush().for_each(drop);
        claims
    };
    let mut claims = 1;
    let allocations = allocation_counter::measure(|| claims = play(&mut detector));
    assert_eq!((claims, allocations.count_total), (0, 0));
    let digest = detector.fingerprint();
    let allocations = allocation_counter::measure(|| detector.reset().for_each(drop));
    assert_eq!(allocations.count_total, 0);
    assert_eq!((play(&mut detector), detector.fingerprint()), (0, digest));
    assert_eq!(detector.state_bytes(), fresh);
    // Half a sample, and a rate that nobody has.
    assert!(
        detector
            .reference(Frame::i16(&[0; 3]).with_channels(2))
            .is_err()
    );
    assert!(detector.reference(Frame::i16(&[0; 4]).at_rate(3)).is_err());
    assert!(
        detector
            .reference(Frame::f32(&[f32::NAN, f32::INFINITY]))
            .is_ok()
    );
}

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let root = std::env::var_os("LISTENKIT_CORPUS").map_or(root, PathBuf::from);
    Some(root.join("public/speech")).filter(|path| path.is_dir())
}

/// Clean 16-bit recordings of 3 s and more at 16 kHz.
fn recordings(folder: &Path) -> Vec<Vec<f32>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the corpus can be read")
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| !path.to_string_lossy().contains("nois"))
        .filter_map(|path| {
            let mut reader = hound::WavReader::open(path).ok()?;
            let spec = reader.spec();
            let fits = spec.sample_rate as usize == RATE
                && (spec.channels, spec.bits_per_sample) == (1, 16)
                && spec.sample_format == hound::SampleFormat::Int;
            let pcm: Vec<f32> = fits
                .then(|| {
                    reader
                        .samples::<i16>()
                        .map(|v| f32::from(v.unwrap_or(0)) / 32768.0)
                })?
                .collect();
            (pcm.len() > 3 * RATE).then(|| at_level(pcm, 0.05))
        })
        .collect()
}

/// The table of docs/turn-taking.md: `cargo test --release --test own_voice -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, of minutes"]
fn how_often_echo_and_users_are_told_apart() {
    let Some(folder) = corpus() else {
        println!("skipped: the table needs the corpus (set LISTENKIT_CORPUS)");
        return;
    };
    let clips = recordings(&folder);
    let trials = 100;
    println!(
        "{} recordings, {trials} trials a row, agent speech of 6 s, user from 2 s",
        clips.len()
    );
    println!(
        "| microphone hears | claims without reference | claims with it | median claim behind the user's first sample |"
    );
    println!("|---|---|---|---|");
    for user_level in [
        None,
        Some(f32::INFINITY),
        Some(12.0),
        Some(6.0),
        Some(0.0),
        Some(-6.0),
    ] {
        let mut seeded = Seeded(1);
        let (mut plain, mut judged, mut heard) = (0, 0, 0);
        let mut delays = Vec::new();
        while heard < trials {
            let (i, j) = (seeded.below(clips.len()), seeded.below(clips.len()));
            if i == j {
                continue;
            }
            let cut = |clip: &[f32], start: usize, len: usize| -> Vec<f32> {
                clip.iter().cycle().skip(start).take(len).copied().collect()
            };
            let far = cut(&clips[i], seeded.below(clips[i].len()), 6 * RATE);
            let room = Room::random(&mut seeded);
            let mut echo = room.echo(&far);
            if let Some(level) = user_level {
                let user = cut(&clips[j], seeded.below(clips[j].len()), 4 * RATE);
                let level = match level.is_finite() {
                    true => rms(&echo) * 10_f32.powf(level / 20.0),
                    // An echo canceller has taken the echo out.
                    false => {
                        echo.fill(0.0);
                        0.02
                    }
                };
                let user = at_level(user, level);
                for (value, user) in echo[2 * RATE..].iter_mut().zip(&user) {
                    *value += user;
                }
            }
            let near = with_noise(echo, &mut seeded);
            let (without, with) = (overlaps(&near, None), overlaps(&near, Some(&far)));
            heard += 1;
            // With a user, what is claimed before they speak is missed for them.
            let first = user_level.map_or(0, |_| 2 * RATE as u64);
            plain += usize::from(claimed(&without).is_some_and(|at| at > first));
            judged += usize::from(claimed(&with).is_some_and(|at| at > first));
            let behind = claimed(&with).and_then(|at| at.checked_sub(2 * RATE as u64));
            let behind = behind.filter(|_| user_level.is_some());
            delays.extend(behind.map(|samples| samples * 1000 / RATE as u64));
        }
        delays.sort_unstable();
        let name = match user_level {
            None => "echo alone".to_owned(),
            Some(level) if level.is_infinite() => "the user alone".to_owned(),
            Some(level) => format!("echo, and the user {level:+} dB to it"),
        };
        let median = delays
            .get(delays.len() / 2)
            .map_or("-".to_owned(), |d| format!("{d} ms"));
        println!("| {name} | {plain} % | {judged} % | {median} |");
    }
}
