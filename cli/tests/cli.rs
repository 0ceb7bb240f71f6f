//! The program as a person or a script uses it.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{command, conversation, fixtures, pipe, run, scratch, str, wav_i16};
use serde_json::Value;

fn le_bytes(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|e| e["event"].as_str().expect("a name"))
        .collect()
}

#[test]
fn json_has_the_names_and_positions_of_the_contract() {
    let events = run(&["analyze", "--json", str(&conversation())])
        .ok()
        .json();
    let seen: BTreeSet<&str> = names(&events).into_iter().collect();
    let expected = [
        "end_of_input",
        "end_of_speech",
        "end_of_turn",
        "segment_ready",
        "start_of_speech",
        "turn_prediction",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    let (spec, values) = wav_i16(&conversation());
    let mut decided = 0;
    for event in &events {
        let at = event["at"].as_u64().expect("samples");
        let decided_at = event["decided_at"].as_u64().expect("samples");
        assert!(
            at <= decided_at && decided_at <= values.len() as u64,
            "{event}"
        );
        assert!(decided_at >= decided, "in order of decision: {event}");
        decided = decided_at;
        for (samples, seconds) in [("at", "at_s"), ("decided_at", "decided_at_s")] {
            let exact = event[samples].as_f64().expect("samples") / f64::from(spec.sample_rate);
            let shown = event[seconds].as_f64().expect("seconds");
            assert!((exact - shown).abs() < 1e-6, "{event}");
        }
    }
    for event in events.iter().filter(|e| e["event"] == "end_of_turn") {
        let keys = [
            "turn",
            "start",
            "last_voiced",
            "decided_at",
            "wait",
            "reason",
            "probability",
            "threshold",
            "min_delay",
            "max_delay",
            "delay",
        ];
        for key in keys {
            assert!(event.get(key).is_some(), "{key} in {event}");
        }
        let number = |key: &str| event[key].as_u64().expect("samples");
        assert_eq!(
            number("decided_at") - number("last_voiced"),
            number("delay")
        );
    }
    let starts = names(&events)
        .iter()
        .filter(|n| **n == "start_of_speech")
        .count();
    let ends = names(&events)
        .iter()
        .filter(|n| **n == "end_of_speech")
        .count();
    assert_eq!(starts, ends, "every start has one end");
    assert!(
        starts >= 4,
        "the conversation has at least four stretches of speech"
    );
}

#[test]
fn the_output_is_the_same_whatever_is_pushed_at_once() {
    let file = conversation();
    let whole = run(&["analyze", "--json", "--push", "100000000", str(&file)]).ok();
    assert!(!whole.stdout.is_empty());
    for push in ["1", "7", "480", "4097"] {
        let split = run(&["analyze", "--json", "--push", push, str(&file)]).ok();
        assert_eq!(split.text(), whole.text(), "--push {push}");
    }
}

#[test]
fn a_pipe_of_the_same_samples_gives_the_same_events() {
    let file = conversation();
    let (_, values) = wav_i16(&file);
    let from_file = run(&["analyze", "--json", str(&file)]).ok();
    let piped = pipe(
        &["analyze", "--json", "-", "--rate", "48000"],
        &le_bytes(&values),
    )
    .ok();
    assert_eq!(piped.text(), from_file.text());
    // As floats, full scale 1.0: the same numbers, so the same events.
    let floats: Vec<u8> = values
        .iter()
        .flat_map(|&v| (f32::from(v) / 32768.0).to_le_bytes())
        .collect();
    let args = [
        "analyze", "--json", "-", "--rate", "48000", "--format", "f32",
    ];
    assert_eq!(pipe(&args, &floats).ok().text(), from_file.text());
}

#[test]
fn several_recordings_are_told_apart() {
    let other = fixtures().join("speech-fr-8k/audio.wav");
    let events = run(&["analyze", "--json", str(&conversation()), str(&other)])
        .ok()
        .json();
    let files: BTreeSet<&str> = events
        .iter()
        .map(|e| e["file"].as_str().expect("named"))
        .collect();
    assert_eq!(files, BTreeSet::from([str(&conversation()), str(&other)]));
}

#[test]
fn one_unreadable_recording_does_not_silence_the_others() {
    let missing = fixtures().join("no-such-file.wav");
    let ran = run(&["analyze", "--json", str(&missing), str(&conversation())]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no-such-file.wav") && !ran.json().is_empty());
}

#[test]
fn the_timeline_names_every_turn_and_sums_up() {
    let ran = run(&["analyze", str(&conversation())]).ok();
    let text = ran.text();
    let turns = run(&["analyze", "--json", str(&conversation())])
        .ok()
        .json();
    let turns = turns.iter().filter(|e| e["event"] == "end_of_turn").count();
    assert_eq!(text.matches(" is over: ").count(), turns);
    assert!(text.contains(&format!("{turns} turns")) && text.contains("times real time"));
    assert!(
        ran.stderr.is_empty(),
        "no progress bar without a terminal: {}",
        ran.stderr
    );
}

#[test]
fn silence_is_said_to_be_silence() {
    let ran = run(&["analyze", str(&fixtures().join("silence-zero/audio.wav"))]).ok();
    assert!(ran.text().contains("nobody speaks"), "{}", ran.text());
}

#[test]
fn pictures_are_whole_and_show_what_was_found() {
    let folder = scratch("pictures");
    let svg = folder.join("out.svg");
    let png = folder.join("out.png");
    run(&["analyze", str(&conversation()), "--plot", str(&svg)]).ok();
    run(&[
        "analyze",
        "--json",
        str(&conversation()),
        "--plot",
        str(&png),
    ])
    .ok();
    let svg = std::fs::read_to_string(svg).expect("written");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(
        svg.contains("conversation-en/audio.wav")
            && svg.contains("48 kHz")
            && svg.contains("turn 1")
    );
    let png = std::fs::read(png).expect("written");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((side(16), side(20)), (2800, 1120));
    // A blank picture of this size packs into far less.
    assert!(png.len() > 30_000, "{} bytes", png.len());
}

#[test]
fn live_takes_as_long_as_the_audio_and_says_the_same() {
    let file = fixtures().join("formats/i16.wav");
    let (spec, values) = wav_i16(&file);
    let quick = run(&["analyze", "--json", str(&file)]).ok();
    let begun = std::time::Instant::now();
    let live = run(&["analyze", "--json", "--live", str(&file)]).ok();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(live.text(), quick.text());
    assert!(
        took >= values.len() as f64 / f64::from(spec.sample_rate),
        "{took} s"
    );
}

#[test]
fn settings_come_from_the_file_and_the_command_line_wins() {
    let folder = scratch("settings");
    let toml = folder.join("patient.toml");
    std::fs::write(
        &toml,
        "min_delay = \"1.2s\"\nmin_silence_duration = \"500ms\"\n",
    )
    .expect("written");
    let delay = |args: &[&str]| {
        let events = run(args).ok().json();
        let turn = events
            .into_iter()
            .find(|e| e["event"] == "end_of_turn")
            .expect("a turn");
        turn["min_delay_s"].as_f64().expect("seconds")
    };
    let file = conversation();
    let from_file = ["analyze", "--json", "--config", str(&toml), str(&file)];
    assert_eq!(delay(&from_file), 1.2);
    let over = [
        "analyze",
        "--json",
        "--config",
        str(&toml),
        "--set",
        "min_delay=800ms",
        str(&file),
    ];
    assert_eq!(delay(&over), 0.8);
    std::fs::write(&toml, "min_delay = \"1s\"\n\nmin_silenc = \"500ms\"\n").expect("written");
    let wrong = run(&from_file);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("patient.toml:3:"),
        "the line is named: {}",
        wrong.stderr
    );
    assert!(
        wrong.stderr.contains("`min_silence_duration`"),
        "valid keys are listed: {}",
        wrong.stderr
    );
}

#[test]
fn broken_files_end_in_one_line_or_a_warning() {
    let text = std::fs::read_to_string(fixtures().join("broken/manifest.toml")).expect("manifest");
    let manifest: toml::Table = text.parse().expect("TOML");
    for file in manifest["file"].as_array().expect("files") {
        let name = file["name"].as_str().expect("a name");
        let path = fixtures().join("broken").join(name);
        let ran = run(&["analyze", "--json", str(&path)]);
        match file["expect"].as_str().expect("expect") {
            "error" => {
                assert_eq!(ran.code, 1, "{name}");
                assert_eq!(ran.stderr.lines().count(), 1, "{name}: {}", ran.stderr);
                assert!(
                    ran.stderr.starts_with("error: ") && ran.stderr.contains(name),
                    "{}",
                    ran.stderr
                );
                assert!(ran.stdout.is_empty(), "{name}");
            }
            "warning" => {
                assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
                assert!(
                    ran.stderr.starts_with("warning: ") && ran.stderr.contains(name),
                    "{}",
                    ran.stderr
                );
            }
            _ => {
                assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
                assert!(ran.stderr.is_empty(), "{name}: {}", ran.stderr);
            }
        }
    }
}

#[test]
fn standard_input_that_is_not_pcm_gives_one_line_and_nothing_else() {
    let wav = std::fs::read(fixtures().join("clicks/audio.wav")).expect("readable");
    for (input, word) in [(&wav[..], "a WAV file"), (&[], "no audio")] {
        let ran = pipe(&["analyze", "-", "--rate", "48000"], input);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stdout.is_empty(), "no header before the error");
    }
}

