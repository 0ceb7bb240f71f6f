//! Chat completions.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::sse::SseDecoder;
use super::{OpenAi, env};
use crate::llm::{ChatChunk, ChatStream, Llm, Usage};
use crate::{ChatContext, ErrorKind, ProviderError};

const LABEL: &str = "openai.llm";

/// An answer that comes in one piece: 8 MiB are a book.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// What is asked of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAiLlmOptions {
    /// Default `gpt-4o-mini`, or `OPENAI_MODEL`.
    pub model: String,
    /// 0.0..=2.0; `None` leaves it to the server.
    pub temperature: Option<f64>,
    /// Longest answer, in tokens, as `max_completion_tokens`.
    pub max_tokens: Option<u32>,
    /// Ask for token counts at the end of the stream. A few old servers refuse that.
    pub include_usage: bool,
    /// More fields of the request, as the server takes them. They replace those of the same name.
    pub extra: Map<String, Value>,
}

impl Default for OpenAiLlmOptions {
    fn default() -> Self {
        Self {
            model: env("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".into()),
            temperature: None,
            max_tokens: None,
            include_usage: true,
            extra: Map::new(),
        }
    }
}

crate::setters::setters!(OpenAiLlmOptions {
    [into] model: String,
    [some] temperature: f64,
    [some] max_tokens: u32,
    include_usage: bool,
    extra: Map<String, Value>
});

/// A language model behind `chat/completions`, whose answers are streamed.
#[derive(Clone, Debug)]
pub struct OpenAiLlm {
    server: OpenAi,
    options: OpenAiLlmOptions,
}

impl OpenAiLlm {
    pub(super) const fn new(server: OpenAi, options: OpenAiLlmOptions) -> Self {
        Self { server, options }
    }

    fn request(&self, context: &ChatContext) -> Map<String, Value> {
        let options = &self.options;
        let messages: Vec<Value> = context
            .messages()
            .map(|message| json!({"role": message.role.as_str(), "content": message.text}))
            .collect();
        let mut body = Map::new();
        body.insert("model".into(), json!(options.model));
        body.insert("messages".into(), json!(messages));
        body.insert("stream".into(), json!(true));
        if options.include_usage {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        if let Some(temperature) = options.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(max) = options.max_tokens {
            body.insert("max_completion_tokens".into(), json!(max));
        }
        body.extend(options.extra.clone());
        body
    }
}

#[async_trait::async_trait]
impl Llm for OpenAiLlm {
    fn label(&self) -> &str {
        LABEL
    }

