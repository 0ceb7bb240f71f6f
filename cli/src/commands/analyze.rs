//! `listenkit analyze`: a timeline of a recording, as text, JSON or a picture.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use listenkit::{Audio, Detector, Event, KernelLevel, Precision, SampleRate, Samples, SmartTurn};

use super::timeline::{HEADER, Timeline, counted};
use super::{RawArgs, describe, kilohertz, try_writing, warn};
use crate::audio::{Block, Source};
use crate::config::{Config, ConfigArgs};
use crate::failure::Failure;
use crate::json;
use crate::listen::{Listener, Pace, listen};
use crate::plot::{Envelope, Figure, Picture, Prediction, Span, Turn, Window};
use crate::turns::TurnHost;

/// Show when somebody speaks and when their turn is over
///
/// Reads WAV, FLAC, MP3, OGG Vorbis, M4A (AAC), or raw PCM from a pipe (`-`). Prints stretches of speech, the pauses between
/// them with what the turn model (Smart Turn v3.2, built in) thought of each, and the end of each turn with what was
/// waited for. With --set turn_model=none silence alone decides, which is many times faster.
///
/// Example: listenkit analyze call.wav --plot call.png --set min_delay=800ms
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Recordings, or `-` for raw PCM on standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON object per event and line; positions in samples at the file's rate
    #[arg(long)]
    json: bool,
    /// Draw waveform, probability, speech and turn ends; one recording only
    #[arg(long, value_name = "OUT.svg|OUT.png")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Take as long as the audio lasts, and print every event when it is decided
    #[arg(long)]
    live: bool,
    /// Samples per push (default: 10 ms); the output is the same whatever it is
    #[arg(long, value_name = "SAMPLES", value_parser = at_least_one)]
    push: Option<NonZeroUsize>,
    #[command(flatten)]
    raw: RawArgs,
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "use a whole number of samples, 1 or more".into())
}

pub(crate) fn run(args: &Args, kernel: Option<KernelLevel>) -> Result<(), Failure> {
    let config = args.config.read()?;
    let picture = match &args.plot {
        Some(path) if args.files.len() > 1 => {
            return Err(Failure::usage(format!(
                "--plot {}: draws one recording; give one FILE",
                path.display()
            )));
        }
        Some(path) => {
            let picture = Picture::of(path)?;
            // Before an hour of audio has been heard for nothing.
            try_writing(path).map_err(|error| Failure::writing(path, &error))?;
            Some((path.as_path(), picture))
        }
        None => None,
    };
    let model = match config.turn_model(Some(Precision::Fast)) {
        Some(precision) => Some(super::load_turn_model(
            precision,
            kernel,
            config.turn_model_file(),
        )?),
        None => None,
    };
    // One file that cannot be read does not keep the others from being heard.
    let mut failed = None;
    for (index, file) in args.files.iter().enumerate() {
        if index > 0 && !args.json {
            super::print("\n")?;
        }
        match analyze(args, &config, kernel, model.as_ref(), file, picture) {
            Ok(()) => {}
            Err(failure @ Failure::Input(_)) if args.files.len() > 1 => {
                eprintln!("error: {failure}");
                failed = Some(failed.unwrap_or(0) + 1);
            }
            Err(failure) => return Err(failure),
        }
    }
    match failed {
        None => Ok(()),
        Some(count) => Err(Failure::input(format!(
            "{} of {} could not be analysed; see the lines above",
            count,
            counted(args.files.len() as u64, "recording")
        ))),
    }
}

