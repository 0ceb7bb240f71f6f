//! What a worker is told: the agent's code, and how to run it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use livekit_protocol as proto;
use tokio::time::Instant;

use super::job::{JobContext, ProcessData};
use crate::transport::{RoomTransport, TransportError};

/// Any error of the agent's code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) type Entrypoint =
    Arc<dyn Fn(JobContext) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
pub(crate) type Prewarm = Arc<dyn Fn(&ProcessData) -> Result<(), BoxError> + Send + Sync>;
pub(crate) type RequestFn = Arc<dyn Fn(JobRequest) -> BoxFuture<'static, JobAnswer> + Send + Sync>;
pub(crate) type LoadFn = Arc<dyn Fn() -> f64 + Send + Sync>;
pub(crate) type OpenTransport =
    Arc<dyn Fn() -> Result<Arc<dyn RoomTransport>, TransportError> + Send + Sync>;

/// What starts a job for this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkerType {
    /// A room: one job for each.
    #[default]
    Room,
    /// A publisher: one job for each participant that publishes.
    Publisher,
}

impl WorkerType {
    pub(crate) const fn job_type(self) -> proto::JobType {
        match self {
            Self::Room => proto::JobType::JtRoom,
            Self::Publisher => proto::JobType::JtPublisher,
        }
    }
}

/// Whether defaults are those of a service or of a desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Full at a load of 0.7, warm processes, health endpoint at port 8081, and a signal drains.
    #[default]
    Production,
    /// Never full, no warm process, health endpoint at any free port, and a signal asks the jobs to end.
    Development,
}

/// Where jobs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JobExecutor {
    /// Each in a process of its own: what goes wrong in one, be it an abort in the media library, ends that job alone. On systems without Unix
    /// sockets, [`Task`](Self::Task) is taken.
    #[default]
    Process,
    /// Each as a task of the worker: the smallest, and the least separated.
    Task,
}

/// What an agent may do in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// Publish tracks.
    pub can_publish: bool,
    /// Subscribe to tracks.
    pub can_subscribe: bool,
    /// Send data packets and text.
    pub can_publish_data: bool,
    /// Change its own attributes, metadata and name.
    pub can_update_metadata: bool,
    /// Not be seen by the others.
    pub hidden: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_update_metadata: true,
            hidden: false,
        }
    }
}

crate::setters::setters!(Permissions {
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
    can_update_metadata: bool,
    hidden: bool
});

/// A job that the server offers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobRequest {
    /// The job. Its room's and participant's details are those of the moment of the offer.
    pub job: proto::Job,
    /// Whether another worker had it before.
    pub resuming: bool,
}

impl JobRequest {
    /// Of the room, or empty.
    pub fn room(&self) -> &str {
        self.job.room.as_ref().map_or("", |room| &room.name)
    }
}

/// The answer to a [`JobRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAnswer {
    /// This worker takes it.
    Accept(AgentIdentity),
    /// This worker does not.
    Reject {
        /// No other worker shall be asked: the job ends. `false` offers it to the next worker.
        terminate: bool,
    },
}

impl Default for JobAnswer {
    fn default() -> Self {
        Self::Accept(AgentIdentity::default())
    }
}

/// As what an agent joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentIdentity {
    /// Empty: `agent-` and the id of the job.
    pub identity: String,
    /// For display.
    pub name: String,
    /// Of the application.
    pub metadata: String,
    /// Of the application; `lk.agent.name` is added.
    pub attributes: HashMap<String, String>,
}

crate::setters::setters!(AgentIdentity {
    [into] identity: String,
    [into] name: String,
    [into] metadata: String,
    attributes: HashMap<String, String>
});

/// The program that is started for a job's process. By default it is this one, with its own arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to its environment.
    pub env: Vec<(OsString, OsString)>,
}

crate::setters::setters!(ProcessCommand {
    [into] program: PathBuf,
    [list] args: OsString,
    env: Vec<(OsString, OsString)>
});

