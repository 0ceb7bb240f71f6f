//! With its presets the segmenter does what LiveKit's two VADs do, window for window and sample for
//! sample, and where we mean to differ, it differs in that only.
//!
//! The reference is recorded from the peers themselves (livekit-agents 1.8.9) by
//! `benches/livekit_events.py`: the probability of each window as the peer reports it, and its events. A
//! small recording is in the repository; `LISTENKIT_LIVEKIT_EVENTS` names a larger one. Over all 148
//! clips of the evaluation corpus at 16 kHz, 814 edges in 63,940 windows were equal.

use serde_json::Value;

use super::*;

const WINDOW: u64 = 512;
const RATE: f64 = 16_000.0;

/// Prefix of both VADs, 0.5 s.
const PREFIX: SampleCount = SampleCount(8_000);

/// The peer's rules in integers, at 16 kHz. Smoothing is the caller's: the recorded probabilities are
/// what the thresholds are compared with.
fn preset(vad: &str) -> SegmenterConfig {
    SegmenterConfig {
        activation_threshold: 0.5,
        deactivation_threshold: 0.35,
        min_speech_windows: 2, // 0.05 s
        min_silence_windows: match vad {
            "plugin" => 18, // 0.55 s
            "core" => 8,    // 0.25 s
            _ => panic!("no preset for {vad}"),
        },
        onset_dip_windows: 0,
        prefix_padding: PREFIX,
        tail_padding: SampleCount(u64::MAX),
        max_segment: SampleCount(u64::MAX),
        split_search: SampleCount::ZERO,
        prefix_may_overlap: true,
    }
}

/// An edge as the peer tells it, durations in samples.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Edge {
    start: bool,
    /// End of the window that decided.
    samples_index: u64,
    /// Opening: the voiced run. Closing: from the first voiced window to the last.
    speech: u64,
    /// Closing: the silence that closed it.
    silence: u64,
    /// The audio that comes with it.
    frame: u64,
}

struct Case {
    name: String,
    note: String,
    config: SegmenterConfig,
    samples: u64,
    probabilities: Vec<f32>,
    /// The peer's edges, each with whether its frame is the newest audio.
    edges: Vec<(Edge, bool)>,
}

fn cases(json: &str) -> Vec<Case> {
    let root: Value = serde_json::from_str(json).expect("the recording is JSON");
    assert_eq!(root["window"].as_u64(), Some(WINDOW));
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let count = |value: &Value| value.as_u64().expect("a count");
    // Sums of 0.032 in floating point; whole samples in truth.
    let samples = |value: &Value| (value.as_f64().expect("seconds") * RATE).round() as u64;
    let list = |value: &Value| value.as_array().expect("a list").clone();
    list(&root["cases"])
        .iter()
        .map(|case| Case {
            name: format!(
                "{} {} {}",
                text(&case["vad"]),
                text(&case["clip"]),
                text(&case["note"])
            ),
            note: text(&case["note"]),
            config: preset(&text(&case["vad"])),
            samples: count(&case["samples"]),
            probabilities: list(&case["probabilities"])
                .iter()
                .map(|p| p.as_f64().expect("a number") as f32)
                .collect(),
            edges: list(&case["events"])
                .iter()
                .map(|event| {
                    let edge = Edge {
                        start: event["kind"] == "start",
                        samples_index: count(&event["samples_index"]),
                        speech: samples(&event["speech_duration"]),
                        silence: samples(&event["silence_duration"]),
                        frame: count(&event["frame_samples"]),
                    };
                    (edge, event["newest"] == true)
                })
                .collect(),
        })
        .collect()
}

/// Our edges over `probabilities`, in the peer's terms, and what closing at `samples` adds.
fn listen(
    config: SegmenterConfig,
    probabilities: &[f32],
    samples: u64,
) -> (Vec<Edge>, Vec<Change>) {
    let mut segmenter = Segmenter::new(config, SamplePos(0));
    let mut edges: Vec<Edge> = Vec::new();
    for (n, &probability) in (0..).zip(probabilities) {
        let window = Window {
            start: SamplePos(n * WINDOW),
            end: SamplePos((n + 1) * WINDOW),
            decided_at: SamplePos((n + 1) * WINDOW),
            probability,
        };
        for change in segmenter.window(window) {
            match change {
                Change::Start { at, decided_at, .. } => edges.push(Edge {
                    start: true,
                    samples_index: decided_at.0,
                    speech: decided_at.since(at).0,
                    silence: 0,
                    frame: decided_at.since(segmenter.earliest_needed()).0,
                }),
                Change::End {
                    at,
                    decided_at,
                    segment_duration,
                    ..
                } => edges.push(Edge {
                    start: false,
                    samples_index: decided_at.0,
                    speech: segment_duration.0,
                    silence: decided_at.since(at).0,
                    frame: 0,
                }),
                Change::Ready { start, end, .. } => {
                    let closed = edges.last_mut().expect("an end comes before its audio");
                    assert_eq!(
                        end.0, closed.samples_index,
                        "the peer keeps all the silence"
                    );
                    closed.frame = end.since(start).0;
                }
            }
        }
    }
    let rest = segmenter.close(SamplePos(samples), EndReason::Flush);
    (edges, rest.into_iter().collect())
}

