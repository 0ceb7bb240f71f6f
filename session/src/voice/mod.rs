//! The conversation: an [`Agent`] and the [`AgentSession`] that runs it.
//!
//! A session is one task that owns the conversation and is sent messages: audio of the user's, words from the recogniser, audio positions from the playout, wishes of the program.
//! Whether the user speaks, interrupts or is finished is never decided here: the core says it ([`listenkit::Detector`], one for each
//! session), and the session does what follows from it.

mod age;
mod agent;
mod conductor;
mod dialogue;
mod event;
mod generation;
mod hearing;
mod hooks;
mod job;
mod message;
mod metrics;
mod options;
mod recogniser;
mod room;
mod sentences;
mod session;
mod smart_turn;
mod speech;
mod speeches;

pub use agent::{Agent, BoxError, ChatInput, TurnReply, UserTurn};
pub use dialogue::{Dialogue, DialogueAgent};
pub use event::{
    AgentState, CloseReason, ErrorSource, EventStream, Overlap, SessionEvent, SpeechSource,
    TurnOutcome, UserState, UserTurnEnded,
};
pub use metrics::{EndToEndMetrics, EouMetrics, LlmMetrics, Metrics, TtsMetrics, VadMetrics};
pub use options::{
    AgentSessionBuilder, InterruptionOptions, PreemptiveOptions, SessionError, TurnDetection, Vad,
};
pub use room::{RoomInputOptions, RoomOutputOptions};
pub use session::{AgentSession, AudioInput, Interrupted, ReplyOptions, SayOptions, SessionIo};
pub use speech::SpeechHandle;