/// Times of the worker. The defaults are those of LiveKit Agents 1.8.9, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerTiming {
    /// Between two reports of the load. 2.5 s.
    pub status_interval: Duration,
    /// Between two samples of the load; the load is the mean of five. 0.5 s.
    pub load_interval: Duration,
    /// Silence of the server after which it is pinged. 30 s.
    pub heartbeat: Duration,
    /// Silence after a ping after which the connection is given up. 15 s, half the heartbeat, as in aiohttp.
    pub heartbeat_timeout: Duration,
    /// For reaching the server and registering. 10 s: the server gives a worker no more.
    pub connect_timeout: Duration,
    /// For the request function, and a load function of yours before it, which takes up to 2 s of it. 9 s, for the server waits 10; the peer has no limit.
    pub request_timeout: Duration,
    /// From the acceptance of a job to its assignment. 7.5 s.
    pub assignment_timeout: Duration,
    /// Each failed try to connect makes the wait for the next one longer by this. 2 s.
    pub retry_step: Duration,
    /// Longest wait between two tries. 10 s.
    pub retry_max: Duration,
    /// Between two pings of a process. 2.5 s.
    pub ping_interval: Duration,
    /// Silence of a process after which it is killed. 60 s.
    pub ping_timeout: Duration,
    /// Between two looks at the memory of a process. 5 s.
    pub memory_interval: Duration,
    /// For the prewarm function of a process. 10 s.
    pub initialize_process_timeout: Duration,
    /// For a process to take notice of a shutdown; for the shutdown callbacks; for an idle process to end. 10 s.
    pub shutdown_process_timeout: Duration,
    /// For the entrypoint to return after a shutdown began; it is cancelled then. 15 s.
    pub entrypoint_timeout: Duration,
    /// For the session to close. 60 s.
    pub session_close_timeout: Duration,
    /// For the session-end function. 300 s.
    pub session_end_timeout: Duration,
    /// For leaving the room. 5 s; the peer has no limit.
    pub leave_timeout: Duration,
}

impl Default for WorkerTiming {
    fn default() -> Self {
        let ms = Duration::from_millis;
        let s = Duration::from_secs;
        Self {
            status_interval: ms(2500),
            load_interval: ms(500),
            heartbeat: s(30),
            heartbeat_timeout: s(15),
            connect_timeout: s(10),
            request_timeout: s(9),
            assignment_timeout: ms(7500),
            retry_step: s(2),
            retry_max: s(10),
            ping_interval: ms(2500),
            ping_timeout: s(60),
            memory_interval: s(5),
            initialize_process_timeout: s(10),
            shutdown_process_timeout: s(10),
            entrypoint_timeout: s(15),
            session_close_timeout: s(60),
            session_end_timeout: s(300),
            leave_timeout: s(5),
        }
    }
}

crate::setters::setters!(WorkerTiming {
    status_interval: Duration,
    load_interval: Duration,
    heartbeat: Duration,
    heartbeat_timeout: Duration,
    connect_timeout: Duration,
    request_timeout: Duration,
    assignment_timeout: Duration,
    retry_step: Duration,
    retry_max: Duration,
    ping_interval: Duration,
    ping_timeout: Duration,
    memory_interval: Duration,
    initialize_process_timeout: Duration,
    shutdown_process_timeout: Duration,
    entrypoint_timeout: Duration,
    session_close_timeout: Duration,
    session_end_timeout: Duration,
    leave_timeout: Duration
});

impl WorkerTiming {
    /// The longest that a job's own shutdown takes: the sum of its stages, and a second for what lies between them.
    pub(crate) fn shutdown_budget(&self) -> Duration {
        [
            self.session_close_timeout,
            self.session_end_timeout,
            self.leave_timeout,
            self.shutdown_process_timeout,
            Duration::from_secs(1),
        ]
        .into_iter()
        .fold(self.entrypoint_timeout, Duration::saturating_add)
    }
}

/// The moment after this time. [`Duration::MAX`] is how one says "no limit", and there is no such moment: thirty years are as good.
pub(crate) fn after(time: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + NEVER)
}