/// Checks every case of the recording. Returns how many windows and edges were equal.
fn check(json: &str) -> (usize, usize) {
    let (mut windows, mut equal) = (0, 0);
    for case in cases(json) {
        let (ours, rest) = listen(case.config, &case.probabilities, case.samples);
        let same = |edges: &[Edge]| assert_eq!(ours, edges, "{}", case.name);
        let edges: Vec<Edge> = case.edges.iter().map(|&(edge, _)| edge).collect();
        match case.note.as_str() {
            "" => {
                same(&edges);
                assert!(
                    case.edges.iter().all(|&(_, newest)| newest),
                    "{}: equal lengths mean equal audio only if it is the newest",
                    case.name
                );
            }
            "open at end" => {
                same(&edges);
                assert!(
                    edges.last().expect("speech").start,
                    "{}: the peer tells no end",
                    case.name
                );
                let [Change::End { reason, .. }, Change::Ready { start, end, .. }] = rest[..]
                else {
                    panic!("{}: {rest:?}", case.name)
                };
                assert_eq!(reason, EndReason::Flush);
                assert_eq!(start.0, edges[0].samples_index - edges[0].frame);
                assert_eq!(
                    end.0, case.samples,
                    "all that was heard, the rest of a window too"
                );
            }
            "overflow" => {
                // The peer's buffer: 1 s beside the prefix. All but the audio is equal.
                let capacity = RATE as u64 + PREFIX.0;
                let capped: Vec<Edge> = ours
                    .iter()
                    .map(|&edge| Edge {
                        frame: edge.frame.min(capacity),
                        ..edge
                    })
                    .collect();
                assert_eq!(capped, edges, "{}", case.name);
                assert!(
                    ours.iter().any(|edge| edge.frame > capacity),
                    "{}: no overflow",
                    case.name
                );
                for ((edge, newest), ours) in case.edges.iter().zip(&ours) {
                    // A capped frame is the head of the utterance: its end is what the peer lost.
                    assert!(
                        edge.start || *newest == (ours.frame <= capacity),
                        "{}",
                        case.name
                    );
                }
            }
            note => panic!("{}: no rule for `{note}`", case.name),
        }
        windows += case.probabilities.len();
        equal += ours.len();
    }
    (windows, equal)
}

const RECORDED: &str = include_str!("../../tests/data/livekit_events.json");

#[test]
fn livekit_presets_give_the_recorded_edges_durations_and_frames() {
    let (windows, edges) = check(RECORDED);
    assert!(
        windows > 2_000 && edges > 40,
        "{windows} windows, {edges} edges"
    );
}

#[test]
fn the_recording_tells_our_onset_rule_from_the_peers() {
    let differ = cases(RECORDED)
        .into_iter()
        .filter(|case| case.note.is_empty())
        .filter(|case| {
            let ours = SegmenterConfig {
                onset_dip_windows: 1,
                ..case.config
            };
            let listen = |config| listen(config, &case.probabilities, case.samples).0;
            listen(ours) != listen(case.config)
        })
        .count();
    assert!(differ >= 2, "one clip for each VAD at least");
}

#[test]
fn livekit_presets_give_the_edges_of_a_larger_recording() {
    let Some(path) = std::env::var_os("LISTENKIT_LIVEKIT_EVENTS") else {
        println!(
            "skipped: needs a recording of the peers (benches/livekit_events.py, then set LISTENKIT_LIVEKIT_EVENTS)"
        );
        return;
    };
    let json =
        std::fs::read_to_string(path).expect("LISTENKIT_LIVEKIT_EVENTS names a readable file");
    let (windows, edges) = check(&json);
    println!("equal: {edges} edges in {windows} windows");
}

#[test]
fn after_an_overflow_the_peer_starts_the_next_segment_with_old_audio_and_we_do_not() {
    let stale = cases(RECORDED)
        .into_iter()
        .filter(|case| case.note == "overflow")
        .flat_map(|case| case.edges)
        .filter(|&(edge, newest)| edge.start && !newest)
        .count();
    assert!(stale > 0, "the recording shows the peer's fault");
    // Ours, cut every second like the peer's buffer: the prefix is what came just before.
    let config = SegmenterConfig {
        max_segment: SampleCount(24_000),
        split_search: SampleCount(8_000),
        ..preset("core")
    };
    for case in cases(RECORDED)
        .iter()
        .filter(|case| case.note == "overflow")
    {
        let mut segmenter = Segmenter::new(config, SamplePos(0));
        let mut floor = SamplePos(0);
        for (n, &probability) in (0..).zip(&case.probabilities) {
            let window = Window {
                start: SamplePos(n * WINDOW),
                end: SamplePos((n + 1) * WINDOW),
                decided_at: SamplePos((n + 1) * WINDOW),
                probability,
            };
            for change in segmenter.window(window) {
                match change {
                    Change::Start { at, .. } => {
                        assert_eq!(segmenter.earliest_needed(), (at - PREFIX).max(floor));
                    }
                    Change::Ready {
                        start,
                        end,
                        continues,
                        ..
                    } => {
                        assert!(end.since(start) <= config.max_segment);
                        if continues {
                            floor = end;
                        }
                    }
                    Change::End { .. } => {}
                }
            }
        }
    }
}
