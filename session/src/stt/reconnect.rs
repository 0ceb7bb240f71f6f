//! A recogniser whose streams are opened again when they break.

use std::sync::Arc;
use std::time::Duration;

use super::relay::{self, Failure, RelayOptions, Source};
use super::{RecognizeOptions, SharedStt, Stt, SttCapabilities, SttStream, Transcript};
use crate::{AudioFrame, ProviderError, RetryPolicy};

/// Makes the streams of a recogniser survive errors that may pass: for authors of streaming providers, whose own stream then needs to know one connection only.
///
/// A stream that fails like that is opened again after the waits of the policy, and gets everything again that no transcript has answered. Each transcript
/// sets the count of retries back. When they are used up, or the error is one that stays, what was not answered comes out as
/// [`SegmentFailed`](super::SttEvent::SegmentFailed), then the error.
#[derive(Clone)]
pub struct Reconnecting {
    stt: SharedStt,
    retry: RetryPolicy,
    max_replay: Duration,
}

impl Reconnecting {
    /// `stt`, with streams that are opened again by `retry`. Its [`timeout`](RetryPolicy::timeout) is what a stream gets to open, to take its input, and for each of its events behind the
    /// end of the input.
    pub fn new(stt: SharedStt, retry: RetryPolicy) -> Self {
        Self {
            stt,
            retry,
            max_replay: Duration::from_secs(60),
        }
    }

    /// Most audio without a transcript that is kept. Default 60 s. Audio that no stream has got yet is not dropped: while there is so much of it, the input waits. The next
    /// stream hears all of it first, silence too, for a stream that says nothing may be deaf.
    #[must_use]
    pub fn max_replay(mut self, longest: Duration) -> Self {
        self.max_replay = longest;
        self
    }
}

#[async_trait::async_trait]
impl Stt for Reconnecting {
    fn label(&self) -> &str {
        self.stt.label()
    }

    fn capabilities(&self) -> SttCapabilities {
        self.stt.capabilities()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        self.stt.recognize(audio, options).await
    }

    async fn stream(&self, options: &RecognizeOptions) -> Result<SttStream, ProviderError> {
        let source = Again {
            stt: Arc::clone(&self.stt),
            options: options.clone(),
            retry: self.retry,
            attempts: 0,
        };
        let relay = RelayOptions {
            max_replay: self.max_replay,
            timeout: self.retry.timeout,
        };
        Ok(relay::open(Box::new(source), relay))
    }
}

struct Again {
    stt: SharedStt,
    options: RecognizeOptions,
    retry: RetryPolicy,
    /// Streams that failed since the last transcript, or since one that lasted longer than an attempt may take.
    attempts: u32,
}

#[async_trait::async_trait]
impl Source for Again {
    async fn next(&mut self, failed: Option<Failure>) -> Result<SttStream, ProviderError> {
        let lasted = failed.as_ref().map(|failure| failure.lasted);
        if lasted.is_some_and(|lasted| lasted > self.retry.timeout) {
            self.attempts = 0;
        }
        let mut failed = failed.map(|failure| failure.error);
        loop {
            if let Some(error) = failed {
                self.attempts = self.attempts.saturating_add(1);
                match self.retry.wait_after(self.attempts, &error) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                }
            }
            let opening = self.stt.stream(&self.options);
            match self.retry.attempt(self.stt.label(), opening).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = Some(error),
            }
        }
    }

    fn has_successor(&self) -> bool {
        false
    }

    fn answered(&mut self, _: bool) {
        self.attempts = 0;
    }
}
