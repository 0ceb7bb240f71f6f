//! What went between workers and the server, in order.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use livekit_protocol as proto;

/// Every message between workers and the server since it was first started; restarts are in it too.
#[derive(Debug)]
pub struct AgentLog {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<AgentEntry>,
    file: Option<std::fs::File>,
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct AgentEntry {
    /// Since the server was first started.
    pub at: Duration,
    /// The worker's connection: its identifier from the registration, `AW_...`. A worker that connects anew has another.
    pub worker: String,
    /// What happened.
    pub traffic: AgentTraffic,
}

/// What can happen on a worker's connection.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentTraffic {
    /// It was opened.
    Opened,
    /// The worker sent this.
    FromWorker(Box<proto::worker_message::Message>),
    /// The server sent this.
    ToWorker(Box<proto::server_message::Message>),
    /// It was closed.
    Closed,
}

impl AgentLog {
    pub(crate) fn new(file: Option<std::fs::File>) -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::new(State {
                entries: Vec::new(),
                file,
            }),
        }
    }

    pub(crate) fn push(&self, worker: &str, traffic: AgentTraffic) {
        let entry = AgentEntry {
            at: self.start.elapsed(),
            worker: worker.to_owned(),
            traffic,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut state.file {
            // A full disk must not stop a test; the log in memory is whole.
            _ = writeln!(file, "{}", entry.to_json());
        }
        state.entries.push(entry);
    }

    /// All of it so far.
    pub fn entries(&self) -> Vec<AgentEntry> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .clone()
    }
}

impl AgentEntry {
    /// The entry as JSON: `at` in seconds, `worker`, `event` (`opened`, `from_worker`, `to_worker`, `closed`), and the
    /// `message` as protocol buffers are written in JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let (event, message) = match &self.traffic {
            AgentTraffic::Opened => ("opened", None),
            AgentTraffic::FromWorker(message) => {
                let message = proto::WorkerMessage {
                    message: Some((**message).clone()),
                };
                ("from_worker", serde_json::to_value(message).ok())
            }
            AgentTraffic::ToWorker(message) => {
                let message = proto::ServerMessage {
                    message: Some((**message).clone()),
                };
                ("to_worker", serde_json::to_value(message).ok())
            }
            AgentTraffic::Closed => ("closed", None),
        };
        serde_json::json!({ "at": self.at.as_secs_f64(), "worker": self.worker, "event": event, "message": message })
    }
}
