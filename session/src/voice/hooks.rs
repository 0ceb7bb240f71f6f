//! Runs the agent's hooks, each in a task of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use listenkit::EndOfTurn;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::AgentSession;
use super::agent::{Agent, TurnReply, UserTurn};
use super::message::Message;
use crate::{ChatContext, ChatMessage, ErrorKind, ProviderError};

/// A turn that waits for the agent's hook, or for the turns before it.
pub(super) struct HookJob {
    pub(super) turn: u64,
    pub(super) message: ChatMessage,
    /// Whether the hook is asked. The others only take their place in the history.
    pub(super) is_asked: bool,
    pub(super) decision: Option<EndOfTurn>,
    pub(super) transcription_delay: Duration,
}

/// What came of it.
pub(super) struct HookDone {
    pub(super) turn: u64,
    pub(super) message: ChatMessage,
    /// The context, if the hook changed it.
    pub(super) context: Option<ChatContext>,
    /// Whether the message is another than what was heard.
    pub(super) reworded: bool,
    pub(super) decision: Option<EndOfTurn>,
    pub(super) transcription_delay: Duration,
    pub(super) took: Duration,
    pub(super) reply: Result<TurnReply, String>,
}

/// A hook did not do what it was there for.
pub(super) fn hook_failed(message: impl Into<String>) -> ProviderError {
    ProviderError::new("agent", ErrorKind::Rejected, message)
}

impl HookJob {
    pub(super) fn spawn(
        self,
        agent: Arc<dyn Agent>,
        session: AgentSession,
        history: ChatContext,
        messages: mpsc::WeakUnboundedSender<Message>,
    ) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let began = Instant::now();
            let mut turn = UserTurn {
                session,
                context: history.clone(),
                message: self.message.clone(),
                decision: self.decision,
            };
            let hook = AssertUnwindSafe(agent.on_user_turn_completed(&mut turn)).catch_unwind();
            let reply = match hook.await {
                Ok(Ok(reply)) => Ok(reply),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("on_user_turn_completed panicked".to_owned()),
            };
            // What failed half-way has changed nothing.
            let failed = reply.is_err();
            let reworded = !failed && turn.message.text != self.message.text;
            let done = HookDone {
                turn: self.turn,
                context: (!failed && turn.context != history).then_some(turn.context),
                message: if failed { self.message } else { turn.message },
                reworded,
                decision: self.decision,
                transcription_delay: self.transcription_delay,
                took: began.elapsed(),
                reply,
            };
            if let Some(messages) = messages.upgrade() {
                let _ = messages.send(Message::Hook(done));
            }
        })
    }
}