#[cfg(unix)]
#[test]
fn pipes_by_name_are_refused_with_a_way_out() {
    // Standard input as a file: a pipe here, whatever is in it.
    let ran = pipe(&["analyze", "/dev/stdin"], b"RIFF");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("is a pipe") && ran.stderr.contains("`-`"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.is_empty());
}

#[test]
fn places_that_cannot_be_written_are_named_before_anything_is_heard() {
    let folder = scratch("unwritable");
    std::fs::create_dir(folder.join("dir.svg")).expect("created");
    std::fs::write(folder.join("file"), "kept").expect("written");
    let clip = fixtures().join("clicks/audio.wav");
    let cases = [
        ("--plot", "dir.svg", "name a file"),
        ("--plot", "file/x.svg", "not a folder"),
        ("--plot", "missing/x.svg", "create it first"),
        ("--out", "file", "needs a folder"),
        ("--out", "file/sub", "not a folder"),
    ];
    for (option, place, word) in cases {
        let command = if option == "--out" {
            "segment"
        } else {
            "analyze"
        };
        let place = folder.join(place);
        let ran = run(&[command, str(&clip), option, str(&place)]);
        assert_eq!(ran.code, 1, "{place:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{place:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{place:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{place:?}");
    }
    assert_eq!(std::fs::read(folder.join("file")).expect("there"), b"kept");
    // Looking whether a place can be written leaves nothing there when the recording then fails.
    let place = folder.join("later.svg");
    assert_eq!(
        run(&["analyze", "missing.wav", "--plot", str(&place)]).code,
        1
    );
    assert!(!place.exists());
}

