//! Recognition of utterances beside the VAD.
//!
//! One task owns the queue. Requests run beside it, a few at a time; their answers wait in the queue until everything before them is answered. So a slow
//! or failing request delays transcripts behind it and nothing else, and each utterance is answered exactly once: by a transcript or with its
//! audio.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::{FailedSegment, RecognizeOptions, SharedStt, SttEvent, SttMetrics, Transcript};
use crate::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};

/// Utterances that wait for an answer before a warning is logged: at conversational pace half a minute of backlog.
const BACKLOG_WARNING: usize = 8;

/// How a [`SegmentRecognizer`] asks.
#[derive(Clone, Debug, PartialEq)]
pub struct RecognizerOptions {
    /// For each utterance. The time of an attempt is [`RetryPolicy::timeout`] and the length of the audio, because a recogniser on this
    /// machine needs longer for longer audio.
    pub retry: RetryPolicy,
    /// Requests at the same time, from 1. Default 2; 1 for a recogniser that has one model and one device.
    pub max_parallel: usize,
    /// BCP-47; `None` lets the recogniser find out.
    pub language: Option<String>,
    /// How many failed utterances [`SegmentRecognizer::failed`] remembers. Default 8.
    pub keep_failed: usize,
}

impl Default for RecognizerOptions {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            max_parallel: 2,
            language: None,
            keep_failed: 8,
        }
    }
}

crate::setters::setters!(RecognizerOptions {
    retry: RetryPolicy,
    max_parallel: usize,
    [some into] language: String,
    keep_failed: usize
});

/// Where a clip lies in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClipTimes {
    /// First sample of the clip, since the start of the stream.
    pub audio_at: Duration,
    /// Start and end of the speech in it, since the start of the stream.
    pub speech: (Duration, Duration),
}

impl From<(Duration, Duration)> for ClipTimes {
    /// A clip that begins with its speech.
    fn from(speech: (Duration, Duration)) -> Self {
        Self {
            audio_at: speech.0,
            speech,
        }
    }
}

/// Recognises the utterances of one stream beside its VAD: bounded parallelism, transcripts in the order of the utterances, retries with
/// back-off, and the audio of what could not be recognised given back.
///
/// All methods may be called from anywhere; none but [`finish`](Self::finish) waits. Dropping it is [`cancel`](Self::cancel): the last events still come out.
#[derive(Debug)]
pub struct SegmentRecognizer {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    /// Number of the next utterance. Held while one is sent, so that numbers are in the order of the queue.
    next: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: AtomicUsize,
    failed: Mutex<VecDeque<FailedSegment>>,
}

#[derive(Debug)]
enum Command {
    Submit(u64, Clip),
    Speculate(Clip),
    Retract,
    Cancel,
    Finish(oneshot::Sender<()>),
}

#[derive(Clone, Debug)]
struct Clip {
    audio: AudioFrame,
    times: ClipTimes,
}

impl SegmentRecognizer {
    /// A recogniser for one stream, and where its events come out: [`Final`](SttEvent::Final) or
    /// [`SegmentFailed`](SttEvent::SegmentFailed) once for each utterance and in their order, a recoverable [`Error`](SttEvent::Error) for each attempt that
    /// will be made again, [`Metrics`](SttEvent::Metrics) for each request that was answered. If the receiver is dropped, nothing is asked any more.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        stt: SharedStt,
        options: RecognizerOptions,
    ) -> (Self, mpsc::UnboundedReceiver<SttEvent>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (events, out) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let queue = Queue {
            request: RecognizeOptions {
                language: options.language.clone(),
            },
            stt,
            options,
            events,
            shared: Arc::clone(&shared),
            order: VecDeque::new(),
            speculation: None,
            running: JoinSet::new(),
            finishing: Vec::new(),
        };
        tokio::spawn(queue.run(inbox));
        let recognizer = Self {
            commands,
            shared,
            next: Mutex::new(0),
        };
        (recognizer, out)
    }

    /// Asks for this utterance. Gives its number, from 0. Never waits: a recogniser that is slower than the user speaks makes the queue grow, and a warning is
    /// logged for every eight utterances in it.
    pub fn submit(&self, audio: AudioFrame, times: impl Into<ClipTimes>) -> u64 {
        let times = times.into();
        let mut next = lock(&self.next);
        let number = *next;
        *next += 1;
        let waiting = self.shared.pending.fetch_add(1, Ordering::Relaxed) + 1;
        if waiting > BACKLOG_WARNING && waiting % BACKLOG_WARNING == 1 {
            tracing::warn!(waiting, "recognition is slower than the user speaks");
        }
        self.send(Command::Submit(number, Clip { audio, times }));
        number
    }

    /// Asks before the end of an utterance is certain, if a request is free. A [`submit`](Self::submit) whose speech ends at the same time takes its answer,
    /// whatever silence the clip has behind it; any other submit drops it, and so does a guess of another end.
    pub fn speculate(&self, audio: AudioFrame, times: impl Into<ClipTimes>) {
        let times = times.into();
        self.send(Command::Speculate(Clip { audio, times }));
    }

    /// Drops what was asked by [`speculate`](Self::speculate): the user goes on speaking.
    pub fn retract(&self) {
        self.send(Command::Retract);
    }

    /// Asks again for an utterance that failed. Its transcript comes after those of all utterances so far.
    pub fn resubmit(&self, failed: FailedSegment) -> u64 {
        let times = ClipTimes {
            audio_at: failed.audio_at,
            speech: failed.span,
        };
        self.submit(failed.audio, times)
    }

    /// Utterances that have not been answered.
    pub fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Relaxed)
    }

    /// The newest utterances that were given up, oldest first.
    pub fn failed(&self) -> Vec<FailedSegment> {
        lock(&self.shared.failed).iter().cloned().collect()
    }

    /// Waits until everything that was submitted before this call is answered. It ends: every attempt has a deadline, and there are not endlessly many.
    pub fn finish(&self) -> impl Future<Output = ()> + Send + use<> {
        let (done, answered) = oneshot::channel();
        self.send(Command::Finish(done));
        // An error says that the task is gone, and with it everything that could be waited for.
        async { drop(answered.await) }
    }

    /// Gives up what is open: it comes out as [`SegmentFailed`](SttEvent::SegmentFailed) of kind [`ErrorKind::Closed`] with its audio, and requests are cancelled. Answers that were
    /// only waiting for their turn come out as they are. What is submitted later is recognised as usual.
    pub fn cancel(&self) {
        self.send(Command::Cancel);
    }

    fn send(&self, command: Command) {
        // The task ends before this only if nobody listens to its events, or with the runtime.
        let _ = self.commands.send(command);
    }
}

