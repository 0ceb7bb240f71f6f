//! A job: the agent's code in one room, from its start to the end of its shutdown.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use livekit_protocol as proto;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::ipc::JobInfo;
use super::options::{
    AgentIdentity, BoxError, Entrypoint, OpenTransport, WorkerOptions, WorkerTiming,
};
use crate::api::{Credentials, ServerApi};
use crate::transport::{
    AutoSubscribe, ConnectOptions, Connection, Participant, ParticipantKind, Room, RoomEvent,
    TransportError,
};

/// A job is warned of if it has not joined its room by then.
const CONNECT_WARNING: Duration = Duration::from_secs(10);

/// From the cancellation of the entrypoint to its end. A part of the second that a shutdown may take between its stages.
const CANCEL: Duration = Duration::from_millis(500);

/// What prewarming has made, one value of each type, for the jobs of a process.
#[derive(Clone, Default)]
pub struct ProcessData(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl std::fmt::Debug for ProcessData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessData")
            .field("values", &lock(&self.0).len())
            .finish()
    }
}

impl ProcessData {
    /// Keeps a value, in place of one of the same type.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) {
        lock(&self.0).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = lock(&self.0).get(&TypeId::of::<T>()).cloned()?;
        value.downcast().ok()
    }
}

/// A failure of a job's way into its room.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The room could not be joined.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The room was joined before, and its connection given to whoever joined.
    #[error(
        "the job has joined its room already; use the connection that the first `connect` gave, or `JobContext::room`"
    )]
    AlreadyConnected,
    /// The room is not joined yet.
    #[error("the job has not joined its room; call `JobContext::connect` first")]
    NotConnected,
    /// No such participant came in time.
    #[error("no participant came within {} s that {filter}", .after.as_secs_f64())]
    NoParticipant {
        /// Who was waited for.
        filter: String,
        /// How long.
        after: Duration,
    },
    /// The room was left meanwhile.
    #[error("the room was left while waiting for a participant")]
    Left,
}

/// Which participants are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantFilter {
    /// This one only.
    pub identity: Option<String>,
    /// Of these kinds only.
    pub kinds: Vec<ParticipantKind>,
}

impl Default for ParticipantFilter {
    /// Those one can talk to: users, telephones, and bridges to other networks.
    fn default() -> Self {
        Self {
            identity: None,
            kinds: vec![
                ParticipantKind::Standard,
                ParticipantKind::Sip,
                ParticipantKind::Connector,
            ],
        }
    }
}

impl ParticipantFilter {
    /// The one with this identity, of any kind that one can talk to.
    pub fn identity(identity: impl Into<String>) -> Self {
        Self {
            identity: Some(identity.into()),
            ..Self::default()
        }
    }

    /// Any of these kinds.
    pub fn kinds(kinds: impl Into<Vec<ParticipantKind>>) -> Self {
        Self {
            identity: None,
            kinds: kinds.into(),
        }
    }

    /// Whether this one is meant.
    pub fn matches(&self, participant: &Participant) -> bool {
        self.kinds.contains(&participant.kind)
            && self
                .identity
                .as_ref()
                .is_none_or(|identity| *identity == participant.identity)
    }
}

impl std::fmt::Display for ParticipantFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.identity {
            Some(identity) => write!(f, "is {identity:?} and of the kinds {:?}", self.kinds),
            None => write!(f, "is of the kinds {:?}", self.kinds),
        }
    }
}

/// Why a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// In words.
    pub reason: String,
    /// Whether the agent's own code asked for it.
    pub user_initiated: bool,
}

type ParticipantEntrypoint =
    Arc<dyn Fn(JobContext, Participant) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
type ShutdownCallback = Box<dyn FnOnce(String) -> BoxFuture<'static, ()> + Send>;

/// What a job needs of the worker's options.
pub(crate) struct JobSetup {
    pub(crate) entrypoint: Entrypoint,
    pub(crate) session_end: Option<Entrypoint>,
    pub(crate) transport: OpenTransport,
    pub(crate) credentials: Credentials,
    pub(crate) timing: WorkerTiming,
}

