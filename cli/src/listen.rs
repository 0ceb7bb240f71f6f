//! Feeds a recording to a detector, block by block.

use std::thread;
use std::time::{Duration, Instant};

use listenkit::{Audio, Detector, Event, Format, Samples};

use crate::audio::{Block, Buffer, Source};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::turns::{self, Hearer, TurnHost};

/// How the recording is pushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Samples per push; `None` for 10 ms.
    pub(crate) push: Option<usize>,
    /// No faster than the audio lasts.
    pub(crate) live: bool,
}

/// What wants to know.
pub(crate) trait Listener {
    /// A block that is about to be heard.
    fn audio(&mut self, _block: Block<'_>) {}

    /// An event, with the samples of the segment if it is one.
    ///
    /// # Errors
    /// Any failure ends the run.
    fn event(&mut self, event: &Event, audio: Option<Audio<'_>>) -> Result<(), Failure>;
}

/// Hears `source` to its end; `host` answers what the detector asks.
///
/// # Errors
/// If the recording cannot be read, or the listener fails.
pub(crate) fn listen(
    source: &mut Source,
    detector: &mut Detector,
    pace: Pace,
    host: Option<&mut TurnHost<'_>>,
    listener: &mut dyn Listener,
) -> Result<(), Failure> {
    let mut feeder = Feeder {
        name: source.name().to_string(),
        clock: pace.live.then(Instant::now),
        heard: Duration::ZERO,
        detector,
        host,
        listener,
    };
    let mut format = source.format();
    let mut waiting = Buffer::new(format.samples);
    let progress = Progress::new(source, pace.live);
    while let Some(block) = source.next_block()? {
        progress.advance(block);
        if block.format != format {
            feeder.push(waiting.samples(), format)?;
            format = block.format;
            waiting = Buffer::new(format.samples);
        }
        feeder.listener.audio(block);
        waiting.extend(block.samples);
        let width = usize::from(format.channels);
        let push = pace.push.unwrap_or(format.rate.hz() as usize / 100).max(1) * width;
        let mut done = 0;
        while waiting.len() - done >= push {
            feeder.push(turns::slice(waiting.samples(), done, done + push), format)?;
            done += push;
        }
        waiting.drop_front(done);
    }
    feeder.push(waiting.samples(), format)?;
    let Feeder {
        detector,
        host,
        listener,
        ..
    } = feeder;
    turns::finish(detector, host, &mut WithAudio(listener))
}

struct Feeder<'a, 'm> {
    name: String,
    clock: Option<Instant>,
    heard: Duration,
    detector: &'a mut Detector,
    host: Option<&'a mut TurnHost<'m>>,
    listener: &'a mut dyn Listener,
}

impl Feeder<'_, '_> {
    fn push(&mut self, samples: Samples<'_>, format: Format) -> Result<(), Failure> {
        if samples.is_empty() {
            return Ok(());
        }
        if let Some(start) = self.clock {
            let count = samples.len() / usize::from(format.channels);
            self.heard += Duration::from_secs_f64(count as f64 / f64::from(format.rate.hz()));
            // A block is there when its last sample has been recorded.
            thread::sleep((start + self.heard).saturating_duration_since(Instant::now()));
        }
        let Self {
            name,
            detector,
            host,
            listener,
            ..
        } = self;
        let listener = &mut WithAudio(*listener);
        turns::hear(detector, samples, format, host.as_deref_mut(), listener).map_err(|failure| {
            match failure {
                Failure::Input(what) => Failure::input(format!("{name}: {what}")),
                other => other,
            }
        })
    }
}

/// Reads the audio of segments for a listener.
struct WithAudio<'a>(&'a mut dyn Listener);

impl Hearer for WithAudio<'_> {
    fn event(&mut self, event: &Event, detector: &Detector) -> Result<(), Failure> {
        let audio = match event {
            Event::SegmentReady(segment) => detector.audio(segment),
            _ => None,
        };
        self.0.event(event, audio)
    }
}
