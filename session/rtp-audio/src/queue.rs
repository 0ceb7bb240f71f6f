//! Packets that were received and not yet decoded, in order.

use std::collections::VecDeque;
use std::time::Instant;

use crate::packet::Shape;

/// Most packets that wait: two seconds of 10 ms. More come only to a reader that does not read.
pub(crate) const CAPACITY: usize = 200;

/// Buffers that are kept for the next packets.
const SPARE: usize = 8;

/// A packet that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) sequence: u64,
    pub(crate) time: u32,
    pub(crate) arrived: Instant,
    /// `None`: nothing to be heard in it. It only fills its place in the row.
    pub(crate) shape: Option<Shape>,
    pub(crate) payload: Vec<u8>,
}

/// Sorted by sequence, without doubles.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Waiting>,
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// Puts a packet in its place. `false` if it is there already.
    pub(crate) fn insert(
        &mut self,
        sequence: u64,
        time: u32,
        arrived: Instant,
        shape: Option<Shape>,
        payload: &[u8],
    ) -> bool {
        // Nearly always the newest.
        let at = match self.waiting.back() {
            Some(last) if last.sequence >= sequence => {
                match self.waiting.binary_search_by_key(&sequence, |w| w.sequence) {
                    Ok(_) => return false,
                    Err(at) => at,
                }
            }
            _ => self.waiting.len(),
        };
        let mut own = self.spare.pop().unwrap_or_default();
        own.extend_from_slice(payload);
        self.waiting.insert(
            at,
            Waiting {
                sequence,
                time,
                arrived,
                shape,
                payload: own,
            },
        );
        true
    }

    pub(crate) fn front(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// Takes the buffer of a packet back.
    pub(crate) fn recycle(&mut self, mut packet: Waiting) {
        if self.spare.len() < SPARE {
            packet.payload.clear();
            self.spare.push(packet.payload);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
