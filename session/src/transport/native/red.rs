//! Packets that carry those before them, too (RED, RFC 2198): what was lost is taken from the next.
//!
//! LiveKit's clients and browsers send Opus so. Servers take it apart for clients that do not say that they understand it, but not always: after an answer of ours
//! was lost with a connection, livekit-server 1.13.5 sent the packets as they were.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use str0m::media::Mid;
use str0m::rtp::{RedDecoder, RtpPacket};

/// A packet of Opus.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Of the stream.
    pub(super) ssrc: u32,
    /// Extended sequence number.
    pub(super) sequence: u64,
    /// RTP time at 48 kHz.
    pub(super) time: u32,
    /// When its datagram came.
    pub(super) arrived: Instant,
    pub(super) payload: Arc<[u8]>,
}

impl From<&RtpPacket> for Heard {
    fn from(packet: &RtpPacket) -> Self {
        Self {
            ssrc: *packet.header.ssrc,
            sequence: *packet.seq_no,
            time: packet.header.timestamp,
            arrived: packet.timestamp,
            payload: Arc::clone(&packet.payload),
        }
    }
}

/// The stream of a line and its newest packet, to know what is missing.
#[derive(Debug, Default)]
pub(super) struct Unwrap(HashMap<Mid, (u32, u64)>);

impl Unwrap {
    /// The packet as it came.
    pub(super) fn plain(&mut self, mid: Mid, packet: &RtpPacket) -> Heard {
        self.came(mid, packet);
        packet.into()
    }

    /// What is in a packet with redundancy, in order: those of its past that are missing, and its own. Nothing if it is broken.
    pub(super) fn wrapped(&mut self, mid: Mid, packet: &RtpPacket) -> Vec<Heard> {
        // Padding has no blocks, and its place in the row.
        if packet.payload.is_empty() {
            return vec![self.plain(mid, packet)];
        }
        let own = Heard::from(packet);
        let newest = self.0.get(&mid).filter(|(ssrc, _)| *ssrc == own.ssrc);
        let heard = blocks(&own, newest.map(|(_, sequence)| *sequence));
        if !heard.is_empty() {
            self.came(mid, packet);
        }
        heard
    }

    fn came(&mut self, mid: Mid, packet: &RtpPacket) {
        let (ssrc, sequence) = (*packet.header.ssrc, *packet.seq_no);
        let newest = self.0.entry(mid).or_insert((ssrc, sequence));
        if newest.0 != ssrc || newest.1 < sequence {
            *newest = (ssrc, sequence);
        }
    }
}

/// The blocks of a packet, of the others those after the packet `newest`: they are the packets before this one, as they were sent.
fn blocks(packet: &Heard, newest: Option<u64>) -> Vec<Heard> {
    let Ok(blocks) = RedDecoder::decode(&packet.payload) else {
        return Vec::new();
    };
    // The last one is its own.
    let Some(primary) = blocks.last().filter(|b| b.is_primary).map(|b| b.pt) else {
        return Vec::new();
    };
    let mut back = blocks.len() as u64;
    let mut heard = Vec::new();
    for block in &blocks {
        back -= 1;
        let Some(number) = packet.sequence.checked_sub(back) else {
            continue;
        };
        let is_missing = newest.is_some_and(|newest| number > newest);
        if back == 0 || is_missing && block.pt == primary && !block.payload.is_empty() {
            heard.push(Heard {
                ssrc: packet.ssrc,
                sequence: number,
                time: packet.time.wrapping_sub(block.timestamp_offset),
                arrived: packet.arrived,
                payload: block.payload.into(),
            });
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload of RFC 2198: blocks before, each with how far back it lies, and its own.
    fn payload(before: &[(u32, &[u8])], own: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset, block) in before {
            let word = (0x80 | 111) << 24 | offset << 10 | block.len() as u32;
            bytes.extend(word.to_be_bytes());
        }
        bytes.push(111);
        before.iter().for_each(|(_, block)| bytes.extend(*block));
        bytes.extend(own);
        bytes
    }

    fn taken(payload: &[u8], newest: Option<u64>) -> Vec<(u64, u32, Vec<u8>)> {
        let packet = Heard {
            ssrc: 1,
            sequence: 10,
            time: 5_000,
            arrived: Instant::now(),
            payload: payload.into(),
        };
        blocks(&packet, newest)
            .into_iter()
            .map(|h| (h.sequence, h.time, h.payload.to_vec()))
            .collect()
    }

    #[test]
    fn only_what_is_missing_is_taken_from_the_past() {
        let two = payload(&[(1_920, b"eight"), (960, b"nine")], b"ten");
        let (eight, nine, ten) = (
            (8, 3_080, b"eight".to_vec()),
            (9, 4_040, b"nine".to_vec()),
            (10, 5_000, b"ten".to_vec()),
        );
        let tens = vec![ten.clone()];
        assert_eq!(taken(&two, None), tens, "nobody has heard the beginning");
        assert_eq!(taken(&two, Some(9)), tens);
        assert_eq!(taken(&two, Some(12)), tens, "overtaken: it may be missing");
        assert_eq!(taken(&two, Some(8)), [nine.clone(), ten.clone()]);
        assert_eq!(taken(&two, Some(4)), [eight, nine, ten]);
        assert_eq!(taken(&payload(&[], b"ten"), Some(4)), tens);
        assert_eq!(taken(&payload(&[(960, b"")], b"ten"), Some(4)), tens);
    }

    #[test]
    fn noise_gives_nothing_and_does_no_harm() {
        assert!(taken(&[], None).is_empty());
        assert!(taken(&[0x80 | 111, 0, 0, 200, 111, 1], None).is_empty());
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..100_000 {
            let noise: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            taken(&noise, Some(random.u64(..20)));
        }
    }
}
