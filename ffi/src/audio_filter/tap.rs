//! The audio side of a filter: hears blocks, and posts what the detector says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use engine::{Detector, Format, Frame, Input, Output, Outputs, TurnSnapshot, VadRate};

use super::models;
use super::options::{self, FilterOptions};
use super::registry::{
    self, LISTENKIT_AUDIO_FILTER_STATE_ENDED, LISTENKIT_AUDIO_FILTER_STATE_FAILED,
    LISTENKIT_AUDIO_FILTER_STATE_REFUSED, Letter, Reader, Shared, StreamInfo,
};
use crate::event::{self, LISTENKIT_F32, LISTENKIT_I16};
use crate::options::rate;
use crate::status::{Failure, LISTENKIT_INPUT};

const MAX_CHANNELS: usize = Format::MAX_CHANNELS as usize;
/// Answers that wait for the next block. A reader gives one to a question; there are four at most to a pause.
const INPUTS: usize = 64;
/// Buffers for the audio of turns: one that a reader works on, one that waits in the queue. 0.8 MB each.
const TURN_BUFFERS: usize = 2;

/// A filter as the SDK holds it.
pub(super) struct Tap {
    shared: Arc<Shared>,
    /// Never contended: an SDK gives the blocks of a stream one after the other. It is tried, not waited for.
    lane: Mutex<Lane>,
}

// The SDK moves a filter between threads, and calls it through a pointer that says nothing of that.
const _: fn() = || {
    fn any_thread<T: Send + Sync>() {}
    any_thread::<Tap>();
};

/// What the blocks of one stream need.
pub(super) struct Lane {
    options: FilterOptions,
    detector: Detector,
    /// Channels and kind of value, once they are known.
    format: Option<(usize, u32)>,
    whole: Carry<i16>,
    floats: Carry<f32>,
    outbox: Outbox,
    inputs: Receiver<Input>,
}

/// A sample of which not all channels have come: at 22,050 Hz 10 ms of stereo are 441 values.
#[derive(Clone, Copy, Default)]
pub(super) struct Carry<T> {
    values: [T; MAX_CHANNELS],
    len: usize,
}

/// The writing end of a filter's queue.
struct Outbox {
    letters: SyncSender<Letter>,
    free: Receiver<Box<TurnSnapshot>>,
    /// A buffer that came back because its letter found no room.
    spare: Option<Box<TurnSnapshot>>,
}

/// A value of a block.
pub(super) trait Value: Copy {
    const FORMAT: u32;
    fn frame(block: &[Self]) -> Frame<'_>;
    fn carry(lane: &mut Lane) -> &mut Carry<Self>;
}

impl Value for i16 {
    const FORMAT: u32 = LISTENKIT_I16;

    fn frame(block: &[Self]) -> Frame<'_> {
        Frame::i16(block)
    }

    fn carry(lane: &mut Lane) -> &mut Carry<Self> {
        &mut lane.whole
    }
}

impl Value for f32 {
    const FORMAT: u32 = LISTENKIT_F32;

    fn frame(block: &[Self]) -> Frame<'_> {
        Frame::f32(block)
    }

    fn carry(lane: &mut Lane) -> &mut Carry<Self> {
        &mut lane.floats
    }
}

impl Tap {
    /// A filter, or `None` if it is refused; it is listed either way.
    pub(super) fn new(
        sample_rate: u32,
        given: Result<Option<&str>, Failure>,
        stream_info: Result<Option<&str>, Failure>,
    ) -> Option<Self> {
        let mut shared = Shared::new(registry::next_id(), sample_rate);
        let info = stream_info.ok().flatten().unwrap_or_default();
        shared.describe(StreamInfo::parse(info));
        let built = given.and_then(|text| {
            let text = text.unwrap_or_default();
            text.clone_into(&mut shared.options);
            shared.label = options::label(text);
            let options = FilterOptions::parse(text, sample_rate)?;
            shared.event_queue = options.event_queue;
            Lane::new(options)
        });
        match built {
            Ok((lane, reader)) => {
                shared.set_reader(reader);
                let shared = Arc::new(shared);
                registry::add(Arc::clone(&shared));
                let lane = Mutex::new(lane);
                Some(Self { shared, lane })
            }
            Err(failure) => {
                shared.fail(LISTENKIT_AUDIO_FILTER_STATE_REFUSED, failure.text);
                registry::add(Arc::new(shared));
                None
            }
        }
    }

