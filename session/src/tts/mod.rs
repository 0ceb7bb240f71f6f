//! Voices: traits, sentence chunking for engines that take whole texts, playout with exact positions.

mod chunker;
mod convert;
mod filter;
mod heard;
mod playout;
mod sentence;
mod sink;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use chunker::{ChunkOptions, SentenceChunker};
pub(crate) use convert::Converter;
pub use filter::TextFilter;
pub(crate) use filter::{Emphasis, FilterStream};
pub use playout::{Played, Playout, PlayoutOptions, Utterance};
pub use sentence::{SentenceOptions, SentenceStream};
pub use sink::{AudioSink, TrackSink};
pub(crate) use writer::{Writer, Written};

use crate::{AudioFrame, ProviderError};

/// What a voice can do, and its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtsCapabilities {
    /// It takes text as it comes. Without, it takes whole texts, and is fed sentence by sentence.
    pub streaming: bool,
    /// Of its audio, in Hz.
    pub sample_rate: u32,
    /// Of its audio.
    pub channels: u32,
}

/// A voice.
#[async_trait::async_trait]
pub trait Tts: Send + Sync {
    /// Name in events and metrics.
    fn label(&self) -> &str;

    /// What it can do, and its format.
    fn capabilities(&self) -> TtsCapabilities;

    /// Speaks one text. The frames come as they are made; dropping the receiver cancels. One attempt: retries are the caller's.
    ///
    /// # Errors
    /// [`ProviderError`] if there is no audio: of kind `Rejected` if it takes a stream only, which is the default. Failures behind the first frame come in
    /// the stream.
    async fn synthesize(
        &self,
        text: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        let _ = text;
        Err(ProviderError::new(
            self.label(),
            crate::ErrorKind::Rejected,
            "TTS takes a stream only: open one with stream()",
        ))
    }

    /// Opens a stream that takes text as it comes. One that knows which text its audio speaks says so with [`TtsEvent::Text`], before the audio: then a reply
    /// that is cut off ends in the history at the right word. Of others it is guessed by the time.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Rejected` if it takes whole texts only, which is the default; `SentenceStream` helps.
    async fn stream(&self) -> Result<TtsStream, ProviderError> {
        Err(ProviderError::new(
            self.label(),
            crate::ErrorKind::Rejected,
            "TTS does not support streaming, use a sentence stream",
        ))
    }
}

/// A shared voice.
pub type SharedTts = Arc<dyn Tts>;

/// The two ends of a speech stream.
#[derive(Debug)]
pub struct TtsStream {
    /// Where text goes.
    pub input: TtsInput,
    /// What comes out, until the stream is over.
    pub events: mpsc::Receiver<Result<TtsEvent, ProviderError>>,
}

/// What comes out of a speech stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TtsEvent {
    /// The audio that follows speaks this text, up to the next such event: what playout needs to say what was heard.
    Text(String),
    /// What the voice says of the text just named, if it leaves out some of it: marks, addresses, emoji. So the words that were heard are found by what was spoken.
    Spoken(String),
    /// The audio since the newest text speaks this, too. A session says so for voices that name no texts: then the words that were heard are found by the time alone.
    More(String),
    /// Audio.
    Audio(AudioFrame),
    /// Everything before the flush with this number (from 0) has been spoken.
    Flushed(u64),
    /// A request was made: for metrics.
    Metrics(TtsMetrics),
}

/// Cost of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct TtsMetrics {
    /// Voice.
    pub label: String,
    /// From the request that was answered to its first audio.
    pub ttfb: Duration,
    /// From the first request to the last audio.
    pub duration: Duration,
    /// Audio that came.
    pub audio_duration: Duration,
    /// Of the text.
    pub characters: usize,
    /// Requests that were made.
    pub attempts: u32,
}

/// What can be put into a speech stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TtsCommand {
    /// Text that follows what came before.
    Text(String),
    /// Speak what is there.
    Flush,
}

/// The text end of a speech stream. [`end_input`](Self::end_input), or dropping the last clone, ends it: everything pushed before is still spoken.
#[derive(Clone, Debug)]
pub struct TtsInput(mpsc::Sender<TtsCommand>);

impl TtsInput {
    /// An input, and the end that a provider reads.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<TtsCommand>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Adds text. `false` if the stream is over.
    pub async fn push_text(&self, text: impl Into<String>) -> bool {
        self.0.send(TtsCommand::Text(text.into())).await.is_ok()
    }

    /// Speak what is there. `false` if the stream is over.
    pub async fn flush(&self) -> bool {
        self.0.send(TtsCommand::Flush).await.is_ok()
    }

    /// The text is complete.
    pub fn end_input(self) {}
}
