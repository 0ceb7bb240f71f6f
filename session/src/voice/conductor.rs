//! The task that owns a conversation.

mod interruptions;
mod replies;
mod turns;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use listenkit::{Event, Input, SampleRate};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::agent::Agent;
use super::event::{
    AgentState, CloseReason, ErrorSource, Overlap, SessionEvent, SpeechSource, UserState,
};
use super::generation::Generation;
use super::hearing::{Ear, Heard};
use super::hooks::{HookJob, hook_failed};
use super::message::{Command, Message};
use super::metrics::Metrics;
use super::options::{Options, SessionError};
use super::session::{AgentSession, AudioInput, Handle, Phase, SessionIo, Shared, Source as Audio};
use super::speeches::{Mouth, Plan, STOP_LIMIT, Speech};
use crate::tts::{Playout, PlayoutOptions, Utterance};
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
    hooks: VecDeque<HookJob>,
    /// The one that runs, and what the user said.
    hook: Option<(JoinHandle<()>, ChatMessage)>,
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
            ear: Ear::new(
                options.clone(),
                rate,
                (io.audio_age, io.noise_cancellation),
                &handle.messages,
            )?,
            mouth: Mouth::new(
                options.tts.clone(),
                playout,
                options.sentences.clone(),
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
            hooks: VecDeque::new(),
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
                self.release_claim();
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
            Message::Spoken(speech, text) => self.spoken(&speech, text),
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
                self.release_claim();
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
                if let Some(speech) = &mut self.mouth.current
                    && speech.audible_at.is_some()
                {
                    // Places in the old history mean nothing in the new one.
                    speech.history_at = history.len();
                }
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
                    self.release_claim();
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
            let heard = speech.utterance.as_ref().map(Utterance::heard);
            self.finish_current(&handle, heard.unwrap_or_default(), true);
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
                let counts = error.kind != ErrorKind::Closed && !failed.stream_ended;
                self.emit(SessionEvent::SegmentFailed(failed));
                if counts {
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
        tracing::warn!(?source, %error, "a provider failed");
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
        self.enter = Some(tokio::spawn(async move {
            if AssertUnwindSafe(agent.on_enter(&session))
                .catch_unwind()
                .await
                .is_err()
            {
                session.report(ErrorSource::Agent, hook_failed("on_enter panicked"));
            }
        }));
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
        // A hook that still runs is given up. What the user said is not.
        if let Some((task, message)) = self.hook.take() {
            task.abort();
            self.add_message(message);
        }
        // What the user said last is stored with the words there are.
        while let Some(event) = self.ear.try_recognised() {
            self.ear.on_stt(event);
        }
        self.ear.cancel().await;
        self.settle();
        for job in std::mem::take(&mut self.hooks) {
            self.add_message(job.message);
        }
        if let Some(speech) = &self.mouth.current {
            let heard = speech.utterance.as_ref().map(|utterance| utterance.heard());
            let handle = speech.handle.clone();
            self.finish_current(&handle, heard.unwrap_or_default(), true);
        }
        if let Some(task) = self.enter.take() {
            task.abort();
        }
        if let Some(handle) = self.handle.upgrade() {
            let session = AgentSession { inner: handle };
            let exit = AssertUnwindSafe(self.agent.on_exit(&session)).catch_unwind();
            let problem = match tokio::time::timeout(limit, exit).await {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some("on_exit panicked".to_owned()),
                Err(_) => Some(format!("on_exit is given up after {limit:?}")),
            };
            if let Some(problem) = problem {
                self.emit(SessionEvent::Error {
                    source: ErrorSource::Agent,
                    error: hook_failed(problem),
                    recoverable: true,
                });
            }
        }
        self.refuse_rest();
        self.set_user_state(UserState::Listening);
        let (reason, error) = self
            .closing
            .take()
            .map_or((CloseReason::Dropped, None), |c| (c.reason, c.error));
        match (reason, &error) {
            (CloseReason::Error, Some(error)) => tracing::warn!(%error, "the session ends"),
            (CloseReason::Dropped, _) => {
                tracing::warn!(
                    "the session ends, because its last handle was dropped; keep one, or await `closed`"
                );
            }
            _ => tracing::debug!(?reason, "the session ends"),
        }
        self.emit(SessionEvent::Close {
            reason,
            error: error.clone(),
        });
        self.events = None;
        self.shared.end(reason, error);
    }

    /// Takes no more messages. What was asked for too late is answered all the same, by dropping it.
    fn refuse_rest(&mut self) {
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Command(Command::Say { speech, .. } | Command::Reply { speech, .. }) =
                message
            {
                speech.finish(true);
            }
        }
    }
}

/// A session whose task panicked, in a provider or here, is over: who waits for it is told.
impl Drop for Conductor {
    fn drop(&mut self) {
        if self.shared.phase() == Phase::Over {
            return;
        }
        self.refuse_rest();
        self.emit(SessionEvent::Close {
            reason: CloseReason::Error,
            error: None,
        });
        self.events = None;
        self.shared.end(CloseReason::Error, None);
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
