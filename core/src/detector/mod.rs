//! The detector: the one public state machine. It wires the floors below and does nothing clever.

mod audio_path;
mod clock;
mod fingerprint;
mod input;
mod outputs;
mod overlaps;
mod reference;
mod retained;
mod tune;
mod turn_history;

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{DetectorConfig, Parsed, check_downmix};
use crate::endpointer::{Endpointer, EndpointerConfig, TurnOutput};
use crate::error::{ConfigError, InputError};
use crate::event::{
    AudioAt, EndReason, Event, FormatChanged, Gap, Output, Segment, TurnEndReason, TurnQuery,
    WindowScore,
};
use crate::overlap::OverlapTracker;
use crate::pcm::{Format, Frame, MonoReader, SampleFormat, Samples};
use crate::segmenter::{Change, Segmenter, Window};
use crate::stats::Stats;
use crate::timeline;
use crate::turn::TurnAudio;
use crate::units::{SampleCount, SamplePos};
use crate::vad::SileroVad;

use audio_path::{AudioPath, BLOCK, Scored};
use clock::{Tick, Watch};
use fingerprint::Fingerprint;
pub use input::Input;
pub use outputs::{Audio, Outputs};
use reference::Reference;
use retained::Retained;
use turn_history::TurnHistory;

/// Outputs that may wait to be taken. One step of the stream (a window, a timer, one input) makes at most
/// [`STEP`] of them, and no step is taken without room for it.
const QUEUE: usize = 28;

/// Most outputs of one step. The largest is the end of an epoch: two windows (a score each; an end, two segments and a query; a
/// start and that its queries are void), what closing them adds (an end, a segment, a query), the ends of two turns with their
/// cancelled queries, the gap, and a verdict on speech over the agent's: 18.
const STEP: usize = 18;

/// Work that one call has begun and later steps finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// Samples of a concealed gap still to be heard as silence.
    Silence(u64),
    /// A long gap: jump this far once the epoch is closed.
    Jump(u64),
    /// The stream was reset; start over when all outputs are taken.
    Restart,
}

/// Listens to one stream of audio and says when the user starts, stops and finishes.
///
/// # How to use it
/// Build one per stream with [`new`](Self::new); weights are shared. Then, for every block of audio:
///
/// 1. [`process`](Self::process) the block and take every output. Blocks may have any length; how the audio is cut
///    into blocks changes nothing.
/// 2. Tell it what only the host knows through [`handle`](Self::handle) (a turn model's answer, a transcript, a gap), and take
///    every output of that too.
/// 3. At the end, [`flush`](Self::flush): open speech and the open turn end, nothing is lost.
///
/// ```
/// use listenkit::{Detector, DetectorConfig, Event, Frame, Output, SampleRate, SileroVad, VadRate};
///
/// let vad = SileroVad::embedded(VadRate::for_input(SampleRate::HZ_48000))?;
/// let mut detector = Detector::new(DetectorConfig::new(SampleRate::HZ_48000), &vad)?;
/// let microphone = vec![0_i16; 48_000];
/// for block in microphone.chunks(480) {
///     for output in detector.process(Frame::i16(block))? {
///         if let Output::Event(Event::EndOfTurn(turn)) = output {
///             println!("the user is finished since sample {}", turn.last_voiced);
///         }
///     }
/// }
/// for output in detector.flush() {
///     println!("{output:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
/// Nothing is allocated, locked or logged after construction, but for a change of format, which builds a new resampler and
/// (in segmenting mode) new memory. One 32 ms window costs about ten microseconds on a server core, all at once: two
/// of three 10 ms blocks cost almost nothing. See `docs/performance.md`.
#[derive(Debug)]
pub struct Detector {
    config: DetectorConfig,
    format: Format,
    reader: MonoReader,
    path: AudioPath,
    segmenter: Segmenter,
    endpointer: Endpointer,
    overlap: Option<Box<OverlapTracker>>,
    reference: Option<Box<Reference>>,
    retained: Retained,
    /// `retained` position of the first sample of the epoch.
    retained_epoch: u64,
    position: SamplePos,
    /// The turn of the newest speech.
    speech_turn: u64,
    /// The epoch has been drained and what was open is closed.
    epoch_closed: bool,
    pending: Pending,
    /// The stream is to be ended once `pending` is done.
    ending: Option<EndReason>,
    /// Blocks and gaps so far: changes whenever the caller moves the stream.
    progress: u64,
    watch: Watch,
    queue: VecDeque<Output>,
    mono: Vec<f32>,
    stats: Stats,
    fingerprint: Fingerprint,
}

