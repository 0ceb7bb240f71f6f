//! What becomes of speeches: made, heard, cut off, stored.

use listenkit::Input;
use tokio::time::Instant;

use super::Conductor;
use crate::tts::Played;
use crate::voice::event::{ErrorSource, SessionEvent, SpeechSource};
use crate::voice::generation::{Generated, Source};
use crate::voice::metrics::{EndToEndMetrics, LlmMetrics, Metrics, TtsMetrics};
use crate::voice::options::SessionError;
use crate::voice::speech::SpeechHandle;
use crate::voice::speeches::{Pause, Plan, Speech};
use crate::{ChatMessage, Role};

impl Conductor {
    pub(super) fn enqueue(&mut self, speech: Speech) {
        if self.closing.is_some() {
            speech.handle.finish(true);
            return;
        }
        self.emit(SessionEvent::SpeechCreated {
            speech: speech.handle.clone(),
            source: speech.source,
        });
        self.mouth.queue.push_back(speech);
    }

    /// Makes the next speech, and lets it be heard when the user leaves room for it.
    pub(super) fn next_speech(&mut self) {
        if self.mouth.current.is_none() {
            let Some(mut speech) = self.mouth.queue.pop_front() else {
                return;
            };
            self.make(&mut speech);
            self.mouth.current = Some(speech);
        }
        let Some(speech) = &self.mouth.current else {
            return;
        };
        if speech.voiced_at.is_some() || speech.stopped_at.is_some() {
            return;
        }
        if speech.interruptible() {
            // A word of the program's own waits for a pause, an answer until nothing more is said that it would not answer.
            let waits = match speech.source {
                SpeechSource::Say | SpeechSource::GenerateReply => self.ear.user_speaks,
                SpeechSource::UserTurn => {
                    self.ear.has_floor() || self.hook.is_some() || !self.hooks.is_empty()
                }
            };
            if waits {
                return;
            }
        }
        self.mouth.voice();
        if !self.mouth.has_voice() {
            self.finish_written();
        }
    }

    pub(super) fn make(&mut self, speech: &mut Speech) {
        let source = match std::mem::replace(&mut speech.plan, Plan::Started) {
            Plan::Started => return,
            Plan::Text(text) => Source::Text(text),
            Plan::Reply {
                context,
                instructions,
            } => {
                let Some(llm) = self.options.llm.clone() else {
                    return;
                };
                let history = self.shared.history().clone();
                let mut context = context.unwrap_or(history);
                if let Some(instructions) = instructions {
                    context.push(ChatMessage::new(Role::System, instructions));
                }
                Source::Llm {
                    llm,
                    context,
                    retry: self.options.retry,
                }
            }
        };
        speech.generation = Some(self.mouth.generate(source));
    }

    pub(super) fn is_current(&self, speech: &SpeechHandle) -> bool {
        let current = self.mouth.current.as_ref();
        current.is_some_and(|current| current.handle.is(speech))
    }

    pub(super) fn audible(&mut self, handle: &SpeechHandle) {
        if !self.is_current(handle) {
            return;
        }
        let now = Instant::now();
        let Some(speech) = &mut self.mouth.current else {
            return;
        };
        speech.audible_at = Some(now);
        speech.history_at = self.shared.history().len();
        let answers = speech.answers;
        let preemptive = speech.preemptive;
        let goes_on = speech.pause == Pause::No && speech.stopped_at.is_none();
        if let Some((turn, Some(last_voiced))) = answers {
            let latency = self.ear.ago(last_voiced, now);
            self.emit(SessionEvent::Metrics(Metrics::EndToEnd(EndToEndMetrics {
                turn,
                speech_id: handle.id().to_owned(),
                latency,
                preemptive,
            })));
        }
        self.errors[1] = 0;
        self.errors[2] = 0;
        if goes_on {
            self.tell_started();
        }
    }

    /// A piece of the speech is heard, or written.
    pub(super) fn spoken(&mut self, handle: &SpeechHandle, text: String) {
        if !self.is_current(handle) {
            return; // the last word of it is out
        }
        if let Some(speech) = &mut self.mouth.current
            && speech.utterance.is_none()
        {
            speech.written.push_str(&text);
        }
        self.emit(SessionEvent::AgentTranscript {
            speech: handle.id().to_owned(),
            text,
            is_final: false,
        });
    }

    pub(super) fn played(&mut self, handle: &SpeechHandle, played: Played) {
        if !self.is_current(handle) {
            return;
        }
        if let Some(speech) = &self.mouth.current
            && let (Some(tts), Some(voiced_at)) = (&self.options.tts, speech.voiced_at)
        {
            let first_text = speech
                .generation
                .as_ref()
                .and_then(|generation| generation.first_text.get().copied())
                .unwrap_or(voiced_at);
            let characters = speech
                .generation
                .as_ref()
                .and_then(|generation| generation.done.as_ref())
                .map_or(0, |generated| generated.text.chars().count());
            let metrics = TtsMetrics {
                label: tts.label().to_owned(),
                speech_id: handle.id().to_owned(),
                ttfb: speech
                    .audible_at
                    .map(|at| at.saturating_duration_since(first_text)),
                duration: first_text.elapsed(),
                audio_duration: played.position,
                characters,
                cancelled: played.interrupted,
            };
            self.emit(SessionEvent::Metrics(Metrics::Tts(metrics)));
        }
        let is_whole = !played.interrupted && played.error.is_none();
        if let Some(error) = played.error {
            handle.fail(error.clone());
            self.failed(ErrorSource::Tts, error);
        }
        // The text as it was written, marks and all, if all of it was heard.
        let heard = self.written(handle).filter(|_| is_whole);
        self.finish_current(handle, heard.unwrap_or(played.heard), played.interrupted);
    }

