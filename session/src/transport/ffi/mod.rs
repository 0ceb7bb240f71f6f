//! Rooms through LiveKit's own media library, opened at run time.
//!
//! The library does the signalling, WebRTC and Opus; this translates between its messages and [`Room`](super::Room). One task per room owns what
//! comes in: it brings the snapshot up to date, then passes the event on, so whoever reads an event finds the snapshot at least as new.
//!
//! # The library aborts
//! It ends the whole process on what it does not expect, such as SDP that it cannot parse: nothing can be caught. So a job runs in a process of its own, and
//! a program that joins rooms by itself should expect to be restarted.
//!
//! # What each queue adds
//! Sending: the library takes 10 ms out of a track's queue every 10 ms, so a first frame waits 5 ms on average, at most 10. How long the queue may be
//! does not matter to that frame: it adds only what lies before it, and it is emptied at once by [`AudioTrack::clear`](super::AudioTrack::clear).
//! A queue of 100 ms or more keeps a late sender from being heard as a click. Opus then packs 20 ms.
//!
//! A track that is published with a queue of zero sends each 10 ms as it gets them, and the sender must keep the time itself, silence included: a
//! receiver's jitter buffer takes a pause of the clock for a delay and grows by it. On a busy machine that costs more than the queue saves.
//!
//! Receiving: the library's jitter buffer decides; its frames of 10 ms go from its thread into the reader's channel, without another thread in between. Figures:
//! `cargo test --release -p listenkit-session --test room_figures -- --ignored --nocapture`.

mod age;
mod connect;
mod convert;
mod room;
mod task;
mod text;
mod track;

use std::path::Path;
use std::time::Duration;

use listenkit_livekit_ffi::{Call, CallError, Client, Incoming, RequestError, messages::Event};

use super::{ConnectOptions, Connection, RoomTransport, TransportError};

/// How long the library may take to answer what it answers by itself, or after one exchange with the server.
const ANSWER: Duration = Duration::from_secs(10);

/// Rooms through LiveKit's media library.
#[derive(Clone, Copy, Debug)]
pub struct LivekitTransport {
    client: &'static Client,
}

impl LivekitTransport {
    /// Opens the library; a process has one, so opening it again is cheap.
    ///
    /// Without a path it is looked for at `LIVEKIT_LIB_PATH` (the file or its directory), then in the Python package `livekit` of the virtual environment
    /// and of the Pythons on `PATH`.
    ///
    /// # Errors
    /// [`TransportError::Library`] says where it was looked for and what to do.
    pub fn open(path: Option<&Path>) -> Result<Self, TransportError> {
        let client = Client::open(path).map_err(|e| TransportError::Library(e.to_string()))?;
        Ok(Self { client })
    }

    /// The library's version, as `0.13.2`.
    pub fn version(&self) -> &'static str {
        self.client.version()
    }

    /// The library's file.
    pub fn path(&self) -> &'static Path {
        self.client.path()
    }
}

#[async_trait::async_trait]
impl RoomTransport for LivekitTransport {
    async fn connect(
        &self,
        url: &str,
        token: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        connect::connect(self.client, url, token, options).await
    }
}

fn refused(what: &'static str) -> impl FnOnce(RequestError) -> TransportError {
    move |error| TransportError::Refused {
        what,
        message: error.to_string(),
    }
}

/// The callback of a call, within `limit`.
async fn answer(
    what: &'static str,
    call: Call,
    limit: Duration,
) -> Result<Incoming<Event>, TransportError> {
    call.within(limit)
        .await
        .map_err(|error| unanswered(what, error))
}

fn unanswered(what: &'static str, error: CallError) -> TransportError {
    match error {
        CallError::Timeout(after) => TransportError::Timeout { what, after },
        _ => TransportError::Closed,
    }
}

/// What the server or the library said against it.
fn objection(what: &'static str, error: Option<String>) -> Result<(), TransportError> {
    match error.filter(|e| !e.is_empty()) {
        None => Ok(()),
        Some(message) => Err(TransportError::Refused { what, message }),
    }
}
