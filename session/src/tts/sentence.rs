//! A stream of speech from a voice that takes whole texts.

use std::time::Duration;

use futures_util::future::join;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{
    ChunkOptions, Emphasis, SentenceChunker, SharedTts, TextFilter, TtsCommand, TtsEvent, TtsInput,
    TtsMetrics, TtsStream, Writer, Written,
};
use crate::{AudioFrame, ErrorKind, ProviderError, RetryPolicy};

/// How a [`SentenceStream`] speaks.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SentenceOptions {
    /// Lengths of the pieces.
    pub chunks: ChunkOptions,
    /// Attempts for each sentence, as long as nothing of it was heard. Its time counts to the first frame, and again between two.
    pub retry: RetryPolicy,
    /// What is not read aloud. The events keep the text as it was.
    pub filter: TextFilter,
}

crate::setters::setters!(SentenceOptions {
    chunks: ChunkOptions,
    retry: RetryPolicy,
    filter: TextFilter
});

/// Makes a stream of a voice that takes whole texts: cuts at the ends of sentences, and asks for the next one while one comes in.
///
/// What follows a full stop decides whether it ends a sentence; where nothing follows for 0.4 s, it does.
///
/// Each sentence begins with [`TtsEvent::Text`]; the texts, put together, are what was pushed. A sentence that fails for good ends the stream with
/// its error, so that no gap is spoken over: then it takes no more text.
pub struct SentenceStream;

/// Text that waits to be asked for: a few tokens of a language model.
const INPUT: usize = 64;

/// Sentences that wait to be asked for. A writer that is further ahead waits.
const WAITING: usize = 64;

/// Frames that wait to be read: with frames of 20 ms, 5 s.
const EVENTS: usize = 256;

impl SentenceStream {
    /// Opens a stream; its task ends when the input ends or the events are dropped. Must be called within a tokio runtime.
    pub fn open(tts: SharedTts, options: SentenceOptions) -> TtsStream {
        let (input, commands) = TtsInput::channel(INPUT);
        let (events, receiver) = mpsc::channel(EVENTS);
        tokio::spawn(async move {
            let (jobs, waiting) = mpsc::channel(WAITING);
            // One is read, one is made.
            let (made, reading) = mpsc::channel(1);
            let work = join(
                cut(commands, options.chunks, options.filter, jobs),
                make(tts, options.retry, waiting, made),
            );
            let work = async {
                work.await;
                // What was made is still passed on.
                std::future::pending::<()>().await;
            };
            let closed = events.clone();
            tokio::select! {
                // All was passed on, or an error was: that is the end, whoever still holds the input.
                () = forward(reading, events) => {}
                () = work => {}
                () = closed.closed() => {}
            }
        });
        TtsStream {
            input,
            events: receiver,
        }
    }
}

/// What is to be made, in order.
enum Job {
    /// The text, and what of it is spoken.
    Speak(String, String),
    Flushed(u64),
}

/// What is made, in order.
enum Part {
    Speech {
        text: String,
        /// If that is less than the text.
        spoken: Option<String>,
        frames: mpsc::Receiver<Result<TtsEvent, ProviderError>>,
    },
    Flushed(u64),
}

async fn cut(
    commands: mpsc::Receiver<TtsCommand>,
    chunks: ChunkOptions,
    filter: TextFilter,
    jobs: mpsc::Sender<Job>,
) {
    let mut chunker = SentenceChunker::new(chunks);
    let mut flushes = 0;
    let mut line_start = true;
    let mut emphasis = Emphasis::NONE;
    let mut writer = Writer::new(commands);
    let mut speak = |text: String| {
        let spoken = filter.apply(&text, line_start).trim().to_owned();
        line_start = text.ends_with('\n');
        Job::Speak(text, spoken)
    };
    loop {
        let written = writer.next().await;
        let pieces = match &written {
            Written::Text(text) => {
                emphasis.push(text);
                chunker.push(text)
            }
            Written::Pause if filter.markdown && emphasis.is_open() => Vec::new(),
            Written::Pause => Vec::from_iter(chunker.pause()),
            Written::Flush | Written::End => {
                emphasis = Emphasis::NONE;
                Vec::from_iter(chunker.finish())
            }
        };
        for piece in pieces {
            if jobs.send(speak(piece)).await.is_err() {
                return;
            }
        }
        match written {
            Written::End => return,
            Written::Flush => {
                if jobs.send(Job::Flushed(flushes)).await.is_err() {
                    return;
                }
                flushes += 1;
            }
            Written::Text(_) | Written::Pause => {}
        }
    }
}

