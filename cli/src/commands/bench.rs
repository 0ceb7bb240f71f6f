//! `listenkit bench`: what listening costs on this machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use listenkit::KernelLevel;
use listenkit::resample::Resampler;
use listenkit::vad::{SileroVad, VadBatch, VadRate, VadState, test_signal};
use listenkit::{Detector, DetectorConfig, Frame, SampleRate, Samples};
use serde_json::json;

use crate::audio::{Buffer, Source, to_i16};
use crate::failure::Failure;
use crate::json::Line;

/// Measure speed and memory on this machine
///
/// In a few seconds: microseconds per VAD window (one stream, and 32 streams at once), per 10 ms frame of the whole
/// detector at 48 kHz, bytes per stream, streams per core, and the time from nothing to the first probability.
///
/// One thread. The work is done several times over and the pass with the least CPU time counts. Single frames are timed by
/// the clock, each at its shortest of all passes: the work is the same each time, and the rest is other programs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Recording to listen to, up to 60 s of it (default: a generated voice)
    #[arg(long, value_name = "FILE")]
    audio: Option<PathBuf>,
    /// How often the work is done; fewer is quicker and less steady
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    passes: u32,
}

const RATE_48K: SampleRate = SampleRate::HZ_48000;
const RATE_16K: SampleRate = SampleRate::HZ_16000;
/// 10 ms at 48 kHz.
const FRAME: usize = 480;
const MAX_SECONDS: usize = 60;
const BATCH: usize = 32;

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    // First, before anything has warmed up.
    let begun = Instant::now();
    let vad = super::load_vad(VadRate::Hz16000, kernel)?;
    let window = vad.rate().window_len();
    let mut first = VadState::new();
    std::hint::black_box(vad.probability(&mut first, &vec![0.0; window]));
    let load = begun.elapsed();

    let speech = match &args.audio {
        Some(path) => read_mono_48k(path)?,
        None => resampled(
            &test_signal(VadRate::Hz16000, 30 * 16_000 / window),
            RATE_16K,
            RATE_48K,
        ),
    };
    let at_16k = resampled(&speech, RATE_48K, RATE_16K);
    if at_16k.len() < window * 10 {
        return Err(Failure::input(
            "the recording is too short to measure with; use one of at least a second",
        ));
    }
    let single = vad_single(&vad, &at_16k, args.passes);
    let batch = vad_batch(&vad, &at_16k, args.passes);
    let resample = resampling(&speech, args.passes);
    let detector = whole_detector(&vad, &speech, args.passes)?;
    let streams = (1000.0 / detector.ms_per_second).floor();
    let resident = resident_per_stream(&vad, &speech)?;
    let thousand = thousand_detectors(&vad, &speech, args.passes)?;

    let us = |d: Duration| round(d.as_secs_f64() * 1e6);
    if args.json {
        let line = Line::default()
            .with("kernel", vad.kernel_level().to_string())
            .with("vad_single_us", us(single))
            .with("vad_batch32_us", us(batch))
            .with(
                "detector_48k_cpu_ms_per_audio_s",
                round(detector.ms_per_second),
            )
            .with(
                "detector_48k_frame_us",
                json!({
                    "mean": us(detector.mean),
                    "p50": us(detector.p50),
                    "p999": us(detector.p999),
                    "max": us(detector.max),
                }),
            )
            .with("resample_48k_16k_cpu_ms_per_audio_s", round(resample))
            .with("state_bytes_per_stream", detector.state_bytes)
            .with(
                "load_ms_to_first_probability",
                round(load.as_secs_f64() * 1e3),
            )
            .with("streams_per_core", streams)
            .with("thousand_detectors_core_share", round(thousand))
            .with("rss_bytes_per_stream", resident);
        return super::print(&format!("{line}\n"));
    }
    let rows = [
        ("kernel level", vad.kernel_level().to_string()),
        ("VAD, one 32 ms window", format!("{:.2} us", us(single))),
        (
            "VAD, one window of 32 streams at once",
            format!("{:.2} us per stream", us(batch)),
        ),
        (
            "detector, 10 ms frame at 48 kHz, mean",
            format!("{:.2} us", us(detector.mean)),
        ),
        (
            "    median (two of three frames end no window)",
            format!("{:.2} us", us(detector.p50)),
        ),
        (
            "    99.9th percentile",
            format!("{:.2} us", us(detector.p999)),
        ),
        ("    worst", format!("{:.2} us", us(detector.max))),
        (
            "detector, per second of audio",
            format!("{:.3} ms", detector.ms_per_second),
        ),
        (
            "  of it resampling 48 to 16 kHz",
            format!("{resample:.3} ms"),
        ),
        ("streams in real time on one core", format!("{streams:.0}")),
        (
            "1,000 detectors in turn, share of one core",
            format!("{:.0} %", thousand * 100.0),
        ),
        (
            "state of one stream",
            format!("{} bytes", detector.state_bytes),
        ),
        (
            "resident memory of one more stream that keeps audio",
            resident.map_or("not known here".into(), |bytes| {
                format!("{bytes} bytes after 3 s")
            }),
        ),
        (
            "from nothing to the first probability",
            format!("{:.2} ms", load.as_secs_f64() * 1e3),
        ),
    ];
    let mut out = format!(
        "listenkit {}, {:.0} s of audio, one thread, best of {} passes\n\n",
        env!("CARGO_PKG_VERSION"),
        speech.len() as f64 / 48_000.0,
        args.passes
    );
    for (name, value) in rows {
        out.push_str(&format!("  {name:<48} {value}\n"));
    }
    super::print(&out)
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// CPU time of one pass over the work: the least of several.
fn least(passes: u32, mut pass: impl FnMut()) -> Duration {
    let once = |_| {
        let begun = ProcessTime::now();
        pass();
        begun.elapsed()
    };
    (0..passes).map(once).min().unwrap_or_default()
}