/// What a worker is told. The defaults are those of LiveKit Agents 1.8.9.
#[derive(Clone)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// Name by which the agent is dispatched. Empty: it goes into every room. By default `LIVEKIT_AGENT_NAME`; whatever it is set to,
    /// `LIVEKIT_AGENT_NAME_OVERRIDE` wins if it is not empty.
    pub agent_name: String,
    /// Which version of the agent this is, for servers that tell them apart. By default `LIVEKIT_AGENT_DEPLOYMENT`, else empty.
    pub deployment: String,
    /// What starts a job. Default: a room.
    pub worker_type: WorkerType,
    /// What the agent may do in its room. Default: everything, and it is seen.
    pub permissions: Permissions,
    /// Whether defaults are those of a service or of a desk. Default: of a service.
    pub mode: Mode,
    /// Where jobs run. Default: each in a process of its own.
    pub executor: JobExecutor,
    /// Address of the server, `ws:`, `wss:`, `http:` or `https:`. By default `LIVEKIT_URL`; with neither, the worker does not start.
    pub ws_url: Option<String>,
    /// Name of the key. By default `LIVEKIT_API_KEY`; with neither, the worker does not start.
    pub api_key: Option<String>,
    /// The key. By default `LIVEKIT_API_SECRET`; with neither, the worker does not start.
    pub api_secret: Option<String>,
    /// For servers that ask their workers for one. By default `LIVEKIT_WORKER_TOKEN`, else none.
    pub worker_token: String,
    /// Failed tries to connect in a row before the worker gives up. Default 16: some two minutes.
    pub max_retry: u32,
    /// Load from which on the worker is full. At 0 it takes no job, at [`f64::INFINITY`] it is never full. By default 0.7, in development infinity. A job that was
    /// accepted and does not run yet counts as much as each that runs. The load is that of all processors of the machine, whoever causes it; of its control
    /// group, where that has a limit of processor time; or what [`load_fn`](Self::load_fn) gives.
    pub load_threshold: Option<f64>,
    /// How long jobs may go on after the first signal before they are asked to end; the time for that comes on top ([`run`](super::run)). Default 1 h. In
    /// development they are asked at once.
    pub drain_timeout: Duration,
    /// Processes that wait for a job, already prewarmed. By default one for each processor, 4 at most; in development none.
    pub num_idle_processes: Option<usize>,
    /// A job's process with more memory, in MB, is warned of. 0: none is. Default 1000.
    pub job_memory_warn_mb: f64,
    /// A job's process with more memory, in MB, is killed, and its job fails. 0: none is. Default 0.
    pub job_memory_limit_mb: f64,
    /// Address on which the health endpoint listens. Default `0.0.0.0`: whoever can reach the machine's port can ask, without a key, and is told the agent's name,
    /// the load, and how many jobs and processes there are (`GET /worker`). `127.0.0.1` keeps that on the machine.
    pub host: String,
    /// Port of the health endpoint; 0 takes a free one, which the log names. By default 8081, in development 0.
    pub port: Option<u16>,
    /// Whether there is a health endpoint. Default true.
    pub health_endpoint: bool,
    /// The program of a job's process. By default this one, with its own arguments.
    pub process_command: Option<ProcessCommand>,
    /// Times, each with its own default.
    pub timing: WorkerTiming,
    pub(crate) entrypoint: Entrypoint,
    pub(crate) prewarm: Option<Prewarm>,
    pub(crate) request: RequestFn,
    pub(crate) session_end: Option<Entrypoint>,
    pub(crate) load_fn: Option<LoadFn>,
    pub(crate) transport: OpenTransport,
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("agent_name", &self.agent_name)
            .field("worker_type", &self.worker_type)
            .field("mode", &self.mode)
            .field("executor", &self.executor)
            .field("ws_url", &self.ws_url)
            .finish_non_exhaustive()
    }
}

