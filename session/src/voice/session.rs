//! The session as the program holds it.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use listenkit::{Expectation, SampleRate};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::agent::Agent;
use super::conductor::Conductor;
use super::event::{
    AgentState, CloseReason, EVENT_CAPACITY, ErrorSource, EventStream, SessionEvent, UserState,
};
use super::message::{Command, Message};
use super::options::{AgentSessionBuilder, Options, SessionError};
use super::speech::SpeechHandle;
use crate::stt::FailedSegment;
use crate::transport::Room;
use crate::tts::AudioSink;
use crate::{AudioFrame, ChatContext, ErrorKind, ProviderError};

/// Audio of the user's.
#[derive(Clone, Debug)]
pub enum AudioInput {
    /// A block of it, as it comes; 10 ms is best.
    Frame(AudioFrame),
    /// So much is missing: muted, or lost. To be sent as time goes on, not ahead of it.
    Gap(Duration),
    /// There will be no more. What was said is answered, then the session closes. Dropping the sender says the same.
    End,
}

/// Where a session hears and speaks.
pub struct SessionIo {
    pub(super) audio: Source,
    pub(super) sink: Option<Arc<dyn AudioSink>>,
    pub(super) sample_rate: u32,
    pub(super) noise_cancellation: bool,
    pub(super) audio_age: Duration,
}

/// Where audio comes from.
pub(super) enum Source {
    /// The program.
    Program(mpsc::Receiver<AudioInput>),
    /// A track of a room, while somebody can be heard.
    Track {
        frames: Option<mpsc::Receiver<AudioFrame>>,
        muted: bool,
    },
    /// There will be no more.
    Over,
}

impl SessionIo {
    /// Hears what comes through `audio`, speaks into `sink`. The channel bounds how much audio may wait; 100 blocks of 10 ms are plenty.
    pub fn new(audio: mpsc::Receiver<AudioInput>, sink: Arc<dyn AudioSink>) -> Self {
        Self {
            audio: Source::Program(audio),
            sink: Some(sink),
            sample_rate: 16_000,
            noise_cancellation: false,
            audio_age: Duration::ZERO,
        }
    }

    /// Hears the track that it will be given.
    pub(super) const fn in_room(
        sink: Option<Arc<dyn AudioSink>>,
        sample_rate: u32,
        noise_cancellation: bool,
        audio_age: Duration,
    ) -> Self {
        Self {
            audio: Source::Track {
                frames: None,
                muted: false,
            },
            sink,
            sample_rate,
            noise_cancellation,
            audio_age,
        }
    }

    /// Only hears: what the agent says is text.
    pub fn text_only(audio: mpsc::Receiver<AudioInput>) -> Self {
        Self {
            audio: Source::Program(audio),
            sink: None,
            sample_rate: 16_000,
            noise_cancellation: false,
            audio_age: Duration::ZERO,
        }
    }

    /// How long ago audio was spoken when it comes: what a network costs. The end of a turn is counted from when the user fell silent. Default 0.
    #[must_use]
    pub const fn audio_age(mut self, age: Duration) -> Self {
        self.audio_age = age;
        self
    }

    /// Whether noise is taken out of the audio first, by [`NoiseSuppressor`](crate::noise::NoiseSuppressor). Default false.
    #[must_use]
    pub const fn noise_cancellation(mut self, on: bool) -> Self {
        self.noise_cancellation = on;
        self
    }

    /// The rate of the audio that will come, in Hz. Saves making the core anew at the first block.
    #[must_use]
    pub const fn sample_rate(mut self, hz: u32) -> Self {
        self.sample_rate = hz;
        self
    }
}

/// How something is said.
#[derive(Clone, Debug, Default)]
pub struct SayOptions {
    /// Whether the user may interrupt it. Default: as the session is set.
    pub allow_interruptions: Option<bool>,
    /// Whether it is kept out of the history.
    pub keep_out_of_history: bool,
}

crate::setters::setters!(SayOptions {
    [some] allow_interruptions: bool,
    keep_out_of_history: bool
});

