//! A stream that outlives the streams behind it.
//!
//! Everything pushed is kept until a transcript has answered it, or a stream has shown that it is silence: not until it was sent, for a stream may be deaf long before it
//! breaks. When the stream behind breaks, its successor gets all of that again, and its times are moved to where they belong; starts and ends of speech that have been told are not told
//! twice. Where there is no successor, what was not answered comes out with its audio.

mod kept;
mod open;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::kept::Kept;
use self::open::Open;
use super::{FailedSegment, SttCommand, SttEvent, SttInput, SttStream, Transcript};
use crate::retry::LONGEST;
use crate::{AudioFrame, ErrorKind, ProviderError};

/// Commands and events that may wait, as in the adapter of utterance recognisers.
const INPUT_CAPACITY: usize = 64;
const EVENT_CAPACITY: usize = 256;

/// Audio of the newest failure that a recogniser is tried with before it is used again.
const PROBE: Duration = Duration::from_secs(5);

/// Where the streams behind come from.
#[async_trait::async_trait]
pub(super) trait Source: Send + Sync {
    /// The next stream: the first, or the successor of the one that has failed like this.
    ///
    /// # Errors
    /// There is none.
    async fn next(&mut self, failed: Option<Failure>) -> Result<SttStream, ProviderError>;

    /// Whether an utterance that failed should be put to a successor.
    fn has_successor(&self) -> bool;

    /// A transcript has come; or, if not `recognised`, an utterance was given back because nobody could recognise it.
    fn answered(&mut self, recognised: bool);
}

/// How a stream broke.
pub(super) struct Failure {
    pub(super) error: ProviderError,
    /// The newest of what it should have heard.
    pub(super) audio: Option<AudioFrame>,
    /// How long it lived, up to its last sign of life.
    pub(super) lasted: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RelayOptions {
    /// Most audio that is kept for a successor. What no stream has got yet is never dropped: when there is so much of it, the input waits. While a successor catches up, both
    /// may be there.
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
        open: Open::default(),
        told: Told::default(),
        numbers: Numbers::default(),
    };
    tokio::spawn(relay.run(commands));
    SttStream { input, events }
}

/// Nobody takes the events any more.
struct Closed;

/// Why a stream behind is over.
enum End {
    Done,
    Failed {
        error: ProviderError,
        lasted: Duration,
    },
}

/// The way into a stream behind.
enum Entry {
    Open(mpsc::Sender<SttCommand>),
    /// All was sent.
    Ended,
    /// The stream takes no more. Why, it may still say.
    Refused,
}