    /// Hears a block. What goes wrong ends the listening, not the audio.
    pub(super) fn hear<T: Value>(&self, block: &[T]) {
        if !self.shared.is_live() || block.is_empty() {
            return;
        }
        let Ok(mut lane) = self.lane.try_lock() else {
            count(&self.shared.blocks_lost);
            return;
        };
        if let Err(failure) = lane.hear(&self.shared, block) {
            self.shared
                .fail(LISTENKIT_AUDIO_FILTER_STATE_FAILED, failure.text);
        }
    }

    /// The detector panicked: what it holds is not used again.
    pub(super) fn fail_by_bug(&self, failure: &Failure) {
        self.shared
            .fail(LISTENKIT_AUDIO_FILTER_STATE_FAILED, failure.text);
    }

    pub(super) fn describe(&self, stream_info: &str) {
        self.shared.describe(StreamInfo::parse(stream_info));
    }

    /// The stream is over: ends what is open in it.
    pub(super) fn end(self) {
        let Self { shared, lane } = self;
        if let Ok(mut lane) = lane.into_inner()
            && shared.is_live()
        {
            // A bug in here must not leave the filter listed as live.
            let flushed = crate::handle::guard(|| lane.flush(&shared));
            if let Err(failure) = flushed {
                shared.fail(LISTENKIT_AUDIO_FILTER_STATE_FAILED, failure.text);
            }
        }
        shared
            .state
            .store(LISTENKIT_AUDIO_FILTER_STATE_ENDED, Ordering::Release);
        registry::prune();
    }
}

impl Lane {
    fn new(options: FilterOptions) -> Result<(Self, Reader), Failure> {
        let detector = build(&options, options.channels.unwrap_or(1), LISTENKIT_I16)?;
        let (letters, inbox) = sync_channel(options.event_queue as usize);
        let (used, free) = sync_channel(TURN_BUFFERS);
        if options.detector.turn_model != 0 {
            for _ in 0..TURN_BUFFERS {
                let _ = used.try_send(Box::new(TurnSnapshot::new()));
            }
        }
        let (send_input, inputs) = sync_channel(INPUTS);
        let lane = Self {
            options,
            detector,
            format: None,
            whole: Carry::default(),
            floats: Carry::default(),
            outbox: Outbox {
                letters,
                free,
                spare: None,
            },
            inputs,
        };
        let reader = Reader {
            letters: inbox,
            used,
            question: None,
            inputs: send_input,
        };
        Ok((lane, reader))
    }

    fn hear<T: Value>(&mut self, shared: &Shared, block: &[T]) -> Result<(), Failure> {
        #[cfg(feature = "test-hooks")]
        assert!(!self.options.test_panic, "asked for by test_panic");
        let channels = self.channels::<T>(shared, block.len())?;
        self.take_inputs(shared)?;
        let mut rest = block;
        let begun = T::carry(self);
        if begun.len > 0 {
            let missing = (channels - begun.len).min(rest.len());
            begun.values[begun.len..begun.len + missing].copy_from_slice(&rest[..missing]);
            begun.len += missing;
            rest = &rest[missing..];
            if begun.len < channels {
                return Ok(());
            }
            begun.len = 0;
            let complete = begun.values;
            self.process(shared, &complete[..channels])?;
        }
        let (complete, tail) = rest.split_at(rest.len() - rest.len() % channels);
        let left = T::carry(self);
        left.values[..tail.len()].copy_from_slice(tail);
        left.len = tail.len();
        self.process(shared, complete)?;
        self.show_progress(shared);
        Ok(())
    }