impl JobSetup {
    pub(crate) fn new(options: &WorkerOptions, credentials: Credentials) -> Self {
        Self {
            entrypoint: options.entrypoint.clone(),
            session_end: options.session_end.clone(),
            transport: options.transport.clone(),
            credentials,
            timing: options.timing,
        }
    }
}

/// A job, for the agent's code: its room, who is in it, and its end. Cloning gives another handle of the same job.
#[derive(Clone)]
pub struct JobContext(Arc<Inner>);

struct Inner {
    info: JobInfo,
    job: proto::Job,
    process: ProcessData,
    api: ServerApi,
    transport: OpenTransport,
    connect: ConnectOptions,
    shutdown: watch::Sender<Option<Shutdown>>,
    /// Counts what happened to participants; who waits for one looks again at each step.
    changes: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connect_called: bool,
    left: bool,
    room: Option<Arc<dyn Room>>,
    entrypoints: Vec<(ParticipantFilter, ParticipantEntrypoint)>,
    /// Who was taken to the participant entrypoints: those that were there, and those that came, may overlap.
    seen: HashSet<String>,
    tasks: JoinSet<()>,
    session_closers: Vec<ShutdownCallback>,
    callbacks: Vec<ShutdownCallback>,
}

/// What is behind the mutex stays whole if a holder panics: every change is one assignment or push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for JobContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobContext")
            .field("job", &self.0.info.id())
            .field("room", &self.0.info.room())
            .finish_non_exhaustive()
    }
}

impl JobContext {
    fn new(setup: &JobSetup, info: JobInfo, process: ProcessData) -> Self {
        Self(Arc::new(Inner {
            job: info.job.clone().unwrap_or_default(),
            info,
            process,
            api: ServerApi::new(setup.credentials.clone()),
            transport: setup.transport.clone(),
            connect: ConnectOptions::default(),
            shutdown: watch::Sender::new(None),
            changes: watch::Sender::new(0),
            state: Mutex::default(),
        }))
    }

    /// The job.
    pub fn job(&self) -> &proto::Job {
        &self.0.job
    }

    /// Name of the job's room, also before it is joined.
    pub fn room_name(&self) -> &str {
        self.0.info.room()
    }

    /// Of the worker, as the server knows it.
    pub fn worker_id(&self) -> &str {
        &self.0.info.worker_id
    }

    /// As what the agent joins.
    pub fn agent(&self) -> AgentIdentity {
        self.0.info.agent()
    }

    /// Where the room is.
    pub fn url(&self) -> &str {
        &self.0.info.url
    }

    /// The token for the room.
    pub fn token(&self) -> &str {
        &self.0.info.token
    }

    /// What prewarming has made.
    pub fn process(&self) -> &ProcessData {
        &self.0.process
    }

    /// The server's API.
    pub fn api(&self) -> &ServerApi {
        &self.0.api
    }

    /// The room, once it is joined.
    pub fn room(&self) -> Option<Arc<dyn Room>> {
        lock(&self.0.state).room.clone()
    }

    /// Joins the room. The connection's events are to be read, or to be dropped; the job itself sees them before.
    ///
    /// # Errors
    /// [`JobError::Transport`], after which it may be tried again, as after dropping this future; [`JobError::AlreadyConnected`].
    pub async fn connect(&self, auto_subscribe: AutoSubscribe) -> Result<Connection, JobError> {
        let mut options = self.0.connect.clone();
        options.auto_subscribe = auto_subscribe;
        self.connect_with(&options).await
    }

    /// Joins the room with all options: [`JobContext::connect`].
    ///
    /// # Errors
    /// As of [`JobContext::connect`].
    pub async fn connect_with(&self, options: &ConnectOptions) -> Result<Connection, JobError> {
        if std::mem::replace(&mut lock(&self.0.state).connect_called, true) {
            return Err(JobError::AlreadyConnected);
        }
        let joining = Joining(self);
        let connection = self.join(options).await?;
        std::mem::forget(joining);
        Ok(connection)
    }

