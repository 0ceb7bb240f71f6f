//! The task that owns a conversation.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use listenkit::{BriefReason, TurnEndReason};
use listenkit::{EndOfTurn, Event, FalseInterruption, Input, OverlapVerdict, SampleRate};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::agent::{Agent, TurnReply};
use super::event::{
    AgentState, CloseReason, ErrorSource, Overlap, SessionEvent, SpeechSource, TurnOutcome,
    UserState, UserTurnEnded,
};
use super::generation::{Generated, Generation, Source};
use super::hearing::{CompleteTurn, Ear, Heard, same_words};
use super::hooks::{HookDone, HookJob};
use super::message::{Command, Message};
use super::metrics::{EndToEndMetrics, EouMetrics, LlmMetrics, Metrics, TtsMetrics, VadMetrics};
use super::options::{Options, SessionError};
use super::session::{AgentSession, AudioInput, Handle, Phase, SessionIo, Shared, Source as Audio};
use super::speech::SpeechHandle;
use super::speeches::{Mouth, Pause, Plan, STOP_LIMIT, Speech};
use crate::tts::{Played, Playout, PlayoutOptions};
use crate::{ChatMessage, ErrorKind, ProviderError, Role};

/// Without audio for this long, the core is told the time.
const QUIET: Duration = Duration::from_millis(200);

/// How often it is told while something of the user's is open. Less than the core's window of 32 ms.
const TICK: Duration = Duration::from_millis(20);

pub(super) struct Conductor {
    options: Arc<Options>,
    agent: Arc<dyn Agent>,
    handle: Weak<Handle>,
    shared: Arc<Shared>,
    events: Option<broadcast::Sender<SessionEvent>>,
    inbox: mpsc::UnboundedReceiver<Message>,
    messages: mpsc::WeakUnboundedSender<Message>,
    audio: Audio,
    ear: Ear,
    mouth: Mouth,
    /// A reply that was begun before its turn was over.
    early: Option<Early>,
    /// The turn whose reply is begun when the speech that is being stopped is over, and its end is in the history.
    early_due: Option<u64>,
    /// Turns that wait for the agent's hook, the first of which may be running.
    hooks: std::collections::VecDeque<HookJob>,
    hook: Option<JoinHandle<()>>,
    /// Changes with the history.
    revision: u64,
    user: UserState,
    agent_state: AgentState,
    /// Since when both have been silent.
    quiet_since: Instant,
    heard_audio: bool,
    next_clock: Instant,
    /// Of STT, LLM and TTS, in a row.
    errors: [u32; 3],
    expectation: Option<listenkit::Expectation>,
    draining: Vec<oneshot::Sender<()>>,
    closing: Option<Closing>,
    enter: Option<JoinHandle<()>>,
}

struct Early {
    turn: u64,
    text: String,
    revision: u64,
    generation: Generation,
}

struct Closing {
    reason: CloseReason,
    error: Option<ProviderError>,
    deadline: Instant,
}

impl Conductor {
    pub(super) fn new(
        session: &AgentSession,
        agent: Arc<dyn Agent>,
        io: SessionIo,
        rate: SampleRate,
        inbox: mpsc::UnboundedReceiver<Message>,
    ) -> Result<Self, SessionError> {
        let handle = &session.inner;
        let options = handle.options.clone();
        let messages = handle.messages.downgrade();
        let playout = io
            .sink
            .map(|sink| Playout::new(sink, PlayoutOptions::default()));
        let now = Instant::now();
        let shared = handle.shared.clone();
        {
            let mut history = shared.history();
            let instructions = agent.instructions();
            if !instructions.is_empty() {
                history.set_instructions(instructions);
            }
        }
        Ok(Self {
            ear: Ear::new(options.clone(), rate, io.audio_age, &handle.messages)?,
            mouth: Mouth::new(
                options.tts.clone(),
                playout,
                options.retry,
                messages.clone(),
            ),
            options,
            agent,
            handle: session.downgrade(),
            events: shared.events(),
            shared,
            inbox,
            messages,
            audio: io.audio,
            early_due: None,
            early: None,
            hooks: std::collections::VecDeque::new(),
            hook: None,
            revision: 0,
            user: UserState::Listening,
            agent_state: AgentState::Initializing,
            quiet_since: now,
            heard_audio: false,
            next_clock: now + QUIET,
            errors: [0; 3],
            expectation: None,
            draining: Vec::new(),
            closing: None,
            enter: None,
        })
    }

