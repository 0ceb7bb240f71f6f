//! What is sent to the task that owns the conversation.

use std::time::Duration;

use futures_util::stream::BoxStream;
use listenkit::{Expectation, Probability};
use tokio::sync::{mpsc, oneshot};

use super::event::ErrorSource;
use super::generation::Generated;
use super::hooks::HookDone;
use super::smart_turn::Job;
use super::speech::SpeechHandle;
use super::{CloseReason, SessionError};
use crate::stt::FailedSegment;
use crate::tts::Played;
use crate::{AudioFrame, ChatContext, ProviderError};

/// Something the conversation has to know that is no audio.
pub(super) enum Message {
    Command(Command),
    /// The turn model is done.
    TurnAnswer {
        id: u64,
        probability: Option<Probability>,
        job: Box<Job>,
    },
    /// A hook is done.
    Hook(HookDone),
    /// A generation is done.
    Generated(Box<Generated>),
    /// The first frame of a speech is on its way.
    Audible(SpeechHandle),
    /// A chunk of the speech's text begins to be heard.
    Spoken(SpeechHandle, String),
    /// Nothing more of it will be heard.
    Played(SpeechHandle, Played),
}

/// What the program asks for.
pub(super) enum Command {
    Say {
        speech: SpeechHandle,
        text: BoxStream<'static, String>,
        add_to_history: bool,
    },
    Reply {
        speech: SpeechHandle,
        user_input: Option<String>,
        instructions: Option<String>,
    },
    Interrupt {
        force: bool,
        done: oneshot::Sender<Result<(), SessionError>>,
    },
    InterruptSpeech(SpeechHandle),
    Protection,
    CommitTurn {
        skip_reply: bool,
        transcript: oneshot::Sender<String>,
    },
    ClearTurn,
    Expect(Expectation),
    /// In a room: the user's audio is this old when it comes.
    AudioAge(Duration),
    SetHistory(ChatContext),
    Resubmit(FailedSegment),
    /// In a room: reads this track from now on; `None`: nobody can be heard.
    Hear(Option<mpsc::Receiver<AudioFrame>>),
    /// In a room: what comes through the track is to be ignored.
    Mute(bool),
    Report(ErrorSource, ProviderError),
    Drain(oneshot::Sender<()>),
    Close(CloseReason),
}
