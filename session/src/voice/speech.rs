//! A speech of the agent's, as the program holds it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};

use super::SessionError;
use super::message::{Command, Message};
use crate::ProviderError;

/// Something the agent says, will say, or has said. Cloning it makes another handle to the same speech.
///
/// Speeches wait in a queue: one is heard at a time, in the order in which they were made.
#[derive(Clone)]
pub struct SpeechHandle {
    pub(super) shared: Arc<SpeechShared>,
}

pub(super) struct SpeechShared {
    pub(super) id: String,
    pub(super) interruptible: AtomicBool,
    pub(super) interrupted: AtomicBool,
    error: OnceLock<ProviderError>,
    done: watch::Sender<bool>,
    messages: mpsc::WeakUnboundedSender<Message>,
}

impl SpeechHandle {
    pub(super) fn new(interruptible: bool, messages: &mpsc::UnboundedSender<Message>) -> Self {
        Self {
            shared: Arc::new(SpeechShared {
                id: crate::chat::id("speech_"),
                interruptible: AtomicBool::new(interruptible),
                interrupted: AtomicBool::new(false),
                error: OnceLock::new(),
                done: watch::Sender::new(false),
                messages: messages.downgrade(),
            }),
        }
    }

    /// `speech_` and twelve letters.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Waits until it has been heard, was interrupted, or will never be heard. Never fails; [`interrupted`](Self::interrupted) and
    /// [`error`](Self::error) tell which.
    pub async fn wait(&self) {
        let mut done = self.shared.done.subscribe();
        // An error would mean that the sender is gone, and we hold it.
        let _ = done.wait_for(|&done| done).await;
    }

    /// Whether [`wait`](Self::wait) would return at once.
    pub fn is_done(&self) -> bool {
        *self.shared.done.borrow()
    }

    /// Whether it was cut off, or thrown away before it was heard.
    pub fn interrupted(&self) -> bool {
        self.shared.interrupted.load(Ordering::Acquire)
    }

    /// Why not all of it was made: the language model or the voice failed for good, which is an error event, too.
    pub fn error(&self) -> Option<ProviderError> {
        self.shared.error.get().cloned()
    }

    /// Whether the user, or [`interrupt`](Self::interrupt), may cut it off.
    pub fn allow_interruptions(&self) -> bool {
        self.shared.interruptible.load(Ordering::Acquire)
    }

    /// Changes that, also while it is heard. A speech that is paused by the user's goes on when it becomes protected.
    pub fn set_allow_interruptions(&self, allow: bool) {
        self.shared.interruptible.store(allow, Ordering::Release);
        self.send(Command::Protection);
    }

    /// Cuts it off, or takes it out of the queue.
    ///
    /// # Errors
    /// [`SessionError::Protected`] if it does not allow that.
    pub fn interrupt(&self) -> Result<(), SessionError> {
        if !self.allow_interruptions() {
            return Err(SessionError::Protected);
        }
        self.send(Command::InterruptSpeech(self.clone()));
        Ok(())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// To be told before it is finished. The first error is the cause of the others.
    pub(super) fn fail(&self, error: ProviderError) {
        let _ = self.shared.error.set(error);
    }

    pub(super) fn finish(&self, interrupted: bool) {
        if interrupted {
            self.shared.interrupted.store(true, Ordering::Release);
        }
        self.shared.done.send_replace(true);
    }

    fn send(&self, command: Command) {
        if let Some(messages) = self.shared.messages.upgrade() {
            // A session that is over has nothing to interrupt.
            let _ = messages.send(Message::Command(command));
        }
    }
}

impl fmt::Debug for SpeechHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechHandle")
            .field("id", &self.shared.id)
            .field("done", &self.is_done())
            .field("interrupted", &self.interrupted())
            .finish_non_exhaustive()
    }
}