impl WorkerOptions {
    /// A worker that runs `entrypoint` for each job.
    ///
    /// The entrypoint joins the room with [`JobContext::connect`] and sets the agent up; the job goes on after it has returned, until the room is
    /// left or [`JobContext::shutdown`] is called. An error or a panic ends the job as failed.
    pub fn new<F, Fut>(entrypoint: F) -> Self
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let env = |name| std::env::var(name).unwrap_or_default();
        Self {
            agent_name: env("LIVEKIT_AGENT_NAME"),
            deployment: env("LIVEKIT_AGENT_DEPLOYMENT"),
            worker_type: WorkerType::default(),
            permissions: Permissions::default(),
            mode: Mode::default(),
            executor: JobExecutor::default(),
            ws_url: None,
            api_key: None,
            api_secret: None,
            worker_token: env("LIVEKIT_WORKER_TOKEN"),
            max_retry: 16,
            load_threshold: None,
            drain_timeout: Duration::from_secs(3600),
            num_idle_processes: None,
            job_memory_warn_mb: 1000.0,
            job_memory_limit_mb: 0.0,
            host: "0.0.0.0".to_owned(),
            port: None,
            health_endpoint: true,
            process_command: None,
            timing: WorkerTiming::default(),
            entrypoint: Arc::new(move |context| Box::pin(entrypoint(context))),
            prewarm: None,
            request: Arc::new(|_| Box::pin(async { JobAnswer::default() })),
            session_end: None,
            load_fn: None,
            transport: Arc::new(crate::transport::open),
        }
    }

    /// Runs once in each process before a job comes, on a thread that may block; what it loads goes into [`ProcessData`], where the jobs of the
    /// process find it. With [`JobExecutor::Task`], it runs once for all jobs.
    #[must_use]
    pub fn prewarm(
        mut self,
        prewarm: impl Fn(&ProcessData) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.prewarm = Some(Arc::new(prewarm));
        self
    }

    /// Decides about each offered job. Without it, all are accepted. No answer within [`WorkerTiming::request_timeout`], or a panic, leaves the job
    /// to another worker.
    #[must_use]
    pub fn request<F, Fut>(mut self, request: F) -> Self
    where
        F: Fn(JobRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = JobAnswer> + Send + 'static,
    {
        self.request = Arc::new(move |job| Box::pin(request(job)));
        self
    }

    /// Runs when a session is over, before the room is left: for reports. It has [`WorkerTiming::session_end_timeout`].
    #[must_use]
    pub fn session_end<F, Fut>(mut self, session_end: F) -> Self
    where
        F: Fn(JobContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.session_end = Some(Arc::new(move |context| Box::pin(session_end(context))));
        self
    }

    /// The load of this machine, 0 to 1, in place of the load of its processors. It may block.
    #[must_use]
    pub fn load_fn(mut self, load: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.load_fn = Some(Arc::new(load));
        self
    }

    /// Joins rooms through this transport, in place of the one that [`transport::open`](crate::transport::open) chooses. It is opened when a job connects.
    #[must_use]
    pub fn transport(
        mut self,
        open: impl Fn() -> Result<Arc<dyn RoomTransport>, TransportError> + Send + Sync + 'static,
    ) -> Self {
        self.transport = Arc::new(open);
        self
    }

    pub(crate) fn threshold(&self) -> f64 {
        self.load_threshold.unwrap_or(match self.mode {
            Mode::Production => 0.7,
            Mode::Development => f64::INFINITY,
        })
    }

    pub(crate) fn idle_processes(&self) -> usize {
        self.num_idle_processes.unwrap_or(match self.mode {
            Mode::Production => processors().min(4),
            Mode::Development => 0,
        })
    }

    pub(crate) fn health_port(&self) -> u16 {
        self.port.unwrap_or(match self.mode {
            Mode::Production => 8081,
            Mode::Development => 0,
        })
    }
}

crate::setters::setters!(WorkerOptions {
    [into] agent_name: String,
    [into] deployment: String,
    worker_type: WorkerType,
    permissions: Permissions,
    mode: Mode,
    executor: JobExecutor,
    [some into] ws_url: String,
    [some into] api_key: String,
    [some into] api_secret: String,
    [into] worker_token: String,
    max_retry: u32,
    [some] load_threshold: f64,
    drain_timeout: Duration,
    [some] num_idle_processes: usize,
    job_memory_warn_mb: f64,
    job_memory_limit_mb: f64,
    [into] host: String,
    [some] port: u16,
    health_endpoint: bool,
    [some] process_command: ProcessCommand,
    timing: WorkerTiming;
    ..
});

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_limit_is_a_moment_far_away_and_no_overflow() {
        let day = Duration::from_secs(24 * 3600);
        assert!(after(Duration::MAX) > Instant::now() + 365 * day);
        let soon = after(day);
        assert!(soon > Instant::now() && soon <= Instant::now() + day);
        let timing = WorkerTiming {
            session_end_timeout: Duration::MAX,
            ..WorkerTiming::default()
        };
        assert_eq!(timing.shutdown_budget(), Duration::MAX);
        let default = WorkerTiming::default().shutdown_budget();
        assert_eq!(default, Duration::from_secs(15 + 60 + 300 + 5 + 10 + 1));
    }
}