    pub(super) async fn run(mut self) {
        self.set_agent_state(AgentState::Listening);
        self.enter();
        let timer = tokio::time::sleep_until(self.next_deadline());
        tokio::pin!(timer);
        loop {
            tokio::select! {
                biased;
                Some(message) = self.inbox.recv() => self.on_message(message),
                event = self.ear.recognised() => self.ear.on_stt(event),
                input = next_audio(&mut self.audio) => self.on_audio(input),
                () = &mut timer => self.on_timer(),
            }
            self.settle();
            if self.is_over() {
                break;
            }
            let deadline = self.next_deadline();
            // A timer that fires too early does no harm, so it is only moved when it would be late or is over.
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
        }
        self.leave().await;
    }

    // What comes in.

    fn on_audio(&mut self, input: Option<AudioInput>) {
        match input {
            Some(AudioInput::Frame(frame)) => {
                self.heard_audio = true;
                self.ear.frame(frame);
            }
            Some(AudioInput::Gap(duration)) => {
                self.heard_audio = true;
                self.ear.gap(duration);
            }
            Some(AudioInput::End) | None => {
                // A track that ends may be followed by another; the end of the program's audio is the end.
                if let Audio::Track { frames, .. } = &mut self.audio {
                    *frames = None;
                    self.ear.flush();
                } else {
                    self.audio = Audio::Over;
                    self.ear.end_input();
                }
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Command(command) => self.on_command(command),
            Message::TurnAnswer {
                id,
                probability,
                job,
            } => self.ear.turn_answer(id, probability, job),
            Message::Hook(done) => self.hook_done(done),
            Message::Generated(generated) => self.generated(generated),
            Message::Audible(speech) => self.audible(&speech),
            Message::Spoken(speech, text) => self.emit(SessionEvent::AgentTranscript {
                speech: speech.id().to_owned(),
                text,
                is_final: false,
            }),
            Message::Played(speech, played) => self.played(&speech, played),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Say {
                speech,
                text,
                add_to_history,
            } => {
                let mut speech = Speech::new(speech, SpeechSource::Say, Plan::Text(text));
                speech.add_to_history = add_to_history;
                self.enqueue(speech);
            }
            Command::Reply {
                speech,
                user_input,
                instructions,
            } => {
                if let Some(text) = user_input {
                    self.add_message(ChatMessage::new(Role::User, text));
                }
                let plan = Plan::Reply {
                    context: None,
                    instructions,
                };
                self.enqueue(Speech::new(speech, SpeechSource::GenerateReply, plan));
            }
            Command::Interrupt { force, done } => {
                let _ = done.send(self.interrupt(force));
            }
            Command::InterruptSpeech(speech) => {
                if self.is_current(&speech) {
                    self.stop_current();
                } else if let Some(at) = self.mouth.queue.iter().position(|s| s.handle.is(&speech))
                {
                    self.mouth.queue.remove(at);
                    speech.finish(true);
                }
            }
            Command::Protection => self.protection_changed(),
            Command::CommitTurn {
                skip_reply,
                transcript,
            } => self.ear.commit(skip_reply, transcript),
            Command::ClearTurn => {
                self.ear.clear();
                self.early = None;
            }
            Command::AudioAge(age) => self.ear.audio_age(age),
            Command::Expect(expectation) => {
                // Any turn ends an expectation, also one that is spoken over the agent.
                if self.mouth.current.is_some() {
                    self.expectation = Some(expectation);
                } else {
                    self.ear.tell(Input::Expect(expectation));
                }
            }
            Command::SetHistory(history) => {
                *self.shared.history() = history;
                self.revision += 1;
            }
            Command::Resubmit(failed) => self.ear.resubmit(failed),
            Command::Hear(track) => {
                if let Audio::Track { frames, muted } = &mut self.audio {
                    *frames = track;
                    *muted = false;
                    // What was said before is over.
                    self.ear.flush();
                }
            }
            Command::Mute(on) => {
                if let Audio::Track { muted, .. } = &mut self.audio {
                    *muted = on;
                }
            }
            Command::Report(source, error) => self.emit(SessionEvent::Error {
                source,
                error,
                recoverable: true,
            }),
            Command::Drain(done) => self.draining.push(done),
            Command::Close(reason) => self.close(reason, None),
        }
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if now >= self.next_clock {
            self.tick(now);
        }
        if self.user == UserState::Listening
            && self.agent_state == AgentState::Listening
            && self
                .options
                .user_away_timeout
                .is_some_and(|timeout| now >= self.quiet_since + timeout)
        {
            self.set_user_state(UserState::Away);
        }
        if let Some(speech) = &self.mouth.current
            && speech.stopped_at.is_some_and(|at| now >= at + STOP_LIMIT)
        {
            tracing::warn!(speech = speech.handle.id(), "the playout did not stop");
            let handle = speech.handle.clone();
            self.finish_current(&handle, String::new(), true);
        }
    }

    /// Tells the core the time if no audio does.
    fn tick(&mut self, now: Instant) {
        if self.is_deaf() || !self.heard_audio {
            self.next_clock = now + QUIET;
            return;
        }
        let quiet_at = self.ear.last_audio() + QUIET;
        if now < quiet_at {
            self.next_clock = quiet_at;
            return;
        }
        self.ear.clock(now);
        let claimed = self.mouth.current.as_ref().is_some_and(Speech::is_claimed);
        let open = claimed || self.ear.has_turn();
        self.next_clock = now + if open { TICK } else { QUIET };
    }

    fn next_deadline(&self) -> Instant {
        let away = self
            .options
            .user_away_timeout
            .filter(|_| {
                self.user == UserState::Listening && self.agent_state == AgentState::Listening
            })
            .map(|timeout| self.quiet_since + timeout);
        let stopped = self
            .mouth
            .current
            .as_ref()
            .and_then(|speech| speech.stopped_at)
            .map(|at| at + STOP_LIMIT);
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        [away, stopped, closing, self.ear.deadline(Instant::now())]
            .into_iter()
            .flatten()
            .fold(self.next_clock, Instant::min)
    }

    // What follows from it.

    /// Does everything that can be done now.
    fn settle(&mut self) {
        loop {
            while let Some(heard) = self.ear.poll() {
                self.on_heard(heard);
            }
            match self.ear.complete_turn(Instant::now()) {
                Some(turn) => self.turn_complete(turn),
                None => break,
            }
        }
        if self.mouth.current.is_none()
            && let Some(turn) = self.early_due.take()
        {
            self.begin_early(turn);
        }
        self.settle_pause();
        self.run_hook();
        self.next_speech();
        self.refresh_agent_state();
        let idle = self.is_idle();
        if idle && !self.draining.is_empty() {
            for done in self.draining.drain(..) {
                let _ = done.send(());
            }
        }
        if idle && matches!(self.audio, Audio::Over) && self.closing.is_none() {
            self.close(CloseReason::EndOfInput, None);
        }
    }

    /// Whether nobody can be heard.
    const fn is_deaf(&self) -> bool {
        matches!(self.audio, Audio::Over | Audio::Track { frames: None, .. })
    }

    /// Whether there is nothing to say and nothing to wait for.
    fn is_idle(&self) -> bool {
        self.mouth.is_idle()
            && self.hooks.is_empty()
            && self.hook.is_none()
            && !self.ear.awaits_words()
            && self.enter.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Core(event) => self.on_core(event),
            Heard::Transcribed {
                turn,
                transcript,
                is_final,
            } => {
                let has_words = !transcript.text.trim().is_empty();
                if is_final && has_words {
                    self.errors[0] = 0;
                }
                if self.user == UserState::Away && has_words {
                    self.set_user_state(UserState::Listening);
                }
                self.quiet_since = Instant::now();
                let text = transcript.text.clone();
                self.emit(SessionEvent::UserInputTranscribed {
                    transcript: transcript.text,
                    is_final,
                    language: transcript.language,
                    turn,
                });
                if has_words {
                    self.words(turn, &text);
                }
            }
            Heard::Answered { turn } | Heard::Preflight { turn } => {
                let ready = match heard {
                    Heard::Preflight { .. } => true,
                    _ => self.ear.turn(turn).is_some_and(|turn| turn.is_final()),
                };
                if ready {
                    self.begin_early(turn);
                }
            }
            Heard::Failed(failed) => {
                let error = failed.error.clone();
                self.emit(SessionEvent::SegmentFailed(failed));
                if error.kind != ErrorKind::Closed {
                    self.failed(ErrorSource::Stt, error);
                }
            }
            Heard::Metrics(metrics) => self.emit(SessionEvent::Metrics(Metrics::Stt(metrics))),
            Heard::Error(error, true) => self.emit(SessionEvent::Error {
                source: ErrorSource::Stt,
                error,
                recoverable: true,
            }),
            Heard::Error(error, false) => self.failed(ErrorSource::Stt, error),
        }
    }