/// The state behind a lock that guards nothing but values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An utterance, or the guess of one.
#[derive(Debug)]
struct Segment {
    number: u64,
    clip: Clip,
    attempts: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be asked from this time on.
    Waiting(Instant),
    Asked(AbortHandle),
    Done(Result<Transcript, ProviderError>),
}

/// What a request gives back.
type Answer = (Result<Transcript, ProviderError>, SttMetrics);

/// The queue and all that belongs to it; owned by one task.
struct Queue {
    stt: SharedStt,
    options: RecognizerOptions,
    request: RecognizeOptions,
    events: mpsc::UnboundedSender<SttEvent>,
    shared: Arc<Shared>,
    /// What has been submitted and is not answered, oldest first.
    order: VecDeque<Segment>,
    speculation: Option<Segment>,
    running: JoinSet<Answer>,
    finishing: Vec<(u64, oneshot::Sender<()>)>,
}

impl Queue {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            self.deliver();
            let next_ask = self.ask();
            let timer = async {
                match next_ask {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.handle(command),
                    None => return self.give_up(),
                },
                Some(answer) = self.running.join_next_with_id() => self.answered(answer),
                () = timer => {}
                () = self.events.closed() => return self.give_up(),
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Submit(number, clip) => {
                let segment = self.adopt(number, clip);
                self.order.push_back(segment);
            }
            Command::Speculate(clip) => {
                let open = self.speculation.as_ref();
                if open.is_none_or(|open| open.clip.times.speech.1 != clip.times.speech.1) {
                    self.retract();
                    self.speculation = Some(Segment::new(0, clip));
                }
            }
            Command::Retract => self.retract(),
            Command::Cancel => self.give_up(),
            Command::Finish(done) => {
                let behind = self.order.back().map_or(0, |last| last.number + 1);
                self.finishing.push((behind, done));
            }
        }
    }

    /// The segment of a submit: with what has been found out about it already. That the speech ends where the guess had it end means
    /// that nothing has been heard since.
    fn adopt(&mut self, number: u64, clip: Clip) -> Segment {
        let guess = self
            .speculation
            .take_if(|guess| guess.clip.times.speech.1 == clip.times.speech.1);
        self.retract();
        match guess {
            // What was refused may have been too short: the whole is asked for afresh.
            Some(Segment {
                state: State::Done(Err(_)),
                ..
            })
            | None => Segment::new(number, clip),
            Some(guess) => Segment {
                number,
                clip,
                ..guess
            },
        }
    }

    fn retract(&mut self) {
        if let Some(Segment {
            state: State::Asked(request),
            ..
        }) = self.speculation.take()
        {
            request.abort();
        }
    }

    /// Makes the requests that are due, as far as the limit allows; gives the time of the next.
    fn ask(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        // A guess comes last: it may be for nothing.
        for segment in self.order.iter_mut().chain(&mut self.speculation) {
            let State::Waiting(due) = segment.state else {
                continue;
            };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
            } else if self.running.len() < self.options.max_parallel.max(1) {
                segment.attempts += 1;
                let request = request(
                    Arc::clone(&self.stt),
                    segment.clip.audio.clone(),
                    self.request.clone(),
                    self.options.retry,
                );
                segment.state = State::Asked(self.running.spawn(request));
            } else {
                // The end of a request wakes the task anyway.
                break;
            }
        }
        next
    }

    fn answered(&mut self, answer: Result<(Id, Answer), JoinError>) {
        let (id, result) = match answer {
            Ok((id, (result, metrics))) => {
                if result.is_ok() {
                    self.say(SttEvent::Metrics(metrics));
                }
                (id, result)
            }
            Err(ended) => {
                let message = match ended.is_panic() {
                    true => "the recogniser panicked",
                    false => "the request was cancelled",
                };
                let error = ProviderError::new(self.stt.label(), ErrorKind::Server, message);
                (ended.id(), Err(error))
            }
        };
        let events = &self.events;
        let asked =
            self.order.iter_mut().chain(&mut self.speculation).find(
                |segment| matches!(&segment.state, State::Asked(request) if request.id() == id),
            );
        // Nobody waits for one that was aborted.
        let Some(segment) = asked else { return };
        let wait = match &result {
            Ok(_) => None,
            Err(error) => self.options.retry.wait_after(segment.attempts, error),
        };
        segment.state = match (wait, result) {
            (Some(wait), Err(error)) => {
                tracing::debug!(%error, attempts = segment.attempts, ?wait, "recognition is tried again");
                let _ = events.send(SttEvent::Error {
                    error,
                    recoverable: true,
                });
                State::Waiting(Instant::now() + wait)
            }
            (_, result) => State::Done(result),
        };
    }

    /// Hands out what is ready and not behind anything that is not.
    fn deliver(&mut self) {
        while let Some(first) = self.order.pop_front() {
            let State::Done(result) = first.state else {
                self.order.push_front(first);
                break;
            };
            self.answer(first.number, first.clip, first.attempts, result);
        }
        let open = self.order.front().map(|first| first.number);
        for (_, done) in self
            .finishing
            .extract_if(.., |(behind, _)| open.is_none_or(|open| open >= *behind))
        {
            let _ = done.send(());
        }
    }

    fn answer(
        &self,
        number: u64,
        clip: Clip,
        attempts: u32,
        result: Result<Transcript, ProviderError>,
    ) {
        let event = match result {
            Ok(transcript) => SttEvent::Final(on_stream_clock(transcript, number, clip.times)),
            Err(error) => {
                tracing::warn!(%error, attempts, number, "an utterance was not recognised, its audio is kept");
                let failed = FailedSegment {
                    number,
                    audio: clip.audio,
                    audio_at: clip.times.audio_at,
                    error,
                    attempts,
                    span: clip.times.speech,
                    stream_ended: false,
                };
                let mut kept = lock(&self.shared.failed);
                kept.push_back(failed.clone());
                let over = kept.len().saturating_sub(self.options.keep_failed);
                kept.drain(..over);
                SttEvent::SegmentFailed(failed)
            }
        };
        self.shared.pending.fetch_sub(1, Ordering::Relaxed);
        self.say(event);
    }

    fn give_up(&mut self) {
        self.retract();
        self.running.abort_all();
        for segment in std::mem::take(&mut self.order) {
            let result = match segment.state {
                State::Done(result) => result,
                State::Waiting(_) | State::Asked(_) => Err(ProviderError::new(
                    self.stt.label(),
                    ErrorKind::Closed,
                    "closed before the utterance was recognised",
                )),
            };
            self.answer(segment.number, segment.clip, segment.attempts, result);
        }
        self.deliver();
    }

    fn say(&self, event: SttEvent) {
        // `run` ends when nobody listens.
        let _ = self.events.send(event);
    }
}