fn analyze(
    args: &Args,
    config: &Config,
    kernel: Option<KernelLevel>,
    model: Option<&SmartTurn>,
    file: &Path,
    picture: Option<(&Path, Picture)>,
) -> Result<(), Failure> {
    let mut source = Source::open(file, args.raw.layout())?;
    warn(&mut source);
    let format = source.format();
    let vad = super::load_vad(config.model_rate(format), kernel)?;
    let mut session = model.map(SmartTurn::session);
    let mut host = session
        .as_mut()
        .map(|session| TurnHost::new(session, config.language(), config.answers_after()));
    let settings = config
        .detector(format, model.is_some())
        .segment_audio(true)
        .report_windows(picture.is_some());
    let mut detector = Detector::new(settings, &vad).map_err(|error| config.failure(&error))?;
    let mut report = Report {
        timeline: Timeline::new(format.rate, args.live),
        rate: format.rate,
        // Named only where it is needed to tell the lines apart.
        file: (args.files.len() > 1).then(|| source.name().to_string()),
        json: args.json,
        live: args.live,
        out: io::BufWriter::new(io::stdout().lock()),
        drawing: picture.map(|_| Drawing::default()),
        seconds: 0.0,
    };
    if !args.json {
        report.write(&format!(
            "{}  ({})\n\n{HEADER}",
            source.name(),
            describe(&source)
        ))?;
    }
    let pace = Pace {
        push: args.push.map(NonZeroUsize::get),
        live: args.live,
    };
    let begun = Instant::now();
    listen(&mut source, &mut detector, pace, host.as_mut(), &mut report)?;
    let took = begun.elapsed().as_secs_f64();
    warn(&mut source);
    let limited = detector.stats().limited_values;
    if limited > 0 {
        eprintln!(
            "warning: {}: {} far beyond full scale; heard as 16 times full scale",
            source.name(),
            counted(limited, "value")
        );
    }
    if args.json {
        let line = json::end_of_input(detector.position(), report.rate, detector.fingerprint());
        report.line(line)?;
    } else {
        let mut text = String::from("\n");
        if report.timeline.counts().0 == 0 {
            text.insert_str(0, "            nobody speaks\n");
        }
        text.push_str(&report.timeline.summary(report.seconds));
        if let Some(host) = host.as_ref().filter(|host| host.runs > 0) {
            text.push_str(&format!(
                "  turn model: {}, {:.1} ms each; answers taken to come {} ms after them\n",
                counted(u64::from(host.runs), "question"),
                1000.0 * host.took.as_secs_f64() / f64::from(host.runs),
                config.answers_after().as_millis()
            ));
        }
        let speed = if args.live || took <= 0.0 {
            String::new()
        } else {
            format!(
                " in {took:.3} s, {:.0} times real time",
                report.seconds / took
            )
        };
        text.push_str(&format!(
            "  heard{speed}; kernel {}, fingerprint {:016x}\n",
            vad.kernel_level(),
            detector.fingerprint()
        ));
        report.write(&text)?;
    }
    report.flush()?;
    if let (Some((path, picture)), Some(drawing)) = (picture, report.drawing.take()) {
        let counts = report.timeline.counts();
        let figure = drawing.figure(&source, config, report.seconds, counts);
        std::fs::write(path, figure.render(picture))
            .map_err(|error| Failure::writing(path, &error))?;
        if !args.json {
            report.write(&format!("  picture: {}\n", path.display()))?;
            report.flush()?;
        }
    }
    Ok(())
}

/// `12.34 s`, `40:17 min`, `2:05:00 h`.
fn length(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{seconds:.2} s"),
        120..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!(
            "{}:{:02}:{:02} h",
            whole / 3600,
            whole / 60 % 60,
            whole % 60
        ),
    }
}

/// Writes what the detector says, and keeps what the picture needs.
struct Report<'a> {
    timeline: Timeline,
    rate: SampleRate,
    file: Option<String>,
    json: bool,
    live: bool,
    out: io::BufWriter<io::StdoutLock<'a>>,
    drawing: Option<Drawing>,
    /// Audio heard so far.
    seconds: f64,
}

impl Report<'_> {
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|error| Failure::output(&error))
    }

    /// An object of the JSON output.
    fn line(&mut self, line: json::Line) -> Result<(), Failure> {
        let text = match &self.file {
            Some(file) => format!("{}\n", line.with("file", file.as_str())),
            None => format!("{line}\n"),
        };
        self.write(&text)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::output(&error))
    }
}

impl Listener for Report<'_> {
    fn audio(&mut self, block: Block<'_>) {
        let width = usize::from(block.format.channels);
        let count = block.samples.len() / width;
        self.seconds += count as f64 / f64::from(block.format.rate.hz());
        if let Some(drawing) = &mut self.drawing {
            drawing.audio(block, width);
        }
    }

    fn event(&mut self, event: &Event, _audio: Option<Audio<'_>>) -> Result<(), Failure> {
        // With JSON, for the counts in the picture's title.
        let rows = self.timeline.rows(event);
        let said = if self.json {
            let line = json::event(event, self.rate);
            let said = line.is_some();
            line.map_or(Ok(()), |line| self.line(line))?;
            said
        } else {
            self.write(&rows)?;
            !rows.is_empty()
        };
        if let Some(drawing) = &mut self.drawing {
            drawing.event(event, self.rate);
        }
        if let Event::FormatChanged(e) = event {
            self.rate = e.to.rate;
        }
        if self.live && said {
            self.flush()?;
        }
        Ok(())
    }
}

