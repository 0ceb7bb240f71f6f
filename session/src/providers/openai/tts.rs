//! Speech.

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{OpenAi, env};
use crate::providers::pcm::PcmReader;
use crate::tts::{Tts, TtsCapabilities};
use crate::{AudioFrame, ErrorKind, ProviderError};

const LABEL: &str = "openai.tts";

/// How the audio travels. A WAV is understood in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechFormat {
    /// Raw 16-bit mono PCM at this rate, which comes while it is made. OpenAI's is 24 kHz.
    Pcm {
        /// In Hz.
        sample_rate: u32,
    },
    /// 16-bit WAV, for servers that know no raw PCM.
    Wav,
}

/// What is asked of the voice.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAiTtsOptions {
    /// Default `gpt-4o-mini-tts`, or `OPENAI_TTS_MODEL`.
    pub model: String,
    /// Default `ash`, or `OPENAI_TTS_VOICE`.
    pub voice: String,
    /// Default raw PCM at 24 kHz.
    pub format: SpeechFormat,
    /// 0.25..=4.0; `None` leaves it to the server.
    pub speed: Option<f64>,
    /// How to speak, for models that take that.
    pub instructions: Option<String>,
    /// More fields of the request, as the server takes them. They replace those of the same name.
    pub extra: Map<String, Value>,
}

impl Default for OpenAiTtsOptions {
    fn default() -> Self {
        Self {
            model: env("OPENAI_TTS_MODEL").unwrap_or_else(|| "gpt-4o-mini-tts".into()),
            voice: env("OPENAI_TTS_VOICE").unwrap_or_else(|| "ash".into()),
            format: SpeechFormat::Pcm {
                sample_rate: 24_000,
            },
            speed: None,
            instructions: None,
            extra: Map::new(),
        }
    }
}

crate::setters::setters!(OpenAiTtsOptions {
    [into] model: String,
    [into] voice: String,
    format: SpeechFormat,
    [some] speed: f64,
    [some into] instructions: String,
    extra: Map<String, Value>
});

/// A voice behind `audio/speech`. Its frames come as they are made.
#[derive(Clone, Debug)]
pub struct OpenAiTts {
    server: OpenAi,
    options: OpenAiTtsOptions,
}

impl OpenAiTts {
    pub(super) const fn new(server: OpenAi, options: OpenAiTtsOptions) -> Self {
        Self { server, options }
    }

    fn request(&self, text: &str) -> Map<String, Value> {
        let options = &self.options;
        let format = match options.format {
            SpeechFormat::Pcm { .. } => "pcm",
            SpeechFormat::Wav => "wav",
        };
        let mut body = Map::new();
        body.insert("model".into(), json!(options.model));
        body.insert("voice".into(), json!(options.voice));
        body.insert("input".into(), json!(text));
        body.insert("response_format".into(), json!(format));
        if let Some(speed) = options.speed {
            body.insert("speed".into(), json!(speed));
        }
        if let Some(instructions) = &options.instructions {
            body.insert("instructions".into(), json!(instructions));
        }
        body.extend(options.extra.clone());
        body
    }
}

#[async_trait::async_trait]
impl Tts for OpenAiTts {
    fn label(&self) -> &str {
        LABEL
    }

    fn capabilities(&self) -> TtsCapabilities {
        TtsCapabilities {
            streaming: false,
            sample_rate: match self.options.format {
                SpeechFormat::Pcm { sample_rate } => sample_rate,
                SpeechFormat::Wav => 24_000,
            },
            channels: 1,
        }
    }

    async fn synthesize(
        &self,
        text: &str,
    ) -> Result<mpsc::Receiver<Result<AudioFrame, ProviderError>>, ProviderError> {
        let request = self.server.post("audio/speech").json(&self.request(text));
        let mut response = self.server.send(LABEL, request).await?;
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) {
            let body = self.server.body(LABEL, &mut response, 64 * 1024).await?;
            return Err(self.server.error_in_answer(LABEL, &body));
        }
        let reader = match self.options.format {
            SpeechFormat::Pcm { sample_rate } => PcmReader::raw(sample_rate),
            SpeechFormat::Wav => PcmReader::wav(),
        };
        let (sender, receiver) = mpsc::channel(16);
        let server = self.server.clone();
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                // Drops the response, which ends the request.
                () = closed.closed() => {}
                result = read(&server, response, reader, &sender) => if let Err(error) = result {
                    let _ = sender.send(Err(error)).await;
                }
            }
        });
        Ok(receiver)
    }
}

async fn read(
    server: &OpenAi,
    mut response: Response,
    mut reader: PcmReader,
    frames: &mpsc::Sender<Result<AudioFrame, ProviderError>>,
) -> Result<(), ProviderError> {
    while let Some(bytes) = server.chunk(LABEL, &mut response).await? {
        let frame = reader
            .push(bytes.as_ref())
            .map_err(|message| ProviderError::new(LABEL, ErrorKind::Malformed, message))?;
        if let Some(frame) = frame
            && frames.send(Ok(frame)).await.is_err()
        {
            break;
        }
    }
    Ok(())
}
