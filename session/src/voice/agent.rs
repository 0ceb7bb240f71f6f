//! What a program says about its agent.

use listenkit::EndOfTurn;

use super::AgentSession;
use crate::transport::{Participant, RoomEvent};
use crate::{ChatContext, ChatMessage};

/// An error of a hook, of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A turn of the user's, before it is answered.
#[non_exhaustive]
pub struct UserTurn {
    /// The session.
    pub session: AgentSession,
    /// What the language model will see before the message. Changes are for this reply only.
    pub context: ChatContext,
    /// What the user said. Changes are kept in the history.
    pub message: ChatMessage,
    /// Why the turn was over; `None` if the program committed it without speech being heard, or its words came after their turn.
    pub decision: Option<EndOfTurn>,
}

/// Whether the agent answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TurnReply {
    /// The language model makes a reply.
    #[default]
    Reply,
    /// Nothing is said. The message stays in the history.
    Stop,
}

/// A message from the room's chat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatInput {
    /// What was written.
    pub text: String,
    /// Who wrote it.
    pub identity: String,
}

impl ChatInput {
    /// A message of somebody's.
    pub fn new(text: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            identity: identity.into(),
        }
    }
}

/// An agent: what it is told to be, and what it does when things happen. Every method has a default.
///
/// The session runs hooks in tasks of their own. It goes on hearing and speaking meanwhile, so a hook may take its time, and may ask the session
/// for things. A hook that panics is an error event and nothing more.
///
/// ```
/// use listenkit_session::Agent;
///
/// struct Waiter;
/// impl Agent for Waiter {
///     fn instructions(&self) -> String {
///         "You take orders in a restaurant. Be brief.".into()
///     }
/// }
/// ```
#[async_trait::async_trait]
pub trait Agent: Send + Sync {
    /// What the language model is told first. Asked once, when the session starts.
    fn instructions(&self) -> String {
        String::new()
    }

    /// The session has begun: a good moment to greet. In a room, what is said is heard by who comes first: the voice waits until
    /// somebody has subscribed to it.
    async fn on_enter(&self, session: &AgentSession) {
        let _ = session;
    }

    /// The session is ending. Nothing new can be said.
    async fn on_exit(&self, session: &AgentSession) {
        let _ = session;
    }

    /// The user's turn is over; the reply waits for this. A failure is an error event and no reply. Whatever it returns, the message is in
    /// the history afterwards.
    ///
    /// # Errors
    /// Anything.
    async fn on_user_turn_completed(&self, turn: &mut UserTurn) -> Result<TurnReply, BoxError> {
        let _ = turn;
        Ok(TurnReply::Reply)
    }

    /// Somebody wrote in the chat. By default the agent stops speaking and answers.
    ///
    /// # Errors
    /// Anything.
    async fn on_chat_message(
        &self,
        session: &AgentSession,
        message: ChatInput,
    ) -> Result<(), BoxError> {
        // What may not be interrupted is heard first.
        let _ = session.interrupt();
        session.generate_reply(super::ReplyOptions {
            user_input: Some(message.text),
            ..Default::default()
        })?;
        Ok(())
    }

    /// Something happened in the room: data packets ([`RoomEvent::Data`]), calls ([`RoomEvent::Rpc`], of methods that were registered with
    /// [`Room::register_rpc`](crate::transport::Room::register_rpc)), texts on topics of your own, mutes, changes of attributes. The session
    /// follows the same events by itself. Called for one after the other, in their order; the next waits for it, and nothing else does.
    ///
    /// Never called for [`RoomEvent::Disconnected`], which ends the session ([`on_exit`](Self::on_exit), [`AgentSession::closed`]), nor for texts of the chat, which are
    /// [`on_chat_message`](Self::on_chat_message)'s unless [`text_input`](super::RoomInputOptions::text_input) is off. A call that runs or waits when the session
    /// is over, behind `on_exit`, is given up after [`close_timeout`](super::AgentSessionBuilder::close_timeout).
    async fn on_room_event(&self, session: &AgentSession, event: RoomEvent) {
        let _ = (session, event);
    }

    /// Somebody joined the room, or was there already.
    async fn on_participant_connected(&self, session: &AgentSession, participant: &Participant) {
        let _ = (session, participant);
    }
}
