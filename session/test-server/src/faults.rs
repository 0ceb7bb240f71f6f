//! What tests can break while the server runs.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The switches; all off at first. They hold for every room, and survive a restart of the server.
#[derive(Debug, Default)]
pub struct Faults {
    refuse_media: AtomicBool,
    loss_ppm: AtomicU32,
    delay_us: AtomicU64,
    silent: AtomicBool,
    refuse_tokens: AtomicBool,
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
