//! A worker: registers with a LiveKit server, is offered jobs, and runs the agent's code for each.
//!
//! [`run`] is all that a program needs. One server shares its jobs among all workers that register under the same agent name, by their load: more
//! machines are more workers, and nothing else.
//!
//! ```no_run
//! use listenkit_session::transport::AutoSubscribe;
//! use listenkit_session::worker::{self, WorkerOptions};
//!
//! fn main() -> Result<(), worker::WorkerError> {
//!     worker::run(WorkerOptions::new(async |job: worker::JobContext| {
//!         let connection = job.connect(AutoSubscribe::AudioOnly).await?;
//!         println!("in {}", connection.room.name());
//!         Ok(())
//!     }))
//! }
//! ```
//!
//! Each job has a process of its own, unless [`JobExecutor::Task`] is set. The process is this same program, started again: its `main` comes to
//! [`run`] once more, which then runs the job instead of a worker. What `main` does before is thus done in each process; [`is_job_process`] tells
//! them apart.

mod child;
mod connection;
mod dispatcher;
mod health;
mod ipc;
mod job;
mod load;
mod options;
mod pool;
#[cfg(unix)]
mod process;

use std::net::SocketAddr;
use std::time::Duration;

use livekit_protocol as proto;
use tokio::sync::{mpsc, watch};

pub use child::is_job_process;
pub use job::{JobContext, JobError, ParticipantFilter, ProcessData, Shutdown};
pub use options::{
    AgentIdentity, BoxError, JobAnswer, JobExecutor, JobRequest, Mode, Permissions, ProcessCommand,
    WorkerOptions, WorkerTiming, WorkerType,
};
pub use pool::ProcessInfo;

use crate::api::{ApiError, Credentials, ServerApi};
use dispatcher::{Control, Dispatcher};

/// Why a worker ended, or did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// An address, a key or a secret is missing.
    #[error(transparent)]
    Credentials(#[from] ApiError),
    /// It could not begin.
    #[error("the worker cannot start: {0}")]
    Start(String),
    /// The server is out of reach, or refuses the worker.
    #[error("{0}")]
    Connection(String),
    /// Jobs went on for longer than a drain may take, and were ended.
    #[error("{jobs} jobs were still running {} s after the drain began", .after.as_secs())]
    DrainTimeout {
        /// How many.
        jobs: usize,
        /// How long they had.
        after: Duration,
    },
}

/// What a worker is at.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Given by the server; empty before the first registration.
    pub worker_id: String,
    /// Whether the server is connected.
    pub connected: bool,
    /// Why it is not.
    pub connection_error: Option<String>,
    /// Whether it takes no new jobs, and ends with those it has.
    pub draining: bool,
    /// 0 to 1.
    pub load: f64,
    /// Jobs that run.
    pub active_jobs: usize,
    /// Jobs that were offered or accepted and do not run yet.
    pub reserved_jobs: usize,
    /// Jobs that have failed.
    pub failed_jobs: u64,
    /// Processes, or tasks, that wait for a job.
    pub idle_processes: usize,
    /// All processes.
    pub processes: Vec<ProcessInfo>,
    /// Where the health endpoint is.
    pub health_address: Option<SocketAddr>,
}

impl WorkerOptions {
    pub(crate) fn credentials(&self) -> Result<Credentials, ApiError> {
        Credentials::resolve(
            self.ws_url.as_deref(),
            self.api_key.as_deref(),
            self.api_secret.as_deref(),
        )
    }
}