    async fn join(&self, options: &ConnectOptions) -> Result<Connection, TransportError> {
        // Looking for a library and loading it blocks, and pings are to be answered meanwhile.
        let open = self.0.transport.clone();
        let transport = tokio::task::spawn_blocking(move || open())
            .await
            .map_err(|error| TransportError::Library(error.to_string()))??;
        let info = &self.0.info;
        let Connection { room, mut events } =
            transport.connect(&info.url, &info.token, options).await?;
        let (forward, forwarded) = mpsc::unbounded_channel();
        let context = self.clone();
        let pump = async move {
            let mut reason = None;
            while let Some(event) = events.recv().await {
                if let RoomEvent::Disconnected(why) = event {
                    reason = Some(why);
                }
                context.see(&event);
                // Whoever joined may not want the events.
                let _ = forward.send(event);
            }
            context.left(match reason {
                Some(why) => format!("room disconnected: {why:?}"),
                None => "room disconnected".to_owned(),
            });
        };
        {
            let mut state = lock(&self.0.state);
            state.room = Some(room.clone());
            state.tasks.spawn(pump.in_current_span());
        }
        for participant in room.participants() {
            self.participant_came(&participant);
        }
        self.0.changes.send_modify(|n| *n += 1);
        Ok(Connection {
            room,
            events: forwarded,
        })
    }

    fn see(&self, event: &RoomEvent) {
        match event {
            RoomEvent::ParticipantConnected(participant) => self.participant_came(participant),
            RoomEvent::ParticipantDisconnected { participant, .. } => {
                lock(&self.0.state).seen.remove(key(participant));
            }
            _ => return,
        }
        self.0.changes.send_modify(|n| *n += 1);
    }

    fn left(&self, reason: String) {
        lock(&self.0.state).left = true;
        self.0.changes.send_modify(|n| *n += 1);
        self.request_shutdown(reason, false);
    }

    fn participant_came(&self, participant: &Participant) {
        let mut state = lock(&self.0.state);
        if !state.seen.insert(key(participant).to_owned()) {
            return;
        }
        let entrypoints: Vec<_> = state
            .entrypoints
            .iter()
            .filter(|(filter, _)| filter.matches(participant))
            .map(|(_, entrypoint)| entrypoint.clone())
            .collect();
        for entrypoint in entrypoints {
            self.run_participant(&mut state, entrypoint, participant.clone());
        }
    }

    fn run_participant(
        &self,
        state: &mut State,
        entrypoint: ParticipantEntrypoint,
        participant: Participant,
    ) {
        let context = self.clone();
        let run = async move {
            let identity = participant.identity.clone();
            let outcome = unwinding(async move { entrypoint(context, participant).await }).await;
            if let Err(error) = outcome {
                tracing::error!(
                    participant = identity,
                    error,
                    "participant entrypoint failed"
                );
            }
        };
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(run.in_current_span());
    }

