//! What tests can break while the server runs.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A bad network between the server and all clients: it does this to every datagram, both ways. The seed decides about each datagram of a room in turn;
/// when they come is up to the machine, so a run is alike, not the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Decides about the datagrams.
    pub seed: u64,
    /// Share that is lost, 0 to 1.
    pub loss: f64,
    /// Share that comes twice, 0 to 1.
    pub doubled: f64,
    /// Share that is held back, 0 to 1, so that others overtake it.
    pub late: f64,
    /// For how long those are held back.
    pub late_by: Duration,
    /// How long all of them take.
    pub delay: Duration,
}

/// The switches; all off at first. They hold for every room, and survive a restart of the server.
#[derive(Debug, Default)]
pub struct Faults {
    refuse_media: AtomicBool,
    loss_ppm: AtomicU32,
    delay_us: AtomicU64,
    silent: AtomicBool,
    refuse_tokens: AtomicBool,
    refuse_signal: AtomicBool,
    encrypted: AtomicBool,
    network: Mutex<Option<Network>>,
    /// How often the network was set, so that rooms need not lock it for each datagram.
    network_set: AtomicU64,
}

impl Faults {
    /// Takes no datagram from clients: connections that stand break after some seconds, new ones do not come about.
    pub fn set_refuse_media(&self, on: bool) {
        self.refuse_media.store(on, Relaxed);
    }

    /// Drops this share of the audio packets, 0 to 1, at random.
    pub fn set_loss(&self, share: f64) {
        self.loss_ppm
            .store((share.clamp(0.0, 1.0) * 1e6) as u32, Relaxed);
    }

    /// Holds audio packets back for this long. Zero: sends them on at once.
    pub fn set_delay(&self, delay: Duration) {
        self.delay_us.store(
            u64::try_from(delay.as_micros()).unwrap_or(u64::MAX),
            Relaxed,
        );
    }

    /// Makes the network bad, or good again.
    pub fn set_network(&self, network: Option<Network>) {
        let mut current = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        *current = network;
        self.network_set.fetch_add(1, Relaxed);
    }

    /// The network, if it was set since, and the number of that.
    pub(crate) fn network_since(&self, seen: u64) -> Option<(u64, Option<Network>)> {
        if self.network_set.load(Relaxed) == seen {
            return None;
        }
        let current = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.network_set.load(Relaxed), current.clone()))
    }

    /// Refuses every signalling connection with status 503, new ones and those that come back. Those that stand are not touched.
    pub fn set_refuse_signal(&self, on: bool) {
        self.refuse_signal.store(on, Relaxed);
    }

    pub(crate) fn refuses_signal(&self) -> bool {
        self.refuse_signal.load(Relaxed)
    }

    /// Tells of every new track that its audio is encrypted between the participants, which it is not.
    pub fn set_encrypted(&self, on: bool) {
        self.encrypted.store(on, Relaxed);
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted.load(Relaxed)
    }

    /// Answers nothing: requests and new connections wait for ever, and clients get no message on those they have.
    pub fn set_silent(&self, on: bool) {
        self.silent.store(on, Relaxed);
    }

    /// Refuses every token with status 401, as if it had expired. Connections that stand are not touched.
    pub fn set_refuse_tokens(&self, on: bool) {
        self.refuse_tokens.store(on, Relaxed);
    }

    pub(crate) fn refuses_tokens(&self) -> bool {
        self.refuse_tokens.load(Relaxed)
    }

    pub(crate) fn refuses_media(&self) -> bool {
        self.refuse_media.load(Relaxed)
    }

    pub(crate) fn loses_packet(&self) -> bool {
        let ppm = self.loss_ppm.load(Relaxed);
        ppm > 0 && fastrand::u32(0..1_000_000) < ppm
    }

    pub(crate) fn media_delay(&self) -> Option<Duration> {
        match self.delay_us.load(Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }
}
