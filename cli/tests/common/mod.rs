//! Runs the real program.

#![allow(dead_code, reason = "not every test uses every helper")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The main example: one side of a call, 48 kHz, 16-bit.
pub(crate) fn conversation() -> PathBuf {
    fixtures().join("conversation-en/audio.wav")
}

/// A fresh, empty folder for one test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the target folder can be written");
    path
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Standard output as JSON, one object per line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// Standard output as little-endian floats.
    pub(crate) fn floats(&self) -> Vec<f32> {
        let (values, rest) = self.stdout.as_chunks::<4>();
        assert!(rest.is_empty(), "whole floats");
        values.iter().map(|&b| f32::from_le_bytes(b)).collect()
    }
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().expect("not killed by a signal"),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_listenkit"));
    command.args(args);
    command
}

pub(crate) fn run(args: &[&str]) -> Ran {
    ran(command(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs"))
}

/// Runs with `input` on standard input.
pub(crate) fn pipe(args: &[&str], input: &[u8]) -> Ran {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that stops early closes the pipe; its exit code tells.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer ends");
    ran(output)
}

/// Values and format of a WAV file, by `hound` alone.
pub(crate) fn wav_i16(path: &Path) -> (hound::WavSpec, Vec<i16>) {
    let mut reader =
        hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    (
        spec,
        reader
            .samples::<i16>()
            .map(|s| s.expect("a sample"))
            .collect(),
    )
}

pub(crate) fn str(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