/// How a reply is made.
#[derive(Clone, Debug, Default)]
pub struct ReplyOptions {
    /// What the user is taken to have said; it goes into the history.
    pub user_input: Option<String>,
    /// Instructions for this reply alone.
    pub instructions: Option<String>,
    /// Whether the user may interrupt it. Default: as the session is set.
    pub allow_interruptions: Option<bool>,
}

crate::setters::setters!(ReplyOptions {
    [some into] user_input: String,
    [some into] instructions: String,
    [some] allow_interruptions: bool
});

/// A conversation. Cloning it makes another handle to the same one. When the last is dropped it ends, but in a room: there it lives as long
/// as the room does.
///
/// 1. [`builder`](Self::builder): say what hears, thinks and speaks. [`build`](AgentSessionBuilder::build) refuses what cannot work.
/// 2. [`events`](Self::events), if you want to know what happens.
/// 3. [`start`](Self::start) with audio in and out, or `start_in_room`.
/// 4. [`say`](Self::say), [`generate_reply`](Self::generate_reply), [`interrupt`](Self::interrupt) as you like.
/// 5. [`drain`](Self::drain) to let it finish, [`aclose`](Self::aclose) to end it.
#[derive(Clone)]
pub struct AgentSession {
    pub(super) inner: Arc<Handle>,
}

pub(super) struct Handle {
    pub(super) options: Arc<Options>,
    pub(super) messages: mpsc::UnboundedSender<Message>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Message>>>,
    pub(super) shared: Arc<Shared>,
}

/// What the task of the session and its handles both look at.
pub(super) struct Shared {
    phase: AtomicU8,
    user: AtomicU8,
    agent: AtomicU8,
    history: Mutex<ChatContext>,
    events: Mutex<Option<broadcast::Sender<SessionEvent>>>,
    over: watch::Sender<bool>,
    /// How it ended, once it is over.
    end: Mutex<Option<(CloseReason, Option<ProviderError>)>>,
    room: Mutex<Option<Arc<dyn Room>>>,
    /// Whether the room is still to be left.
    in_room: watch::Sender<bool>,
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    New,
    Running,
    Draining,
    Over,
}

impl AgentSession {
    /// Says what a session is made of.
    ///
    /// ```
    /// use listenkit_session::voice::SessionError;
    /// use listenkit_session::AgentSession;
    ///
    /// let session = AgentSession::builder().build()?; // hears and says nothing
    /// # Ok::<(), SessionError>(())
    /// ```
    pub fn builder() -> AgentSessionBuilder {
        AgentSessionBuilder::default()
    }

    pub(super) fn new(options: Options) -> Self {
        let (messages, receiver) = mpsc::unbounded_channel();
        Self {
            inner: Arc::new(Handle {
                options: Arc::new(options),
                messages,
                receiver: Mutex::new(Some(receiver)),
                shared: Arc::new(Shared {
                    phase: AtomicU8::new(Phase::New as u8),
                    user: AtomicU8::new(0),
                    agent: AtomicU8::new(0),
                    history: Mutex::default(),
                    events: Mutex::new(Some(broadcast::Sender::new(EVENT_CAPACITY))),
                    over: watch::Sender::new(false),
                    end: Mutex::default(),
                    room: Mutex::default(),
                    in_room: watch::Sender::new(false),
                }),
            }),
        }
    }

    /// What happens from now on. To miss nothing, ask before [`start`](Self::start).
    pub fn events(&self) -> EventStream {
        let events = lock(&self.inner.shared.events);
        EventStream::new(events.as_ref().map(broadcast::Sender::subscribe))
    }