impl Detector {
    /// A detector for one stream. Allocates here, and again only at a change of format.
    ///
    /// # Errors
    /// [`ConfigError`] if a setting is out of range or two contradict each other; it names them.
    pub fn new(config: DetectorConfig, vad: &SileroVad) -> Result<Self, ConfigError> {
        let format = config.format()?;
        config.check()?;
        let parsed = config.parse(format.rate);
        let at = config.start_at;
        let path = AudioPath::new(
            vad,
            config.state_guard,
            config.smoothing,
            format.rate,
            at,
            TurnHistory::new(vad, format.rate, parsed.turn_audio, parsed.mel_frames),
        );
        let retained = Retained::new(&config, &parsed, format, 0);
        let reference = Reference::new(&config, format).map(Box::new);
        Ok(Self {
            reference,
            config,
            format,
            reader: MonoReader {
                downmix: config.downmix,
                i16_scale: 1.0 / config.i16_full_scale,
            },
            path,
            segmenter: Segmenter::new(parsed.segmenter, at),
            endpointer: Endpointer::new(parsed.endpointer, at),
            overlap: parsed
                .overlap
                .map(|config| Box::new(OverlapTracker::new(config, at))),
            retained,
            retained_epoch: 0,
            position: at,
            speech_turn: 0,
            epoch_closed: false,
            pending: Pending::Nothing,
            ending: None,
            progress: 0,
            watch: Watch::default(),
            queue: VecDeque::with_capacity(QUEUE),
            mono: vec![0.0; BLOCK],
            stats: Stats::default(),
            fingerprint: Fingerprint::new(),
        })
    }

    /// Hears a block; gives an iterator over what there is to say about it.
    ///
    /// The audio is consumed while the iterator runs, and completely even if it is dropped early.
    ///
    /// # Errors
    /// [`InputError`] if the block is not whole samples or declares a format that is not supported. Nothing of it was consumed;
    /// the stream goes on with the next good block.
    pub fn process<'d, 'f>(&'d mut self, frame: Frame<'f>) -> Result<Outputs<'d, 'f>, InputError> {
        let format = self.checked_format(frame)?;
        Ok(Outputs::new(self, frame.samples, format))
    }