    /// Waits until a participant that `filter` means is in the room, and gives the first.
    ///
    /// # Errors
    /// [`JobError::NoParticipant`] after `deadline`; [`JobError::Left`] if the room was left; [`JobError::NotConnected`] before
    /// [`JobContext::connect`].
    pub async fn wait_for_participant(
        &self,
        filter: &ParticipantFilter,
        deadline: Duration,
    ) -> Result<Participant, JobError> {
        let mut changes = self.0.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                let (room, left) = {
                    let state = lock(&self.0.state);
                    (state.room.clone(), state.left)
                };
                let room = room.ok_or(JobError::NotConnected)?;
                if left {
                    return Err(JobError::Left);
                }
                if let Some(participant) = room
                    .participants()
                    .into_iter()
                    .find(|participant| filter.matches(participant))
                {
                    return Ok(participant);
                }
                if changes.changed().await.is_err() {
                    return Err(JobError::Left);
                }
            }
        };
        tokio::time::timeout(deadline, search)
            .await
            .unwrap_or_else(|_| {
                Err(JobError::NoParticipant {
                    filter: filter.to_string(),
                    after: deadline,
                })
            })
    }

    /// Runs `entrypoint` for every participant that `filter` means: those that are in the room, and those that come. Its errors are logged; the
    /// job goes on. It is cancelled when the job ends.
    pub fn add_participant_entrypoint<F, Fut>(&self, filter: ParticipantFilter, entrypoint: F)
    where
        F: Fn(JobContext, Participant) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let entrypoint: ParticipantEntrypoint =
            Arc::new(move |context, participant| Box::pin(entrypoint(context, participant)));
        let mut state = lock(&self.0.state);
        // Those not yet seen are on their way through the events.
        let present: Vec<_> = state
            .room
            .as_ref()
            .map(|room| room.participants())
            .unwrap_or_default()
            .into_iter()
            .filter(|p| filter.matches(p) && state.seen.contains(key(p)))
            .collect();
        state.entrypoints.push((filter, entrypoint.clone()));
        for participant in present {
            self.run_participant(&mut state, entrypoint.clone(), participant);
        }
    }

    /// Runs `callback` with the reason when the job ends, after the room is left, beside the other callbacks. They have
    /// [`WorkerTiming::shutdown_process_timeout`].
    pub fn add_shutdown_callback<F, Fut>(&self, callback: F)
    where
        F: FnOnce(String) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        lock(&self.0.state)
            .callbacks
            .push(Box::new(move |reason| Box::pin(callback(reason))));
    }

    /// Runs `close` with the reason when the job ends, while the room is still joined: for a session that says its last words
    /// ([`drain`](crate::AgentSession::drain)). It has [`WorkerTiming::session_close_timeout`].
    pub fn add_session_close<F, Fut>(&self, close: F)
    where
        F: FnOnce(String) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        lock(&self.0.state)
            .session_closers
            .push(Box::new(move |reason| Box::pin(close(reason))));
    }

    /// Ends the job, as done. The first reason is the one that counts.
    pub fn shutdown(&self, reason: impl Into<String>) {
        self.request_shutdown(reason.into(), true);
    }

    /// Waits for the begin of the job's end, and tells why. An entrypoint that runs as long as its job selects on this.
    pub async fn ended(&self) -> Shutdown {
        let mut shutdown = self.0.shutdown.subscribe();
        let ended = shutdown.wait_for(Option::is_some).await;
        ended
            .expect("the sender is in this context")
            .clone()
            .expect("it was waited for")
    }

    fn request_shutdown(&self, reason: String, user_initiated: bool) {
        self.0.shutdown.send_if_modified(|shutdown| {
            let first = shutdown.is_none();
            if first {
                *shutdown = Some(Shutdown {
                    reason,
                    user_initiated,
                });
            }
            first
        });
    }

    fn has_connected(&self) -> bool {
        lock(&self.0.state).connect_called
    }

    fn has_ended(&self) -> bool {
        self.0.shutdown.borrow().is_some()
    }
}

/// A join that has not ended. Dropped before, be it by an error or by a caller who gives up, it leaves the job without a room, as it was.
struct Joining<'a>(&'a JobContext);

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.state).connect_called = false;
    }
}

fn key(participant: &Participant) -> &str {
    match participant.sid.as_str() {
        "" => &participant.identity,
        sid => sid,
    }
}

