//! Rooms without LiveKit's media library: signalling, WebRTC and Opus in Rust.
//!
//! One task per room owns everything that belongs to its connection: the WebSocket, two peer connections (what we send, what we hear), the encoders and the
//! decoders. It sleeps until a datagram, a message, a command or a time comes; there is no clock of 10 ms and no thread of its own. Audio that arrives
//! is decoded at once and given to its readers without a jitter buffer; only a missing packet is waited for (see [`listenkit_rtp_audio`]).
//!
//! What it does not do: video (it is never subscribed to), TURN (the server must be reachable by UDP or at its TCP port), proxies (`HTTPS_PROXY` is not
//! read), end-to-end encryption (such tracks are not subscribed to), data tracks and byte streams.

mod convert;
mod data;
mod hear;
mod model;
mod peer;
mod publish;
mod red;
mod room;
mod sdp;
mod signal;
mod task;
mod tcp;

use std::time::{Duration, Instant};

use super::{ConnectOptions, Connection, RoomTransport, TransportError};

/// The longest wait: a caller that gives more means that it waits for ever, and clocks end somewhere.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment so long after `now`.
fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(LONGEST_WAIT)
}

/// How long the server may take to answer a request.
const ANSWER: Duration = Duration::from_secs(10);

/// Rooms over our own connection. Needs nothing installed.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NativeTransport;

impl NativeTransport {
    /// There is nothing to open, so it cannot fail.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait::async_trait]
impl RoomTransport for NativeTransport {
    async fn connect(
        &self,
        url: &str,
        token: &str,
        options: &ConnectOptions,
    ) -> Result<Connection, TransportError> {
        room::connect(url, token, options).await
    }
}
