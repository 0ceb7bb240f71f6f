//! The server as a test has it: started, looked at, broken, killed, started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::agents::{self, AgentEntry, AgentLog, Event, WorkerView};
use crate::room::{Command, Reason, RoomConfig, RoomView};
use crate::tokens::TokenBuilder;
use crate::{Faults, Options, Shared, ids, rtc, twirp, wait_while_silent};

/// How long `kill` waits for the server's threads. They hold nothing that takes time.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// A server that runs until it is killed or dropped.
pub struct TestServer {
    options: Options,
    port: u16,
    faults: Arc<Faults>,
    agent_log: Arc<AgentLog>,
    changes: watch::Sender<u64>,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    shared: Arc<Shared>,
}

/// A condition that did not come about in time.
#[derive(Debug, thiserror::Error)]
#[error("after {waited:?} there was still no {what}; last seen: {last}")]
pub struct TimedOut {
    what: String,
    waited: Duration,
    last: String,
}

impl TestServer {
    /// Starts a server; it takes connections when this returns.
    ///
    /// # Errors
    /// The port is taken, or the system gives no threads or sockets.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        Self::start_blocking(options)
    }

    /// [`start`](Self::start) for programs that are not asynchronous.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_blocking(options: Options) -> std::io::Result<Self> {
        let (changes, _) = watch::channel(0);
        let file = options
            .agent_log_file
            .as_ref()
            .map(std::fs::File::create)
            .transpose()?;
        let agent_log = Arc::new(AgentLog::new(file));
        let mut server = Self {
            port: options.port,
            options,
            faults: Arc::default(),
            agent_log,
            changes,
            running: None,
        };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> std::io::Result<()> {
        let listener = listen(self.port)?;
        self.port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("livekit-double")
            .enable_all()
            .build()?;
        let (dispatcher, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            options: self.options.clone(),
            faults: self.faults.clone(),
            node: ids::new("ND_"),
            rooms: Default::default(),
            agent_log: self.agent_log.clone(),
            dispatcher,
            changes: self.changes.clone(),
        });
        runtime.spawn(agents::run(shared.clone(), events));
        let router = router(shared.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)
                .expect("the runtime has its I/O driver");
            _ = axum::serve(listener, router).await;
        });
        self.running = Some(Running { runtime, shared });
        Ok(())
    }

    /// Where clients and workers connect: `ws://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Where server libraries connect: `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The TCP port; the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Key that tokens name.
    pub fn api_key(&self) -> &str {
        &self.options.api_key
    }

    /// Secret that tokens are signed with.
    pub fn api_secret(&self) -> &str {
        &self.options.api_secret
    }

    /// A token with which `identity` joins `room`, publishes, subscribes, and changes its own name, metadata and attributes.
    pub fn token(&self, identity: &str, room: &str) -> String {
        self.new_token().join(identity, room).build()
    }

    /// A token without any grant yet.
    pub fn new_token(&self) -> TokenBuilder {
        TokenBuilder::new(&self.options.api_key, &self.options.api_secret)
    }

    /// What tests can break.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Ends the server as a killed process ends: all sockets are closed, nobody is told, rooms are forgotten.
    pub async fn kill(&mut self) {
        let Some(Running { runtime, shared }) = self.running.take() else {
            return;
        };
        drop(shared);
        // Waits for its threads, so that the port is free afterwards.
        _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(KILL_DEADLINE)).await;
        self.changes.send_modify(|count| *count += 1);
    }

    /// Starts again after [`kill`](Self::kill), on the same port, with no rooms.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> std::io::Result<()> {
        self.kill().await;
        self.run()
    }

    /// A room as it is now.
    pub fn room(&self, name: &str) -> Option<RoomView> {
        let room = self.running.as_ref()?.shared.find_room(name)?;
        let view = room.view.borrow().clone();
        Some(view).filter(|view| !view.is_closed)
    }

    /// Waits until a room fulfils a condition; a room that is not there does not. `what` is for the error's text.
    ///
    /// # Errors
    /// The condition did not come about within `deadline`.
    pub async fn wait_for_room(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&RoomView) -> bool,
    ) -> Result<RoomView, TimedOut> {
        let look = || self.room(name).filter(|room| condition(room));
        self.wait(what, deadline, look, || format!("{:?}", self.room(name)))
            .await
    }

    /// Waits until a participant is in a room and connected.
    ///
    /// # Errors
    /// It was not within `deadline`.
    pub async fn wait_for_participant(
        &self,
        room: &str,
        identity: &str,
        deadline: Duration,
    ) -> Result<crate::proto::ParticipantInfo, TimedOut> {
        let is_active = |p: &&crate::proto::ParticipantInfo| {
            p.state() == crate::proto::participant_info::State::Active
        };
        let look = || {
            self.room(room)?
                .participant(identity)
                .filter(is_active)
                .cloned()
        };
        self.wait(&format!("participant {identity}"), deadline, look, || {
            format!("{:?}", self.room(room))
        })
        .await
    }

    /// Waits until nobody of this identity is in the room, or the room is gone.
    ///
    /// # Errors
    /// It was still there after `deadline`.
    pub async fn wait_for_leave(
        &self,
        room: &str,
        identity: &str,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        let look = || {
            self.room(room)
                .is_none_or(|r| r.participant(identity).is_none())
                .then_some(())
        };
        self.wait(&format!("leave of {identity}"), deadline, look, || {
            format!("{:?}", self.room(room))
        })
        .await
    }

    /// Waits until a room is gone.
    ///
    /// # Errors
    /// It was still there after `deadline`.
    pub async fn wait_for_no_room(&self, name: &str, deadline: Duration) -> Result<(), TimedOut> {
        let look = || self.room(name).is_none().then_some(());
        self.wait(&format!("end of room {name}"), deadline, look, || {
            format!("{:?}", self.room(name))
        })
        .await
    }

    async fn wait<T>(
        &self,
        what: &str,
        deadline: Duration,
        look: impl Fn() -> Option<T>,
        last: impl Fn() -> String,
    ) -> Result<T, TimedOut> {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look() {
                    return found;
                }
                // The sender lives in this server: it cannot be gone.
                _ = changes.changed().await;
            }
        };
        let found = tokio::time::timeout(deadline, search).await;
        found.map_err(|_| TimedOut {
            what: what.to_owned(),
            waited: deadline,
            last: last(),
        })
    }

    /// What went between workers and the server so far.
    pub fn agent_log(&self) -> Vec<AgentEntry> {
        self.agent_log.entries()
    }

    /// Waits until `find` finds something in the agent log. `what` is for the error's text.
    ///
    /// # Errors
    /// It found nothing within `deadline`.
    pub async fn wait_for_agent_log<T>(
        &self,
        what: &str,
        deadline: Duration,
        find: impl Fn(&[AgentEntry]) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let last = || {
            self.agent_log()
                .iter()
                .map(|entry| format!("\n{}", entry.to_json()))
                .collect()
        };
        self.wait(what, deadline, || find(&self.agent_log()), last)
            .await
    }

    /// The workers that are registered now.
    pub async fn workers(&self) -> Vec<WorkerView> {
        let (reply, answer) = oneshot::channel();
        self.tell_dispatcher(Event::ListWorkers { reply });
        answer.await.unwrap_or_default()
    }

    /// Waits until as many workers are registered.
    ///
    /// # Errors
    /// There were not within `deadline`.
    pub async fn wait_for_workers(
        &self,
        count: usize,
        deadline: Duration,
    ) -> Result<Vec<WorkerView>, TimedOut> {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                let workers = self.workers().await;
                if workers.len() == count {
                    return workers;
                }
                _ = changes.changed().await;
            }
        };
        let found = tokio::time::timeout(deadline, search).await;
        found.map_err(|_| TimedOut {
            what: format!("{count} workers"),
            waited: deadline,
            last: String::new(),
        })
    }

    /// Sends an agent to a room, as the dispatch service does; the room is made if it is not there.
    pub async fn dispatch(
        &self,
        room: &str,
        agent_name: &str,
        metadata: &str,
    ) -> Option<crate::proto::AgentDispatch> {
        let running = self.running.as_ref()?;
        {
            let _inside = running.runtime.enter();
            running
                .shared
                .room_or_new(room, RoomConfig::default())
                .ok()?;
        }
        let (reply, answer) = oneshot::channel();
        let request = Box::new(crate::proto::CreateAgentDispatchRequest {
            agent_name: agent_name.to_owned(),
            room: room.to_owned(),
            metadata: metadata.to_owned(),
            ..Default::default()
        });
        self.tell_dispatcher(Event::CreateDispatch { request, reply });
        answer.await.ok().flatten()
    }

    /// Tells the worker of a job that the job is over.
    pub fn terminate_job(&self, job: &str) {
        self.tell_dispatcher(Event::TerminateJob {
            job: job.to_owned(),
        });
    }

    fn tell_dispatcher(&self, event: Event) {
        if let Some(running) = &self.running {
            running.shared.tell_dispatcher(event);
        }
    }

    /// Sends a participant out of a room, as the room service does.
    pub async fn remove_participant(&self, room: &str, identity: &str) {
        let Some(room) = self.running.as_ref().and_then(|r| r.shared.find_room(room)) else {
            return;
        };
        let (reply, answer) = oneshot::channel();
        let command = Command::Remove {
            identity: identity.to_owned(),
            reason: Reason::ParticipantRemoved,
            reply,
        };
        if room.commands.send(command).await.is_ok() {
            _ = answer.await;
        }
    }

    /// A fault: closes a client's signalling without a word. Media goes on; the client may resume.
    pub async fn cut_signal(&self, room: &str, identity: &str) {
        let Some(room) = self.running.as_ref().and_then(|r| r.shared.find_room(room)) else {
            return;
        };
        _ = room
            .commands
            .send(Command::CutSignal {
                identity: identity.to_owned(),
            })
            .await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(async || "OK"))
        // No /rtc/v1: clients fall back to /rtc where that one is not found.
        .route("/rtc", get(rtc::connect))
        .route("/rtc/validate", get(rtc::validate))
        .route("/agent", get(agents::connect))
        .route("/twirp/{service}/{method}", post(twirp::call))
        .layer(middleware::from_fn_with_state(shared.clone(), silence))
        .with_state(shared)
}

async fn silence(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    wait_while_silent(&shared).await;
    next.run(request).await
}
