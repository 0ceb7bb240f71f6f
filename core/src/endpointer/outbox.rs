//! A queue of fixed size for what an [`Endpointer`](super::Endpointer) has to say.

use super::TurnOutput;

/// What waits to be polled.
///
/// Six slots are enough for a caller who follows the protocol: what timers say is polled at their own positions. Between two
/// polls lies at most one window or one host input. A window may begin speech (a cancellation), ask a question, and at the same
/// position a repeat may be due and the turn end (with its cancellation): five. A host input may open a turn, ask about it, tell of a
/// vote, and end it and cancel: five.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbox {
    slots: [Option<TurnOutput>; 6],
    first: usize,
    len: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, output: TurnOutput) {
        let capacity = self.slots.len();
        assert!(
            self.len < capacity,
            "poll after every position, see Endpointer"
        );
        self.slots[(self.first + self.len) % capacity] = Some(output);
        self.len += 1;
    }

    pub(super) const fn pop(&mut self) -> Option<TurnOutput> {
        if self.len == 0 {
            return None;
        }
        let output = self.slots[self.first].take();
        self.first = (self.first + 1) % self.slots.len();
        self.len -= 1;
        output
    }
}
