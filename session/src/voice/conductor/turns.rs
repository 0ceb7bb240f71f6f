//! What becomes of the user's turns: the agent's hook, the history, a reply, which may have been begun before.

use std::collections::VecDeque;
use std::time::Duration;

use listenkit::{BriefReason, EndOfTurn, OverlapVerdict, TurnEndReason};

use super::{Conductor, Early};
use crate::voice::agent::TurnReply;
use crate::voice::event::{ErrorSource, SessionEvent, SpeechSource, TurnOutcome, UserTurnEnded};
use crate::voice::generation::Source;
use crate::voice::hearing::{CompleteTurn, same_words};
use crate::voice::hooks::{HookDone, HookJob, hook_failed};
use crate::voice::metrics::{EouMetrics, Metrics, VadMetrics};
use crate::voice::session::{AgentSession, Phase};
use crate::voice::speech::SpeechHandle;
use crate::voice::speeches::{Pause, Plan, Speech};
use crate::{ChatMessage, Role};

impl Conductor {
    /// A turn of the user's is over and has all of its words.
    pub(super) fn turn_complete(&mut self, complete: CompleteTurn) {
        let CompleteTurn {
            turn,
            text,
            decision,
            transcription_delay,
        } = complete;
        let (windows, busy, audio) = self.ear.cost();
        if audio > Duration::ZERO {
            self.emit(SessionEvent::Metrics(Metrics::Vad(VadMetrics {
                windows,
                busy,
                audio,
            })));
        }
        // What the program commits is meant, however short.
        let by_hand = !turn.replies.is_empty();
        for reply in turn.replies {
            let _ = reply.send(text.clone());
        }
        let brief = decision.is_some_and(|end| {
            matches!(end.overlap, Some(OverlapVerdict::Brief(reason)) if reason != BriefReason::Protected)
        });
        let takes_new = self.shared.phase() == Phase::Running && self.closing.is_none();
        let outcome = match () {
            () if text.is_empty() => TurnOutcome::Empty,
            () if brief && !by_hand && !turn.is_amendment => TurnOutcome::Brief,
            () if turn.skip_reply || !takes_new => TurnOutcome::Stored,
            () => TurnOutcome::Taken,
        };
        self.emit(SessionEvent::UserTurnEnded(UserTurnEnded {
            turn: turn.number,
            transcript: text.clone(),
            outcome,
            decision,
            sample_rate: self.ear.rate(),
        }));
        match outcome {
            TurnOutcome::Taken | TurnOutcome::Stored => self.hooks.push_back(HookJob {
                turn: turn.number,
                message: ChatMessage::new(Role::User, text),
                is_asked: outcome == TurnOutcome::Taken,
                decision,
                transcription_delay,
            }),
            TurnOutcome::Empty => self.nothing_said(turn.number, decision),
            TurnOutcome::Brief => {}
        }
        if outcome != TurnOutcome::Taken
            && self.early.as_ref().is_some_and(|e| e.turn == turn.number)
        {
            self.early = None;
        }
    }

    /// A turn that paused the agent and was cut short has no words, and the core will not say more about it.
    pub(super) fn nothing_said(&mut self, number: u64, decision: Option<EndOfTurn>) {
        let cut = decision.is_none_or(|end| {
            matches!(
                end.reason,
                TurnEndReason::Committed | TurnEndReason::EndOfInput | TurnEndReason::Reset
            )
        });
        if let Some(speech) = &mut self.mouth.current
            && let Pause::Claimed { turn, is_false } = &mut speech.pause
            && *turn <= number
        {
            *is_false |= cut;
        }
    }

    /// Stores turns that are over, and asks the agent's hook about one of them, in their order.
    pub(super) fn run_hook(&mut self) {
        if self.hook.is_some() {
            return;
        }
        while self.hooks.front().is_some_and(|job| !job.is_asked)
            && let Some(job) = self.hooks.pop_front()
        {
            self.add_message(job.message);
        }
        let Some(handle) = self.handle.upgrade() else {
            return; // nobody will hear the answer
        };
        let Some(job) = self.hooks.pop_front() else {
            return;
        };
        let history = self.shared.history().clone();
        let session = AgentSession { inner: handle };
        let message = job.message.clone();
        let task = job.spawn(self.agent.clone(), session, history, self.messages.clone());
        self.hook = Some((task, message));
    }

