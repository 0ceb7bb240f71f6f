//! Voice agents in LiveKit rooms: rooms and workers below, the conversation above, and listenkit's turn-taking between them.
//!
//! This crate is thin. What decides about speech and turns is in the core crate, `listenkit`; here are sockets, clocks, child processes and the
//! providers of recognition, language and voice.
//!
//! An agent in one room, whole:
//!
//! ```no_run
//! use listenkit_session::api::Credentials;
//! use listenkit_session::providers::Engines;
//! use listenkit_session::transport::{self, ConnectOptions};
//! use listenkit_session::voice::{BoxError, RoomInputOptions, RoomOutputOptions, Vad};
//! use listenkit_session::{Agent, AgentSession, async_trait};
//!
//! struct Waiter;
//!
//! #[async_trait]
//! impl Agent for Waiter {
//!     fn instructions(&self) -> String {
//!         "You take orders in a restaurant. Be brief.".into()
//!     }
//!
//!     async fn on_enter(&self, session: &AgentSession) {
//!         let _ = session.say("Good evening! What may I bring you?");
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let engines = Engines::find()?; // what the environment names, or says what is missing
//!     let session = AgentSession::builder()
//!         .vad(Vad::silero())
//!         .stt(engines.stt)
//!         .llm(engines.llm)
//!         .tts(engines.tts)
//!         .build()?;
//!
//!     let server = Credentials::from_env()?;
//!     let token = server.agent_token("waiter", "lobby")?;
//!     let options = ConnectOptions::default();
//!     let connection = transport::open()?.connect(&server.ws_url(), &token, &options).await?;
//!     let (input, output) = (RoomInputOptions::default(), RoomOutputOptions::default());
//!     session.start_in_room(Waiter, connection, input, output).await?;
//!     session.closed().await?; // when they have hung up, and the room is left
//!     Ok(())
//! }
//! ```
//!
//! A worker, which a server sends into rooms, is [`worker::run`]. Guide, tables of what happens when something fails, and what users of LiveKit Agents will not find:
//! `docs/session.md` in the repository.

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

/// The programs in the guide are compiled with the tests.
#[cfg(all(doctest, feature = "smart-turn"))]
#[doc = include_str!("../../docs/session.md")]
mod guide {}
