//! Runs recordings under policies, through the detector that also runs live.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use listenkit::vad::SileroVad;
use listenkit::{
    Detector, DetectorConfig, Event, Format, Language, SampleFormat, Samples, TurnModel,
};

use super::manifest::Labelled;
use super::score::Outcome;
use crate::audio::{Buffer, Source};
use crate::commands;
use crate::failure::Failure;
use crate::turns::{self, Hearer, TurnHost};

/// Decisions this much before the label still count as behind it: two windows of the VAD. Labels and detector see the end of
/// speech some milliseconds apart, and an agent that starts there cuts nobody off.
const TOLERANCE: f64 = 0.064;

/// Longest silence behind a recording in which a decision is still waited for.
const PATIENCE: f64 = 12.0;

/// A labelled recording in memory.
pub(crate) struct Recording {
    pub(crate) label: Labelled,
    pub(crate) format: Format,
    samples: Buffer,
}

impl Recording {
    /// Reads the whole file.
    ///
    /// # Errors
    /// If it cannot be read, changes its format midway, or ends before its label does.
    pub(crate) fn load(label: Labelled) -> Result<Self, Failure> {
        let mut source = Source::open(&label.audio, None)?;
        let format = source.format();
        let mut samples = Buffer::new(format.samples);
        commands::warn(&mut source);
        while let Some(block) = source.next_block()? {
            if block.format != format {
                return Err(Failure::input(format!(
                    "{}: changes its format midway; convert it first",
                    label.audio.display()
                )));
            }
            samples.extend(block.samples);
        }
        commands::warn(&mut source);
        let this = Self {
            label,
            format,
            samples,
        };
        let seconds = this.seconds();
        if this.label.turn_end > seconds + TOLERANCE {
            return Err(Failure::input(format!(
                "{}: lasts {seconds:.3} s, but its turn_end is at {} s; correct the manifest",
                this.label.audio.display(),
                this.label.turn_end
            )));
        }
        Ok(this)
    }

    pub(crate) fn seconds(&self) -> f64 {
        let width = usize::from(self.format.channels);
        (self.samples.len() / width) as f64 / f64::from(self.format.rate.hz())
    }
}

/// How the detector is set up for a recording's format and language.
pub(crate) type Setup<'a> = Box<dyn Fn(Format, Option<Language>) -> DetectorConfig + Sync + 'a>;

/// Makes the turn model of one thread.
pub(crate) type MakeModel<'a> = dyn Fn() -> Result<Box<dyn TurnModel>, Failure> + Sync + 'a;

/// What every policy does to every recording: `outcomes[policy][recording]`.
///
/// # Errors
/// If a policy makes no valid detector, or a model cannot run.
pub(crate) fn outcomes(
    recordings: &[Recording],
    policies: &[Setup<'_>],
    vad: &(dyn Fn(Format) -> Result<SileroVad, Failure> + Sync),
    model: &MakeModel<'_>,
    answers_after: Duration,
) -> Result<Vec<Vec<Outcome>>, Failure> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![Vec::new(); recordings.len()]);
    let failed = Mutex::new(None);
    let bar = bar(recordings.len());
    let work = || -> Result<(), Failure> {
        let mut model = model()?;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(recording) = recordings.get(at) else {
                return Ok(());
            };
            let vad = vad(recording.format)?;
            let language = recording
                .label
                .language
                .as_deref()
                .and_then(Language::parse);
            let mut host = TurnHost::new(&mut *model, language, answers_after);
            let mut of = Vec::with_capacity(policies.len());
            for policy in policies {
                host.again();
                let config = policy(recording.format, language);
                of.push(one(recording, config, &vad, &mut host)?);
            }
            found.lock().expect("no thread panics with it")[at] = of;
            bar.inc(1);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(recordings.len()) {
            scope.spawn(|| {
                if let Err(failure) = work() {
                    next.store(recordings.len(), Ordering::Relaxed);
                    failed
                        .lock()
                        .expect("no thread panics with it")
                        .get_or_insert(failure);
                }
            });
        }
    });
    bar.finish_and_clear();
    if let Some(failure) = failed.into_inner().expect("no thread panics with it") {
        return Err(failure);
    }
    let found = found.into_inner().expect("no thread panics with it");
    Ok((0..policies.len())
        .map(|policy| found.iter().map(|of| of[policy]).collect())
        .collect())
}

fn bar(recordings: usize) -> ProgressBar {
    let bar = ProgressBar::new(recordings as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}  {eta} left") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_message("turns");
    bar
}

/// One policy on one recording. It is heard until a decision has come behind the end of the turn.
fn one(
    recording: &Recording,
    config: DetectorConfig,
    vad: &SileroVad,
    host: &mut TurnHost<'_>,
) -> Result<Outcome, Failure> {
    let format = recording.format;
    let mut detector = Detector::new(config, vad)
        .map_err(|error| Failure::usage(format!("this policy cannot be: {error}")))?;
    let mut decisions = Decisions::default();
    let end = recording.label.turn_end - TOLERANCE;
    let samples = recording.samples.samples();
    let step = format.rate.hz() as usize / 10 * usize::from(format.channels);
    let decided = |decisions: &Decisions| decisions.0.last().is_some_and(|&at| at >= end);
    let mut done = 0;
    while done < samples.len() && !decided(&decisions) {
        let next = (done + step).min(samples.len());
        turns::hear(
            &mut detector,
            turns::slice(samples, done, next),
            format,
            Some(host),
            &mut decisions,
        )?;
        done = next;
    }
    let silence = match format.samples {
        SampleFormat::I16 => Buffer::I16(vec![0; step]),
        SampleFormat::F32 => Buffer::F32(vec![0.0; step]),
    };
    let mut waited = 0.0;
    while !decided(&decisions) && waited < PATIENCE {
        let silence: Samples<'_> = silence.samples();
        turns::hear(&mut detector, silence, format, Some(host), &mut decisions)?;
        waited += 0.1;
    }
    Ok(Outcome::of(
        recording.label.turn_end,
        &decisions.0,
        TOLERANCE,
    ))
}

/// Where turns were declared over, in seconds.
#[derive(Default)]
struct Decisions(Vec<f64>);

impl Hearer for Decisions {
    fn event(&mut self, event: &Event, detector: &Detector) -> Result<(), Failure> {
        if let Event::EndOfTurn(turn) = event {
            self.0.push(turn.decided_at.seconds(detector.format().rate));
        }
        Ok(())
    }
}

/// Reads all recordings of a manifest; `language` keeps only its own.
///
/// # Errors
/// The first recording that cannot be read, or a language that nobody speaks.
pub(crate) fn load(path: &Path, language: Option<&str>) -> Result<Vec<Recording>, Failure> {
    let labels = super::manifest::read(path)?;
    let spoken = |label: &Labelled| language.is_none() || label.language.as_deref() == language;
    let mut languages: Vec<_> = labels.iter().filter_map(|l| l.language.clone()).collect();
    languages.sort();
    languages.dedup();
    let kept: Vec<Labelled> = labels.into_iter().filter(spoken).collect();
    if kept.is_empty() {
        let there = if languages.is_empty() {
            "names no languages".into()
        } else {
            format!("has {}", languages.join(", "))
        };
        return Err(Failure::usage(format!(
            "--language {}: no turn is in it; the manifest {there}",
            language.unwrap_or_default(),
        )));
    }
    kept.into_iter().map(Recording::load).collect()
}