    pub(super) fn hook_done(&mut self, done: HookDone) {
        self.hook = None;
        let context_is_plain = done.context.is_none();
        let early = self.early.take_if(|early| early.turn == done.turn);
        let early = early.filter(|early| {
            early.revision == self.revision
                && !done.reworded
                && context_is_plain
                && same_words(&early.text, &done.message.text)
                && early
                    .generation
                    .done
                    .as_ref()
                    .is_none_or(|generated| generated.error.is_none())
        });
        let context = done.context.map(|mut context| {
            context.push(done.message.clone());
            context
        });
        self.add_message(done.message);
        if let Err(message) = &done.reply {
            self.emit(SessionEvent::Error {
                source: ErrorSource::Agent,
                error: hook_failed(message),
                recoverable: true,
            });
        }
        let replies = done.reply == Ok(TurnReply::Reply)
            && self.options.llm.is_some()
            && self.closing.is_none();
        let speech = replies.then(|| {
            let interruptible = self.options.interruption.enabled;
            self.messages
                .upgrade()
                .map(|messages| SpeechHandle::new(interruptible, &messages))
        });
        let speech = speech.flatten();
        let rate = self.ear.rate();
        self.emit(SessionEvent::Metrics(Metrics::Eou(EouMetrics {
            turn: done.turn,
            end_of_utterance_delay: done.decision.map_or(Duration::ZERO, |end| {
                Duration::from_secs_f64(rate.seconds(end.delay())) + self.ear.age()
            }),
            transcription_delay: done.transcription_delay,
            on_user_turn_completed_delay: done.took,
            decision: done.decision,
            sample_rate: rate,
            speech_id: speech.as_ref().map(|speech| speech.id().to_owned()),
        })));
        let Some(handle) = speech else {
            return;
        };
        let plan = Plan::Reply {
            context,
            instructions: None,
        };
        let mut speech = Speech::new(handle, SpeechSource::UserTurn, plan);
        speech.answers = Some((done.turn, done.decision.map(|end| end.last_voiced)));
        if let Some(early) = early {
            speech.preemptive = true;
            speech.generation = Some(early.generation);
            speech.plan = Plan::Started;
        }
        self.make_room();
        self.enqueue(speech);
    }

    /// A new reply is coming: it takes the place of replies that nobody has heard, and ends what is heard, if that may be.
    pub(super) fn make_room(&mut self) {
        let mut kept = VecDeque::new();
        for speech in self.mouth.queue.drain(..) {
            if speech.is_reply() && speech.interruptible() {
                speech.handle.finish(true);
            } else {
                kept.push_back(speech);
            }
        }
        self.mouth.queue = kept;
        let ends = self.mouth.current.as_ref().is_some_and(|speech| {
            speech.interruptible() && (speech.audible_at.is_some() || speech.is_reply())
        });
        if ends {
            self.stop_current();
        }
    }

    /// Begins the reply to a turn that may be over soon.
    pub(super) fn begin_early(&mut self, number: u64) {
        let options = self.options.preemptive;
        let Some(llm) = self.options.llm.clone().filter(|_| options.enabled) else {
            return;
        };
        if self.options.is_manual() {
            return; // the program says when it wants an answer
        }
        let speaks = self
            .mouth
            .current
            .as_ref()
            .is_some_and(|speech| speech.audible_at.is_some() && !speech.is_claimed());
        if self
            .mouth
            .current
            .as_ref()
            .is_some_and(|s| s.stopped_at.is_some())
        {
            self.early_due = Some(number);
            return;
        }
        let may_start = self.shared.phase() == Phase::Running
            && self.closing.is_none()
            && !speaks
            && self.hook.is_none()
            && self.hooks.is_empty();
        let (rate, now) = (self.ear.rate(), self.ear.position());
        let revision = self.revision;
        let Some(turn) = self.ear.turn_mut(number) else {
            return;
        };
        let text = turn.text();
        if let Some(early) = &self.early
            && early.turn == number
            && early.revision == revision
            && same_words(&early.text, &text)
        {
            return;
        }
        self.early = None;
        let length = turn.start.map_or(Duration::ZERO, |start| {
            Duration::from_secs_f64(rate.seconds(now.since(start)))
        });
        if !may_start
            || turn.is_over()
            || text.is_empty()
            || turn.tries >= options.max_retries
            || length > options.max_speech_duration
        {
            return;
        }
        turn.tries += 1;
        let mut context = self.shared.history().clone();
        context.push(ChatMessage::new(Role::User, text.clone()));
        let mut generation = self.mouth.generate(Source::Llm {
            llm,
            context,
            retry: self.options.retry,
        });
        if options.tts && self.mouth.has_voice() {
            self.mouth.open_voice(&mut generation);
        }
        self.early = Some(Early {
            turn: number,
            text,
            revision,
            generation,
        });
    }
}
