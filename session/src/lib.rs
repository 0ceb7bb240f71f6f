//! Voice agents in LiveKit rooms: rooms and workers below, the conversation above, and listenkit's turn-taking between them.
//!
//! This crate is thin. What decides about speech and turns is in the core crate, `listenkit`; here are sockets, clocks, child processes and the
//! providers of recognition, language and voice.

pub mod api;
mod audio;
mod chat;
pub mod llm;
pub mod noise;
pub mod providers;
mod redact;
mod retry;
mod setters;
pub mod stt;
mod tls;
pub mod transport;
pub mod tts;
pub mod voice;
pub mod worker;

/// For `impl Agent`, whose methods are async.
pub use async_trait::async_trait;
pub use audio::{AudioFormatError, AudioFrame};
pub use chat::{ChatContext, ChatItem, ChatMessage, Role};
/// The core: `SmartTurn`, `TurnPolicy`, `Endpointing`, `EndOfTurn` and more are in this crate's interface.
pub use listenkit;
pub use retry::{ErrorKind, ProviderError, RetryPolicy};
pub use tls::install_crypto_provider;
pub use voice::{Agent, AgentSession};