    async fn chat(&self, context: &ChatContext) -> Result<ChatStream, ProviderError> {
        let request = self
            .server
            .post("chat/completions")
            .json(&self.request(context));
        let mut response = self.server.send(LABEL, request).await?;
        let whole = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if whole {
            let body = self.server.body(LABEL, &mut response, BODY_LIMIT).await?;
            let chunk = self.whole_answer(&body)?;
            return Ok(stream::iter([Ok(chunk)]).boxed());
        }
        let answer = Answer {
            server: self.server.clone(),
            response,
            decoder: SseDecoder::default(),
            ready: VecDeque::new(),
            finished: false,
            over: false,
        };
        Ok(stream::unfold(answer, |mut answer| async {
            let next = answer.next().await?;
            answer.over |= next.is_err();
            Some((next, answer))
        })
        .fuse()
        .boxed())
    }
}

impl OpenAiLlm {
    /// Of a server that does not stream.
    fn whole_answer(&self, body: &[u8]) -> Result<ChatChunk, ProviderError> {
        let piece: Piece = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
        if piece.error.is_some() {
            return Err(self.server.error_in_answer(LABEL, body));
        }
        let Some(choice) = piece.choice() else {
            let message = "the answer has no choices";
            return Err(ProviderError::new(LABEL, ErrorKind::Malformed, message));
        };
        Ok(ChatChunk {
            text: choice
                .message
                .as_ref()
                .map(Content::text)
                .unwrap_or_default(),
            usage: piece.usage.map(Into::into),
        })
    }
}

fn malformed(error: &serde_json::Error) -> ProviderError {
    let message = format!("an event cannot be read: {error}");
    ProviderError::new(LABEL, ErrorKind::Malformed, message)
}

/// An answer while it comes.
struct Answer {
    server: OpenAi,
    response: Response,
    decoder: SseDecoder,
    ready: VecDeque<String>,
    /// The model said that it is done.
    finished: bool,
    /// Nothing more is read.
    over: bool,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<ChatChunk, ProviderError>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                match self.read(&event) {
                    Ok(Some(chunk)) => return Some(Ok(chunk)),
                    Ok(None) => continue,
                    Err(error) => return Some(Err(error)),
                }
            }
            if let Err(error) = self.fill().await {
                return Some(Err(error));
            }
        }
    }

    /// Reads on until there is an event, or the end.
    async fn fill(&mut self) -> Result<(), ProviderError> {
        let malformed = |message| ProviderError::new(LABEL, ErrorKind::Malformed, message);
        match self.server.chunk(LABEL, &mut self.response).await? {
            Some(bytes) => {
                let events = self.decoder.push(bytes.as_ref()).map_err(malformed)?;
                self.ready.extend(events);
                Ok(())
            }
            None => match self.decoder.finish().map_err(malformed)? {
                Some(event) => {
                    self.ready.push_back(event);
                    Ok(())
                }
                // Not every server says [DONE] behind the reason to stop.
                None if self.finished => {
                    self.over = true;
                    Ok(())
                }
                None => {
                    let message = "the answer was cut: the stream ended before the model did";
                    Err(ProviderError::new(LABEL, ErrorKind::Connection, message))
                }
            },
        }
    }

    fn read(&mut self, event: &str) -> Result<Option<ChatChunk>, ProviderError> {
        if event.trim() == "[DONE]" {
            self.over = true;
            return Ok(None);
        }
        if event.trim().is_empty() {
            return Ok(None);
        }
        let piece: Piece = serde_json::from_str(event).map_err(|error| malformed(&error))?;
        if piece.error.is_some() {
            return Err(self.server.error_in_answer(LABEL, event.as_bytes()));
        }
        let mut chunk = ChatChunk::default();
        if let Some(choice) = piece.choice() {
            chunk.text = choice.delta.as_ref().map(Content::text).unwrap_or_default();
            // Some servers give an empty reason with every piece.
            let reason = choice.finish_reason.as_deref();
            if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                self.finished = true;
                if reason != "stop" {
                    tracing::warn!(reason, "the model stopped early");
                }
            }
        }
        chunk.usage = piece.usage.map(Into::into);
        let empty = chunk.text.is_empty() && chunk.usage.is_none();
        Ok((!empty).then_some(chunk))
    }
}

/// An event, or a whole answer. What one server leaves out, another gives as null.
#[derive(Deserialize)]
struct Piece {
    choices: Option<Vec<Choice>>,
    usage: Option<Counts>,
    error: Option<Value>,
}

impl Piece {
    /// One answer was asked for.
    fn choice(&self) -> Option<&Choice> {
        self.choices.as_ref()?.first()
    }
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Content>,
    message: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    content: Option<Text>,
    refusal: Option<String>,
}

/// Text, or a list of parts. Parts of other kinds are not for the user: what the model thinks, the numbers of its sources.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
}

impl Content {
    fn text(&self) -> String {
        let mut text = match &self.content {
            Some(Text::Whole(text)) => text.clone(),
            Some(Text::Parts(parts)) => parts.iter().filter_map(Part::text).collect(),
            None => String::new(),
        };
        text.push_str(self.refusal.as_deref().unwrap_or_default());
        text
    }
}

impl Part {
    fn text(&self) -> Option<&str> {
        let is_text = matches!(self.kind.as_deref(), None | Some("text" | "output_text"));
        self.text.as_deref().filter(|_| is_text)
    }
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        Self {
            prompt_tokens: counts.prompt_tokens.unwrap_or_default(),
            completion_tokens: counts.completion_tokens.unwrap_or_default(),
        }
    }
}
