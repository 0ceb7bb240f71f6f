//! What a session says about itself.

use futures_util::Stream;
use tokio::sync::broadcast;

use listenkit::{
    EndOfTurn, FalseInterruption, OverlapBrief, OverlapClaim, SampleRate, TurnPrediction,
};

use super::metrics::Metrics;
use super::speech::SpeechHandle;
use crate::stt::FailedSegment;
use crate::{ChatMessage, ProviderError};

/// What the user is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserState {
    /// Speaking.
    Speaking,
    /// Silent.
    #[default]
    Listening,
    /// Silent for so long, while the agent was silent too, that nobody may be there.
    Away,
}

impl UserState {
    /// The name in attributes and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Speaking => "speaking",
            Self::Listening => "listening",
            Self::Away => "away",
        }
    }
}

/// What the agent is doing. The names are LiveKit's, in the attribute `lk.agent.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentState {
    /// Not ready yet.
    #[default]
    Initializing,
    /// Silent, waiting for the user.
    Listening,
    /// A reply is being made.
    Thinking,
    /// It is heard.
    Speaking,
}

impl AgentState {
    /// The name in attributes and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Listening => "listening",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
        }
    }
}

/// What became of a turn of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TurnOutcome {
    /// It goes to the agent, which answers it or not.
    Taken,
    /// Nothing was understood: noise, or words that were lost.
    Empty,
    /// It was an "mhm" beside the agent's speech: nobody waits for an answer. It is not stored.
    Brief,
    /// It is stored and not answered, because the session is ending or the program wished so.
    Stored,
}

/// A turn of the user's that is over and completely transcribed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UserTurnEnded {
    /// Its number.
    pub turn: u64,
    /// What was said.
    pub transcript: String,
    /// What became of it.
    pub outcome: TurnOutcome,
    /// Why the core ended it then, with the arithmetic; `None` if it was committed when the core saw no turn, or its words came after
    /// their turn. Positions are samples at `sample_rate`.
    pub decision: Option<EndOfTurn>,
    /// Of the audio that was heard.
    pub sample_rate: SampleRate,
}

/// User speech over the agent's.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Overlap {
    /// It is an interruption.
    Claim(OverlapClaim),
    /// It was none.
    Brief(OverlapBrief),
}

/// Where an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorSource {
    /// Recognition.
    Stt,
    /// The language model.
    Llm,
    /// The voice.
    Tts,
    /// The room.
    Room,
    /// The agent's own hooks.
    Agent,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`AgentSession::aclose`](super::AgentSession::aclose).
    UserInitiated,
    /// The job ends: [`JobContext::shutdown`](crate::worker::JobContext::shutdown), the worker, or the server.
    JobShutdown,
    /// The audio of the user is over.
    EndOfInput,
    /// The user left the room.
    ParticipantDisconnected,
    /// The room is over.
    RoomDisconnected,
    /// Too many failures in a row.
    Error,
    /// Nobody holds the session any more.
    Dropped,
}

/// What made the agent speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpeechSource {
    /// [`AgentSession::say`](super::AgentSession::say).
    Say,
    /// [`AgentSession::generate_reply`](super::AgentSession::generate_reply).
    GenerateReply,
    /// A turn of the user's.
    UserTurn,
}

/// Something that happened in a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The user does something else now.
    UserStateChanged {
        /// Before.
        old: UserState,
        /// Now.
        new: UserState,
    },
    /// The agent does something else now.
    AgentStateChanged {
        /// Before.
        old: AgentState,
        /// Now.
        new: AgentState,
    },
    /// Words of the user. A final one replaces the interim ones since the final one before.
    UserInputTranscribed {
        /// The words.
        transcript: String,
        /// They will not change any more.
        is_final: bool,
        /// BCP-47, if known.
        language: Option<String>,
        /// The turn they belong to, if the core knows of one.
        turn: Option<u64>,
    },
    /// What the models and the wording say about a pause.
    TurnPrediction {
        /// The core's record.
        prediction: TurnPrediction,
        /// Of the positions in it.
        sample_rate: SampleRate,
    },
    /// A turn of the user's is over and completely transcribed.
    UserTurnEnded(UserTurnEnded),
    /// The history has a new message. The agent's come when they have been heard, as far as they were heard.
    ConversationItemAdded(ChatMessage),
    /// The agent is going to say something.
    SpeechCreated {
        /// The handle.
        speech: SpeechHandle,
        /// What made it.
        source: SpeechSource,
    },
    /// A piece of what the agent says, when it begins to be heard; of a session without a voice, as it is made.
    AgentTranscript {
        /// Id of the speech.
        speech: String,
        /// Text that follows what came before. What was heard of it, if it was interrupted, is in [`ConversationItemAdded`](Self::ConversationItemAdded).
        text: String,
        /// The speech is over; `text` is all that was heard of it, or written, its last piece too.
        is_final: bool,
    },
    /// The user spoke over the agent.
    Overlap {
        /// The core's verdict.
        overlap: Overlap,
        /// Of the positions in it.
        sample_rate: SampleRate,
    },
    /// An interruption was followed by no words.
    AgentFalseInterruption {
        /// Whether the agent goes on where it was paused. If not: the speech is over, or words of the user's are still on their way and decide.
        resumed: bool,
        /// The core's record.
        record: FalseInterruption,
    },
    /// An utterance of the user's could not be recognised. Its audio is in it: [`AgentSession::resubmit`](super::AgentSession::resubmit).
    SegmentFailed(FailedSegment),
    /// What something cost.
    Metrics(Metrics),
    /// Something failed.
    Error {
        /// Where.
        source: ErrorSource,
        /// What.
        error: ProviderError,
        /// Whether the session goes on as if nothing had happened. If not, it still goes on, unless there have been too many in a row.
        recoverable: bool,
    },
    /// The reader of these events was too slow: the session does not wait, so the oldest are lost.
    Missed {
        /// How many.
        count: u64,
    },
    /// The session is over. The last event.
    Close {
        /// Why.
        reason: CloseReason,
        /// The error, if one was the reason.
        error: Option<ProviderError>,
    },
}

/// Events that a slow reader may leave unread before it loses the oldest: minutes of a conversation.
pub(super) const EVENT_CAPACITY: usize = 1024;

/// The events of a session, from the moment it was made. Ends after [`SessionEvent::Close`].
///
/// The session never waits for a reader. One that is more than 1024 events behind loses the oldest, and is told how many by
/// [`SessionEvent::Missed`].
#[derive(Debug)]
pub struct EventStream {
    receiver: Option<broadcast::Receiver<SessionEvent>>,
}

impl EventStream {
    pub(super) const fn new(receiver: Option<broadcast::Receiver<SessionEvent>>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` after the last. Losing the call's future loses nothing.
    pub async fn recv(&mut self) -> Option<SessionEvent> {
        let event = match self.receiver.as_mut()?.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(count)) => SessionEvent::Missed { count },
            Err(broadcast::error::RecvError::Closed) => {
                self.receiver = None;
                return None;
            }
        };
        if matches!(event, SessionEvent::Close { .. }) {
            self.receiver = None;
        }
        Some(event)
    }

    /// The same as a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = SessionEvent> + Send + Unpin {
        Box::pin(futures_util::stream::unfold(self, |mut events| async {
            events.recv().await.map(|event| (event, events))
        }))
    }
}
