//! Language models.

use futures_util::stream::BoxStream;

use crate::{ChatContext, ProviderError};

/// A piece of a reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatChunk {
    /// Text that follows what came before.
    pub text: String,
    /// Tokens so far, in the last piece if the model counts them.
    pub usage: Option<Usage>,
}

/// What a reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u32,
    /// Tokens written.
    pub completion_tokens: u32,
}

/// The pieces of a reply as they come. Dropping it cancels the request.
pub type ChatStream = BoxStream<'static, Result<ChatChunk, ProviderError>>;

/// A language model.
#[async_trait::async_trait]
pub trait Llm: Send + Sync {
    /// Name in events and metrics: `openai.llm`.
    fn label(&self) -> &str;

    /// Asks for the next message after `context`. Retries are the session's.
    ///
    /// # Errors
    /// [`ProviderError`] if there is no answer; failures behind the first piece come in the stream.
    async fn chat(&self, context: &ChatContext) -> Result<ChatStream, ProviderError>;
}
