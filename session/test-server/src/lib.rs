//! A LiveKit server for tests: on loopback, in this process, started and killed in milliseconds.
//!
//! It speaks what LiveKit's clients, agents and server libraries speak, as far as audio and data go: signalling with
//! two peer connections (`/rtc`), Opus from every publisher to every subscriber, data channels, workers and jobs
//! (`/agent`), the room service and the dispatch service (Twirp). It is a double, not a server: no video, no TURN, no
//! second machine, no TLS, and it listens on 127.0.0.1 only.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use listenkit_test_server::{Options, TestServer};
//!
//! let server = TestServer::start(Options::default()).await?;
//! let token = server.token("alice", "kitchen");
//! println!("join {} with {token}", server.url());
//! # Ok(())
//! # }
//! ```
//!
//! The server has threads of its own, so a test that blocks does not stop it, and `kill` ends it as a signal ends a
//! process: every socket is closed at once, nobody is told.

mod agents;
mod faults;
mod ids;
mod peer;
mod room;
mod rtc;
mod server;
mod tokens;
mod twirp;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use agents::{AgentEntry, AgentLog, AgentTraffic, WorkerView};
pub use faults::{Faults, Network};
/// The messages of LiveKit's protocols.
pub use livekit_protocol as proto;
pub use room::RoomView;
pub use server::{TestServer, TimedOut};
pub use tokens::TokenBuilder;

use agents::{Event, Notice};
use room::{RoomConfig, RoomHandle};

/// How a server behaves. The defaults are those of a real one, but for the port.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP port on 127.0.0.1. 0: a free one.
    pub port: u16,
    /// Key that tokens name.
    pub api_key: String,
    /// Secret that tokens are signed with.
    pub api_secret: String,
    /// How long a room waits for its first participant.
    pub empty_timeout: Duration,
    /// How long a room stays after the last participant left. Agents do not count. Zero: closed at once.
    pub departure_timeout: Duration,
    /// How long a participant stays whose signalling was lost: the time it has to resume.
    pub resume_window: Duration,
    /// A file that gets each entry of the agent log as a line of JSON.
    pub agent_log_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            api_key: "devkey".into(),
            api_secret: "a-secret-of-at-least-32-characters".into(),
            // All three as LiveKit's server has them; the last was measured: a killed client was gone after 20.9 s.
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            resume_window: Duration::from_secs(20),
            agent_log_file: None,
        }
    }
}

/// What the parts of a running server share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) faults: Arc<Faults>,
    /// This server's name among servers.
    pub(crate) node: String,
    rooms: Mutex<HashMap<String, RoomHandle>>,
    pub(crate) agent_log: Arc<AgentLog>,
    dispatcher: mpsc::UnboundedSender<Event>,
    changes: watch::Sender<u64>,
}

impl Shared {
    /// Something happened that a test may wait for.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Tells the dispatcher. Unbounded: it waits for nobody, so nothing piles up.
    pub(crate) fn tell_dispatcher(&self, event: Event) {
        _ = self.dispatcher.send(event);
    }

    pub(crate) fn notify_agents(&self, notice: Notice) {
        self.tell_dispatcher(Event::Notice(Box::new(notice)));
    }

    pub(crate) fn find_room(&self, name: &str) -> Option<RoomHandle> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms
            .get(name)
            .filter(|room| !room.commands.is_closed())
            .cloned()
    }

    /// The room of that name, made if need be.
    pub(crate) fn room_or_new(
        self: &Arc<Self>,
        name: &str,
        config: RoomConfig,
    ) -> std::io::Result<RoomHandle> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(name).filter(|room| !room.commands.is_closed()) {
            return Ok(room.clone());
        }
        let room = room::start(self.clone(), name, config)?;
        rooms.insert(name.to_owned(), room.clone());
        Ok(room)
    }

    /// The rooms that are open.
    pub(crate) fn open_rooms(&self) -> Vec<RoomHandle> {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms
            .values()
            .filter(|room| !room.commands.is_closed())
            .cloned()
            .collect()
    }
}

/// Waits as long as the server is to answer nothing.
pub(crate) async fn wait_while_silent(shared: &Shared) {
    while shared.faults.is_silent() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
