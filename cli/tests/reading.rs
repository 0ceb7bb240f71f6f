//! Reading recordings: every format of `fixtures/formats` holds the same sound, every file of `fixtures/broken` gives
//! what its manifest says.

use std::path::{Path, PathBuf};

use listenkit::{SampleFormat, Samples};
use listenkit_cli::audio::{Buffer, Source, wav};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn manifest(case: &str) -> toml::Table {
    let path = fixtures().join(case).join("manifest.toml");
    let text = std::fs::read_to_string(&path).expect("the fixture has a manifest");
    text.parse().expect("the manifest is TOML")
}

fn files(manifest: &toml::Table) -> Vec<toml::Table> {
    let list = manifest["file"].as_array().expect("a list of files");
    list.iter()
        .map(|f| f.as_table().expect("a table").clone())
        .collect()
}

fn text<'a>(table: &'a toml::Table, key: &str) -> &'a str {
    table
        .get(key)
        .and_then(toml::Value::as_str)
        .unwrap_or_else(|| panic!("{key} in {table:?}"))
}

fn number(table: &toml::Table, key: &str) -> u64 {
    let value = table.get(key).and_then(toml::Value::as_integer);
    u64::try_from(value.unwrap_or_else(|| panic!("{key} in {table:?}"))).expect("not negative")
}

/// Everything in a file, or why it cannot be read: values, channels, warnings.
struct Read {
    values: Buffer,
    channels: usize,
    rate: u32,
    warnings: Vec<String>,
}

impl Read {
    fn frames(&self) -> usize {
        self.values.len() / self.channels
    }

    /// One channel as floats.
    fn mono(&self) -> Vec<f32> {
        match self.values.samples() {
            Samples::I16(v) => v
                .iter()
                .step_by(self.channels)
                .map(|&v| f32::from(v) / 32768.0)
                .collect(),
            Samples::F32(v) => v.iter().step_by(self.channels).copied().collect(),
        }
    }
}

fn read(path: &Path) -> Result<Read, String> {
    let mut source = Source::open(path, None).map_err(|error| error.to_string())?;
    let format = source.format();
    let mut values = Buffer::new(format.samples);
    while let Some(block) = source.next_block().map_err(|error| error.to_string())? {
        assert_eq!(block.format, format);
        values.extend(block.samples);
    }
    Ok(Read {
        values,
        channels: usize::from(format.channels),
        rate: format.rate.hz(),
        warnings: source.take_warnings(),
    })
}

#[test]
fn broken_files_give_what_their_manifest_says() {
    for file in files(&manifest("broken")) {
        let name = text(&file, "name");
        let path = fixtures().join("broken").join(name);
        let result = read(&path);
        match (text(&file, "expect"), result) {
            ("error", Err(message)) => {
                assert!(!message.contains('\n'), "{name}: one line: {message}");
                assert!(message.contains(name), "{name}: {message}");
            }
            ("error", Ok(_)) => panic!("{name}: should not be readable"),
            (expected, Ok(read)) => {
                assert_eq!(read.frames() as u64, number(&file, "frames"), "{name}");
                assert_eq!(
                    read.warnings.is_empty(),
                    expected == "ok",
                    "{name}: {:?}",
                    read.warnings
                );
                assert!(
                    read.warnings
                        .iter()
                        .all(|w| w.contains(name) && !w.contains('\n'))
                );
            }
            (expected, Err(message)) => panic!("{name}: expected {expected}: {message}"),
        }
    }
}

/// Largest difference between two signals over the length of the shorter.
fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn every_format_of_the_same_sound_gives_the_same_sound() {
    let folder = fixtures().join("formats");
    let plain = read(&folder.join("i16.wav")).expect("readable");
    let wide = read(&folder.join("reference-16k.wav")).expect("readable");
    for file in files(&manifest("formats")) {
        let name = text(&file, "name");
        let got = read(&folder.join(name)).unwrap_or_else(|e| panic!("{e}"));
        assert!(got.warnings.is_empty(), "{name}: {:?}", got.warnings);
        assert_eq!(u64::from(got.rate), number(&file, "rate_hz"), "{name}");
        assert_eq!(got.channels as u64, number(&file, "channels"), "{name}");
        let (frames, expected) = (got.frames() as u64, number(&file, "frames"));
        let reference = if got.rate == 8_000 { &plain } else { &wide };
        let apart = worst(&got.mono(), &reference.mono());
        match text(&file, "format") {
            // The bounds are the manifest's own, see its `compare`.
            "i16" | "i24" | "i32" | "f32" | "f64" | "flac" => {
                assert_eq!(frames, expected, "{name}");
                assert_eq!(apart, 0.0, "{name}");
            }
            "u8" => {
                assert_eq!(frames, expected, "{name}");
                assert!(apart <= 1.0 / 256.0, "{name}: {apart}");
            }
            "mulaw" => {
                assert_eq!(frames, expected, "{name}");
                assert!(apart <= 1.0 / 32.0, "{name}: {apart}");
            }
            _ => {
                assert!(frames.abs_diff(expected) <= 4096, "{name}: {frames} frames");
                let rms =
                    |v: Vec<f32>| (v.iter().map(|v| v * v).sum::<f32>() / v.len() as f32).sqrt();
                let level = 20.0 * (rms(got.mono()) / rms(reference.mono())).log10();
                // Lossy, but as loud: padding dilutes the level by at most a fifth of the length, 1 dB.
                assert!(level.abs() < 1.5, "{name}: {level:.2} dB");
            }
        }
    }
}

#[test]
fn eight_channels_stay_apart() {
    let plain = read(&fixtures().join("formats/i16.wav")).expect("readable");
    let eight = read(&fixtures().join("formats/8-channels.wav")).expect("readable");
    let (Samples::I16(one), Samples::I16(all)) = (plain.values.samples(), eight.values.samples())
    else {
        panic!("16 bits stay 16 bits");
    };
    for (sample, &value) in all.chunks_exact(8).zip(one) {
        for (channel, &got) in sample.iter().enumerate() {
            let exact = f64::from(value) * (8 - channel) as f64 / 8.0;
            assert_eq!(i32::from(got), (exact + 0.5).floor() as i32);
        }
    }
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    for name in ["i16.wav", "flac.flac", "odd-list-chunk.wav"] {
        let read = read(&fixtures().join("formats").join(name)).expect("readable");
        assert!(
            read.values.samples().format() == SampleFormat::I16,
            "{name}"
        );
    }
}

#[test]
fn streams_chained_in_one_file_are_read_one_after_the_other() {
    let one = std::fs::read(fixtures().join("formats/vorbis.ogg")).expect("readable");
    let chained = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chained.ogg");
    std::fs::write(&chained, [&one[..], &one[..]].concat()).expect("written");
    let single = read(&fixtures().join("formats/vorbis.ogg")).expect("readable");
    let double = read(&chained).expect("readable");
    assert_eq!(double.frames(), 2 * single.frames());
    assert_eq!(double.mono()[single.frames()..], single.mono()[..]);
}

#[test]
fn wav_reading_survives_any_bytes() {
    // Cuts and single-byte damage of a real file: the body of the fuzz target.
    let bytes = std::fs::read(fixtures().join("formats/i24-extensible.wav")).expect("readable");
    let head = &bytes[..bytes.len().min(400)];
    assert!(wav::read_any(head) > 0);
    for cut in 0..head.len() {
        wav::read_any(&head[..cut]);
    }
    for at in 0..head.len().min(80) {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut damaged = head.to_vec();
            damaged[at] = value;
            wav::read_any(&damaged);
        }
    }
}