    /// Begins the conversation and returns; the agent's `on_enter` runs beside it.
    ///
    /// # Errors
    /// [`SessionError::AlreadyStarted`]; [`SessionError::Config`] if the rate of the audio is none the core takes; [`SessionError::Model`] if a model
    /// cannot be set up. A session without a voice is no error: it writes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(
        &self,
        agent: impl Agent + 'static,
        io: SessionIo,
    ) -> Result<(), SessionError> {
        self.start_shared(Arc::new(agent), io)
    }

    pub(super) fn start_shared(
        &self,
        agent: Arc<dyn Agent>,
        io: SessionIo,
    ) -> Result<(), SessionError> {
        let rate = SampleRate::new(io.sample_rate)?;
        let receiver = lock(&self.inner.receiver).take();
        let receiver = receiver.ok_or(SessionError::AlreadyStarted)?;
        let conductor = Conductor::new(self, agent, io, rate, receiver)?;
        self.inner.shared.set_phase(Phase::Running);
        // Ends by itself, at the latest when the last handle is dropped.
        tokio::spawn(conductor.run());
        Ok(())
    }

    /// Says a text, when what was asked for before has been said.
    ///
    /// # Errors
    /// [`SessionError::NoTts`], [`SessionError::NotRunning`], [`SessionError::Draining`].
    pub fn say(&self, text: impl Into<String>) -> Result<SpeechHandle, SessionError> {
        self.say_with(text, SayOptions::default())
    }

    /// [`say`](Self::say) in another way.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn say_with(
        &self,
        text: impl Into<String>,
        options: SayOptions,
    ) -> Result<SpeechHandle, SessionError> {
        let text = text.into();
        self.say_stream(futures_util::stream::once(async { text }).boxed(), options)
    }

    /// Says a text that comes in pieces.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn say_stream(
        &self,
        text: BoxStream<'static, String>,
        options: SayOptions,
    ) -> Result<SpeechHandle, SessionError> {
        if self.inner.options.tts.is_none() {
            return Err(SessionError::NoTts);
        }
        let speech = self.new_speech(options.allow_interruptions);
        self.ask(Command::Say {
            speech: speech.clone(),
            text,
            add_to_history: !options.keep_out_of_history,
        })?;
        Ok(speech)
    }

    /// Lets the language model say something, when what was asked for before has been said.
    ///
    /// # Errors
    /// [`SessionError::NoLlm`], [`SessionError::NotRunning`], [`SessionError::Draining`].
    pub fn generate_reply(&self, options: ReplyOptions) -> Result<SpeechHandle, SessionError> {
        if self.inner.options.llm.is_none() {
            return Err(SessionError::NoLlm);
        }
        let speech = self.new_speech(options.allow_interruptions);
        self.ask(Command::Reply {
            speech: speech.clone(),
            user_input: options.user_input,
            instructions: options.instructions,
        })?;
        Ok(speech)
    }

    fn new_speech(&self, allow_interruptions: Option<bool>) -> SpeechHandle {
        let interruptible = allow_interruptions.unwrap_or(self.inner.options.interruption.enabled);
        SpeechHandle::new(interruptible, &self.inner.messages)
    }

    /// Silences the agent: what is heard now, and what waits. [`done`](Interrupted::done) tells whether all of it could be; it takes effect either way.
    pub fn interrupt(&self) -> Interrupted {
        self.interrupt_with(false)
    }

    /// [`interrupt`](Self::interrupt), also of what may not be interrupted.
    pub fn force_interrupt(&self) -> Interrupted {
        self.interrupt_with(true)
    }

    fn interrupt_with(&self, force: bool) -> Interrupted {
        let (done, result) = oneshot::channel();
        let asked = self.send(Command::Interrupt { force, done });
        Interrupted(asked.map(|()| result))
    }

    /// Ends the user's turn now, whatever the turn detection, and gives what was said as soon as it is known (a streaming recogniser has 2 s).
    /// The agent answers it.
    ///
    /// # Errors
    /// [`SessionError::NotRunning`].
    pub async fn commit_user_turn(&self) -> Result<String, SessionError> {
        self.commit(false).await
    }

    /// [`commit_user_turn`](Self::commit_user_turn), but nothing is answered: the message is only stored.
    ///
    /// # Errors
    /// [`SessionError::NotRunning`].
    pub async fn commit_user_turn_silently(&self) -> Result<String, SessionError> {
        self.commit(true).await
    }

    async fn commit(&self, skip_reply: bool) -> Result<String, SessionError> {
        let (transcript, committed) = oneshot::channel();
        self.send(Command::CommitTurn {
            skip_reply,
            transcript,
        })?;
        committed.await.map_err(|_| SessionError::NotRunning)
    }

    /// Forgets what the user has said in the turn that is open. The recogniser's connection stays as it is; words of that turn that are still on their way are
    /// dropped.
    pub fn clear_user_turn(&self) {
        // Nothing is heard by a session that does not run.
        let _ = self.send(Command::ClearTurn);
    }

    /// Says what the next answer will be like; it holds for one turn of the user's. If the agent is speaking, from the end of its speech.
    pub fn expect(&self, expectation: Expectation) {
        let _ = self.send(Command::Expect(expectation));
    }

    /// Recognises an utterance once more that failed. A session whose recogniser streams cannot, and says so by an error event.
    pub fn resubmit(&self, failed: FailedSegment) {
        let _ = self.send(Command::Resubmit(failed));
    }

    /// What has been said so far, the instructions first.
    pub fn history(&self) -> ChatContext {
        lock(&self.inner.shared.history).clone()
    }

    /// Puts another history in the place of this one, for replies from now on. Instructions are part of it.
    pub fn set_history(&self, history: ChatContext) {
        let _ = self.send(Command::SetHistory(history));
    }

    /// The room it was started in: to send data, to set attributes, to register procedures.
    pub fn room(&self) -> Option<Arc<dyn Room>> {
        lock(&self.inner.shared.room).clone()
    }

    /// What the user is doing.
    pub fn user_state(&self) -> UserState {
        match self.inner.shared.user.load(Ordering::Acquire) {
            1 => UserState::Speaking,
            2 => UserState::Away,
            _ => UserState::Listening,
        }
    }

    /// What the agent is doing.
    pub fn agent_state(&self) -> AgentState {
        match self.inner.shared.agent.load(Ordering::Acquire) {
            1 => AgentState::Listening,
            2 => AgentState::Thinking,
            3 => AgentState::Speaking,
            _ => AgentState::Initializing,
        }
    }

    /// Takes nothing new and returns when all that was asked for has been said. What the user says meanwhile is stored and not answered.
    ///
    /// The agent's hooks that are running are waited for, too: called and awaited within `on_enter` or `on_user_turn_completed` it never returns.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        if self.inner.shared.phase() == Phase::Running {
            self.inner.shared.set_phase(Phase::Draining);
        }
        if self.send(Command::Drain(done)).is_ok() {
            let _ = drained.await;
        }
    }

    /// Ends the conversation and returns when it is over: the agent falls silent, what the user said last is stored (if its words come within
    /// `close_timeout`), `on_exit` has run, [`SessionEvent::Close`] is out, the room is left. Called and awaited within a hook of the agent's, it waits
    /// for that hook until it is given up.
    pub async fn aclose(&self) {
        self.aclose_for(CloseReason::UserInitiated).await;
    }

    pub(super) fn close_timeout(&self) -> Duration {
        self.inner.options.close_timeout
    }

    pub(super) async fn aclose_for(&self, reason: CloseReason) {
        self.close(reason).await;
        self.left().await;
    }

    pub(super) async fn close(&self, reason: CloseReason) {
        let mut over = self.inner.shared.over.subscribe();
        if self.send(Command::Close(reason)).is_ok() {
            let _ = over.wait_for(|&over| over).await;
        }
    }

    /// Returns when the session is over, and has left its room, and tells why. For one that is never started, or whose start failed,
    /// it waits for ever.
    ///
    /// # Errors
    /// The error that ended it, with which [`CloseReason::Error`] comes.
    pub async fn closed(&self) -> Result<CloseReason, ProviderError> {
        let mut over = self.inner.shared.over.subscribe();
        let _ = over.wait_for(|&over| over).await;
        self.left().await;
        let end = lock(&self.inner.shared.end).clone();
        match end {
            Some((_, Some(error))) => Err(error),
            Some((reason, None)) if reason != CloseReason::Error => Ok(reason),
            _ => Err(ProviderError::new(
                "session",
                ErrorKind::Closed,
                "the task of the session panicked, in a provider or in the library",
            )),
        }
    }

    async fn left(&self) {
        let mut in_room = self.inner.shared.in_room.subscribe();
        let _ = in_room.wait_for(|&in_room| !in_room).await;
    }

    /// Something new.
    fn ask(&self, command: Command) -> Result<(), SessionError> {
        if self.inner.shared.phase() == Phase::Draining {
            return Err(SessionError::Draining);
        }
        self.send(command)
    }

    pub(super) fn report(&self, source: ErrorSource, error: ProviderError) {
        // Hooks may go on for a moment behind the last event.
        let command = Command::Report(source, error.clone());
        if self.send(command).is_err() {
            tracing::warn!(?source, %error, "behind the end of the session");
        }
    }

    pub(super) fn over(&self) -> watch::Receiver<bool> {
        self.inner.shared.over.subscribe()
    }

    pub(super) fn send(&self, command: Command) -> Result<(), SessionError> {
        let phase = self.inner.shared.phase();
        if phase == Phase::New || phase == Phase::Over {
            return Err(SessionError::NotRunning);
        }
        self.inner
            .messages
            .send(Message::Command(command))
            .map_err(|_| SessionError::NotRunning)
    }

    pub(super) fn downgrade(&self) -> Weak<Handle> {
        Arc::downgrade(&self.inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self
            .messages
            .send(Message::Command(Command::Close(CloseReason::Dropped)));
    }
}

