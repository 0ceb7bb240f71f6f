//! The project's recordings as frames.

use std::path::PathBuf;

use listenkit_session::AudioFrame;

/// A recording with its format.
pub(crate) struct Recording {
    pub(crate) samples: Vec<i16>,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
}

fn folder(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(case)
}

/// A recording of 16-bit samples; a missing one is a failure.
pub(crate) fn recording(case: &str) -> Recording {
    let path = folder(case).join("audio.wav");
    let mut reader =
        hound::WavReader::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!(
        (spec.bits_per_sample, spec.sample_format),
        (16, hound::SampleFormat::Int)
    );
    Recording {
        samples: reader
            .samples()
            .map(|s| s.expect("16-bit samples"))
            .collect(),
        rate: spec.sample_rate,
        channels: u32::from(spec.channels),
    }
}

#[allow(
    dead_code,
    reason = "not every test that reads recordings wants frames"
)]
impl Recording {
    /// Its samples as frames of 10 ms; the last may be shorter.
    pub(crate) fn frames(&self) -> Vec<AudioFrame> {
        self.frames_of(self.rate as usize / 100)
    }

    /// Its samples as frames of this many samples.
    pub(crate) fn frames_of(&self, len: usize) -> Vec<AudioFrame> {
        self.samples
            .chunks(len * self.channels as usize)
            .map(|part| AudioFrame::new(part, self.rate, self.channels).expect("whole samples"))
            .collect()
    }
}

/// The events of this name that the detector is known to give for the recording.
pub(crate) fn expected(case: &str, event: &str) -> Vec<serde_json::Value> {
    let path = folder(case).join("expected.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON lines"))
        .filter(|value| value["event"] == event)
        .collect()
}
