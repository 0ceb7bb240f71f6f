//! A stream that outlives the streams behind it.
//!
//! Everything pushed is kept until a transcript has answered it. When the stream behind breaks, its successor gets all of that again, and its times are moved to where they
//! belong; starts and ends of speech that have been told are not told twice. Where there is no successor, what was not answered comes out with its audio.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::SampleRate;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::adapter::mono;
use super::{FailedSegment, SttCommand, SttEvent, SttInput, SttStream, Transcript};
use crate::retry::LONGEST;
use crate::{AudioFrame, ErrorKind, ProviderError};

/// Commands and events that may wait, as in the adapter of utterance recognisers.
const INPUT_CAPACITY: usize = 64;
const EVENT_CAPACITY: usize = 256;

/// Audio kept while a recogniser that tells starts has told none: the onset of speech that it has not told yet, and what its VAD wants before it. Far more than either needs, for
/// silence costs a successor nothing.
const IDLE: Duration = Duration::from_secs(5);

/// By how much a transcript may end before the end of speech that it belongs to: some recognisers date it by its last word.
const SHORT_BY: Duration = Duration::from_millis(300);

/// Audio of the newest failure that a recogniser is tried with before it is used again.
const PROBE: Duration = Duration::from_secs(5);

/// Where the streams behind come from.
#[async_trait::async_trait]
pub(super) trait Source: Send + Sync {
    /// The next stream: the first, or the successor of the one that has failed like this. `probe` is the newest audio of it.
    ///
    /// # Errors
    /// There is none.
    async fn next(
        &mut self,
        failed: Option<(ProviderError, Option<AudioFrame>)>,
    ) -> Result<SttStream, ProviderError>;

    /// Whether an utterance that failed should be put to a successor.
    fn has_successor(&self) -> bool;

    /// A transcript has come.
    fn answered(&mut self);
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RelayOptions {
    /// Most audio that is kept for a successor.
    pub(super) max_replay: Duration,
    /// Longest time for the stream to take what it is given, and between two of its events after the end of the input.
    pub(super) timeout: Duration,
}

/// Opens a relayed stream. Must be called within a tokio runtime.
pub(super) fn open(source: Box<dyn Source>, mut options: RelayOptions) -> SttStream {
    options.timeout = options.timeout.min(LONGEST);
    let (input, commands) = SttInput::channel(INPUT_CAPACITY);
    let (out, events) = mpsc::channel(EVENT_CAPACITY);
    let relay = Relay {
        source,
        options,
        out,
        kept: Kept::default(),
        sent: 0,
        told: Told::default(),
        segments: 0,
    };
    tokio::spawn(relay.run(commands));
    SttStream { input, events }
}

/// Nobody takes the events any more.
struct Closed;

/// Why a stream behind is over.
enum End {
    Done,
    Failed(ProviderError),
}

struct Relay {
    source: Box<dyn Source>,
    options: RelayOptions,
    out: mpsc::Sender<SttEvent>,
    kept: Kept,
    /// How much of `kept` the present stream has got.
    sent: usize,
    told: Told,
    /// Utterances that were given back.
    segments: u64,
}

impl Relay {
    async fn run(mut self, mut commands: mpsc::Receiver<SttCommand>) {
        // An error says that nobody listens, and then there is nobody to tell.
        let _ = self.relay(&mut commands).await;
    }

    async fn relay(&mut self, commands: &mut mpsc::Receiver<SttCommand>) -> Result<(), Closed> {
        let mut failed = None;
        let mut more = true;
        loop {
            let stream = self.next(failed.take(), commands, &mut more).await?;
            let end = match stream {
                Ok(stream) => self.pump(stream, commands, &mut more).await?,
                Err(error) => return self.give_up(error).await,
            };
            match end {
                End::Done => return self.close_speech().await,
                End::Failed(error) => {
                    tracing::warn!(%error, "a recognition stream has failed");
                    let probe = self.kept.newest(PROBE);
                    failed = Some((error, probe));
                }
            }
        }
    }

    /// The next stream; what is pushed meanwhile is kept.
    async fn next(
        &mut self,
        failed: Option<(ProviderError, Option<AudioFrame>)>,
        commands: &mut mpsc::Receiver<SttCommand>,
        more: &mut bool,
    ) -> Result<Result<SttStream, ProviderError>, Closed> {
        let opening = self.source.next(failed);
        tokio::pin!(opening);
        loop {
            tokio::select! {
                stream = &mut opening => return Ok(stream),
                command = commands.recv(), if *more => match command {
                    Some(command) => {
                        let room = self.options.max_replay;
                        self.sent = 0;
                        self.kept.push(command);
                        self.kept.trim(self.kept.end.saturating_sub(room), usize::MAX);
                    }
                    None => *more = false,
                },
                () = self.out.closed() => return Err(Closed),
            }
        }
    }