    fn on_core(&mut self, event: Event) {
        let sample_rate = self.ear.rate();
        match event {
            Event::StartOfSpeech(_) => {
                self.set_user_state(UserState::Speaking);
                self.hold();
            }
            Event::EndOfSpeech(_) => self.set_user_state(UserState::Listening),
            Event::TurnPrediction(prediction) => self.emit(SessionEvent::TurnPrediction {
                prediction,
                sample_rate,
            }),
            Event::OverlapClaim(claim) => {
                self.emit(SessionEvent::Overlap {
                    overlap: Overlap::Claim(claim),
                    sample_rate,
                });
                self.claimed(claim.turn, claim.facts.words.is_some_and(|words| words > 0));
            }
            Event::OverlapBrief(brief) => self.emit(SessionEvent::Overlap {
                overlap: Overlap::Brief(brief),
                sample_rate,
            }),
            Event::FalseInterruption(record) => self.false_interruption(record),
            _ => {}
        }
    }

    /// The user speaks, and the reply has not begun: it waits for what they say.
    fn hold(&mut self) {
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
    fn claimed(&mut self, turn: u64, has_words: bool) {
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
    fn words(&mut self, turn: Option<u64>, text: &str) {
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
                    && speech.interruptible() =>
            {
                use unicode_segmentation::UnicodeSegmentation;
                if text.unicode_words().count() >= min_words {
                    self.stop_current();
                }
            }
            _ => {}
        }
    }

    fn false_interruption(&mut self, record: FalseInterruption) {
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

    /// Lets a speech go on that was held or paused for nothing.
    fn settle_pause(&mut self) {
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

    fn resume_current(&mut self) {
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

    fn tell_started(&mut self) {
        let Some(speech) = &self.mouth.current else {
            return;
        };
        if !speech.interruptible() {
            self.ear.tell(Input::AgentInterruptible(false));
        }
        self.ear.tell(Input::AgentStarted);
    }

    fn protection_changed(&mut self) {
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

    /// A turn of the user's is over and has all of its words.
    fn turn_complete(&mut self, complete: CompleteTurn) {
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
        for reply in turn.replies {
            let _ = reply.send(text.clone());
        }
        let brief = decision.is_some_and(|end| {
            matches!(end.overlap, Some(OverlapVerdict::Brief(reason)) if reason != BriefReason::Protected)
        });
        let takes_new = self.shared.phase() == Phase::Running && self.closing.is_none();
        let outcome = match () {
            () if text.is_empty() => TurnOutcome::Empty,
            () if brief && !turn.is_amendment => TurnOutcome::Brief,
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
            TurnOutcome::Taken => self.hooks.push_back(HookJob {
                turn: turn.number,
                message: ChatMessage::new(Role::User, text),
                decision,
                transcription_delay,
            }),
            TurnOutcome::Stored => self.add_message(ChatMessage::new(Role::User, text)),
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
    fn nothing_said(&mut self, number: u64, decision: Option<EndOfTurn>) {
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

    fn run_hook(&mut self) {
        if self.hook.is_some() {
            return;
        }
        let Some(handle) = self.handle.upgrade() else {
            return; // nobody will hear the answer
        };
        let Some(job) = self.hooks.pop_front() else {
            return;
        };
        let history = self.shared.history().clone();
        let session = AgentSession { inner: handle };
        self.hook = Some(job.spawn(self.agent.clone(), session, history, self.messages.clone()));
    }

    fn hook_done(&mut self, done: HookDone) {
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
                error: ProviderError::new("agent", ErrorKind::Rejected, message),
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
                Duration::from_secs_f64(rate.seconds(end.delay()))
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
    fn make_room(&mut self) {
        let mut kept = std::collections::VecDeque::new();
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
    fn begin_early(&mut self, number: u64) {
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

    // Speeches.

    fn enqueue(&mut self, speech: Speech) {
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
    fn next_speech(&mut self) {
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

    fn make(&mut self, speech: &mut Speech) {
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

    fn is_current(&self, speech: &SpeechHandle) -> bool {
        let current = self.mouth.current.as_ref();
        current.is_some_and(|current| current.handle.is(speech))
    }

    fn audible(&mut self, handle: &SpeechHandle) {
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

    fn played(&mut self, handle: &SpeechHandle, played: Played) {
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
            self.failed(ErrorSource::Tts, error);
        }
        // The text as it was written, marks and all, if all of it was heard.
        let heard = self.written(handle).filter(|_| is_whole);
        self.finish_current(handle, heard.unwrap_or(played.heard), played.interrupted);
    }

    /// The whole text of the current speech, if it is complete.
    fn written(&self, handle: &SpeechHandle) -> Option<String> {
        let speech = self.mouth.current.as_ref()?;
        let done = speech.generation.as_ref()?.done.as_ref()?;
        let whole = speech.handle.is(handle) && done.error.is_none() && !done.cancelled;
        whole.then(|| done.text.clone())
    }

    /// The current speech is over: `heard` is what the user heard of it.
    fn finish_current(&mut self, handle: &SpeechHandle, heard: String, interrupted: bool) {
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
    fn finish_written(&mut self) {
        let done = self.mouth.current.as_ref().and_then(|speech| {
            let generated = speech.generation.as_ref()?.done.as_ref()?;
            Some((speech.handle.clone(), generated.text.clone()))
        });
        if let Some((handle, text)) = done {
            self.finish_current(&handle, text, false);
            self.next_speech();
        }
    }

    fn generated(&mut self, generated: Box<Generated>) {
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
    fn stop_current(&mut self) {
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
            self.finish_current(&handle, String::new(), true);
        }
    }

    fn interrupt(&mut self, force: bool) -> Result<(), SessionError> {
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

    // State.

    fn refresh_agent_state(&mut self) {
        let state = match &self.mouth.current {
            Some(speech) if speech.is_audible() => AgentState::Speaking,
            Some(speech) if speech.is_claimed() || speech.stopped_at.is_some() => {
                AgentState::Listening
            }
            Some(_) => AgentState::Thinking,
            None if self.hook.is_some() || !self.mouth.queue.is_empty() => AgentState::Thinking,
            None => AgentState::Listening,
        };
        self.set_agent_state(state);
    }

    fn set_agent_state(&mut self, new: AgentState) {
        let old = std::mem::replace(&mut self.agent_state, new);
        if old != new {
            self.quiet_since = Instant::now();
            self.shared.set_agent(new);
            self.emit(SessionEvent::AgentStateChanged { old, new });
        }
    }

    fn set_user_state(&mut self, new: UserState) {
        let old = std::mem::replace(&mut self.user, new);
        if old != new {
            self.quiet_since = Instant::now();
            self.shared.set_user(new);
            self.emit(SessionEvent::UserStateChanged { old, new });
        }
    }

    fn add_message(&mut self, message: ChatMessage) {
        self.insert_message(usize::MAX, message);
    }

    fn insert_message(&mut self, at: usize, message: ChatMessage) {
        self.shared.history().insert(at, message.clone());
        self.revision += 1;
        self.emit(SessionEvent::ConversationItemAdded(message));
    }

    /// Something failed for good; too many in a row end the session.
    fn failed(&mut self, source: ErrorSource, error: ProviderError) {
        self.emit(SessionEvent::Error {
            source,
            error: error.clone(),
            recoverable: false,
        });
        let count = match source {
            ErrorSource::Stt => &mut self.errors[0],
            ErrorSource::Llm => &mut self.errors[1],
            ErrorSource::Tts => &mut self.errors[2],
            ErrorSource::Room | ErrorSource::Agent => return,
        };
        *count += 1;
        if *count >= self.options.max_errors {
            self.close(CloseReason::Error, Some(error));
        }
    }

    fn emit(&self, event: SessionEvent) {
        if let Some(events) = &self.events {
            // Nobody listens: nobody misses it.
            let _ = events.send(event);
        }
    }

    // Beginning and end.

    fn enter(&mut self) {
        let Some(handle) = self.handle.upgrade() else {
            return;
        };
        let (agent, session) = (self.agent.clone(), AgentSession { inner: handle });
        self.enter = Some(tokio::spawn(async move { agent.on_enter(&session).await }));
    }

    fn close(&mut self, reason: CloseReason, error: Option<ProviderError>) {
        if self.closing.is_some() {
            return;
        }
        self.shared.set_phase(Phase::Draining);
        self.early = None;
        self.mouth.clear_queue(true);
        self.stop_current();
        if !matches!(std::mem::replace(&mut self.audio, Audio::Over), Audio::Over) {
            self.ear.end_input();
        }
        let wait = match reason {
            CloseReason::Error | CloseReason::Dropped => Duration::ZERO,
            _ => self.options.close_timeout,
        };
        self.closing = Some(Closing {
            reason,
            error,
            deadline: Instant::now() + wait,
        });
    }

    /// Whether nothing is left to wait for.
    fn is_over(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| self.is_idle() || Instant::now() >= closing.deadline)
    }

    async fn leave(mut self) {
        let limit = self.options.close_timeout;
        // What the user said last is stored with the words there are.
        while let Some(event) = self.ear.try_recognised() {
            self.ear.on_stt(event);
        }
        self.ear.cancel();
        self.settle();
        for job in std::mem::take(&mut self.hooks) {
            self.add_message(job.message);
        }
        if let Some(speech) = &self.mouth.current {
            let heard = speech.utterance.as_ref().map(|utterance| utterance.heard());
            let handle = speech.handle.clone();
            self.finish_current(&handle, heard.unwrap_or_default(), true);
        }
        for task in [self.enter.take(), self.hook.take()].into_iter().flatten() {
            task.abort();
        }
        if let Some(handle) = self.handle.upgrade() {
            let session = AgentSession { inner: handle };
            let exit = std::panic::AssertUnwindSafe(self.agent.on_exit(&session)).catch_unwind();
            if !matches!(tokio::time::timeout(limit, exit).await, Ok(Ok(()))) {
                tracing::warn!("on_exit failed or took too long");
            }
        }
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            // What was asked for too late is answered all the same, by dropping it.
            match message {
                Message::Command(Command::Say { speech, .. } | Command::Reply { speech, .. }) => {
                    speech.finish(true);
                }
                Message::Played(..) | Message::Generated(_) => {}
                _ => {}
            }
        }
        self.set_user_state(UserState::Listening);
        let (reason, error) = self
            .closing
            .take()
            .map_or((CloseReason::Dropped, None), |c| (c.reason, c.error));
        self.emit(SessionEvent::Close { reason, error });
        self.events = None;
        self.shared.end();
    }
}

/// The next audio; never, once it is over.
async fn next_audio(audio: &mut Audio) -> Option<AudioInput> {
    match audio {
        Audio::Program(audio) => audio.recv().await,
        Audio::Track {
            frames: Some(frames),
            muted,
        } => {
            let frame = frames.recv().await?;
            Some(match muted {
                // What a muted track still gives is not meant to be heard.
                true => AudioInput::Gap(frame.duration()),
                false => AudioInput::Frame(frame),
            })
        }
        Audio::Track { frames: None, .. } | Audio::Over => std::future::pending().await,
    }
}