    /// The part of [`process`](Self::process) that takes audio, for bindings: consumes samples until there is
    /// something to say, and gives how many, counted per channel as all amounts are: the rest of an interleaved block begins
    /// at value `taken * channels`. Take the outputs with [`poll`](Self::poll), then push the rest. 0 means that outputs must
    /// be taken first, or that the block was empty.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    pub fn push(&mut self, frame: Frame<'_>) -> Result<usize, InputError> {
        let format = self.checked_format(frame)?;
        Ok(self.push_checked(frame.samples, format, false))
    }

    /// The next output, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.queue.pop_front() {
                return Some(output);
            }
            if !self.step_pending() {
                return None;
            }
        }
    }

    /// Hears something that is not audio; gives an iterator over what follows from it.
    ///
    /// # Errors
    /// [`InputError::OutputsWaiting`] if outputs of earlier calls have not been taken and there is no room for more.
    pub fn handle(&mut self, input: Input) -> Result<Outputs<'_, 'static>, InputError> {
        while self.has_room() && self.step_pending() {}
        if !self.has_room() {
            return Err(InputError::OutputsWaiting {
                waiting: self.queue.len(),
            });
        }
        let now = self.position;
        self.tell_overlap(input);
        match input {
            Input::TurnAnswer { id, probability } => self.endpointer.answer(id, probability, now),
            Input::TurnThreshold(threshold) => self.endpointer.set_model_threshold(threshold),
            Input::TextAnswer {
                turn,
                probability,
                threshold,
                asked_at,
            } => {
                let vote = (probability, threshold);
                self.endpointer.text_answer(turn, vote, asked_at, now);
            }
            Input::TextCues { turn, vote } => self.endpointer.text_cues(turn, vote, now),
            Input::Expect(expectation) => self.endpointer.expect(expectation, now),
            Input::Transcript { speech_end } => self.endpointer.transcript(speech_end, now),
            Input::AgentStarted => self.endpointer.agent_started(now),
            Input::AgentStopped => self.endpointer.agent_stopped(now),
            Input::AgentInterruptible(_) | Input::Words(_) => {}
            Input::Interruption(verdict) => self.endpointer.interruption_verdict(verdict),
            Input::CommitTurn => self.endpointer.commit(now),
            Input::ClearTurn => self.endpointer.clear(now),
            Input::Gap(duration) => {
                self.progress += 1;
                self.gap(duration, duration < self.parsed().min_silence);
            }
            Input::AudioAge(age) => {
                let minute = self.format.rate.samples(Duration::from_secs(60));
                self.endpointer.audio_age(age.min(minute), now);
            }
            Input::Clock(at) => self.clock(at),
        }
        self.endpointer.advance(now);
        self.take_turn_outputs();
        Ok(Outputs::empty(self))
    }

    /// End of input: hears what is still inside, ends open speech and the open turn.
    ///
    /// The clock goes on: more audio may follow, as a new beginning at the same position.
    pub fn flush(&mut self) -> Outputs<'_, 'static> {
        if self.ending.is_none() {
            self.ending = Some(EndReason::Flush);
        }
        Outputs::empty(self)
    }

    /// Ends what is open, as [`flush`](Self::flush) does, then forgets everything: when its outputs are taken, the
    /// detector is as new, at its first position.
    pub fn reset(&mut self) -> Outputs<'_, 'static> {
        self.ending = Some(EndReason::Reset);
        Outputs::empty(self)
    }

    /// The samples of a segment, at the input's own rate and format; `None` once they are overwritten. They last at least
    /// until the next audio is pushed after the segment came out.
    pub fn audio(&self, segment: &Segment) -> Option<Audio<'_>> {
        self.audio_at(segment.audio_key(), segment.len())
    }

    /// [`audio`](Self::audio) for bindings whose events are plain data: `key` is the segment's
    /// [`audio_key`](Segment::audio_key), `len` its length in samples. Any other pair gives `None` or other audio of this stream.
    pub fn audio_at(&self, key: u64, len: SampleCount) -> Option<Audio<'_>> {
        let (head, tail) = self.retained.range(key, key.checked_add(len.0)?)?;
        Some(Audio {
            format: self.format,
            head,
            tail,
        })
    }

    /// What a turn model should look at for `query`: from before the turn's start to now (less what is over whole steps of
    /// 10 ms), no longer than [`TurnModelOptions::audio`](crate::TurnModelOptions), gaps as silence, always at 16 kHz. To
    /// be read when the query comes out; [`TurnAudio::copy_to`] copies it for the thread that runs the model.
    pub fn turn_audio(&self, query: &TurnQuery) -> TurnAudio<'_> {
        let parsed = self.parsed();
        let turn = query.decided_at.since(query.start) + parsed.segmenter.prefix_padding;
        self.path.turn().audio(turn.min(parsed.turn_audio))
    }

    /// Where the stream is: samples so far, gaps included.
    pub const fn position(&self) -> SamplePos {
        self.position
    }

    /// Samples beyond the end of a window that are needed to score it, at the present rate: what the filter between the
    /// input's rate and the model's looks ahead, 0 where the two are equal. For every window but those at the end of the
    /// input, `decided_at - end` is this or, where the rates do not divide, sometimes one less.
    pub fn delay(&self) -> SampleCount {
        self.path.delay()
    }

    /// The turn that is open, if one is. It has been named by a [`StartOfSpeech`](crate::StartOfSpeech), unless a transcript or the
    /// cut of a longer turn opened it.
    pub fn open_turn(&self) -> Option<u64> {
        self.endpointer.turn()
    }

    /// The format the stream is in.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Counters since construction or reset.
    pub fn stats(&self) -> Stats {
        let turns = self.endpointer.stats();
        Stats {
            stale_answers: turns.stale_answers,
            stale_votes: turns.stale_votes,
            cleared_turns: turns.cleared_turns,
            dropped_transcripts: turns.dropped_transcripts,
            ..self.stats
        }
    }

    /// A 64-bit digest of every probability and every event so far. Equal inputs give equal digests on the same kernel
    /// level, in Rust, C and Python alike.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint.value()
    }

    /// Bytes of this stream's state, without retained audio and without the weights, which are shared.
    pub fn state_bytes(&self) -> usize {
        std::mem::size_of::<Self>() - std::mem::size_of::<AudioPath>()
            + self.path.state_bytes()
            + self.overlap.as_deref().map_or(0, std::mem::size_of_val)
            + std::mem::size_of_val(self.mono.as_slice())
            + self.reference.as_deref().map_or(0, Reference::state_bytes)
            + self.queue.capacity() * std::mem::size_of::<Output>()
    }

    /// Bytes of audio this stream may keep: for segments (in segmenting mode) and for turn models (if one is in use, with
    /// its mel frames).
    pub fn retained_bytes(&self) -> usize {
        self.retained.bytes() + self.path.turn().retained_bytes()
    }

    /// The settings in samples of the stream's present rate: worked out when needed, because a stream has many and little state.
    fn parsed(&self) -> Parsed {
        self.config.parse(self.format.rate)
    }

    fn checked_format(&self, frame: Frame<'_>) -> Result<Format, InputError> {
        let restarting = self.pending == Pending::Restart || self.ending == Some(EndReason::Reset);
        let current = if restarting {
            self.config.format()?
        } else {
            self.format
        };
        let format = frame.format(current)?;
        check_downmix(self.config.downmix, format)?;
        Ok(format)
    }

    fn has_room(&self) -> bool {
        self.queue.len() + STEP <= QUEUE
    }

    /// Consumes samples until there is an output or no room for one. A change of format waits until the
    /// audio of what was said before has been read, unless `hurry`.
    fn push_checked(&mut self, samples: Samples<'_>, format: Format, hurry: bool) -> usize {
        while self.has_room() && self.step_pending() {}
        if !self.has_room() || samples.is_empty() {
            return 0;
        }
        self.progress += 1;
        if format != self.format {
            if !self.epoch_closed {
                self.close_epoch(EndReason::FormatChange);
            }
            // In a hurry the caller makes room: what closing said must not crowd out the next step.
            let may_go_on = self.queue.is_empty() || (hurry && self.has_room());
            if !may_go_on {
                return 0;
            }
            self.change_format(format);
        }
        let width = usize::from(format.channels);
        let total = samples.len() / width;
        let waiting = self.queue.len();
        let mut done = 0;
        while done < total && self.queue.len() == waiting {
            let take = self.room_before_next_stop().min(total - done);
            self.consume(samples.slice(done * width, (done + take) * width), take);
            done += take;
        }
        self.stats.samples_in += done as u64;
        done
    }

    /// How many samples may be heard before a window is complete or a timer fires.
    fn room_before_next_stop(&mut self) -> usize {
        if self.epoch_closed {
            self.open_epoch();
        }
        let mut stop = self.path.next_at();
        if let Some(deadline) = self.deadline() {
            stop = stop.min(deadline);
        }
        usize::try_from(stop.since(self.position).0)
            .unwrap_or(usize::MAX)
            .clamp(1, BLOCK)
    }

    /// Hears at most one block that ends no later than the next stop.
    fn consume(&mut self, samples: Samples<'_>, len: usize) {
        if self.config.segment_audio {
            self.retained.push(samples);
        }
        let mono = &mut self.mono[..len];
        let mended = self.reader.read(samples, self.format.channels, mono);
        self.stats.non_finite_values += mended.non_finite;
        self.stats.limited_values += mended.limited;
        self.position = self.position + SampleCount(len as u64);
        if let Some(reference) = &mut self.reference {
            reference.check.hear(mono);
        }
        if let Some(scored) = self.path.feed(mono) {
            self.window(scored);
        }
        self.advance_overlap();
        self.endpointer.advance(self.position);
        self.take_turn_outputs();
    }

    fn window(&mut self, scored: Scored) {
        let decided_at = self.position;
        let probability = scored.probability;
        self.stats.windows += 1;
        self.stats.last_probability = probability;
        self.fingerprint.add(u64::from(scored.raw.to_bits()));
        let (start, end) = (scored.start, scored.end);
        if self.config.report_windows {
            self.say(Event::Window(WindowScore {
                start,
                end,
                decided_at,
                probability,
            }));
        }
        let changes = self.segmenter.window(Window {
            start,
            end,
            decided_at,
            probability: probability.value(),
        });
        // The endpointer hears of a start before the window that confirmed it, of an end after it.
        if let Some(start @ Change::Start { .. }) = changes.into_iter().next() {
            self.apply(start);
        }
        self.endpointer.window(
            self.segmenter.last_voiced(),
            self.segmenter.silent_windows(),
            self.segmenter.onset_pending(),
            decided_at,
        );
        self.hear_overlap(start, end);
        for change in changes {
            if !matches!(change, Change::Start { .. }) {
                self.apply(change);
            }
        }
        self.take_turn_outputs();
        let in_turn = self.endpointer.turn().is_some() || self.segmenter.onset_pending();
        let prefix = self.config.prefix_padding(self.format.rate);
        self.path.turn_mut().follow(in_turn, prefix);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Start { at, decided_at, .. } => {
                self.stats.segments += 1;
                self.speech_turn = self.endpointer.speech_started(at, decided_at);
                self.say(change.event(self.speech_turn));
            }
            Change::End {
                segment,
                at,
                decided_at,
                reason,
                ..
            } => {
                self.speech_turn = self.endpointer.turn().unwrap_or(self.speech_turn);
                self.say(change.event(self.speech_turn));
                self.end_overlap(segment, at, decided_at);
                // The end of the stream is the end of the turn: nobody is asked about the pause.
                if !matches!(reason, EndReason::Flush | EndReason::Reset) {
                    self.endpointer.speech_ended(at, decided_at);
                }
            }
            Change::Ready { start, .. } if self.config.segment_audio => {
                let turn = self.endpointer.turn().unwrap_or(self.speech_turn);
                if let Event::SegmentReady(segment) = change.event(turn) {
                    let offset = start.since(self.path.epoch_start()).0;
                    let audio_at = AudioAt(self.retained_epoch + offset);
                    self.say(Event::SegmentReady(Segment {
                        audio_at,
                        ..segment
                    }));
                }
            }
            Change::Ready { .. } => {}
        }
    }

    fn take_turn_outputs(&mut self) {
        while let Some(output) = self.endpointer.poll() {
            match output {
                TurnOutput::EndOfTurn(mut end) => {
                    self.stats.turns += 1;
                    end.overlap = self.overlap_of_turn(end.turn);
                    self.say(Event::EndOfTurn(end));
                }
                TurnOutput::Amended(amended) => self.say(Event::TurnAmended(amended)),
                TurnOutput::Prediction(prediction) => {
                    self.tell_overlap_of_votes(&prediction.votes);
                    self.say(Event::TurnPrediction(prediction));
                }
                TurnOutput::Query(query) => {
                    fingerprint::add_query(&mut self.fingerprint, &query);
                    self.queue.push_back(Output::TurnQuery(query));
                }
                TurnOutput::Cancelled(cancelled) => {
                    fingerprint::add_cancelled(&mut self.fingerprint, &cancelled);
                    self.queue.push_back(Output::TurnQueryCancelled(cancelled));
                }
            }
        }
    }

    fn say(&mut self, event: Event) {
        debug_assert!(
            self.queue.len() < QUEUE,
            "no step without room for its outputs"
        );
        self.stats.last_event_at = event.decided_at();
        fingerprint::add_event(&mut self.fingerprint, &event);
        self.queue.push_back(Output::Event(event));
    }

    fn gap(&mut self, duration: SampleCount, concealed: bool) {
        if duration == SampleCount::ZERO {
            return;
        }
        self.stats.gaps += 1;
        if concealed {
            self.pending = Pending::Silence(duration.0);
        } else {
            self.close_epoch(EndReason::Gap);
            self.pending = Pending::Jump(duration.0);
        }
        self.say(Event::Gap(Gap {
            at: self.position,
            duration,
            concealed,
        }));
    }

    fn clock(&mut self, at: SamplePos) {
        match self.watch.tick(at, self.progress, self.parsed().starvation) {
            Tick::Fine => {}
            Tick::Starves(late) => self.gap(late, false),
            Tick::Goes(late) => self.pending = Pending::Jump(late.0),
        }
    }

    /// Does one bounded piece of the work that is left over; says whether there was any.
    fn step_pending(&mut self) -> bool {
        match self.pending {
            Pending::Nothing => self.step_ending(),
            Pending::Silence(left) => {
                let take = (self.room_before_next_stop() as u64).min(left) as usize;
                self.silence(take);
                let left = left - take as u64;
                self.pending = if left == 0 {
                    Pending::Nothing
                } else {
                    Pending::Silence(left)
                };
                true
            }
            Pending::Jump(left) => {
                let end = self.position + SampleCount(left);
                let stop = self
                    .deadline()
                    .map_or(end, |at| at.clamp(self.position, end));
                self.pending = match end.since(stop).0 {
                    0 => Pending::Nothing,
                    left => Pending::Jump(left),
                };
                self.path.turn_mut().skip(stop.since(self.position));
                if let Some(reference) = &mut self.reference {
                    reference.check.skip(stop.since(self.position));
                }
                self.position = stop;
                self.advance_overlap();
                self.endpointer.advance(stop);
                self.take_turn_outputs();
                true
            }
            Pending::Restart => {
                self.pending = Pending::Nothing;
                self.start_over();
                true
            }
        }
    }

    /// Ends the stream if that was asked for.
    fn step_ending(&mut self) -> bool {
        let Some(reason) = self.ending.take() else {
            return false;
        };
        self.close_epoch(reason);
        let turn_reason = match reason {
            EndReason::Reset => TurnEndReason::Reset,
            _ => TurnEndReason::EndOfInput,
        };
        self.finish_overlap();
        self.endpointer.finish(self.position, turn_reason);
        self.take_turn_outputs();
        if reason == EndReason::Reset {
            self.pending = Pending::Restart;
        }
        true
    }

    /// Drops the oldest outputs until one more step fits; counted. Only a caller who never takes outputs gets here.
    fn make_room(&mut self) {
        while !self.has_room() {
            self.queue.pop_front();
            self.stats.outputs_dropped += 1;
        }
    }

    /// Hears `len` samples of digital silence.
    fn silence(&mut self, len: usize) {
        let width = usize::from(self.format.channels);
        const ZEROS: usize = 64;
        let mut left = len;
        while left > 0 {
            let take = left.min(ZEROS / width);
            match self.format.samples {
                SampleFormat::I16 => self.consume(Samples::I16(&[0; ZEROS][..take * width]), take),
                SampleFormat::F32 => {
                    self.consume(Samples::F32(&[0.0; ZEROS][..take * width]), take);
                }
            }
            left -= take;
        }
    }

    /// Hears what is still inside and ends open speech. The next audio starts a new epoch.
    fn close_epoch(&mut self, reason: EndReason) {
        if self.epoch_closed {
            return;
        }
        while let Some(scored) = self.path.drain(self.position) {
            self.window(scored);
        }
        for change in self.segmenter.close(self.position, reason) {
            self.apply(change);
        }
        // An onset that was not confirmed is forgotten, and must not hold a decision back.
        if let Some(overlap) = &mut self.overlap {
            overlap.forget_onset();
        }
        self.endpointer.window(None, 0, false, self.position);
        self.endpointer.advance(self.position);
        self.take_turn_outputs();
        self.epoch_closed = true;
    }

    fn open_epoch(&mut self) {
        self.epoch_closed = false;
        self.path.restart(self.position);
        self.segmenter
            .resume(self.parsed().segmenter, self.position);
        self.retained_epoch = self.retained.end();
    }

    fn change_format(&mut self, to: Format) {
        let (from, at) = (self.format, self.position);
        self.position = timeline::convert(at, from.rate, to.rate);
        let settings = self.adopt_format(to);
        let convert = |at| timeline::convert(at, from.rate, to.rate);
        self.endpointer.rebase(settings, convert);
        let config = self.parsed().overlap;
        if let Some((overlap, config)) = self.overlap.as_mut().zip(config) {
            overlap.rebase(config, convert);
        }
        self.stats.format_changes += 1;
        let resumes_at = self.position;
        self.say(Event::FormatChanged(FormatChanged {
            at,
            resumes_at,
            from,
            to,
        }));
    }

    /// Builds what depends on the format; the stream is at `position` in it.
    fn adopt_format(&mut self, to: Format) -> EndpointerConfig {
        self.path.change_rate(to.rate, self.position);
        let parsed = self.config.parse(to.rate);
        if let Some(reference) = &mut self.reference {
            reference.check.set_near(to.rate);
        }
        // Positions go on, so that a segment of the old format is never read from the new memory.
        self.retained = Retained::new(&self.config, &parsed, to, self.retained.end());
        self.format = to;
        self.epoch_closed = true;
        parsed.endpointer
    }

    /// As new.
    fn start_over(&mut self) {
        let at = self.config.start_at;
        self.position = at;
        self.speech_turn = 0;
        if let Ok(first) = self.config.format()
            && first != self.format
        {
            self.adopt_format(first);
        }
        self.open_epoch();
        self.path.turn_mut().forget();
        let parsed = self.parsed();
        self.segmenter = Segmenter::new(parsed.segmenter, at);
        self.endpointer = Endpointer::new(parsed.endpointer, at);
        if let Some(reference) = &mut self.reference {
            reference.reset(&self.config);
        }
        if let Some((overlap, config)) = self.overlap.as_mut().zip(parsed.overlap) {
            **overlap = OverlapTracker::new(config, at);
        }
        self.watch = Watch::default();
        self.stats = Stats::default();
        self.fingerprint = Fingerprint::new();
    }
}

#[cfg(all(test, feature = "embedded-models"))]
mod tests {
    use super::*;
    use crate::units::SampleRate;
    use crate::vad::VadRate;

    /// 16 KB a stream is a promise of docs/performance.md. Records of turns are large and many of them may wait: their size times
    /// their number is a third of it.
    #[test]
    fn a_stream_does_not_grow_unnoticed() {
        let vad = SileroVad::embedded(VadRate::Hz16000).expect("the embedded weights load");
        let config = DetectorConfig::new(SampleRate::HZ_48000);
        let detector = Detector::new(config, &vad).expect("valid");
        let sizes = [
            ("output", std::mem::size_of::<Output>()),
            ("endpointer", std::mem::size_of::<Endpointer>()),
            ("detector", std::mem::size_of::<Detector>()),
            ("path", detector.path.state_bytes()),
        ];
        let bytes = detector.state_bytes();
        assert!(bytes <= 16 * 1024, "{bytes} bytes: {sizes:?}");
    }
}
