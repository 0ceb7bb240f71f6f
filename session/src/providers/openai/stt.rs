//! Transcriptions.

use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::{OpenAi, env};
use crate::providers::pcm::wav;
use crate::stt::{RecognizeOptions, Stt, SttCapabilities, Transcript};
use crate::tts::Converter;
use crate::{AudioFrame, ErrorKind, ProviderError};

const LABEL: &str = "openai.stt";

/// What the models hear; more is only longer to send.
const RATE: u32 = 16_000;

/// OpenAI refuses less than 0.1 s; silence is added.
const MIN_SAMPLES: usize = 1_600;

/// A transcript of hours.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What is asked of the recogniser.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAiSttOptions {
    /// Default `gpt-4o-mini-transcribe`, or `OPENAI_STT_MODEL`. Whisper servers take `whisper-1`.
    pub model: String,
    /// Words that may come, or text before.
    pub prompt: Option<String>,
    /// 0.0..=1.0; `None` leaves it to the server.
    pub temperature: Option<f64>,
}

impl Default for OpenAiSttOptions {
    fn default() -> Self {
        Self {
            model: env("OPENAI_STT_MODEL").unwrap_or_else(|| "gpt-4o-mini-transcribe".into()),
            prompt: None,
            temperature: None,
        }
    }
}

crate::setters::setters!(OpenAiSttOptions {
    [into] model: String,
    [some into] prompt: String,
    [some] temperature: f64
});

/// A recogniser of utterances behind `audio/transcriptions`.
#[derive(Clone, Debug)]
pub struct OpenAiStt {
    server: OpenAi,
    options: OpenAiSttOptions,
}

impl OpenAiStt {
    pub(super) const fn new(server: OpenAi, options: OpenAiSttOptions) -> Self {
        Self { server, options }
    }
}

#[derive(Deserialize)]
struct Answer {
    text: Option<String>,
    language: Option<String>,
    error: Option<serde_json::Value>,
}

#[async_trait::async_trait]
impl Stt for OpenAiStt {
    fn label(&self) -> &str {
        LABEL
    }

    fn capabilities(&self) -> SttCapabilities {
        SttCapabilities::default()
    }

    async fn recognize(
        &self,
        audio: &AudioFrame,
        options: &RecognizeOptions,
    ) -> Result<Transcript, ProviderError> {
        let rate = audio.sample_rate().min(RATE);
        let mut samples: Vec<i16> = Vec::new();
        let mut converter = Converter::new(rate, 1);
        converter.push(audio, &mut samples);
        converter.finish(&mut samples);
        samples.resize(samples.len().max(MIN_SAMPLES), 0);
        let file = Part::bytes(wav(&samples, rate, 1))
            .file_name("audio.wav")
            .mime_str("audio/wav")
            .map_err(|error| self.server.failure(LABEL, error))?;
        let mut form = Form::new()
            .part("file", file)
            .text("model", self.options.model.clone())
            .text("response_format", "json");
        // The interface takes ISO 639-1: the first part of BCP-47.
        let language = options
            .language
            .as_deref()
            .and_then(|tag| tag.split(['-', '_']).next());
        if let Some(language) = language {
            form = form.text("language", language.to_lowercase());
        }
        if let Some(prompt) = &self.options.prompt {
            form = form.text("prompt", prompt.clone());
        }
        if let Some(temperature) = self.options.temperature {
            form = form.text("temperature", temperature.to_string());
        }
        let request = self.server.post("audio/transcriptions").multipart(form);
        let mut response = self.server.send(LABEL, request).await?;
        let body = self.server.body(LABEL, &mut response, BODY_LIMIT).await?;
        let malformed = |message| ProviderError::new(LABEL, ErrorKind::Malformed, message);
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| malformed(format!("the answer cannot be read: {error}")))?;
        if answer.error.is_some() {
            return Err(self.server.error_in_answer(LABEL, &body));
        }
        let Some(text) = answer.text else {
            return Err(malformed("the answer has no text".into()));
        };
        Ok(Transcript {
            text: text.trim().to_owned(),
            language: answer.language.or_else(|| options.language.clone()),
            ..Transcript::default()
        })
    }
}
