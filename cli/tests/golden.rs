//! Every case of `fixtures/` against its `expected.jsonl`.
//!
//! A change in the decisions shows here as lines that differ. If the change is meant, look at the timelines first
//! (`listenkit analyze fixtures/CASE/audio.wav --plot case.png`), then write the files again with
//! `LISTENKIT_BLESS=1 cargo test -p listenkit-cli --test golden`; the run prints what it changed.

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::{fixtures, run, str};
use serde_json::Value;

/// Kernel levels round differently, by some 1e-6 in a probability (`docs/performance.md`). Positions and reasons are compared exactly.
const PROBABILITY_TOLERANCE: f64 = 1e-4;

#[test]
fn every_fixture_gives_its_expected_events() {
    let bless = std::env::var_os("LISTENKIT_BLESS").is_some_and(|v| v == "1");
    let cases = cases();
    assert!(cases.len() >= 15, "the fixtures are there: {}", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let got = run(&analyze(&case.join("audio.wav"))).ok();
        let path = case.join("expected.jsonl");
        let expected = std::fs::read_to_string(&path).ok();
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        let report = match &expected {
            None => format!("{name}: no expected.jsonl\n"),
            Some(expected) => compare(&name, expected, got.text()),
        };
        if bless && expected.as_deref() != Some(&kept(got.text())) {
            std::fs::write(&path, kept(got.text())).expect("the fixtures can be written");
            let summary = if report.is_empty() {
                format!("{name}: last digits of probabilities\n")
            } else {
                report
            };
            print!("blessed {summary}");
        } else {
            wrong.push_str(&report);
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{wrong}\nmeant? see the head of {}",
        file!()
    );
}

/// Silence alone decides: what the turn model adds has its own golden file.
fn analyze(audio: &Path) -> [&str; 5] {
    ["analyze", "--json", "--set", "turn_model=none", str(audio)]
}

/// With the built-in turn model: questions, answers, and what they change, at the kernel levels that are fast enough to be used for
/// it. (The portable one takes seconds an answer; `core/tests/smart_turn_parity.rs` holds it against the others.)
#[test]
fn a_conversation_gives_its_expected_predictions_and_turns() {
    let case = fixtures().join("conversation-en");
    let path = case.join("expected_turns.jsonl");
    let audio = case.join("audio.wav");
    if std::env::var_os("LISTENKIT_BLESS").is_some_and(|v| v == "1") {
        let got = run(&["analyze", "--json", str(&audio)]).ok();
        std::fs::write(&path, kept(got.text())).expect("the fixtures can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("golden");
    assert!(expected.contains("turn_prediction"), "the model was asked");
    for level in ["neon", "avx2", "avx512"] {
        let got = run(&["analyze", "--json", "--kernel", level, str(&audio)]);
        if got.code == 2 && got.stderr.contains("not available") {
            continue;
        }
        let got = got.ok();
        // Byte arithmetic is chaotic: adding in another order moves an answer by up to 0.05 (portable kernels, this recording).
        // AVX2 and AVX-512 add in the same order.
        let bound = if level == "neon" { 0.06 } else { 0.01 };
        assert_eq!(compare_within(level, &expected, got.text(), bound), "");
    }
}

/// Folders with an `audio.wav`.
fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(fixtures())
        .expect("fixtures/")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.join("audio.wav").is_file())
        .collect();
    cases.sort();
    cases
}

/// The golden files were written at one kernel level; the others of this machine say the same.
#[test]
fn every_kernel_level_gives_the_expected_events() {
    let case = fixtures().join("conversation-en");
    let expected = std::fs::read_to_string(case.join("expected.jsonl")).expect("golden");
    let mut levels = 0;
    for level in ["portable", "neon", "avx2", "avx512"] {
        let audio = case.join("audio.wav");
        let got = run(&[&["--kernel", level][..], &analyze(&audio)].concat());
        if got.code == 2 && got.stderr.contains("not available") {
            continue;
        }
        assert_eq!(compare(level, &expected, got.ok().text()), "");
        levels += 1;
    }
    assert!(levels > 0, "the portable level runs everywhere");
}

/// What differs, one line each; empty if nothing does.
/// The lines that say something of the audio. The last of a recording is a digest of all probabilities, which differ in the last
/// bits between kernel levels.
fn events(got: &str) -> impl Iterator<Item = &str> {
    got.lines()
        .filter(|line| !line.starts_with(r#"{"event":"end_of_input""#))
}

/// What a golden file keeps of an output.
fn kept(got: &str) -> String {
    events(got).map(|line| format!("{line}\n")).collect()
}

fn compare(name: &str, expected: &str, got: &str) -> String {
    compare_within(name, expected, got, PROBABILITY_TOLERANCE)
}

fn compare_within(name: &str, expected: &str, got: &str, tolerance: f64) -> String {
    let mut out = String::new();
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), events(got).collect());
    if old.len() != new.len() {
        let _ = writeln!(
            out,
            "{name}: {} events expected, {} found",
            old.len(),
            new.len()
        );
    }
    for (n, (old, new)) in old.iter().zip(&new).enumerate() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        if !same(&parse(old), &parse(new), tolerance) {
            let _ = writeln!(
                out,
                "{name}, line {}:\n  expected {old}\n  found    {new}",
                n + 1
            );
        }
    }
    out
}