/// What the picture needs, gathered on the way.
#[derive(Default)]
struct Drawing {
    waveform: Envelope,
    /// Rate of the waveform: that of the first block.
    rate: u32,
    /// Samples owed to the waveform, in units of one second over both rates.
    owed: u64,
    windows: Vec<Window>,
    speech: Vec<Span>,
    open: Option<f64>,
    turns: Vec<Turn>,
    predictions: Vec<Prediction>,
    gaps: Vec<Span>,
}

impl Drawing {
    fn audio(&mut self, block: Block<'_>, width: usize) {
        let rate = block.format.rate.hz();
        if self.rate == 0 {
            self.rate = rate;
        }
        // The mean of the channels, which is what the detector hears by default.
        match block.samples {
            Samples::I16(values) => {
                let scale = 1.0 / (32768.0 * width as f32);
                for sample in values.chunks_exact(width) {
                    let sum: i32 = sample.iter().map(|&v| i32::from(v)).sum();
                    self.sample(sum as f32 * scale, rate);
                }
            }
            Samples::F32(values) => {
                for sample in values.chunks_exact(width) {
                    self.sample(sample.iter().sum::<f32>() / width as f32, rate);
                }
            }
        }
    }

    /// Where the recording changes its rate, samples are repeated or left out: it is only a picture.
    fn sample(&mut self, value: f32, rate: u32) {
        self.owed += u64::from(self.rate);
        while self.owed >= u64::from(rate) {
            self.waveform.push(value);
            self.owed -= u64::from(rate);
        }
    }

    fn event(&mut self, event: &Event, rate: SampleRate) {
        match event {
            Event::Window(w) => self.windows.push(Window {
                start: w.start.seconds(rate),
                end: w.end.seconds(rate),
                probability: w.probability.value(),
            }),
            Event::StartOfSpeech(e) => self.open = Some(e.at.seconds(rate)),
            Event::EndOfSpeech(e) => {
                let end = e.at.seconds(rate);
                let start = self.open.take().unwrap_or(end);
                self.speech.push(Span { start, end });
            }
            Event::EndOfTurn(e) => self.turns.push(Turn {
                number: e.turn,
                last_voiced: e.last_voiced.seconds(rate),
                decided_at: e.decided_at.seconds(rate),
                why: match e.wait {
                    listenkit::Wait::Min => "min delay".into(),
                    listenkit::Wait::Max => "max delay".into(),
                    listenkit::Wait::Model => "turn model".into(),
                    listenkit::Wait::Flush => "end of input".into(),
                    other => other.as_str().into(),
                },
            }),
            Event::TurnPrediction(e) => {
                if let Some(probability) = e.votes.probability() {
                    self.predictions.push(Prediction {
                        at: e.decided_at.seconds(rate),
                        probability: probability.value(),
                        finished: e.votes.fused.is_none_or(|fused| fused.value() >= 0.5),
                    });
                }
            }
            Event::Gap(e) => self.gaps.push(Span {
                start: e.at.seconds(rate),
                end: (e.at + e.duration).seconds(rate),
            }),
            _ => {}
        }
    }

    fn figure(self, source: &Source, config: &Config, seconds: f64, counts: (u64, u64)) -> Figure {
        let format = source.format();
        let (activation, deactivation) = config.thresholds();
        let (segments, turns) = counts;
        // A folder and a name say which of many `audio.wav` it is; more of the path says nothing to others.
        let path = Path::new(source.name());
        let parts: Vec<_> = path
            .iter()
            .rev()
            .take(2)
            .map(|p| p.to_string_lossy())
            .collect();
        let title = parts.into_iter().rev().collect::<Vec<_>>().join("/");
        Figure {
            title,
            subtitle: format!(
                "{} · {} · {} · {} · {} · {}",
                kilohertz(format.rate),
                super::channels(format.channels),
                source.encoding(),
                length(seconds),
                counted(segments, "segment"),
                counted(turns, "turn"),
            ),
            duration: seconds,
            waveform: self.waveform,
            rate: f64::from(format.rate.hz()),
            windows: self.windows,
            activation,
            deactivation,
            turn_threshold: config.policy().audio_threshold.value(),
            speech: self.speech,
            turns: self.turns,
            predictions: self.predictions,
            gaps: self.gaps,
        }
    }
}