    /// The whole text of the current speech, if it is complete.
    pub(super) fn written(&self, handle: &SpeechHandle) -> Option<String> {
        let speech = self.mouth.current.as_ref()?;
        let done = speech.generation.as_ref()?.done.as_ref()?;
        let whole = speech.handle.is(handle) && done.error.is_none() && !done.cancelled;
        whole.then(|| done.text.clone())
    }

    /// The current speech is over: `heard` is what the user heard of it.
    pub(super) fn finish_current(
        &mut self,
        handle: &SpeechHandle,
        heard: String,
        interrupted: bool,
    ) {
        let Some(mut speech) = self.mouth.current.take_if(|s| s.handle.is(handle)) else {
            return;
        };
        if speech.audible_at.is_some() {
            self.ear.tell(Input::AgentStopped);
        }
        let text = heard.trim();
        self.emit(SessionEvent::AgentTranscript {
            speech: handle.id().to_owned(),
            text: text.to_owned(),
            is_final: true,
        });
        if !text.is_empty() && speech.add_to_history {
            let mut message = ChatMessage::new(Role::Assistant, text);
            message.interrupted = interrupted;
            self.insert_message(speech.history_at, message);
        }
        speech.generation = None;
        handle.finish(interrupted);
        self.quiet_since = Instant::now();
        if let Some(expectation) = self.expectation.take() {
            self.ear.tell(Input::Expect(expectation));
        }
    }

    /// A session without a voice has said a text when it is there.
    pub(super) fn finish_written(&mut self) {
        let done = self.mouth.current.as_ref().and_then(|speech| {
            let generated = speech.generation.as_ref()?.done.as_ref()?;
            Some((speech.handle.clone(), generated.text.clone()))
        });
        if let Some((handle, text)) = done {
            self.finish_current(&handle, text, false);
            self.next_speech();
        }
    }

    pub(super) fn generated(&mut self, generated: Box<Generated>) {
        let number = generated.number;
        let current = self.mouth.current.as_mut();
        let waiting = self.mouth.queue.iter_mut();
        let speech = current.into_iter().chain(waiting).find(|speech| {
            speech
                .generation
                .as_ref()
                .is_some_and(|g| g.number == number)
        });
        let speech_id = speech.as_ref().map(|speech| speech.handle.id().to_owned());
        if let (Some(speech), Some(error)) = (&speech, &generated.error) {
            speech.handle.fail(error.clone());
        }
        let metrics = generated.label.clone().map(|label| LlmMetrics {
            label,
            speech_id,
            ttft: generated.ttft,
            duration: generated.duration,
            usage: generated.usage,
            cancelled: generated.cancelled,
            attempts: generated.attempts,
        });
        let error = generated.error.clone();
        let has_text = !generated.text.is_empty();
        if has_text && error.is_none() && generated.label.is_some() {
            // A session without a voice has no other sign of success.
            self.errors[1] = 0;
        }
        let mut fails = true;
        if let Some(generation) = speech.and_then(|speech| speech.generation.as_mut()) {
            generation.done = Some(generated);
        } else if let Some(early) = &mut self.early
            && early.generation.number == number
        {
            early.generation.done = Some(generated);
            // It is asked again when the turn is over.
            fails = false;
        }
        if let Some(metrics) = metrics {
            self.emit(SessionEvent::Metrics(Metrics::Llm(metrics)));
        }
        if let Some(error) = error {
            if fails && !has_text {
                self.failed(ErrorSource::Llm, error);
            } else {
                self.emit(SessionEvent::Error {
                    source: ErrorSource::Llm,
                    error,
                    recoverable: true,
                });
            }
        }
        if !self.mouth.has_voice()
            && self
                .mouth
                .current
                .as_ref()
                .is_some_and(|speech| speech.voiced_at.is_some())
        {
            self.finish_written();
        }
    }

    /// Ends the current speech: at once if it is not heard yet, else as soon as the playout says how far it came.
    pub(super) fn stop_current(&mut self) {
        let Some(speech) = &mut self.mouth.current else {
            return;
        };
        if speech.stopped_at.is_some() {
            return;
        }
        speech.stopped_at = Some(Instant::now());
        if let Some(utterance) = &speech.utterance {
            utterance.stop();
        } else {
            let handle = speech.handle.clone();
            let written = std::mem::take(&mut speech.written);
            self.finish_current(&handle, written, true);
        }
    }

    pub(super) fn interrupt(&mut self, force: bool) -> Result<(), SessionError> {
        if let Some(speech) = &self.mouth.current
            && !force
            && !speech.interruptible()
        {
            return Err(SessionError::Protected);
        }
        self.early = None;
        let all = self.mouth.clear_queue(force);
        self.stop_current();
        if all {
            Ok(())
        } else {
            Err(SessionError::Protected)
        }
    }
}