fn vad_single(vad: &SileroVad, audio: &[f32], passes: u32) -> Duration {
    let window = vad.rate().window_len();
    let windows: Vec<&[f32]> = audio.chunks_exact(window).collect();
    let took = least(passes, || {
        let mut state = VadState::new();
        for samples in &windows {
            std::hint::black_box(vad.probability(&mut state, samples));
        }
    });
    took / u32::try_from(windows.len()).unwrap_or(1).max(1)
}

fn vad_batch(vad: &SileroVad, audio: &[f32], passes: u32) -> Duration {
    let window = vad.rate().window_len();
    let windows: Vec<&[f32]> = audio.chunks_exact(window).collect();
    // As many windows in all as one stream of the whole recording has, several times over.
    let steps = windows.len().min(320);
    let mut batch = VadBatch::new(vad.clone(), BATCH);
    let took = least(passes, || {
        let mut states: Vec<VadState> = (0..BATCH).map(|_| VadState::new()).collect();
        let mut out = [0.0; BATCH];
        for at in 0..steps {
            // Every stream hears another part, so that none shares what it reads with its neighbour.
            let now: [&[f32]; BATCH] =
                std::array::from_fn(|n| windows[(at + n * 7) % windows.len()]);
            batch.probabilities(&mut states, &now, &mut out);
            std::hint::black_box(&out);
        }
    });
    took / u32::try_from(steps * BATCH).unwrap_or(1).max(1)
}

/// Milliseconds per second of audio.
fn resampling(audio: &[f32], passes: u32) -> f64 {
    let mut resampler = Resampler::new(RATE_48K, RATE_16K);
    let mut out = vec![0.0; resampler.output_len_max(FRAME)];
    let took = least(passes, || {
        resampler.reset();
        for frame in audio.chunks(FRAME) {
            std::hint::black_box(resampler.process(frame, &mut out));
        }
    });
    took.as_secs_f64() * 1e3 / (audio.len() as f64 / 48_000.0)
}

/// Hears a frame in the stream's own format, which is never refused.
fn hear(detector: &mut Detector, frame: &[i16]) {
    if let Ok(outputs) = detector.process(Frame::i16(frame)) {
        outputs.for_each(|output| {
            std::hint::black_box(output);
        });
    }
}

struct DetectorCost {
    mean: Duration,
    p50: Duration,
    p999: Duration,
    max: Duration,
    ms_per_second: f64,
    state_bytes: usize,
}

