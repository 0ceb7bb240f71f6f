//! The recogniser of a session, whichever kind it is.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::stt::{
    ClipTimes, FailedSegment, RecognizeOptions, RecognizerOptions, SegmentRecognizer, SharedStt,
    SttCommand, SttEvent, SttStream,
};
use crate::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};

/// Audio that waits for a stream to open, or for its provider to take it. More is lost, oldest first, and that is told.
const BACKLOG: Duration = Duration::from_secs(60);

/// Wait before a broken stream is opened again; it doubles up to the policy's longest. LiveKit Agents 1.8.9: 0.5 s.
const REOPEN: Duration = Duration::from_millis(500);

pub(super) enum Recogniser {
    None,
    /// Takes the segments that the core finds.
    Segments {
        recogniser: SegmentRecognizer,
        events: mpsc::UnboundedReceiver<SttEvent>,
    },
    /// Takes the audio as it comes.
    Stream(Box<Stream>),
}

/// A recognition stream that is opened again when it breaks.
pub(super) struct Stream {
    stt: SharedStt,
    options: RecognizeOptions,
    retry: RetryPolicy,
    state: State,
    backlog: VecDeque<SttCommand>,
    waiting: Duration,
    /// What the next stream is to be told of as a gap.
    lost: Duration,
    /// What nobody has been told of, and what somebody has.
    untold: Duration,
    told: Duration,
    failures: u32,
    /// The input is over. Until then, what waits may still be taken.
    ended: Option<Instant>,
    /// When the stream that is open was opened.
    opened: Instant,
}

enum State {
    Opening(JoinHandle<Result<SttStream, ProviderError>>),
    Open(SttStream),
    Broken {
        until: Instant,
    },
    /// The input was ended; what was said is still recognised, until then.
    Ending(mpsc::Receiver<SttEvent>, Instant),
    Over,
}

impl Recogniser {
    pub(super) fn new(
        stt: Option<SharedStt>,
        language: Option<String>,
        retry: RetryPolicy,
        options: &RecognizerOptions,
    ) -> Self {
        let Some(stt) = stt else {
            return Self::None;
        };
        if stt.capabilities().streaming {
            return Self::Stream(Box::new(Stream::new(
                stt,
                RecognizeOptions { language },
                retry,
            )));
        }
        let (recogniser, events) = SegmentRecognizer::new(stt, options.clone());
        Self::Segments { recogniser, events }
    }

    pub(super) const fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// What it says next; never, if there is none. Losing the call's future loses nothing.
    pub(super) async fn next(&mut self) -> SttEvent {
        match self {
            Self::None => std::future::pending().await,
            Self::Segments { events, .. } => match events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            },
            Self::Stream(stream) => stream.next().await,
        }
    }

    /// What it has said already, without waiting.
    pub(super) fn try_next(&mut self) -> Option<SttEvent> {
        match self {
            Self::None => None,
            Self::Segments { events, .. } => events.try_recv().ok(),
            Self::Stream(stream) => match &mut stream.state {
                State::Open(open) => open.events.try_recv().ok(),
                State::Ending(events, _) => events.try_recv().ok(),
                _ => None,
            },
        }
    }

    pub(super) fn send(&mut self, command: SttCommand) {
        if let Self::Stream(stream) = self {
            stream.send(command);
        }
    }

    /// A whole utterance.
    pub(super) fn submit(&self, audio: AudioFrame, times: ClipTimes) {
        if let Self::Segments { recogniser, .. } = self {
            recogniser.submit(audio, times);
        }
    }

    /// An utterance whose end is not certain yet.
    pub(super) fn speculate(&self, audio: AudioFrame, times: ClipTimes) {
        if let Self::Segments { recogniser, .. } = self {
            recogniser.speculate(audio, times);
        }
    }

    /// The user goes on.
    pub(super) fn retract(&self) {
        if let Self::Segments { recogniser, .. } = self {
            recogniser.retract();
        }
    }

    /// One that failed, once more.
    pub(super) fn resubmit(&self, failed: FailedSegment) -> bool {
        if let Self::Segments { recogniser, .. } = self {
            recogniser.resubmit(failed);
            return true;
        }
        false
    }

    /// No audio follows. What is there is still recognised.
    pub(super) fn end_input(&mut self) {
        if let Self::Stream(stream) = self {
            stream.end_input();
        }
    }

    /// Whether words may still come though no audio does.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self, Self::Stream(stream)
            if stream.ended.is_some() && !matches!(stream.state, State::Over))
    }

    /// What is open is given up, with its audio: the events that say so are there when this returns.
    pub(super) async fn cancel(&mut self) {
        match self {
            Self::None => {}
            Self::Segments { recogniser, .. } => {
                recogniser.cancel();
                // Nothing is left to wait for: the queue answers at once.
                recogniser.finish().await;
            }
            Self::Stream(stream) => stream.stop(),
        }
    }
}