struct Relay {
    source: Box<dyn Source>,
    options: RelayOptions,
    out: mpsc::Sender<SttEvent>,
    kept: Kept,
    /// How much of `kept` the present stream has got.
    sent: usize,
    /// What the present stream has told of.
    open: Open,
    told: Told,
    numbers: Numbers,
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
                Err(error) => {
                    commands.close();
                    while let Ok(command) = commands.try_recv() {
                        self.kept.push(command);
                    }
                    return self.give_up(error).await;
                }
            };
            match end {
                End::Done => return self.close_speech(self.kept.end()).await,
                End::Failed { error, lasted } => {
                    tracing::warn!(%error, "a recognition stream has failed");
                    // No successor hears speech that is answered, so none tells its end.
                    let settled = self.kept.settled();
                    if settled > self.told.until {
                        self.close_speech(settled).await?;
                    }
                    let audio = self.kept.newest(PROBE);
                    failed = Some(Failure {
                        error,
                        audio,
                        lasted,
                    });
                }
            }
        }
    }

    /// The next stream; what is pushed meanwhile is kept.
    async fn next(
        &mut self,
        failed: Option<Failure>,
        commands: &mut mpsc::Receiver<SttCommand>,
        more: &mut bool,
    ) -> Result<Result<SttStream, ProviderError>, Closed> {
        self.sent = 0;
        let opening = self.source.next(failed);
        tokio::pin!(opening);
        loop {
            let longest = self.options.max_replay;
            tokio::select! {
                stream = &mut opening => return Ok(stream),
                command = commands.recv(), if *more && self.kept.has_room(longest) => match command {
                    Some(command) => {
                        self.kept.push(command);
                        self.kept.trim(longest, usize::MAX);
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
        let mut entry = Entry::Open(input.0);
        self.sent = 0;
        self.open = Open::default();
        self.numbers.base = self.numbers.next;
        self.kept.cut();
        let offset = self.kept.start();
        let opened = Instant::now();
        let mut alive = opened;
        let failed = |error, alive| End::Failed {
            error,
            lasted: alive - opened,
        };
        loop {
            let behind = self.kept.get(self.sent).cloned();
            if behind.is_none() && !*more && matches!(entry, Entry::Open(_)) {
                entry = Entry::Ended;
            }
            let out = self.out.clone();
            let idle = behind.is_none() && matches!(entry, Entry::Open(_));
            let way = match (&entry, &behind) {
                (Entry::Open(input), Some(_)) => Some(input.clone()),
                _ => None,
            };
            let sends = way.is_some();
            // While it takes nothing, the user speaks on.
            let listens =
                *more && (behind.is_none() || self.kept.has_room(self.options.max_replay));
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else {
                        return Ok(match entry {
                            Entry::Ended => End::Done,
                            Entry::Open(_) => failed(broken("the stream ended before its input"), alive),
                            Entry::Refused => failed(broken("the stream takes no more input"), alive),
                        });
                    };
                    if let Some(error) = self.hear(event, offset).await? {
                        return Ok(failed(error, alive));
                    }
                    // Behind the wait for our own reader.
                    alive = Instant::now();
                }
                room = room(way), if sends => {
                    alive = Instant::now();
                    let is_open = room.is_some();
                    if let (Some(room), Some(command)) = (room, behind) {
                        room.send(command);
                        self.sent += 1;
                        self.kept.give(self.sent);
                        self.forget();
                    }
                    if !is_open {
                        entry = Entry::Refused;
                    }
                }
                command = commands.recv(), if listens => {
                    if idle {
                        // The stream has had nothing to do so far.
                        alive = Instant::now();
                    }
                    match command {
                        Some(command) => {
                            self.kept.push(command);
                            self.forget();
                        }
                        None => *more = false,
                    }
                }
                () = tokio::time::sleep_until(alive + self.options.timeout), if !idle => {
                    if matches!(entry, Entry::Refused) {
                        return Ok(failed(broken("the stream takes no more input"), alive));
                    }
                    let message = format!("no progress within {:?}", self.options.timeout);
                    let error = ProviderError::new("stt", ErrorKind::Timeout, message);
                    return Ok(failed(error, alive));
                }
                () = out.closed() => return Err(Closed),
            }
        }
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
                let settled = self.open.start(at);
                self.settle(settled);
                if self.told.speaking || at < self.told.until {
                    return Ok(None);
                }
                (self.told.speaking, self.told.until) = (true, at);
                SttEvent::StartOfSpeech { at }
            }
            SttEvent::EndOfSpeech { at } => {
                let at = at.saturating_add(offset);
                let settled = self.open.end(at);
                self.settle(settled);
                if !self.told.speaking || at <= self.told.until {
                    return Ok(None);
                }
                (self.told.speaking, self.told.until) = (false, at);
                SttEvent::EndOfSpeech { at }
            }
            SttEvent::Interim(transcript) => SttEvent::Interim(self.moved(transcript, offset)),
            SttEvent::Preflight(transcript) => SttEvent::Preflight(self.moved(transcript, offset)),
            SttEvent::Final(transcript) => {
                let transcript = self.moved(transcript, offset);
                if let Some(number) = transcript.segment {
                    self.numbers.told(number);
                }
                self.answer(transcript.span.map(|(_, end)| end));
                self.source.answered(true);
                SttEvent::Final(transcript)
            }
            SttEvent::SegmentFailed(failed) if self.source.has_successor() => {
                return Ok(Some(failed.error));
            }
            SttEvent::SegmentFailed(mut failed) => {
                failed.audio_at = failed.audio_at.saturating_add(offset);
                failed.span = moved_span(failed.span, offset);
                failed.number = failed.number.saturating_add(self.numbers.base);
                self.numbers.told(failed.number);
                self.answer(Some(failed.span.1));
                self.source.answered(false);
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

    /// A transcript of speech up to the end of its span, if it has one.
    fn answer(&mut self, span_end: Option<Duration>) {
        let position = self.kept.position_of(self.sent);
        let settled = self.open.answer(span_end, position);
        self.settle(settled);
    }

    /// No successor needs what is before this. What the stream has not got is not settled by what it says.
    fn settle(&mut self, until: Duration) {
        self.kept
            .settle(until.min(self.kept.position_of(self.sent)));
        self.forget();
    }

    /// Lets go of what no successor will need, as far as the present stream has got it.
    fn forget(&mut self) {
        self.sent -= self.kept.trim(self.options.max_replay, self.sent);
    }

    async fn give_up(&mut self, error: ProviderError) -> Result<(), Closed> {
        self.close_speech(self.kept.end()).await?;
        self.kept.cut();
        for (audio_at, audio) in self.kept.pieces() {
            let span = (audio_at, audio_at.saturating_add(audio.duration()));
            let number = self.numbers.next;
            self.numbers.told(number);
            let failed = FailedSegment {
                number,
                audio,
                audio_at,
                error: error.clone(),
                attempts: 1,
                span,
                stream_ended: true,
            };
            self.say(SttEvent::SegmentFailed(failed)).await?;
        }
        let recoverable = false;
        self.say(SttEvent::Error { error, recoverable }).await
    }

    /// Every start gets its end.
    async fn close_speech(&mut self, at: Duration) -> Result<(), Closed> {
        if std::mem::take(&mut self.told.speaking) {
            self.told.until = at;
            self.say(SttEvent::EndOfSpeech { at }).await?;
        }
        Ok(())
    }

    async fn say(&self, event: SttEvent) -> Result<(), Closed> {
        self.out.send(event).await.map_err(|_| Closed)
    }

    /// A transcript of the present stream, which began at `offset`.
    fn moved(&self, mut transcript: Transcript, offset: Duration) -> Transcript {
        transcript.span = transcript.span.map(|span| moved_span(span, offset));
        for word in &mut transcript.words {
            word.span = moved_span(word.span, offset);
        }
        let segment = transcript.segment;
        transcript.segment = segment.map(|number| number.saturating_add(self.numbers.base));
        transcript
    }
}

/// Room for one command; `None` if the stream takes no more.
async fn room(way: Option<mpsc::Sender<SttCommand>>) -> Option<mpsc::OwnedPermit<SttCommand>> {
    way?.reserve_owned().await.ok()
}

fn broken(message: &str) -> ProviderError {
    ProviderError::new("stt", ErrorKind::Connection, message)
}

fn moved_span((start, end): (Duration, Duration), offset: Duration) -> (Duration, Duration) {
    (start.saturating_add(offset), end.saturating_add(offset))
}

/// What has been told of the speech.
#[derive(Default)]
struct Told {
    speaking: bool,
    /// The newest start or end.
    until: Duration,
}

/// Each stream behind numbers its segments from 0; ours go on.
#[derive(Default)]
struct Numbers {
    /// Of the present stream's first.
    base: u64,
    /// The first that was not told.
    next: u64,
}

impl Numbers {
    fn told(&mut self, number: u64) {
        self.next = self.next.max(number.saturating_add(1));
    }
}
