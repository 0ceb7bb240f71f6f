//! Providers that answer at once, without a network or a model: for tests, and for figures of everything around them.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::llm::{ChatChunk, ChatStream, Llm, Usage};
use crate::stt::{RecognizeOptions, Stt, SttCapabilities, Transcript};
use crate::tts::{Tts, TtsCapabilities};
use crate::{AudioFrame, ChatContext, ProviderError, Role};

/// Answers that come one after the other; the last one stays.
#[derive(Debug)]
struct Answers(Mutex<VecDeque<String>>);

impl Answers {
    fn new<T: Into<String>>(answers: impl IntoIterator<Item = T>) -> Self {
        Self(Mutex::new(answers.into_iter().map(Into::into).collect()))
    }

    fn next(&self) -> Option<String> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        }
    }
}

/// A recogniser of utterances that knows what is said.
#[derive(Debug)]
pub struct InstantStt(Answers);

impl InstantStt {
    /// One that always hears this.
    pub fn new(transcript: impl Into<String>) -> Self {
        Self::scripted([transcript.into()])
    }

    /// One that hears these, one after the other; the last one from then on.
    pub fn scripted<T: Into<String>>(transcripts: impl IntoIterator<Item = T>) -> Self {
        Self(Answers::new(transcripts))
    }
}

#[async_trait::async_trait]
impl Stt for InstantStt {
    fn label(&self) -> &str {
        "instant.stt"
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        _audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        Ok(Transcript {
            text: self.0.next().unwrap_or_default(),
            language: options.language.clone(),
            confidence: Some(1.0),
            ..Transcript::default()
        })
    }
}

/// A language model that says what the user said.
#[derive(Debug, Default)]
pub struct EchoLlm(Option<Answers>);

impl EchoLlm {
    /// One that answers "You said: ..." with the user's last words.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that answers these, one after the other; the last one from then on.
    pub fn scripted<T: Into<String>>(replies: impl IntoIterator<Item = T>) -> Self {
        Self(Some(Answers::new(replies)))
    }
}

#[async_trait::async_trait]
impl Llm for EchoLlm {
    fn label(&self) -> &str {
        "instant.llm"
    }

    async fn chat(&self, context: &ChatContext) -> Result<ChatStream, ProviderError> {
        let said = || {
            let user = context.messages().rev().find(|m| m.role == Role::User);
            format!("You said: {}", user.map_or("", |m| m.text.as_str()))
        };
        let reply = match &self.0 {
            Some(answers) => answers.next().unwrap_or_default(),
            None => said(),
        };
        // Word by word, as models do.
        let mut pieces: Vec<ChatChunk> = reply
            .split_inclusive(' ')
            .map(|text| ChatChunk {
                text: text.to_owned(),
                usage: None,
            })
            .collect();
        let words = |text: &str| text.split_whitespace().count() as u32;
        pieces.push(ChatChunk {
            text: String::new(),
            usage: Some(Usage {
                prompt_tokens: context.messages().map(|m| words(&m.text)).sum(),
                completion_tokens: words(&reply),
            }),
        });
        Ok(futures_util::stream::iter(pieces.into_iter().map(Ok)).boxed())
    }
}

/// A voice that hums: a tone of 440 Hz whose length follows the text, in frames of 20 ms, all at once.
#[derive(Clone, Debug)]
pub struct ToneTts {
    /// In Hz. Default 24,000.
    pub sample_rate: u32,
    /// Per character. Default 60 ms, a quick speaker.
    pub per_character: Duration,
}

impl Default for ToneTts {
    fn default() -> Self {
        Self {
            sample_rate: 24_000,
            per_character: Duration::from_millis(60),
        }
    }
}

impl ToneTts {
    /// One with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long it hums for `text`, in whole frames of 20 ms.
    pub fn duration(&self, text: &str) -> Duration {
        Duration::from_millis(20) * self.frames(text)
    }

    fn frames(&self, text: &str) -> u32 {
        let nanos = self.per_character.as_nanos() * text.trim().chars().count() as u128;
        u32::try_from(nanos.div_ceil(20_000_000)).unwrap_or(u32::MAX)
    }
}

#[async_trait::async_trait]
impl Tts for ToneTts {
    fn label(&self) -> &str {
        "instant.tts"
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: false,
            sample_rate: self.sample_rate,
            channels: 1,
        }
    }

    async fn synthesize(
        &self,
        text: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        let (sender, receiver) = mpsc::channel(8);
        let (rate, frames) = (self.sample_rate, self.frames(text));
        let label = self.label().to_owned();
        let frame = move |number: u32| {
            let len = rate / 50;
            let samples: Vec<i16> = (0..len)
                .map(|at| {
                    let phase = f64::from(number * len + at) * 440.0 / f64::from(rate);
                    (8_000.0 * (TAU * phase.fract()).sin()) as i16
                })
                .collect();
            AudioFrame::new(samples, rate, 1).map_err(|error| {
                ProviderError::new(&label, crate::ErrorKind::Rejected, error.to_string())
            })
        };
        // The first is there before anybody asks. The task ends with its reader.
        if frames > 0 {
            let _ = sender.try_send(frame(0));
        }
        tokio::spawn(async move {
            for number in 1..frames {
                if sender.send(frame(number)).await.is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }
}
