//! The guarded model beside the plain one, on audio that makes the plain one deaf.
#![cfg(feature = "embedded-models")]

mod common;

use std::path::{Path, PathBuf};

use listenkit::vad::{SileroVad, StateGuard, VadBatch, VadRate, VadState};
use listenkit::{Detector, DetectorConfig, Event, Frame, Output};

/// The window at which the voice of the fixture begins, and how many make its first second.
const VOICE: usize = 84_000 / 256;
const SECOND: usize = 31;

fn plain(vad: &SileroVad, samples: &[f32]) -> Vec<f32> {
    let mut state = VadState::new();
    let windows = samples.chunks(vad.rate().window_len());
    windows
        .map(|window| vad.probability(&mut state, window))
        .collect()
}

fn guarded(vad: &SileroVad, samples: &[f32]) -> Vec<f32> {
    let (mut state, mut guard) = (VadState::new(), StateGuard::new());
    let windows = samples.chunks(vad.rate().window_len());
    windows
        .map(|window| {
            let probability = vad.probability(&mut state, window);
            guard.observe(probability, &mut state);
            probability
        })
        .collect()
}

fn heard(probabilities: &[f32]) -> f64 {
    let heard = probabilities.iter().filter(|p| **p >= 0.5).count();
    heard as f64 / probabilities.len() as f64
}

fn floats(pcm: &[i16]) -> Vec<f32> {
    pcm.iter()
        .map(|sample| f32::from(*sample) / 32_768.0)
        .collect()
}

fn hold_music() -> (SileroVad, Vec<f32>) {
    let vad = SileroVad::embedded(VadRate::Hz8000).expect("the embedded weights load");
    let clip = common::clip("hold-music-then-speech");
    assert_eq!((clip.rate.hz(), clip.channels), (8_000, 1));
    (vad, floats(&clip.pcm))
}

/// The voice alone, without the music before it, is the yardstick: the guard must bring most of it back, and not by calling
/// the music speech.
#[test]
fn a_voice_after_hold_music_is_heard() {
    let (vad, samples) = hold_music();
    let alone = heard(&plain(&vad, &samples[VOICE * 256..])[..SECOND]);
    let deaf = heard(&plain(&vad, &samples)[VOICE..][..SECOND]);
    let listening = guarded(&vad, &samples);
    let first = heard(&listening[VOICE..][..SECOND]);
    assert!(alone > 0.9, "the voice is not clear even alone: {alone}");
    assert!(deaf < 0.1, "the plain model is not deaf here: {deaf}");
    assert!(
        first > 0.7,
        "the guarded model hears {first} of the first second"
    );
    assert!(
        heard(&listening[..VOICE - SECOND]) == 0.0,
        "the music was taken for speech"
    );
}

#[test]
fn the_first_two_seconds_and_all_of_a_conversation_are_the_bits_of_the_plain_model() {
    let (vad, samples) = hold_music();
    let (a, b) = (plain(&vad, &samples), guarded(&vad, &samples));
    assert!(a[..63] == b[..63] && a != b);
    let talk = &samples[VOICE * 256..];
    assert_eq!(plain(&vad, talk), guarded(&vad, talk));
}

#[test]
fn guarded_streams_of_a_batch_give_the_bits_of_one_alone() {
    let (vad, samples) = hold_music();
    let alone = guarded(&vad, &samples);
    let mut batch = VadBatch::new(vad, 4);
    let (mut states, mut guards) = (vec![VadState::new(); 3], vec![StateGuard::new(); 3]);
    let mut out = [0.0; 3];
    for (window, expected) in samples.chunks(256).zip(&alone) {
        batch.probabilities(&mut states, &[window; 3], &mut out);
        for ((guard, state), probability) in guards.iter_mut().zip(&mut states).zip(out) {
            guard.observe(probability, state);
            assert_eq!(probability.to_bits(), expected.to_bits());
        }
    }
}