/// Runs a worker until a signal ends it, or runs the job that this process was started for. Starts a tokio runtime of its own.
///
/// The first SIGTERM or SIGINT drains: no new jobs, and the end when the running ones have ended. Those that still run after
/// [`WorkerOptions::drain_timeout`] are asked to end, in development all of them at once. They have
/// [`WorkerTiming::shutdown_process_timeout`] to take notice and then all limits of a shutdown in [`WorkerTiming`], 6 min 41 s in sum by default; what is left
/// is killed, and some seconds later the worker has ended. The second signal ends everything at once.
///
/// # Errors
/// [`WorkerError`].
pub fn run(options: WorkerOptions) -> Result<(), WorkerError> {
    if is_job_process() {
        return child::run_child(options);
    }
    let worker = Worker::new(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| WorkerError::Start(format!("cannot start tokio: {error}")))?;
    let result = runtime.block_on(async {
        let handle = worker.handle();
        let mode = worker.options.mode;
        tokio::select! {
            result = worker.run() => result,
            error = obey_signals(handle, mode) => Err(error),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A worker, for programs that have a runtime already. [`run`] is simpler. Signals are left to the program: [`WorkerHandle`].
#[derive(Debug)]
pub struct Worker {
    options: WorkerOptions,
    credentials: Credentials,
    handle: WorkerHandle,
    control: mpsc::UnboundedReceiver<Control>,
    info: watch::Sender<WorkerInfo>,
}

impl Worker {
    /// A worker that has not begun.
    ///
    /// # Errors
    /// [`WorkerError::Credentials`] if an address, a key or a secret is missing.
    pub fn new(mut options: WorkerOptions) -> Result<Self, WorkerError> {
        override_name(
            &mut options,
            std::env::var("LIVEKIT_AGENT_NAME_OVERRIDE").ok(),
        );
        let credentials = options.credentials()?;
        let (ask, control) = mpsc::unbounded_channel();
        let (info, watched) = watch::channel(WorkerInfo::default());
        Ok(Self {
            options,
            credentials,
            handle: WorkerHandle { ask, info: watched },
            control,
            info,
        })
    }

    /// Says what the worker is at, and ends it.
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Runs until the handle ends it. Dropping the future kills the jobs.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub async fn run(self) -> Result<(), WorkerError> {
        let listener = if self.options.health_endpoint {
            let (listener, address) = health::bind(&self.options).await?;
            self.info
                .send_modify(|info| info.health_address = Some(address));
            Some(listener)
        } else {
            None
        };
        let options = self.options.clone();
        let watched = self.info.subscribe();
        let dispatcher = Dispatcher::new(self.options, self.credentials, self.control, self.info)?;
        let endpoint = async {
            match listener {
                Some(listener) => health::serve(listener, watched, &options).await,
                None => std::future::pending().await,
            }
        };
        let run = dispatcher.run();
        tokio::pin!(run, endpoint);
        tokio::select! {
            result = &mut run => return result,
            () = &mut endpoint => {}
        }
        // Without its health endpoint, the worker still works.
        run.await
    }
}

/// An empty variable says nothing, as for the peer: an agent without a name goes into every room.
fn override_name(options: &mut WorkerOptions, name: Option<String>) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        options.agent_name = name;
    }
}

/// Says what a worker is at, and ends it.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    ask: mpsc::UnboundedSender<Control>,
    info: watch::Receiver<WorkerInfo>,
}

impl WorkerHandle {
    /// What the worker is at, now.
    pub fn info(&self) -> WorkerInfo {
        self.info.borrow().clone()
    }

    /// Waits until what the worker is at fulfils `condition`. For ever, if it never does and the worker lives.
    ///
    /// # Errors
    /// [`WorkerError::Connection`] if the worker ended before.
    pub async fn wait_for(
        &self,
        condition: impl FnMut(&WorkerInfo) -> bool,
    ) -> Result<WorkerInfo, WorkerError> {
        let mut info = self.info.clone();
        match info.wait_for(condition).await {
            Ok(info) => Ok(info.clone()),
            Err(_) => Err(WorkerError::Connection("the worker has ended".to_owned())),
        }
    }

    /// Takes no new jobs, and ends the worker when those that run have ended.
    pub fn drain(&self) {
        let _ = self.ask.send(Control::Drain);
    }

    /// Asks the jobs to end, and ends the worker.
    pub fn shutdown(&self, reason: impl Into<String>) {
        let _ = self.ask.send(Control::Shutdown(reason.into()));
    }

    /// Ends the jobs and the worker at once.
    pub fn kill(&self) {
        let _ = self.ask.send(Control::Kill);
    }

    /// Has the server make a job for this worker in a room, which is opened if need be: for trying an agent without a dispatch.
    ///
    /// # Errors
    /// [`ApiError`] of opening the room.
    pub async fn simulate(&self, api: &ServerApi, room: &str) -> Result<(), ApiError> {
        let room = api.create_room(room, Default::default()).await?;
        let request = proto::SimulateJobRequest {
            r#type: proto::JobType::JtRoom.into(),
            room: Some(room),
            participant: None,
        };
        let _ = self.ask.send(Control::Simulate(Box::new(request)));
        Ok(())
    }
}

/// Passes the process's signals on to the worker. Ends only if there can be no signals.
async fn obey_signals(handle: WorkerHandle, mode: Mode) -> WorkerError {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return WorkerError::Start(format!("cannot listen for signals: {error}")),
    };
    signals.next().await;
    match mode {
        Mode::Production => handle.drain(),
        Mode::Development => handle.shutdown("the worker was interrupted"),
    }
    signals.next().await;
    tracing::warn!("a second signal: the worker ends at once");
    handle.kill();
    std::future::pending().await
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        ))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_override_leaves_the_agent_its_name() {
        let mut options = WorkerOptions::new(|_| async { Ok(()) });
        options.agent_name = "waiter".to_owned();
        override_name(&mut options, None);
        override_name(&mut options, Some(String::new()));
        assert_eq!(options.agent_name, "waiter");
        override_name(&mut options, Some("cook".to_owned()));
        assert_eq!(options.agent_name, "cook");
    }
}