async fn make(
    tts: SharedTts,
    retry: RetryPolicy,
    mut jobs: mpsc::Receiver<Job>,
    made: mpsc::Sender<Part>,
) {
    // Dropped with this future, which ends all requests.
    let mut requests = JoinSet::new();
    while let Some(job) = jobs.recv().await {
        let Ok(place) = made.reserve().await else {
            break;
        };
        while requests.try_join_next().is_some() {}
        place.send(match job {
            Job::Flushed(number) => Part::Flushed(number),
            Job::Speak(text, spoken) => {
                let (sender, frames) = mpsc::channel(EVENTS);
                let less = (spoken != text.trim()).then(|| spoken.clone());
                if spoken.contains(char::is_alphanumeric) {
                    requests.spawn(speak(tts.clone(), retry, spoken, sender));
                }
                Part::Speech {
                    text,
                    spoken: less,
                    frames,
                }
            }
        });
    }
    drop(made);
    while requests.join_next().await.is_some() {}
}

/// Makes one sentence.
async fn speak(
    tts: SharedTts,
    retry: RetryPolicy,
    text: String,
    frames: mpsc::Sender<Result<TtsEvent, ProviderError>>,
) {
    let label = tts.label().to_owned();
    let began = Instant::now();
    let mut asked = began;
    let (result, attempts) = retry
        .run_for(&label, |_| {
            asked = Instant::now();
            first_frame(&tts, &text)
        })
        .await;
    let (first, mut rest) = match result {
        Ok(first) => first,
        Err(error) => {
            let _ = frames.send(Err(error)).await;
            return;
        }
    };
    let ttfb = asked.elapsed();
    let mut audio_duration = Duration::ZERO;
    let mut next = Some(Ok(first));
    while let Some(frame) = next {
        let failed = frame.is_err();
        if let Ok(frame) = &frame {
            audio_duration += frame.duration();
        }
        if frames.send(frame.map(TtsEvent::Audio)).await.is_err() || failed {
            return;
        }
        next = match timeout(retry.timeout, rest.recv()).await {
            Ok(next) => next,
            Err(_) => Some(Err(ProviderError::new(
                &label,
                ErrorKind::Timeout,
                format!(
                    "no audio for {} s in the middle of a sentence",
                    retry.timeout.as_secs_f32()
                ),
            ))),
        };
    }
    let metrics = TtsMetrics {
        label,
        ttfb,
        duration: began.elapsed(),
        audio_duration,
        characters: text.chars().count(),
        attempts,
    };
    let _ = frames.send(Ok(TtsEvent::Metrics(metrics))).await;
}

async fn first_frame(
    tts: &SharedTts,
    text: &str,
) -> Result<
    (
        AudioFrame,
        mpsc::Receiver<Result<AudioFrame, ProviderError>>,
    ),
    ProviderError,
> {
    let mut frames = tts.synthesize(text).await?;
    match frames.recv().await {
        Some(first) => Ok((first?, frames)),
        None => Err(ProviderError::new(
            tts.label(),
            ErrorKind::Server,
            format!("gave no audio for {text:?}"),
        )),
    }
}

async fn forward(
    mut parts: mpsc::Receiver<Part>,
    events: mpsc::Sender<Result<TtsEvent, ProviderError>>,
) {
    while let Some(part) = parts.recv().await {
        match part {
            Part::Flushed(number) => {
                if events.send(Ok(TtsEvent::Flushed(number))).await.is_err() {
                    return;
                }
            }
            Part::Speech {
                text,
                spoken,
                mut frames,
            } => {
                let mut next = frames.recv().await;
                // A sentence of which nothing comes was not spoken.
                if !matches!(next, Some(Err(_))) {
                    let named = [Some(TtsEvent::Text(text)), spoken.map(TtsEvent::Spoken)];
                    for event in named.into_iter().flatten() {
                        if events.send(Ok(event)).await.is_err() {
                            return;
                        }
                    }
                }
                while let Some(event) = next {
                    let failed = event.is_err();
                    if events.send(event).await.is_err() || failed {
                        return;
                    }
                    next = frames.recv().await;
                }
            }
        }
    }
}