/// The detector's own windows: the switch does what it says, in any split.
#[test]
fn the_detector_guards_unless_told_not_to() {
    let clip = common::clip("hold-music-then-speech");
    let vad = SileroVad::embedded(VadRate::Hz8000).expect("the embedded weights load");
    let samples = floats(&clip.pcm);
    let config = DetectorConfig::new(clip.rate).report_windows(true);
    for (config, expected) in [
        (config, guarded(&vad, &samples)),
        (config.state_guard(false), plain(&vad, &samples)),
    ] {
        for split in [80, 1_000, 8_191] {
            let mut detector = Detector::new(config, &vad).expect("a valid configuration");
            let mut found = Vec::new();
            for pcm in clip.pcm.chunks(split) {
                for output in detector.process(Frame::i16(pcm)).expect("a valid frame") {
                    if let Output::Event(Event::Window(window)) = output {
                        found.push(window.probability.value());
                    }
                }
            }
            // The last, partial window waits for the end of the stream.
            assert_eq!(found.len(), samples.len() / 256);
            assert!(found == expected[..found.len()], "pushes of {split}");
        }
    }
}

fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("LISTENKIT_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    path.join("public/vad").is_dir().then_some(path)
}

fn wav(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    assert_eq!(reader.spec().sample_rate, 16_000);
    floats(
        &reader
            .samples::<i16>()
            .map(|s| s.expect("a sample"))
            .collect::<Vec<_>>(),
    )
}

/// Half a minute of each of three sounds before real speech: the plain model hears next to nothing of the first labelled
/// second, the guarded one nearly as much as without the sound. The whole measurement is `eval_state_drift.py`.
#[test]
fn real_speech_after_real_noise_is_heard() {
    let Some(corpus) = corpus() else {
        println!(
            "skipped: real_speech_after_real_noise_is_heard needs the corpus (set LISTENKIT_CORPUS)"
        );
        return;
    };
    let vad = SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load");
    // Clips with the start of their first long labelled segment, in windows.
    let clips: Vec<(Vec<f32>, usize)> = ["ten-03", "ten-11", "ten-16", "ten-22"]
        .map(|name| {
            let labels = std::fs::read_to_string(corpus.join(format!("public/vad/{name}.lab.csv")))
                .expect("labels");
            let start = labels.lines().skip(1).find_map(|line| {
                let mut fields = line.split(',');
                let (start, end): (f64, f64) =
                    (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                (fields.next()?.trim() == "speech" && end - start >= 0.8).then_some(start)
            });
            let start = start.expect("a segment of speech") * 16_000.0 / 512.0;
            (
                wav(&corpus.join(format!("public/vad/{name}.wav"))),
                start.ceil() as usize,
            )
        })
        .into();
    for sound in [
        "esc50-thunder5",
        "librosa-brahms",
        "moh-reno-project-system",
    ] {
        let noise = wav(&corpus.join(format!("public/nonspeech/{sound}.wav")));
        // 937 windows: 30 s, in whole windows so that the clip's windows are the same with and without.
        let noise: Vec<f32> = noise.iter().copied().cycle().take(937 * 512).collect();
        let mean = |run: fn(&SileroVad, &[f32]) -> Vec<f32>, noise: &[f32]| {
            let heard = clips.iter().map(|(clip, start)| {
                let samples = [noise, clip].concat();
                heard(&run(&vad, &samples)[noise.len() / 512 + start..][..24])
            });
            heard.sum::<f64>() / clips.len() as f64
        };
        let (clear, deaf, found) = (mean(plain, &[]), mean(plain, &noise), mean(guarded, &noise));
        println!("{sound}: {clear:.2} without it, {deaf:.2} after it, {found:.2} guarded");
        assert!(
            deaf < 0.6 * clear,
            "{sound}: the plain model is not deaf, {deaf} of {clear}"
        );
        assert!(
            found > 0.8 * clear,
            "{sound}: the guarded model hears {found} of {clear}"
        );
    }
}