fn same(a: &Value, b: &Value, tolerance: f64) -> bool {
    let (Value::Object(a), Value::Object(b)) = (a, b) else {
        return a == b;
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|((key, x), (other, y))| {
            key == other
                && match (key.as_str(), x.as_f64(), y.as_f64()) {
                    ("probability" | "fused", Some(x), Some(y)) => (x - y).abs() <= tolerance,
                    _ => same(x, y, tolerance),
                }
        })
}

/// The golden files say what the program does; where the words really lie is known from how the fixtures were made.
#[test]
fn speech_is_found_where_the_words_are_and_nowhere_else() {
    // Windows are 32 ms, trained labels are generous, and a trailing breath may count: as seen, within a quarter second.
    const SLACK: f64 = 0.25;
    let mut checked = 0;
    for case in cases() {
        let name = case
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(case.join("manifest.toml")).expect("a manifest");
        let manifest: toml::Table = text.parse().expect("TOML");
        let rate = manifest["audio"]["rate_hz"].as_integer().expect("a rate") as f64;
        let words: Vec<(f64, f64)> = manifest
            .get("speech")
            .and_then(|spans| spans.as_array())
            .map(|spans| {
                let seconds = |span: &toml::Value, key: &str| {
                    span[key].as_integer().expect("samples") as f64 / rate
                };
                spans
                    .iter()
                    .map(|span| (seconds(span, "start"), seconds(span, "end")))
                    .collect()
            })
            .unwrap_or_default();
        let events = run(&analyze(&case.join("audio.wav"))).ok().json();
        let found: Vec<(f64, f64)> = events
            .iter()
            .filter(|e| e["event"] == "end_of_speech")
            .map(|e| {
                let end = e["at_s"].as_f64().expect("seconds");
                (
                    end - e["segment_duration_s"].as_f64().expect("seconds"),
                    end,
                )
            })
            .collect();
        for &(start, end) in &found {
            let known = words.iter().any(|w| start > w.0 - SLACK && start < w.1);
            assert!(known, "{name}: speech at {start:.3} s, where nobody speaks");
            let known = words.iter().any(|w| end < w.1 + SLACK && end > w.0);
            assert!(
                known,
                "{name}: speech until {end:.3} s, where nobody speaks"
            );
        }
        for &(start, end) in &words {
            let heard: f64 = found
                .iter()
                .map(|f| (f.1.min(end) - f.0.max(start)).max(0.0))
                .sum();
            let share = heard / (end - start);
            assert!(
                share > 0.7,
                "{name}: {share:.2} of the words at {start:.3} s are heard"
            );
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked} stretches of words");
}

#[test]
fn the_comparison_sees_a_moved_event_and_forgives_a_last_digit() {
    let line = r#"{"event":"start_of_speech","at":512,"probability":0.911005}"#;
    assert_eq!(compare("x", line, line), "");
    assert_eq!(
        compare("x", line, &line.replace("0.911005", "0.911006")),
        ""
    );
    assert!(compare("x", line, &line.replace("0.911005", "0.912005")).contains("line 1"));
    assert!(compare("x", line, &line.replace("512", "513")).contains("line 1"));
    assert!(compare("x", line, "").contains("1 events expected, 0 found"));
    assert!(compare("x", line, &line.replace("at", "start")).contains("line 1"));
    assert!(!same(&Value::Null, &Value::Bool(true), 0.1));
}
