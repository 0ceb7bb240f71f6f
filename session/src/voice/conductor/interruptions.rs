//! What becomes of the agent's speech when the user speaks: held, paused, cut off, or let go on.

use listenkit::{FalseInterruption, Input};
use unicode_segmentation::UnicodeSegmentation;

use super::Conductor;
use crate::voice::event::SessionEvent;
use crate::voice::speeches::Pause;

impl Conductor {
    /// The user speaks, and the reply has not begun: it waits for what they say.
    pub(super) fn hold(&mut self) {
        if let Some(speech) = &mut self.mouth.current
            && speech.audible_at.is_none()
            && speech.stopped_at.is_none()
            && speech.interruptible()
            && speech.pause == Pause::No
            && let Some(utterance) = &speech.utterance
        {
            utterance.pause();
            speech.pause = Pause::Held;
        }
    }

    /// The core says that the user interrupts.
    pub(super) fn claimed(&mut self, turn: u64, has_words: bool) {
        let resumes = self.options.interruption.resume_false_interruption
            && self.options.stt.is_some()
            && !has_words;
        let Some(speech) = &mut self.mouth.current else {
            return;
        };
        if !speech.is_audible() || !speech.interruptible() {
            return;
        }
        if !resumes {
            self.stop_current();
            return;
        }
        if let Some(utterance) = &speech.utterance {
            utterance.pause();
        }
        speech.pause = Pause::Claimed {
            turn,
            is_false: false,
        };
        self.ear.tell(Input::AgentStopped);
    }

    /// There are words in the user's turn.
    pub(super) fn words(&mut self, turn: Option<u64>, text: &str) {
        let has_vad = self.options.vad.is_some();
        let min_words = self.options.interruption.min_words.max(1) as usize;
        let Some(speech) = &self.mouth.current else {
            return;
        };
        match speech.pause {
            Pause::Claimed { turn: claimed, .. } if turn.is_none_or(|turn| turn >= claimed) => {
                self.stop_current();
            }
            // Without a VAD nothing but words can interrupt.
            Pause::No
                if !has_vad
                    && !self.options.is_manual()
                    && speech.is_audible()
                    && speech.interruptible()
                    && text.unicode_words().count() >= min_words =>
            {
                self.stop_current();
            }
            _ => {}
        }
    }

    pub(super) fn false_interruption(&mut self, record: FalseInterruption) {
        if let Some(speech) = &mut self.mouth.current
            && let Pause::Claimed { turn, is_false } = &mut speech.pause
            && *turn == record.turn
        {
            *is_false = true;
            let waits = self
                .ear
                .turn(record.turn)
                .is_some_and(|turn| turn.is_pending());
            self.emit(SessionEvent::AgentFalseInterruption {
                resumed: !waits,
                record,
            });
        } else {
            self.emit(SessionEvent::AgentFalseInterruption {
                resumed: false,
                record,
            });
        }
    }

    /// The user's audio is over, or forgotten: the core says no more about what paused the agent. Words that are on their way still count.
    pub(super) fn release_claim(&mut self) {
        if let Some(speech) = &mut self.mouth.current
            && let Pause::Claimed { is_false, .. } = &mut speech.pause
        {
            *is_false = true;
        }
    }

    /// Lets a speech go on that was held or paused for nothing.
    pub(super) fn settle_pause(&mut self) {
        let Some(speech) = &self.mouth.current else {
            return;
        };
        if speech.stopped_at.is_some() {
            return;
        }
        let goes_on = match speech.pause {
            Pause::No => false,
            Pause::Held => !self.ear.has_floor() && self.hooks.is_empty() && self.hook.is_none(),
            Pause::Claimed { turn, is_false } => {
                is_false && self.ear.turn(turn).is_none_or(|turn| !turn.is_pending())
            }
        };
        if goes_on {
            self.resume_current();
        }
    }

    pub(super) fn resume_current(&mut self) {
        let Some(speech) = &mut self.mouth.current else {
            return;
        };
        speech.pause = Pause::No;
        if let Some(utterance) = &speech.utterance {
            utterance.resume();
        }
        if speech.audible_at.is_some() {
            self.tell_started();
        }
    }

    pub(super) fn tell_started(&mut self) {
        let Some(speech) = &self.mouth.current else {
            return;
        };
        if !speech.interruptible() {
            self.ear.tell(Input::AgentInterruptible(false));
        }
        self.ear.tell(Input::AgentStarted);
    }

    pub(super) fn protection_changed(&mut self) {
        let Some(speech) = &self.mouth.current else {
            return;
        };
        let interruptible = speech.interruptible();
        if speech.audible_at.is_some() {
            self.ear.tell(Input::AgentInterruptible(interruptible));
        }
        if !interruptible && speech.pause != Pause::No && speech.stopped_at.is_none() {
            self.resume_current();
        }
    }
}