/// Runs the agent's code; a panic in it is an error with its message.
async fn unwinding(code: impl Future<Output = Result<(), BoxError>>) -> Result<(), String> {
    match AssertUnwindSafe(code).catch_unwind().await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(crate::api::with_sources(&*error)),
        Err(panic) => Err(format!("panicked: {}", panic_message(&*panic))),
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Runs one job to its end. `asked` resolves with a reason when the worker wants it to end.
pub(crate) async fn run_job(
    setup: &JobSetup,
    info: JobInfo,
    process: ProcessData,
    asked: impl Future<Output = String>,
) -> Result<(), String> {
    let span = tracing::info_span!("job", job_id = info.id(), room = info.room());
    let context = JobContext::new(setup, info, process);
    run_in_span(setup, context, asked).instrument(span).await
}

async fn run_in_span(
    setup: &JobSetup,
    context: JobContext,
    asked: impl Future<Output = String>,
) -> Result<(), String> {
    let timing = &setup.timing;
    let code = (setup.entrypoint.clone(), context.clone());
    // If this is dropped in the middle, what it started goes with it.
    let _teardown = Teardown(context.clone());
    let mut entrypoint = JoinSet::new();
    entrypoint.spawn(unwinding(async move { code.0(code.1).await }).in_current_span());
    let mut outcome = None;
    {
        let ended = context.ended();
        let warning = tokio::time::sleep(CONNECT_WARNING);
        tokio::pin!(asked, ended, warning);
        let (mut is_asked, mut is_warned) = (false, false);
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => break,
                reason = &mut asked, if !is_asked => {
                    is_asked = true;
                    context.request_shutdown(reason, false);
                }
                Some(result) = entrypoint.join_next() => {
                    let result = joined(result);
                    if let Err(error) = &result {
                        tracing::error!(error, "the entrypoint failed");
                        context.request_shutdown(format!("job crashed: {error}"), false);
                    } else if !context.has_connected() && !context.has_ended() {
                        tracing::warn!("the entrypoint returned without joining the room; the job ends");
                        context.request_shutdown("the entrypoint returned without joining the room".to_owned(), false);
                    }
                    outcome = Some(result);
                }
                () = &mut warning, if !is_warned => {
                    is_warned = true;
                    if !context.has_connected() {
                        tracing::warn!("the room is not joined after {} s; was `connect` called?", CONNECT_WARNING.as_secs());
                    }
                }
            }
        }
    }
    let reason = context.ended().await.reason;
    tracing::info!(reason, "the job ends");

    let outcome = match outcome {
        Some(outcome) => outcome,
        None => match tokio::time::timeout(timing.entrypoint_timeout, entrypoint.join_next()).await
        {
            Ok(result) => result.map_or(Ok(()), joined),
            Err(_) => {
                tracing::warn!(
                    "the entrypoint did not return within {:?} and is cancelled",
                    timing.entrypoint_timeout
                );
                entrypoint.abort_all();
                // Code that blocks its thread cannot be cancelled, and the job ends without it.
                let cancelled = async { while entrypoint.join_next().await.is_some() {} };
                if tokio::time::timeout(CANCEL, cancelled).await.is_err() {
                    tracing::warn!("the entrypoint blocks its thread; the job ends beside it");
                }
                Ok(())
            }
        },
    };

    let closers = std::mem::take(&mut lock(&context.0.state).session_closers);
    all(
        "session close",
        timing.session_close_timeout,
        closers,
        &reason,
    )
    .await;
    if let Some(session_end) = setup.session_end.clone() {
        let context = context.clone();
        let end = async move {
            if let Err(error) = unwinding(async move { session_end(context).await }).await {
                tracing::error!(error, "the session-end function failed");
            }
        };
        bounded("session end", timing.session_end_timeout, end).await;
    }
    if let Some(room) = context.room() {
        bounded("leaving the room", timing.leave_timeout, async move {
            room.close().await;
        })
        .await;
    }
    let callbacks = std::mem::take(&mut lock(&context.0.state).callbacks);
    all(
        "shutdown callbacks",
        timing.shutdown_process_timeout,
        callbacks,
        &reason,
    )
    .await;
    outcome
}

/// Ends what a job has started. The room's events and the participants' entrypoints hold the context, which holds them.
struct Teardown(JobContext);

impl Drop for Teardown {
    fn drop(&mut self) {
        let (tasks, room) = {
            let mut state = lock(&self.0.0.state);
            (std::mem::take(&mut state.tasks), state.room.take())
        };
        drop((tasks, room));
    }
}

fn joined(result: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    result.unwrap_or_else(|error| Err(error.to_string()))
}

/// Runs one stage of the shutdown, its parts side by side, as tasks so that a panic ends one alone.
async fn all(what: &'static str, limit: Duration, callbacks: Vec<ShutdownCallback>, reason: &str) {
    let mut tasks = JoinSet::new();
    for callback in callbacks {
        let reason = reason.to_owned();
        // Called inside of the task: what comes before a callback's first await may panic as well.
        tasks.spawn(async move { callback(reason).await }.in_current_span());
    }
    let ended = async {
        while let Some(result) = tasks.join_next().await {
            if let Err(error) = result {
                tracing::error!(%error, "{what} failed");
            }
        }
    };
    if tokio::time::timeout(limit, ended).await.is_err() {
        tracing::warn!("{what} took longer than {limit:?} and is cancelled");
    }
}

/// Runs one stage of the shutdown.
async fn bounded(
    what: &'static str,
    limit: Duration,
    stage: impl Future<Output = ()> + Send + 'static,
) {
    let stage: ShutdownCallback = Box::new(move |_| Box::pin(stage));
    all(what, limit, vec![stage], "").await;
}