    async fn pump(
        &mut self,
        stream: SttStream,
        commands: &mut mpsc::Receiver<SttCommand>,
        more: &mut bool,
    ) -> Result<End, Closed> {
        let SttStream { input, mut events } = stream;
        let mut input = Some(input.0);
        let offset = self.kept.start;
        self.sent = 0;
        let mut deadline = Instant::now() + self.options.timeout;
        loop {
            let behind = self.kept.commands.get(self.sent).cloned();
            if behind.is_none() && !*more {
                input = None;
            }
            let out = self.out.clone();
            let late = input.is_none() || behind.is_some();
            tokio::select! {
                event = events.recv() => {
                    deadline = Instant::now() + self.options.timeout;
                    match event {
                        Some(event) => {
                            if let Some(error) = self.hear(event, offset).await? {
                                return Ok(End::Failed(error));
                            }
                        }
                        None if input.is_none() => return Ok(End::Done),
                        None => {
                            let message = "the stream ended before its input";
                            return Ok(End::Failed(ProviderError::new("stt", ErrorKind::Connection, message)));
                        }
                    }
                }
                room = room(input.as_ref()), if behind.is_some() => {
                    deadline = Instant::now() + self.options.timeout;
                    let (Some(room), Some((_, command))) = (room, behind) else {
                        return Ok(End::Failed(self.last_words(&mut events, offset).await?));
                    };
                    room.send(command);
                    self.sent += 1;
                    self.forget();
                }
                command = commands.recv(), if *more && behind.is_none() => {
                    // The stream has had nothing to do so far.
                    deadline = Instant::now() + self.options.timeout;
                    match command {
                        Some(command) => self.kept.push(command),
                        None => *more = false,
                    }
                }
                () = tokio::time::sleep_until(deadline), if late => {
                    let message = format!("no progress within {:?}", self.options.timeout);
                    return Ok(End::Failed(ProviderError::new("stt", ErrorKind::Timeout, message)));
                }
                () = out.closed() => return Err(Closed),
            }
        }
    }

    /// Why a stream takes no more input.
    async fn last_words(
        &mut self,
        events: &mut mpsc::Receiver<SttEvent>,
        offset: Duration,
    ) -> Result<ProviderError, Closed> {
        let deadline = Instant::now() + self.options.timeout;
        while let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.recv()).await {
            if let Some(error) = self.hear(event, offset).await? {
                return Ok(error);
            }
        }
        let message = "the stream takes no more input";
        Ok(ProviderError::new("stt", ErrorKind::Connection, message))
    }

    /// Passes an event on; gives the error if it ends the stream.
    async fn hear(
        &mut self,
        event: SttEvent,
        offset: Duration,
    ) -> Result<Option<ProviderError>, Closed> {
        let event = match event {
            SttEvent::StartOfSpeech { at } => {
                let at = at.saturating_add(offset);
                self.told.starts = true;
                if self.told.speaking || at < self.told.until {
                    return Ok(None);
                }
                (self.told.speaking, self.told.until) = (true, at);
                SttEvent::StartOfSpeech { at }
            }
            SttEvent::EndOfSpeech { at } => {
                let at = at.saturating_add(offset);
                if !self.told.speaking || at <= self.told.until {
                    return Ok(None);
                }
                (self.told.speaking, self.told.until) = (false, at);
                SttEvent::EndOfSpeech { at }
            }
            SttEvent::Interim(transcript) => SttEvent::Interim(moved(transcript, offset)),
            SttEvent::Preflight(transcript) => SttEvent::Preflight(moved(transcript, offset)),
            SttEvent::Final(transcript) => {
                let transcript = moved(transcript, offset);
                let until = match transcript.span {
                    Some((_, end)) => end,
                    None if self.told.starts && !self.told.speaking => self.told.until,
                    None => self.kept.position_of(self.sent),
                };
                self.kept.answered = self.kept.answered.max(until);
                self.source.answered();
                self.forget();
                SttEvent::Final(transcript)
            }
            SttEvent::SegmentFailed(failed) if self.source.has_successor() => {
                return Ok(Some(failed.error));
            }
            SttEvent::SegmentFailed(mut failed) => {
                failed.audio_at = failed.audio_at.saturating_add(offset);
                failed.span = moved_span(failed.span, offset);
                self.kept.answered = self.kept.answered.max(failed.span.1);
                self.segments = self.segments.max(failed.number.saturating_add(1));
                SttEvent::SegmentFailed(failed)
            }
            SttEvent::Error {
                error,
                recoverable: false,
            } => return Ok(Some(error)),
            other => other,
        };
        self.say(event).await?;
        Ok(None)
    }

    /// Whether all speech that was told has its transcript.
    fn is_idle(&self) -> bool {
        let told = &self.told;
        told.starts && !told.speaking && self.kept.answered.saturating_add(SHORT_BY) >= told.until
    }

    /// Lets go of what no successor will need.
    fn forget(&mut self) {
        let longest = match self.is_idle() {
            true => IDLE,
            false => self.options.max_replay,
        };
        let position = self.kept.position_of(self.sent);
        let floor = self.kept.answered.max(position.saturating_sub(longest));
        self.sent -= self.kept.trim(floor, self.sent);
    }