impl Stream {
    fn new(stt: SharedStt, options: RecognizeOptions, retry: RetryPolicy) -> Self {
        let state = open(&stt, &options, &retry);
        Self {
            stt,
            options,
            retry,
            state,
            backlog: VecDeque::new(),
            waiting: Duration::ZERO,
            lost: Duration::ZERO,
            untold: Duration::ZERO,
            told: Duration::ZERO,
            failures: 0,
            ended: None,
            opened: Instant::now(),
        }
    }

    fn send(&mut self, command: SttCommand) {
        if let State::Open(stream) = &self.state
            && self.backlog.is_empty()
        {
            match stream.input.try_send(command) {
                Ok(()) => return,
                Err(command) => self.keep(command),
            }
        } else if !matches!(self.state, State::Over | State::Ending(..)) {
            self.keep(command);
        }
        self.empty_backlog();
    }

    fn keep(&mut self, command: SttCommand) {
        self.waiting += length(&command);
        self.backlog.push_back(command);
        while self.waiting > BACKLOG
            && let Some(oldest) = self.backlog.pop_front()
        {
            self.waiting = self.waiting.saturating_sub(length(&oldest));
            self.lost += length(&oldest);
            self.untold += length(&oldest);
        }
    }

    fn empty_backlog(&mut self) {
        let State::Open(stream) = &self.state else {
            return;
        };
        if self.lost > Duration::ZERO && stream.input.try_send(SttCommand::Gap(self.lost)).is_ok() {
            self.lost = Duration::ZERO;
        }
        while let Some(command) = self.backlog.pop_front() {
            let length = length(&command);
            if let Err(command) = stream.input.try_send(command) {
                self.backlog.push_front(command);
                break;
            }
            self.waiting = self.waiting.saturating_sub(length);
        }
    }