impl Segment {
    fn new(number: u64, clip: Clip) -> Self {
        Self {
            number,
            clip,
            attempts: 0,
            state: State::Waiting(Instant::now()),
        }
    }
}

async fn request(
    stt: SharedStt,
    audio: AudioFrame,
    options: RecognizeOptions,
    mut policy: RetryPolicy,
) -> Answer {
    policy.timeout = policy.timeout.saturating_add(audio.duration());
    let began = Instant::now();
    let result = policy
        .attempt(stt.label(), stt.recognize(&audio, &options))
        .await;
    let metrics = SttMetrics {
        label: stt.label().to_owned(),
        duration: began.elapsed(),
        audio_duration: audio.duration(),
        streamed: false,
    };
    (result, metrics)
}

/// What a recogniser says of a clip, said of the stream.
fn on_stream_clock(mut transcript: Transcript, number: u64, times: ClipTimes) -> Transcript {
    let text = transcript.text.trim();
    if text.len() < transcript.text.len() {
        transcript.text = text.to_owned();
    }
    for word in &mut transcript.words {
        word.span.0 = word.span.0.saturating_add(times.audio_at);
        word.span.1 = word.span.1.saturating_add(times.audio_at);
    }
    // The VAD's, not the recogniser's: only it hears where speech ends, to the window.
    transcript.span = Some(times.speech);
    transcript.segment = Some(number);
    transcript
}
