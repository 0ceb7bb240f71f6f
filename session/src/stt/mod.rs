//! Speech recognition: traits, an adapter that makes utterance recognisers stream, one that falls back.

mod adapter;
mod fallback;
mod guess;
mod reconnect;
mod relay;
mod segments;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub(crate) use guess::Guess;

pub use adapter::{StreamAdapter, StreamAdapterOptions};
pub use fallback::{AvailabilityChanged, FallbackAdapter, FallbackOptions};
pub use reconnect::Reconnecting;
pub use segments::{ClipTimes, RecognizerOptions, SegmentRecognizer};

use crate::{AudioFrame, ProviderError};

/// What a recogniser can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SttCapabilities {
    /// It takes a stream. Without, it takes whole utterances, and needs a VAD to find them.
    pub streaming: bool,
    /// It gives transcripts that may still change.
    pub interim_results: bool,
}

impl SttCapabilities {
    /// A stream that gives final transcripts only. [`Default`] is whole utterances.
    pub const STREAMING: Self = Self {
        streaming: true,
        interim_results: false,
    };
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// The words. Empty if there were none.
    pub text: String,
    /// BCP-47, if known.
    pub language: Option<String>,
    /// 0.0..=1.0, if known.
    pub confidence: Option<f32>,
    /// Start and end of the speech it covers, since the start of the stream.
    pub span: Option<(Duration, Duration)>,
    /// The words one by one, if the recogniser times them: since the start of the clip in the answer to
    /// [`Stt::recognize`], since the start of the stream in what comes out of a stream.
    pub words: Vec<Word>,
    /// Other readings, best first.
    pub alternatives: Vec<String>,
    /// The provider's own name for the request, for its logs and support.
    pub request_id: Option<String>,
    /// Number of the segment in its stream, as in [`FailedSegment::number`]; `None` from recognisers that find their own.
    pub segment: Option<u64>,
}

/// One word of a transcript.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Word {
    /// As spoken.
    pub text: String,
    /// Where it begins and ends; see [`Transcript::words`].
    pub span: (Duration, Duration),
    /// 0.0..=1.0, if known.
    pub confidence: Option<f32>,
}

/// What comes out of a recognition stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SttEvent {
    /// Speech began, this long after the start of the stream.
    StartOfSpeech {
        /// Where.
        at: Duration,
    },
    /// Speech ended.
    EndOfSpeech {
        /// Where.
        at: Duration,
    },
    /// A transcript that may still change.
    Interim(Transcript),
    /// A transcript that is probably the final one, good enough to begin a reply.
    Preflight(Transcript),
    /// A final transcript. These keep the order of what was said. Its text is empty if a recogniser of utterances heard no words in one: the
    /// utterance is answered all the same.
    Final(Transcript),
    /// A piece that could not be recognised, with its audio.
    SegmentFailed(FailedSegment),
    /// A request was made: for metrics.
    Metrics(SttMetrics),
    /// The stream failed; it ends unless the error is recoverable.
    Error {
        /// What happened.
        error: ProviderError,
        /// Whether the stream goes on.
        recoverable: bool,
    },
}

/// An utterance that was given up. Its audio is complete: submit it again, keep it, or drop it.
#[derive(Clone, Debug)]
pub struct FailedSegment {
    /// Number in its stream, from 0.
    pub number: u64,
    /// What was to be recognised.
    pub audio: AudioFrame,
    /// First sample of the audio, since the start of the stream.
    pub audio_at: Duration,
    /// Why the last attempt failed.
    pub error: ProviderError,
    /// Requests that were made.
    pub attempts: u32,
    /// Start and end of the speech, since the start of the stream.
    pub span: (Duration, Duration),
    /// Whether the stream ended, too: then an [`Error`](SttEvent::Error) follows that says so, and the two are one failure.
    pub stream_ended: bool,
}

/// Cost of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct SttMetrics {
    /// Recogniser.
    pub label: String,
    /// From request to answer.
    pub duration: Duration,
    /// Audio recognised.
    pub audio_duration: Duration,
    /// Whether it was a stream.
    pub streamed: bool,
}

/// Wishes for one recognition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecognizeOptions {
    /// BCP-47; `None` lets the recogniser find out.
    pub language: Option<String>,
}

crate::setters::setters!(RecognizeOptions { [some into] language: String });

/// A recogniser.
#[async_trait::async_trait]
pub trait Stt: Send + Sync {
    /// Name in events and metrics.
    fn label(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> SttCapabilities;

    /// Recognises one utterance. One attempt: retries are the caller's.
    ///
    /// # Errors
    /// [`ProviderError`]: of kind `Rejected` if it takes a stream only, which is the default.
    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        let _ = (audio, options);
        Err(ProviderError::new(
            self.label(),
            crate::ErrorKind::Rejected,
            "STT takes a stream only: open one with stream()",
        ))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Rejected` if it takes utterances only, which is the default.
    async fn stream(&self, options: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let _ = options;
        Err(ProviderError::new(
            self.label(),
            crate::ErrorKind::Rejected,
            "STT does not support streaming, add VAD to enable streaming",
        ))
    }
}

/// A shared recogniser.
pub type SharedStt = Arc<dyn Stt>;

/// The two ends of a recognition stream. A provider gives one; the task behind it ends when the input is dropped, after its last events.
#[derive(Debug)]
pub struct SttStream {
    /// Where audio goes.
    pub input: SttInput,
    /// What comes out, until the stream is over.
    pub events: mpsc::Receiver<SttEvent>,
}

/// What can be put into a recognition stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SttCommand {
    /// Audio. Rate and channels may change.
    Frame(AudioFrame),
    /// This much audio is missing.
    Gap(Duration),
    /// Recognise what is there; an utterance that is open ends here.
    Flush,
}

/// The audio end of a recognition stream. Dropping the last clone is the end of the input: everything pushed before is still recognised.
#[derive(Clone, Debug)]
pub struct SttInput(mpsc::Sender<SttCommand>);

impl SttInput {
    /// An input, and the end that a provider reads, with room for `capacity` commands.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<SttCommand>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Waits for room, then sends. `false` if the stream is over.
    pub async fn send(&self, command: SttCommand) -> bool {
        self.0.send(command).await.is_ok()
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// The command, if there is none or the stream is over.
    pub fn try_send(&self, command: SttCommand) -> Result<(), SttCommand> {
        self.0.try_send(command).map_err(|error| error.into_inner())
    }
}