#[test]
fn wrong_usage_is_one_line_and_code_2() {
    let clip = fixtures().join("clicks/audio.wav");
    let clip = str(&clip);
    let cases: &[(&[&str], &str)] = &[
        (&["frobnicate"], "frobnicate"),
        (&["analyze"], "FILE"),
        (&["analyze", "--jsn", clip], "--json"),
        (&["analyze", "-"], "--rate"),
        (&["analyze", "--push", "0", clip], "1 or more"),
        (&["analyze", "--plot", "x.jpg", clip], ".svg or .png"),
        (&["analyze", "--plot", "x.png", clip, clip], "one FILE"),
        (&["analyze", "--set", "min_delay=3", clip], "250ms"),
        (
            &[
                "analyze",
                "--set",
                "min_delay=9s",
                "--set",
                "max_delay=3s",
                clip,
            ],
            "max_delay",
        ),
        (&["analyze", "--set", "channel=3", clip], "channel"),
        (&["analyze", "--kernel", "mmx", clip], "avx2"),
        (&["vad", "--csv", "--f32", clip], "--f32"),
        (&["vad", "-"], "--rate"),
        (&["segment", clip], "--out"),
        (&["resample", clip, "out.mp3", "--rate", "8000"], ".wav"),
        (&["resample", clip, clip, "--rate", "8000"], "same file"),
        (&["resample", "-", "-", "--rate", "8000"], "--from"),
        (
            &["resample", clip, "out.wav", "--rate", "5"],
            "4000 to 192000",
        ),
    ];
    for (args, word) in cases {
        let ran = run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("error: ") && ran.stderr.contains(word),
            "{args:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn help_is_an_answer_not_an_error() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["config"],
        &["help", "vad"],
        &["bench", "--help"],
    ] {
        let ran = run(args).ok();
        assert!(!ran.stdout.is_empty() && ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_closed_output_is_no_error() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let file = conversation();
    let mut child = command(&["vad", str(&file)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn vad_prints_one_row_per_window_the_last_filled_up() {
    let file = fixtures().join("speech-fr-8k/audio.wav");
    let (spec, values) = wav_i16(&file);
    let ran = run(&["vad", str(&file), "--csv"]).ok();
    let mut lines = ran.text().lines();
    assert_eq!(lines.next(), Some("sample,time_s,probability"));
    // 32 ms at 8 kHz.
    let expected = values.len().div_ceil(256);
    let mut rows = 0;
    for (n, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let [sample, time, probability] = fields[..] else {
            panic!("{line}")
        };
        assert_eq!(sample.parse::<usize>().expect("samples"), n * 256);
        let exact = (n * 256) as f64 / f64::from(spec.sample_rate);
        assert!((time.parse::<f64>().expect("seconds") - exact).abs() < 1e-6);
        assert!((0.0..=1.0).contains(&probability.parse::<f32>().expect("a probability")));
        rows += 1;
    }
    assert_eq!(rows, expected);
    // Bare floats are the same numbers.
    let bare = run(&["vad", str(&file), "--f32"]).ok().floats();
    let printed: Vec<f32> = ran
        .text()
        .lines()
        .skip(1)
        .map(|l| l.rsplit(',').next().expect("p").parse().expect("p"))
        .collect();
    assert_eq!(bare, printed);
}

#[test]
fn vad_hears_speech_and_not_silence() {
    let mean = |case: &str| {
        let p = run(&[
            "vad",
            "--f32",
            str(&fixtures().join(case).join("audio.wav")),
        ])
        .ok()
        .floats();
        p.iter().sum::<f32>() / p.len() as f32
    };
    assert!(mean("speech-es-44k1") > 0.5);
    assert!(mean("silence-zero") < 0.1);
    let p = run(&["vad", "--f32", "--guard", "on", str(&conversation())])
        .ok()
        .floats();
    let q = run(&["vad", "--f32", "--guard", "off", str(&conversation())])
        .ok()
        .floats();
    assert_eq!(p.len(), q.len());
}

#[test]
fn segments_are_the_samples_of_the_recording() {
    let folder = scratch("segments");
    let stereo = fixtures().join("speech-ru-16k-stereo/audio.wav");
    for (file, name) in [(conversation(), "mono"), (stereo, "stereo")] {
        let out = folder.join(name);
        run(&["segment", str(&file), "--out", str(&out)]).ok();
        let (spec, values) = wav_i16(&file);
        let width = usize::from(spec.channels);
        let list = std::fs::read_to_string(out.join("segments.jsonl")).expect("the list");
        let mut end_before = 0;
        let mut count = 0;
        for line in list.lines() {
            let segment: Value = serde_json::from_str(line).expect("JSON");
            let number = |key: &str| segment[key].as_u64().expect("samples") as usize;
            let (start, end) = (number("start"), number("end"));
            assert!(start >= end_before && end > start, "{line}");
            assert_eq!(number("duration"), end - start);
            let seconds = segment["start_s"].as_f64().expect("seconds");
            assert!((seconds - start as f64 / f64::from(spec.sample_rate)).abs() < 1e-6);
            let file = out.join(segment["file"].as_str().expect("a name"));
            let (got_spec, got) = wav_i16(&file);
            assert_eq!(got_spec, spec);
            assert_eq!(
                got,
                values[start * width..end * width],
                "{}",
                file.display()
            );
            end_before = end;
            count += 1;
        }
        assert!(count > 0);
        let again = run(&["segment", str(&file), "--out", str(&out)]);
        assert_eq!(again.code, 2, "nothing is overwritten unasked");
        run(&["segment", str(&file), "--out", str(&out), "--overwrite"]).ok();
    }
}

#[test]
fn long_speech_is_split_without_losing_a_sample() {
    let out = scratch("split").join("parts");
    let file = conversation();
    let set = [
        "--set",
        "max_segment_duration=2s",
        "--set",
        "prefix_padding_duration=100ms",
    ];
    let mut args = vec!["segment", str(&file), "--out", str(&out)];
    args.extend(set);
    run(&args).ok();
    let list = std::fs::read_to_string(out.join("segments.jsonl")).expect("the list");
    let segments: Vec<Value> = list
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let continued = segments.iter().filter(|s| s["continues"] == true).count();
    assert!(continued > 0, "speech of more than 2 s is split");
    for pair in segments
        .windows(2)
        .filter(|pair| pair[0]["continues"] == true)
    {
        assert_eq!(pair[0]["end"], pair[1]["start"]);
        assert_eq!(pair[0]["segment"], pair[1]["segment"]);
    }
}

#[test]
fn resampling_keeps_length_channels_and_kind() {
    let folder = scratch("resample");
    let cases = [
        (conversation(), 16_000_u32),
        (fixtures().join("speech-ru-16k-stereo/audio.wav"), 48_000),
        (fixtures().join("speech-es-44k1/audio.wav"), 44_100),
        (fixtures().join("synthetic-de-12k-f32/audio.wav"), 8_000),
    ];
    for (file, rate) in cases {
        let out = folder.join("out.wav");
        run(&[
            "resample",
            str(&file),
            str(&out),
            "--rate",
            &rate.to_string(),
        ])
        .ok();
        let before = hound::WavReader::open(&file).expect("WAV");
        let after = hound::WavReader::open(&out).expect("WAV");
        let (from, to) = (before.spec(), after.spec());
        assert_eq!(to.sample_rate, rate);
        assert_eq!(
            (to.channels, to.bits_per_sample, to.sample_format),
            (from.channels, from.bits_per_sample, from.sample_format)
        );
        let exact = u64::from(before.duration()) * u64::from(rate);
        let exact = exact.div_ceil(u64::from(from.sample_rate));
        assert_eq!(u64::from(after.duration()), exact, "{}", file.display());
        if rate == from.sample_rate {
            assert_eq!(wav_i16(&file).1, wav_i16(&out).1, "the same rate is a copy");
        }
    }
}

#[test]
fn resampling_moves_nothing_in_time() {
    // A tone burst at 48 kHz: after conversion it lies at the same time, at the same level.
    let folder = scratch("resample-tone");
    let (input, output) = (folder.join("in.wav"), folder.join("out.wav"));
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let tone = |n: f64, rate: f64| {
        let t = n / rate;
        let envelope = (-((t - 0.25) / 0.05).powi(2)).exp();
        (t * 1000.0 * std::f64::consts::TAU).sin() * envelope * 0.5
    };
    let mut writer = hound::WavWriter::create(&input, spec).expect("written");
    for n in 0..24_000 {
        writer
            .write_sample((tone(f64::from(n), 48_000.0) * 32768.0).round() as i16)
            .expect("written");
    }
    writer.finalize().expect("written");
    run(&["resample", str(&input), str(&output), "--rate", "16000"]).ok();
    let (_, values) = wav_i16(&output);
    assert_eq!(values.len(), 8_000);
    for (n, &value) in values.iter().enumerate() {
        let exact = tone(n as f64, 16_000.0) * 32768.0;
        // Two roundings to 16 bits, and a ripple of less than 0.02 dB (0.2 %) of half scale.
        assert!(
            (f64::from(value) - exact).abs() < 40.0,
            "sample {n}: {value}, {exact}"
        );
    }
}

#[test]
fn resampling_through_a_pipe_is_raw_floats_both_ways() {
    let ramp: Vec<f32> = (0..4800).map(|n| (n as f32 * 0.01).sin() * 0.25).collect();
    let bytes: Vec<u8> = ramp.iter().flat_map(|v| v.to_le_bytes()).collect();
    let args = ["resample", "-", "-", "--from", "48000", "--rate", "16000"];
    let kept = pipe(&args, &bytes).ok().floats();
    let removed = pipe(&[&args[..], &["--delay", "remove"]].concat(), &bytes)
        .ok()
        .floats();
    assert_eq!(removed.len(), 1600);
    let delay = kept.len() - removed.len();
    assert!(delay > 0 && delay <= 48, "at most 3 ms: {delay}");
    assert_eq!(kept[delay..], removed[..]);
    let same = ["resample", "-", "-", "--from", "16000", "--rate", "16000"];
    assert_eq!(pipe(&same, &bytes).ok().floats(), ramp);
}

#[test]
fn models_name_their_licence_and_pass_their_test() {
    let ran = run(&["models"]).ok();
    for word in [
        "silero_vad",
        "6.2.3",
        "MIT",
        "smart_turn",
        "3.2",
        "BSD-2-Clause",
        "sha256",
        "passed",
    ] {
        assert!(ran.text().contains(word), "{word}: {}", ran.text());
    }
    for model in run(&["models", "--json"]).ok().json() {
        assert_eq!(model["self_test"], "passed");
        assert_eq!(model["sha256"].as_str().expect("hex").len(), 64);
    }
}

#[test]
fn json_ends_with_the_fingerprint_of_the_timeline() {
    let text = run(&["analyze", str(&conversation())]).ok();
    let events = run(&["analyze", "--json", str(&conversation())])
        .ok()
        .json();
    let last = events.last().expect("a last line");
    assert_eq!(last["event"], "end_of_input");
    let fingerprint = last["fingerprint"].as_str().expect("a digest");
    assert_eq!(fingerprint.len(), 16);
    let said = text
        .text()
        .lines()
        .filter(|line| line.ends_with(fingerprint));
    assert_eq!(said.count(), 1);
    let (_, values) = wav_i16(&conversation());
    assert_eq!(last["at"].as_u64(), Some(values.len() as u64));
}

#[test]
fn an_unchanged_recording_gives_an_unchanged_fingerprint() {
    let print = |path: &Path| {
        let ran = run(&["analyze", str(path)]).ok();
        let text = ran.text().to_string();
        text.split("fingerprint ")
            .nth(1)
            .expect("a fingerprint")
            .trim()
            .to_string()
    };
    assert_eq!(print(&conversation()), print(&conversation()));
    assert_ne!(
        print(&conversation()),
        print(&fixtures().join("clicks/audio.wav"))
    );
}

#[test]
fn bench_gives_every_figure_that_others_read() {
    let clip = fixtures().join("formats/i16.wav");
    let ran = run(&["bench", "--json", "--passes", "1", "--audio", str(&clip)]).ok();
    let [figures] = &ran.json()[..] else {
        panic!("one object: {}", ran.text())
    };
    assert!(figures["kernel"].is_string());
    let keys = [
        "vad_single_us",
        "vad_batch32_us",
        "detector_48k_cpu_ms_per_audio_s",
        "resample_48k_16k_cpu_ms_per_audio_s",
        "state_bytes_per_stream",
        "load_ms_to_first_probability",
        "streams_per_core",
        "thousand_detectors_core_share",
    ];
    for key in keys {
        assert!(
            figures[key].as_f64().is_some_and(|v| v > 0.0),
            "{key}: {figures}"
        );
    }
    let frame = |key: &str| {
        figures["detector_48k_frame_us"][key]
            .as_f64()
            .expect("a time")
    };
    assert!(frame("p50") <= frame("p999") && frame("p999") <= frame("max"));
    assert!(frame("mean") <= frame("max"));
}

/// The model, not silence: one pause inside a sentence, one behind it, judged the other way round.
#[test]
fn turn_prints_a_probability_a_recording() {
    let file = conversation();
    let ran = run(&["turn", "--json", "--at", "3.4", str(&file)]).ok();
    let said = &ran.json()[0];
    assert_eq!(said["at_s"], 3.4);
    let p = |at: &str, more: &[&str]| {
        let args = [&["turn", "--json", "--at", at][..], more, &[str(&file)]].concat();
        run(&args).ok().json()[0]["end_of_turn_probability"]
            .as_f64()
            .expect("a probability")
    };
    assert!(p("3.4", &[]) > 0.9, "a sentence ends here");
    assert!(p("6.55", &[]) < 0.1, "it goes on behind this pause");
    for at in ["3.4", "6.55"] {
        let (fast, exact) = (p(at, &[]), p(at, &["--exact"]));
        assert!((fast - exact).abs() < 0.1, "at {at}: {fast} and {exact}");
    }
    let ran = run(&[
        "turn",
        str(&file),
        str(&fixtures().join("speech-fr-8k/audio.wav")),
    ])
    .ok();
    let lines: Vec<&str> = ran.text().lines().collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let (p, name) = line.split_once("  ").expect("two columns");
        assert!(
            (0.0..=1.0).contains(&p.parse::<f64>().expect("a number"))
                && name.contains("audio.wav")
        );
    }
    assert_eq!(run(&["turn", "--at", "99", str(&file)]).code, 1);
    let early = run(&["turn", "--at", "0.000001", str(&file)]);
    assert!(
        early.code == 2 && early.stdout.is_empty(),
        "{}",
        early.stderr
    );
    assert_eq!(run(&["turn", "--at", "-1", str(&file)]).code, 2);
}

/// Only the end of a recording is kept, so that an hour needs no more memory than a minute.
#[test]
fn turn_hears_the_end_of_a_long_recording() {
    let (spec, values) = wav_i16(&conversation());
    let rate = spec.sample_rate as usize;
    let answer = &values[rate * 106 / 10..rate * 113 / 10];
    let said = |lead: usize, more: &[&str]| {
        let mut input = le_bytes(&vec![0; lead * rate]);
        input.extend(le_bytes(answer));
        let args = ["turn", "-", "--json", "--rate", "48000"];
        pipe(&[&args[..], more].concat(), &input).ok().json()[0].clone()
    };
    let p = |line: &Value| line["end_of_turn_probability"].as_f64().expect("there");
    let (short, long) = (said(12, &[]), said(45, &[]));
    assert_eq!(long["at_s"], 45.7);
    // Printed with six digits; the resampler's sums may round differently.
    assert!((p(&short) - p(&long)).abs() < 1e-4, "{short} {long}");
    let (short, long) = (said(12, &["--at", "12.3"]), said(45, &["--at", "45.3"]));
    assert!((p(&short) - p(&long)).abs() < 1e-4, "{short} {long}");
}

/// A French announcement as one turn: its speaker pauses for 0.70 s, and is heard again 0.77 s after the first sentence.
fn manifest(folder: &Path) -> PathBuf {
    let path = folder.join("turns.jsonl");
    let audio = fixtures().join("speech-fr-8k/audio.wav");
    let audio = audio.canonicalize().expect("there");
    let text = format!(
        "# One turn.\n{{\"audio\": {:?}, \"language\": \"fr\", \"turn_end\": 6.272, \"pauses\": [[2.72, 3.424]]}}\n",
        str(&audio)
    );
    std::fs::write(&path, text).expect("writable");
    path
}

#[test]
fn replay_scores_the_presets_and_a_sweep_recommends_settings_that_analyze_takes() {
    let folder = scratch("replay");
    let (manifest, toml, svg) = (
        manifest(&folder),
        folder.join("best.toml"),
        folder.join("t.svg"),
    );
    let ran = run(&["replay", str(&manifest)]).ok();
    for name in ["fast", "balanced", "patient", "silence alone"] {
        assert!(ran.text().contains(name), "{}", ran.text());
    }
    let again = run(&["replay", str(&manifest)]).ok();
    assert_eq!(again.text(), ran.text(), "deterministic");
    let args = [
        "replay",
        str(&manifest),
        "--sweep",
        "--json",
        "--out",
        str(&toml),
        "--plot",
        str(&svg),
        "--set",
        "min_speech_duration=64ms",
    ];
    let swept = run(&args).ok().json();
    let best = swept.iter().filter(|line| line["recommended"] == true);
    let best: Vec<&Value> = best.collect();
    assert_eq!(best.len(), 1);
    // What was found with other settings is recommended with them.
    let recommended = std::fs::read_to_string(&toml).expect("written");
    let settings = best[0]["settings"].as_str().expect("TOML");
    assert!(
        recommended.ends_with(settings) && settings.contains("min_speech_duration  = \"64ms\""),
        "{recommended}"
    );
    // Silence alone: as can be told from the label.
    let mut silences = 0;
    for line in swept.iter().filter(|line| line.get("silence_s").is_some()) {
        let number = |key: &str| line[key].as_f64().expect("a number");
        let (delay, cut_off, wait) = (
            number("silence_s"),
            number("cut_off"),
            number("mean_wait_s"),
        );
        assert!(
            (wait - delay).abs() < 0.1,
            "{delay} s of silence, {wait} s waited"
        );
        // Between the two it depends on how the windows fall.
        if !(0.68..0.78).contains(&delay) {
            assert_eq!(cut_off, f64::from(u8::from(delay < 0.7)), "{delay} s");
        }
        silences += 1;
    }
    assert!(silences > 8);
    assert!(
        std::fs::read_to_string(&svg)
            .expect("drawn")
            .contains("<svg")
    );
    run(&["analyze", "--config", str(&toml), str(&conversation())]).ok();
}

#[test]
fn a_manifest_that_cannot_be_is_refused_with_its_line() {
    let folder = scratch("replay-wrong");
    let path = folder.join("wrong.jsonl");
    let audio = conversation().canonicalize().expect("there");
    let audio = str(&audio);
    for (text, code, says) in [
        (String::new(), 2, "holds no turns"),
        ("\n{\"audio\": 1}\n".into(), 2, "wrong.jsonl:2"),
        (
            format!("{{\"audio\": {audio:?}, \"turn_end\": 99}}"),
            1,
            "turn_end",
        ),
        (
            "{\"audio\": \"none.wav\", \"turn_end\": 1}".into(),
            1,
            "none.wav",
        ),
    ] {
        std::fs::write(&path, &text).expect("writable");
        let ran = run(&["replay", str(&path)]);
        assert_eq!(ran.code, code, "{text}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(says) && ran.stderr.lines().count() == 1,
            "{}",
            ran.stderr
        );
    }
    let text = format!("{{\"audio\": {audio:?}, \"turn_end\": 16.1}}\n");
    std::fs::write(&path, text.repeat(2)).expect("writable");
    let twice = run(&["replay", str(&path)]);
    assert!(
        twice.code == 2
            && twice.stderr.contains("wrong.jsonl:2")
            && twice.stderr.contains("line 1"),
        "{}",
        twice.stderr
    );
    std::fs::write(&path, &text).expect("writable");
    let ran = run(&["replay", str(&path), "--language", "pt-BR"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("names no languages"),
        "{}",
        ran.stderr
    );
    let ran = run(&["replay", str(&manifest(&folder)), "--language", "fi"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("the manifest has fr"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_manifest_is_read_however_an_editor_left_it() {
    let folder = scratch("replay-editor");
    let turns = folder.join("my turns");
    std::fs::create_dir(&turns).expect("writable");
    std::fs::copy(conversation(), turns.join("a b.wav")).expect("copied");
    let line = "{\"audio\": \"a b.wav\", \"language\": \"en-US\", \"turn_end\": 3.296}";
    let said = |text: String| {
        let path = turns.join("m.jsonl");
        std::fs::write(&path, text).expect("writable");
        let ran = run(&["replay", str(&path), "--language", "en"]).ok();
        ran.text().to_string()
    };
    let plain = said(format!("{line}\n"));
    assert!(plain.contains("1 turn, 0 pauses"), "{plain}");
    assert_eq!(said(format!("\u{feff}# turns\r\n\r\n{line}\r\n")), plain);
}

#[test]
fn replay_tries_its_files_before_it_hears_anything() {
    let folder = scratch("replay-files");
    let manifest = manifest(&folder);
    let before = std::fs::read(&manifest).expect("there");
    let nowhere = folder.join("none/x.svg");
    let (svg, toml) = (folder.join("x.svg"), folder.join("x.toml"));
    for (more, code, says) in [
        (["--plot", "x.gif"], 2, ".svg or .png"),
        (["--plot", str(&nowhere)], 1, "folder does not exist"),
        (["--out", str(&nowhere)], 1, "folder does not exist"),
        (["--out", str(&folder)], 1, "is a folder"),
        (["--out", str(&manifest)], 2, "is the manifest"),
    ] {
        let ran = run(&[&["replay", str(&manifest), "--sweep"], &more[..]].concat());
        assert_eq!(ran.code, code, "{more:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(says) && ran.stderr.lines().count() == 1 && ran.stdout.is_empty(),
            "{more:?}: {}",
            ran.stderr
        );
    }
    let both = ["--plot", str(&svg), "--out", str(&svg)];
    let ran = run(&[&["replay", str(&manifest), "--sweep"], &both[..]].concat());
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_eq!(std::fs::read(&manifest).expect("there"), before);
    assert!(!svg.exists() && !toml.exists(), "nothing is left behind");
}

#[test]
fn replay_asks_each_language_by_its_own_threshold() {
    let folder = scratch("replay-language");
    let audio = conversation().canonicalize().expect("there");
    let path = folder.join("turns.jsonl");
    let text = format!(
        "{{\"audio\": {:?}, \"language\": \"en\", \"turn_end\": 3.296}}\n",
        str(&audio)
    );
    std::fs::write(&path, text).expect("writable");
    let wait = |set: &str| {
        let ran = run(&["replay", "--json", "--set", set, str(&path)]).ok();
        ran.json()[0]["mean_wait_s"].as_f64().expect("a wait")
    };
    // The model is sure that this sentence is finished (0.99), but not that sure.
    let (own, other) = (
        wait("unlikely_thresholds={en=1.0}"),
        wait("unlikely_thresholds={fi=1.0}"),
    );
    assert!(own > other + 0.3, "{own} and {other}");
}

#[test]
fn a_turn_model_may_come_from_a_file_and_must_be_one() {
    let models = fixtures().join("../models");
    let own = models.join("smart_turn/smart_turn.lkw");
    let silero = models.join("silero_vad/silero_vad.lkw");
    let clip = fixtures().join("speech-fr-8k/audio.wav");
    let built_in = run(&["turn", str(&clip)]).ok();
    let from_file = run(&["turn", "--model", str(&own), str(&clip)]).ok();
    assert_eq!(from_file.text(), built_in.text());
    let set = format!("turn_model={}", str(&silero));
    for (args, says) in [
        (
            vec!["turn", "--model", str(&silero), str(&clip)],
            "silero_vad.lkw",
        ),
        (vec!["analyze", "--set", &set, str(&clip)], "silero_vad.lkw"),
        (
            vec!["turn", "--model", "none.lkw", str(&clip)],
            "no such file",
        ),
    ] {
        let ran = run(&args);
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(
            ran.stderr.contains(says) && ran.stderr.lines().count() == 1,
            "{}",
            ran.stderr
        );
    }
    assert_eq!(
        run(&["analyze", "--set", "turn_model=whisper", str(&clip)]).code,
        2
    );
}