impl fmt::Debug for AgentSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSession")
            .field("user", &self.user_state())
            .field("agent", &self.agent_state())
            .finish_non_exhaustive()
    }
}

/// Whether an interruption silenced the agent; see [`AgentSession::interrupt`].
#[derive(Debug)]
pub struct Interrupted(Result<oneshot::Receiver<Result<(), SessionError>>, SessionError>);

impl Interrupted {
    /// Waits until it is known.
    ///
    /// # Errors
    /// [`SessionError::Protected`] if what is heard may not be interrupted, [`SessionError::NotRunning`].
    pub async fn done(self) -> Result<(), SessionError> {
        self.0?.await.unwrap_or(Err(SessionError::NotRunning))
    }
}

impl Shared {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::New,
            1 => Phase::Running,
            2 => Phase::Draining,
            _ => Phase::Over,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(super) fn history(&self) -> MutexGuard<'_, ChatContext> {
        lock(&self.history)
    }

    pub(super) fn set_user(&self, state: UserState) {
        let number = match state {
            UserState::Listening => 0,
            UserState::Speaking => 1,
            UserState::Away => 2,
        };
        self.user.store(number, Ordering::Release);
    }

    pub(super) fn set_agent(&self, state: AgentState) {
        let number = match state {
            AgentState::Initializing => 0,
            AgentState::Listening => 1,
            AgentState::Thinking => 2,
            AgentState::Speaking => 3,
        };
        self.agent.store(number, Ordering::Release);
    }

    pub(super) fn events(&self) -> Option<broadcast::Sender<SessionEvent>> {
        lock(&self.events).clone()
    }

    pub(super) fn enter_room(&self, room: Arc<dyn Room>) {
        *lock(&self.room) = Some(room);
        self.in_room.send_replace(true);
    }

    pub(super) fn leave_room(&self) {
        self.in_room.send_replace(false);
    }

    /// Nothing follows.
    pub(super) fn end(&self, reason: CloseReason, error: Option<ProviderError>) {
        self.set_phase(Phase::Over);
        *lock(&self.end) = Some((reason, error));
        lock(&self.events).take();
        self.over.send_replace(true);
    }
}

/// A lock whose holder panicked still guards a whole value: nothing here is changed in steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
