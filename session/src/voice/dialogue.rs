//! A conversation that the program leads: it speaks, listens, asks.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Agent, AgentSession, BoxError, ChatInput, SessionError, TurnReply, UserTurn};
use crate::transport::Participant;
use crate::worker::ParticipantFilter;

/// A conversation that the program leads, without a language model.
///
/// What the user says comes through a channel of this dialogue's own: two dialogues of one process never mix.
///
/// ```no_run
/// # use std::time::Duration;
/// # use listenkit_session::AgentSession;
/// # use listenkit_session::voice::{Dialogue, SessionError, SessionIo};
/// # async fn lead(session: AgentSession, io: SessionIo) -> Result<(), SessionError> {
/// let (mut dialogue, agent) = Dialogue::new(&session);
/// session.start(agent, io).await?;
/// match dialogue.ask("At what time?", Duration::from_secs(20)).await? {
///     Some(answer) => dialogue.speak(format!("Noted: {answer}.")).await?,
///     None => dialogue.speak("I heard nothing, goodbye.").await?,
/// }
/// session.aclose().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Dialogue {
    session: AgentSession,
    turns: mpsc::UnboundedReceiver<String>,
    joined: mpsc::UnboundedReceiver<Participant>,
}

/// The agent to start the session of a [`Dialogue`] with.
#[derive(Debug)]
pub struct DialogueAgent {
    turns: mpsc::UnboundedSender<String>,
    joined: mpsc::UnboundedSender<Participant>,
}

impl Dialogue {
    /// A dialogue on `session`, and the agent that the session is to be started with.
    pub fn new(session: &AgentSession) -> (Self, DialogueAgent) {
        let (heard, turns) = mpsc::unbounded_channel();
        let (came, joined) = mpsc::unbounded_channel();
        let dialogue = Self {
            session: session.clone(),
            turns,
            joined,
        };
        let agent = DialogueAgent {
            turns: heard,
            joined: came,
        };
        (dialogue, agent)
    }

    /// Says `text`; returns when it has been heard, or the user has cut it off.
    ///
    /// # Errors
    /// [`SessionError::Provider`] if the voice failed, [`SessionError::NoTts`], [`SessionError::NotRunning`], [`SessionError::Draining`].
    pub async fn speak(&self, text: impl Into<String>) -> Result<(), SessionError> {
        let speech = self.session.say(text)?;
        speech.wait().await;
        speech.error().map_or(Ok(()), |error| Err(error.into()))
    }

    /// The user's next turn, spoken or written in the chat; turns that were not listened to come first, in their order. `None` if none is
    /// over `within` that time.
    ///
    /// # Errors
    /// [`SessionError::NotRunning`] once the session is over.
    pub async fn listen(&mut self, within: Duration) -> Result<Option<String>, SessionError> {
        match timeout(within, self.turns.recv()).await {
            Ok(Some(text)) => Ok(Some(text)),
            Ok(None) => Err(SessionError::NotRunning),
            Err(_) => Ok(None),
        }
    }

    /// Forgets what was said so far, says `question` and gives the answer: the user's next turn, which may begin before the question is at its
    /// end. `None` if none is over `within` that time after the question.
    ///
    /// # Errors
    /// As [`speak`](Self::speak) and [`listen`](Self::listen).
    pub async fn ask(
        &mut self,
        question: impl Into<String>,
        within: Duration,
    ) -> Result<Option<String>, SessionError> {
        while self.turns.try_recv().is_ok() {}
        self.speak(question).await?;
        self.listen(within).await
    }

    /// Waits for somebody in the room to talk to, a user or a telephone, who may be there already. `None` if nobody comes `within` that time. Each is
    /// given once.
    ///
    /// # Errors
    /// [`SessionError::NotRunning`] once the session is over.
    pub async fn wait_for_participant(
        &mut self,
        within: Duration,
    ) -> Result<Option<Participant>, SessionError> {
        match timeout(within, self.joined.recv()).await {
            Ok(Some(participant)) => Ok(Some(participant)),
            Ok(None) => Err(SessionError::NotRunning),
            Err(_) => Ok(None),
        }
    }
}

#[async_trait::async_trait]
impl Agent for DialogueAgent {
    async fn on_user_turn_completed(&self, turn: &mut UserTurn) -> Result<TurnReply, BoxError> {
        // Nobody listens any more: the history has it all the same.
        let _ = self.turns.send(turn.message.text.clone());
        Ok(TurnReply::Stop)
    }

    async fn on_chat_message(
        &self,
        session: &AgentSession,
        message: ChatInput,
    ) -> Result<(), BoxError> {
        let _ = session.interrupt();
        let _ = self.turns.send(message.text);
        Ok(())
    }

    async fn on_participant_connected(&self, _: &AgentSession, participant: &Participant) {
        if ParticipantFilter::default().matches(participant) {
            let _ = self.joined.send(participant.clone());
        }
    }
}