    async fn give_up(&mut self, error: ProviderError) -> Result<(), Closed> {
        self.close_speech().await?;
        let pieces = match self.is_idle() {
            true => Vec::new(),
            false => self.kept.pieces(),
        };
        for (audio_at, audio) in pieces {
            let span = (audio_at, audio_at.saturating_add(audio.duration()));
            let failed = FailedSegment {
                number: self.segments,
                audio,
                audio_at,
                error: error.clone(),
                attempts: 1,
                span,
                stream_ended: true,
            };
            self.segments += 1;
            self.say(SttEvent::SegmentFailed(failed)).await?;
        }
        let recoverable = false;
        self.say(SttEvent::Error { error, recoverable }).await
    }

    /// Every start gets its end.
    async fn close_speech(&mut self) -> Result<(), Closed> {
        if std::mem::take(&mut self.told.speaking) {
            let at = self.kept.end;
            self.told.until = at;
            self.say(SttEvent::EndOfSpeech { at }).await?;
        }
        Ok(())
    }

    async fn say(&self, event: SttEvent) -> Result<(), Closed> {
        self.out.send(event).await.map_err(|_| Closed)
    }
}

/// Room for one command; `None` if the stream takes no more.
async fn room(input: Option<&mpsc::Sender<SttCommand>>) -> Option<mpsc::Permit<'_, SttCommand>> {
    input?.reserve().await.ok()
}

/// A transcript of a stream that began at `offset`.
fn moved(mut transcript: Transcript, offset: Duration) -> Transcript {
    transcript.span = transcript.span.map(|span| moved_span(span, offset));
    for word in &mut transcript.words {
        word.span = moved_span(word.span, offset);
    }
    transcript
}

fn moved_span((start, end): (Duration, Duration), offset: Duration) -> (Duration, Duration) {
    (start.saturating_add(offset), end.saturating_add(offset))
}

/// What has been told of the speech.
#[derive(Default)]
struct Told {
    /// Whether this recogniser tells starts at all.
    starts: bool,
    speaking: bool,
    /// The newest start or end.
    until: Duration,
}

/// What was pushed and not been answered, oldest first, each with the position behind it.
#[derive(Default)]
struct Kept {
    commands: VecDeque<(Duration, SttCommand)>,
    /// Positions before the first and behind the last of them.
    start: Duration,
    end: Duration,
    /// Everything before this has been answered.
    answered: Duration,
}

impl Kept {
    fn push(&mut self, command: SttCommand) {
        let duration = match &command {
            SttCommand::Frame(frame) => frame.duration(),
            SttCommand::Gap(duration) => *duration,
            SttCommand::Flush => Duration::ZERO,
        };
        self.end = self.end.saturating_add(duration);
        self.commands.push_back((self.end, command));
    }

    /// The position behind the first `count` commands.
    fn position_of(&self, count: usize) -> Duration {
        match count
            .checked_sub(1)
            .and_then(|last| self.commands.get(last))
        {
            Some((end, _)) => *end,
            None => self.start,
        }
    }

    /// Drops what ends before `floor`, of the first `most` commands; gives how many it dropped.
    fn trim(&mut self, floor: Duration, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most {
            let Some((end, _)) = self.commands.front().filter(|(end, _)| *end <= floor) else {
                break;
            };
            self.start = *end;
            self.commands.pop_front();
            dropped += 1;
        }
        dropped
    }

    /// The audio that is kept, in mono, each piece of one format and without gaps, with its position.
    fn pieces(&self) -> Vec<(Duration, AudioFrame)> {
        let mut pieces = Vec::new();
        let mut open: Option<(Duration, SampleRate, Vec<i16>)> = None;
        for (end, command) in &self.commands {
            let frame = match command {
                SttCommand::Frame(frame) => frame,
                SttCommand::Gap(_) => {
                    pieces.extend(open.take());
                    continue;
                }
                SttCommand::Flush => continue,
            };
            let Ok(rate) = SampleRate::new(frame.sample_rate()) else {
                continue;
            };
            pieces.extend(open.take_if(|(_, before, _)| *before != rate));
            let at = end.saturating_sub(frame.duration());
            let (_, _, samples) = open.get_or_insert((at, rate, Vec::new()));
            let mixed = mono(frame.samples().to_vec(), frame.channels() as usize, rate);
            samples.extend_from_slice(mixed.samples());
        }
        pieces.extend(open);
        pieces
            .into_iter()
            .map(|(at, rate, samples)| (at, mono(samples, 1, rate)))
            .collect()
    }

    /// The newest audio.
    fn newest(&self, longest: Duration) -> Option<AudioFrame> {
        let (_, audio) = self.pieces().pop()?;
        let rate = SampleRate::new(audio.sample_rate()).ok()?;
        let count = usize::try_from(rate.samples(longest).0).unwrap_or(usize::MAX);
        let from = audio.samples().len().saturating_sub(count);
        Some(mono(audio.samples()[from..].to_vec(), 1, rate))
    }
}
