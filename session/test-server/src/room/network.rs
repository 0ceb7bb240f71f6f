//! A bad network: what the room's socket takes and gives is lost, doubled and held back, as a fault has it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Instant;

use super::Room;
use crate::faults::Network;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    From(SocketAddr),
    To(SocketAddr),
}

/// A datagram under way. Ordered by its time, then as it was sent.
type Flying = Reverse<(Instant, u64, Way, Vec<u8>)>;

/// The network between a room and its clients.
pub(super) struct Air {
    /// Which setting of the fault this is.
    setting: u64,
    network: Option<Network>,
    random: fastrand::Rng,
    sent: u64,
    flying: BinaryHeap<Flying>,
}

impl Default for Air {
    fn default() -> Self {
        Self {
            setting: 0,
            network: None,
            random: fastrand::Rng::with_seed(0),
            sent: 0,
            flying: BinaryHeap::new(),
        }
    }
}

impl Air {
    /// Whether datagrams go through [`send`](Self::send).
    fn is_bad(&mut self, faults: &crate::Faults) -> bool {
        if let Some((setting, network)) = faults.network_since(self.setting) {
            let seed = network.as_ref().map_or(0, |n| n.seed);
            (self.setting, self.network) = (setting, network);
            self.random = fastrand::Rng::with_seed(seed);
        }
        self.network.is_some()
    }

    fn send(&mut self, way: Way, bytes: &[u8], now: Instant) {
        let Some(network) = &self.network else { return };
        // The same draws for each datagram, so that one fate does not change the next one's.
        let [lost, doubled, late] = std::array::from_fn(|_| self.random.f64());
        if lost < network.loss {
            return;
        }
        let mut due = now + network.delay;
        if late < network.late {
            due += network.late_by;
        }
        for _ in 0..1 + u8::from(doubled < network.doubled) {
            self.sent += 1;
            self.flying
                .push(Reverse((due, self.sent, way, bytes.to_vec())));
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.flying.peek().map(|Reverse((due, ..))| *due)
    }

    fn landed(&mut self, now: Instant) -> Option<(Way, Vec<u8>)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, _, way, bytes)) = self.flying.pop()?;
        Some((way, bytes))
    }
}

impl Room {
    /// A datagram came to the socket.
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        if self.shared.faults.refuses_media() {
            return;
        }
        if self.air.is_bad(&self.shared.faults) {
            self.air.send(Way::From(from), bytes, Instant::now());
        } else {
            self.take_datagram(from, bytes);
        }
    }

    /// A datagram for the socket. A full buffer is a lost packet, as on a network. Addresses that cannot be reached are the client's other networks.
    pub(super) fn transmit(&mut self, to: SocketAddr, bytes: &[u8]) {
        if self.air.is_bad(&self.shared.faults) {
            self.air.send(Way::To(to), bytes, Instant::now());
        } else {
            _ = self.socket.try_send_to(bytes, to);
        }
    }

    /// Everything that has crossed the bad network. What comes of it is under way itself.
    pub(super) fn land(&mut self, now: Instant) {
        while let Some((way, bytes)) = self.air.landed(now) {
            match way {
                Way::From(from) => self.take_datagram(from, &bytes),
                Way::To(to) => _ = self.socket.try_send_to(&bytes, to),
            }
        }
    }
}