    async fn next(&mut self) -> SttEvent {
        loop {
            self.end_if_taken();
            // Where nothing is taken any more, each frame is a loss: that is told at 1 s, 2 s, 4 s...
            let is_much = self.untold >= self.told.max(Duration::from_secs(1));
            let is_past = self.untold > Duration::ZERO && self.waiting < BACKLOG / 2;
            if matches!(self.state, State::Open(_)) && (is_much || is_past) {
                return self.loss();
            }
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = match self.ended {
                        None => opening.await,
                        Some(limit) => match tokio::time::timeout_at(limit, opening).await {
                            Ok(opened) => opened,
                            Err(_) => {
                                self.stop();
                                return self.give_up();
                            }
                        },
                    };
                    let opened = match opened {
                        Ok(opened) => opened,
                        Err(_) => Err(self.failure("opening it panicked")),
                    };
                    match opened {
                        Ok(stream) => {
                            self.state = State::Open(stream);
                            self.opened = Instant::now();
                            self.empty_backlog();
                        }
                        Err(error) => return self.broken(error),
                    }
                }
                State::Open(stream) => {
                    // No audio follows that would give the rest another chance.
                    let rest = self.ended.zip(self.backlog.front().cloned());
                    let event = match rest {
                        None => stream.events.recv().await,
                        Some((limit, command)) => tokio::select! {
                            event = stream.events.recv() => event,
                            taken = tokio::time::timeout_at(limit, stream.input.send(command)) => {
                                match taken {
                                    Ok(true) => drop(self.backlog.pop_front()),
                                    Ok(false) => {
                                        let error = self.failure("the recognition stream takes no more");
                                        return self.broken(error);
                                    }
                                    Err(_) => return self.give_up(),
                                }
                                continue;
                            }
                        },
                    };
                    match event {
                        Some(SttEvent::Error {
                            error,
                            recoverable: false,
                        }) => return self.broken(error),
                        Some(event) => {
                            if matches!(event, SttEvent::Final(_)) {
                                self.failures = 0;
                            }
                            if !self.backlog.is_empty() {
                                self.empty_backlog();
                            }
                            return event;
                        }
                        None => {
                            let error = self.failure("the recognition stream ended");
                            return self.broken(error);
                        }
                    }
                }
                State::Broken { until } => {
                    if self.ended.is_some_and(|limit| *until >= limit) {
                        self.stop();
                        return SttEvent::EndOfSpeech { at: Duration::ZERO };
                    }
                    tokio::time::sleep_until(*until).await;
                    self.state = open(&self.stt, &self.options, &self.retry);
                }
                State::Ending(events, until) => {
                    match tokio::time::timeout_at(*until, events.recv()).await {
                        Ok(Some(event)) => return event,
                        Ok(None) | Err(_) => {
                            self.state = State::Over;
                            // Whoever waits for words has to look again.
                            return SttEvent::EndOfSpeech { at: Duration::ZERO };
                        }
                    }
                }
                State::Over => std::future::pending().await,
            }
        }
    }

    fn end_input(&mut self) {
        self.ended
            .get_or_insert(Instant::now() + self.retry.timeout);
        self.empty_backlog();
        self.end_if_taken();
    }

    /// Ends the stream's input once the input is over and all of it has been taken.
    fn end_if_taken(&mut self) {
        if self.ended.is_none() || !self.backlog.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Open(SttStream { input, events }) => {
                drop(input);
                self.state = State::Ending(events, Instant::now() + self.retry.timeout);
            }
            State::Opening(opening) => opening.abort(),
            ending @ State::Ending(..) => self.state = ending,
            State::Broken { .. } | State::Over => {}
        }
    }

    /// Gives up what is open.
    fn stop(&mut self) {
        if let State::Opening(opening) = std::mem::replace(&mut self.state, State::Over) {
            opening.abort();
        }
    }

    /// What waits is not waited for any more.
    fn give_up(&mut self) -> SttEvent {
        self.backlog.clear();
        self.untold += std::mem::take(&mut self.waiting);
        self.loss()
    }

    /// Tells what is lost.
    fn loss(&mut self) -> SttEvent {
        let lost = std::mem::take(&mut self.untold);
        self.told += lost;
        let message = format!(
            "{:.1} s of audio are lost: the recognition stream did not take them in time",
            lost.as_secs_f64()
        );
        SttEvent::Error {
            error: self.failure(&message),
            recoverable: true,
        }
    }

    fn failure(&self, message: &str) -> ProviderError {
        ProviderError::new(self.stt.label(), ErrorKind::Connection, message)
    }

    fn broken(&mut self, error: ProviderError) -> SttEvent {
        // One that has lasted longer than an attempt may take is no failure: many services end streams that hear nothing for a while.
        let was_open = matches!(self.state, State::Open(_));
        let lasted = was_open && self.opened.elapsed() > self.retry.timeout;
        if lasted {
            self.failures = 0;
        }
        let doublings = self.failures.min(16);
        let wait = REOPEN
            .saturating_mul(1 << doublings)
            .min(self.retry.max_delay.max(REOPEN));
        self.failures += 1;
        self.state = State::Broken {
            until: Instant::now() + wait,
        };
        SttEvent::Error {
            error,
            recoverable: lasted,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let State::Opening(opening) = &self.state {
            opening.abort();
        }
    }
}

fn open(stt: &SharedStt, options: &RecognizeOptions, retry: &RetryPolicy) -> State {
    let (stt, options, retry) = (stt.clone(), options.clone(), *retry);
    State::Opening(tokio::spawn(async move {
        let label = stt.label().to_owned();
        retry.run_for(&label, |_| stt.stream(&options)).await.0
    }))
}

fn length(command: &SttCommand) -> Duration {
    match command {
        SttCommand::Frame(frame) => frame.duration(),
        SttCommand::Gap(duration) => *duration,
        SttCommand::Flush => Duration::ZERO,
    }
}