fn whole_detector(vad: &SileroVad, audio: &[f32], passes: u32) -> Result<DetectorCost, Failure> {
    let pcm: Vec<i16> = audio.iter().map(|&v| to_i16(v)).collect();
    // As it is used: guard on, segments kept for a recogniser.
    let config = DetectorConfig::new(RATE_48K).segment_audio(true);
    let failed = |error: &dyn std::fmt::Display| Failure::input(format!("the detector: {error}"));
    let build = || Detector::new(config, vad).map_err(|error| failed(&error));
    let state_bytes = build()?.state_bytes();
    // Built before the clock starts: one for each pass.
    let mut fresh = (0..passes)
        .map(|_| build())
        .collect::<Result<Vec<_>, _>>()?;
    let whole = least(passes, || {
        if let Some(mut detector) = fresh.pop() {
            pcm.chunks_exact(FRAME)
                .for_each(|frame| hear(&mut detector, frame));
        }
    });
    drop(fresh);
    // Again with a clock around every frame, which costs some time itself.
    let mut frames = vec![Duration::MAX; pcm.chunks_exact(FRAME).len()];
    for _ in 0..passes {
        let mut detector = build()?;
        for (frame, shortest) in pcm.chunks_exact(FRAME).zip(&mut frames) {
            let begun = Instant::now();
            hear(&mut detector, frame);
            *shortest = (*shortest).min(begun.elapsed());
        }
    }
    frames.sort_unstable();
    let count = frames.len().max(1);
    let rank = |share: f64| frames[((count as f64 * share).ceil() as usize).clamp(1, count) - 1];
    Ok(DetectorCost {
        mean: frames.iter().sum::<Duration>() / u32::try_from(count).unwrap_or(u32::MAX),
        p50: rank(0.5),
        p999: rank(0.999),
        max: rank(1.0),
        ms_per_second: whole.as_secs_f64() * 1e3 / (count as f64 * 0.01),
        state_bytes,
    })
}

/// Seconds of one core that 1,000 detectors take for a second of audio each, in turn, 10 ms at a time: more state
/// than the caches hold.
fn thousand_detectors(vad: &SileroVad, audio: &[f32], passes: u32) -> Result<f64, Failure> {
    const COUNT: usize = 1000;
    const TICKS: usize = 100;
    let pcm: Vec<i16> = audio.iter().map(|&v| to_i16(v)).collect();
    let frames: Vec<&[i16]> = pcm.chunks_exact(FRAME).collect();
    let config = DetectorConfig::new(RATE_48K);
    let mut detectors = Vec::with_capacity(COUNT);
    for n in 0..COUNT {
        let mut detector = Detector::new(config, vad)
            .map_err(|error| Failure::input(format!("the detector: {error}")))?;
        // Calls do not begin on the same sample, so their windows do not end in the same frame.
        hear(&mut detector, &pcm[..n * 48 % (3 * FRAME)]);
        detectors.push(detector);
    }
    let took = least(passes, || {
        for tick in 0..TICKS {
            for (n, detector) in detectors.iter_mut().enumerate() {
                hear(detector, frames[(tick + n) % frames.len()]);
            }
        }
    });
    Ok(took.as_secs_f64() / (TICKS as f64 * 0.01))
}

/// Growth of the process's resident memory per stream, for 50 streams that keep the audio of segments and have heard 3 s.
/// `None` where the system does not tell.
fn resident_per_stream(vad: &SileroVad, audio: &[f32]) -> Result<Option<u64>, Failure> {
    const COUNT: u64 = 50;
    let pcm: Vec<i16> = audio.iter().take(3 * 48_000).map(|&v| to_i16(v)).collect();
    let config = DetectorConfig::new(RATE_48K).segment_audio(true);
    let mut detectors = Vec::with_capacity(COUNT as usize + 3);
    let mut before = None;
    for n in 0..COUNT + 3 {
        // What the first few need once and for all is not theirs.
        if n == 3 {
            before = resident_bytes();
        }
        let mut detector = Detector::new(config, vad)
            .map_err(|error| Failure::input(format!("the detector: {error}")))?;
        for frame in pcm.chunks_exact(FRAME) {
            hear(&mut detector, frame);
        }
        detectors.push(detector);
    }
    let grown = |before: u64| Some(resident_bytes()?.saturating_sub(before) / COUNT);
    Ok(before.and_then(grown))
}

/// Linux only.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// The mean of the channels at 48 kHz.
fn read_mono_48k(path: &std::path::Path) -> Result<Vec<f32>, Failure> {
    let mut source = Source::open(path, None)?;
    super::warn(&mut source);
    let format = source.format();
    let width = usize::from(format.channels);
    let limit = MAX_SECONDS * format.rate.hz() as usize;
    let mut mono = Vec::new();
    while mono.len() < limit
        && let Some(block) = source.next_block()?
    {
        let mut values = Buffer::F32(Vec::new());
        values.extend(block.samples);
        if let Samples::F32(values) = values.samples() {
            mono.extend(
                values
                    .chunks_exact(width)
                    .map(|s| s.iter().sum::<f32>() / width as f32),
            );
        }
    }
    mono.truncate(limit);
    Ok(resampled(&mono, format.rate, RATE_48K))
}

fn resampled(input: &[f32], from: SampleRate, to: SampleRate) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to).aligned();
    let mut out = vec![0.0; resampler.output_len_max(input.len()) + resampler.delay() + 1];
    let written = resampler.process(input, &mut out).written;
    let tail = resampler.flush(&mut out[written..]);
    out.truncate(written + tail);
    out
}
