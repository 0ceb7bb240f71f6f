//! With its presets the whole detector says what LiveKit's two VADs say about the same audio.
//!
//! The reference is recorded from livekit-agents 1.8.9 by `benches/livekit_events.py` on audio at 16 kHz, so that the
//! peer's resampler is not in the way. (The segmenter alone is compared on the peer's own probabilities, in
//! `core/src/segmenter/livekit_parity.rs`; here the probabilities are ours.)
#![cfg(feature = "embedded-models")]

mod common;

use std::path::{Path, PathBuf};

use common::{events, run, vad};
use listenkit::{Detector, DetectorConfig, Event, SampleRate};
use serde_json::Value;

const RATE: SampleRate = SampleRate::HZ_16000;

/// The bar for Silero's probabilities against onnxruntime. The peers run the same model, and the core VAD's own
/// inference was measured within 2.5e-6 of it.
const TOLERANCE: f64 = 3e-5;

/// 16-bit mono samples at 16 kHz, or none if the file is anything else.
fn audio(path: &Path) -> Option<Vec<i16>> {
    let reader = hound::WavReader::open(path).ok()?;
    let spec = reader.spec();
    let fits = spec.sample_rate == RATE.hz() && spec.channels == 1 && spec.bits_per_sample == 16;
    fits.then(|| {
        reader
            .into_samples()
            .map(|sample| sample.expect("whole file"))
            .collect()
    })
}

/// Start or end, end of the deciding window, duration of speech, silence, audio: in samples.
type Edge = (bool, u64, u64, u64, u64);

fn peers_edges(case: &Value) -> Vec<Edge> {
    let samples = |value: &Value| (value.as_f64().expect("seconds") * 16_000.0).round() as u64;
    let list = case["events"].as_array().expect("events");
    list.iter()
        .map(|event| {
            let start = event["kind"] == "start";
            // Our starts carry no audio.
            let frame = event["frame_samples"].as_u64().expect("a count");
            (
                start,
                event["samples_index"].as_u64().expect("a count"),
                samples(&event["speech_duration"]),
                samples(&event["silence_duration"]),
                if start { 0 } else { frame },
            )
        })
        .collect()
}

fn our_edges(events: &[Event]) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for event in events {
        match event {
            Event::StartOfSpeech(e) => {
                edges.push((true, e.decided_at.0, e.decided_at.since(e.at).0, 0, 0));
            }
            Event::EndOfSpeech(e) => edges.push((
                false,
                e.decided_at.0,
                e.segment_duration.0,
                e.decided_at.since(e.at).0,
                0,
            )),
            Event::SegmentReady(segment) => {
                edges.last_mut().expect("an end comes first").4 = segment.len().0;
            }
            _ => {}
        }
    }
    edges
}

/// Returns how many clips, windows and edges were compared, and the largest difference of a probability.
fn check(recording: &str, root: &Path) -> (usize, usize, usize, f64) {
    let recording: Value = serde_json::from_str(recording).expect("the recording is JSON");
    let (mut clips, mut windows, mut compared, mut worst) = (0, 0, 0, 0f64);
    for case in recording["cases"].as_array().expect("cases") {
        if case["note"] != "" {
            continue;
        }
        let Some(mut pcm) = audio(&root.join(case["clip"].as_str().expect("a name"))) else {
            continue;
        };
        let config = match case["vad"].as_str() {
            Some("core") => DetectorConfig::livekit_core(RATE),
            Some("plugin") => DetectorConfig::livekit_plugin(RATE),
            other => panic!("no preset for {other:?}"),
        };
        let name = format!("{} {}", case["vad"], case["clip"]);
        pcm.resize(case["samples"].as_u64().expect("a count") as usize, 0);
        let config = config.report_windows(true).segment_audio(true);
        let mut detector = Detector::new(config, vad()).expect("a preset is valid");
        let events = events(&run(&mut detector, &pcm, 1, &[160]));

        let theirs = case["probabilities"].as_array().expect("a list");
        let ours = events.iter().filter_map(|event| match event {
            Event::Window(score) => Some(f64::from(score.probability.value())),
            _ => None,
        });
        for (n, (ours, theirs)) in ours.zip(theirs).enumerate() {
            let error = (ours - theirs.as_f64().expect("a number")).abs();
            assert!(error <= TOLERANCE, "{name} window {n}: {ours} for {theirs}");
            worst = worst.max(error);
        }
        // The peer never looks at the last part of a window; what it tells of there is beyond its end.
        let known = theirs.len() as u64 * 512;
        let ours: Vec<Edge> = our_edges(&events)
            .into_iter()
            .filter(|edge| edge.1 <= known)
            .collect();
        assert_eq!(ours, peers_edges(case), "{name}");
        clips += 1;
        windows += theirs.len();
        compared += ours.len();
    }
    (clips, windows, compared, worst)
}

#[test]
fn livekit_presets_hear_what_livekit_hears_in_the_fixtures() {
    let (clips, _, edges, _) = check(
        include_str!("data/livekit_events.json"),
        &common::fixtures(),
    );
    assert!(clips >= 6 && edges >= 12, "{clips} clips, {edges} edges");
}

#[test]
fn livekit_presets_hear_what_livekit_hears_in_real_recordings() {
    let corpus = std::env::var_os("LISTENKIT_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let recording = std::env::var_os("LISTENKIT_LIVEKIT_EVENTS");
    let (Some(recording), true) = (recording, corpus.is_dir()) else {
        println!(
            "skipped: needs the corpus (set LISTENKIT_CORPUS) and a recording of the peers over it (benches/livekit_events.py, then set LISTENKIT_LIVEKIT_EVENTS)"
        );
        return;
    };
    let recording = std::fs::read_to_string(recording).expect("a readable recording");
    let (clips, windows, edges, worst) = check(&recording, &corpus.join("public"));
    assert!(clips > 0, "none of the clips is in the corpus");
    println!(
        "equal: {edges} edges of {clips} clips, {windows} windows; largest difference {worst:.1e}"
    );
}