    /// The number of channels. Nobody says it, so the first block does: an SDK's blocks are 10 ms, cut to whole values.
    fn channels<T: Value>(&mut self, shared: &Shared, len: usize) -> Result<usize, Failure> {
        if let Some((channels, format)) = self.format
            && format == T::FORMAT
        {
            return Ok(channels);
        }
        let said = self.options.channels;
        let channels = match (self.format, said) {
            // The other kind of value: the detector tells of it by itself.
            (Some((channels, _)), _) => channels,
            (None, Some(channels)) => channels as usize,
            (None, None) => channels_of_10_ms(shared.sample_rate, len)?,
        };
        let known = u32::try_from(channels).unwrap_or(u32::MAX);
        if self.format.is_none() && (known, T::FORMAT) != (said.unwrap_or(1), LISTENKIT_I16) {
            // Once, before the first sample: what was built in `create` was a guess.
            self.detector = build(&self.options, known, T::FORMAT)?;
        }
        self.format = Some((channels, T::FORMAT));
        shared.channels.store(known, Ordering::Relaxed);
        Ok(channels)
    }

    /// What readers have answered. It takes effect before the next block.
    fn take_inputs(&mut self, shared: &Shared) -> Result<(), Failure> {
        while let Ok(input) = self.inputs.try_recv() {
            let format = self.detector.format();
            self.outbox
                .post(shared, format, self.detector.handle(input)?);
        }
        Ok(())
    }

    fn process<T: Value>(&mut self, shared: &Shared, block: &[T]) -> Result<(), Failure> {
        let format = self.detector.format();
        self.outbox
            .post(shared, format, self.detector.process(T::frame(block))?);
        Ok(())
    }

    fn flush(&mut self, shared: &Shared) -> Result<(), Failure> {
        self.take_inputs(shared)?;
        let format = self.detector.format();
        self.outbox.post(shared, format, self.detector.flush());
        self.show_progress(shared);
        Ok(())
    }

    fn show_progress(&self, shared: &Shared) {
        let samples = self.detector.stats().samples_in;
        shared.samples_in.store(samples, Ordering::Relaxed);
        let fingerprint = self.detector.fingerprint();
        shared.fingerprint.store(fingerprint, Ordering::Relaxed);
    }
}

impl Outbox {
    /// Posts all that there is to say. Nothing here waits or allocates.
    fn post(&mut self, shared: &Shared, format: Format, mut outputs: Outputs<'_, '_>) {
        while let Some(output) = outputs.next() {
            let mut turn = None;
            if let Output::TurnQuery(query) = &output {
                turn = self.spare.take().or_else(|| self.free.try_recv().ok());
                match &mut turn {
                    Some(copy) => outputs.turn_audio(query).copy_to(copy),
                    None => count(&shared.turns_without_audio),
                }
            }
            let event = event::record(&output, format);
            if let Err(TrySendError::Full(letter) | TrySendError::Disconnected(letter)) =
                self.letters.try_send(Letter { event, turn })
            {
                count(&shared.events_dropped);
                self.spare = letter.turn.or(self.spare.take());
            }
        }
    }
}

fn build(options: &FilterOptions, channels: u32, sample_format: u32) -> Result<Detector, Failure> {
    let mut settings = options.detector;
    settings.channels = channels;
    settings.sample_format = sample_format;
    let vad = models()?.vad(VadRate::for_input(rate(settings.sample_rate)?))?;
    Ok(Detector::new(settings.config()?, vad)?)
}

fn channels_of_10_ms(rate: u32, len: usize) -> Result<usize, Failure> {
    let found = (1..=MAX_CHANNELS).find(|channels| rate as usize * channels / 100 == len);
    found.ok_or_else(|| {
        let text = format_args!(
            "a block of {len} values is not 10 ms at {rate} Hz: say how many \"channels\" in the options"
        );
        Failure::new(LISTENKIT_INPUT, text)
    })
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
