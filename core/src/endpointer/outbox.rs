//! A queue of fixed size for what an [`Endpointer`](super::Endpointer) has to say.

use super::TurnOutput;

/// What waits to be polled.
///
/// Twelve slots are enough. Between two polls lies at most one window or one host input. A window is three
/// inputs and an advance. Before it the repeats of one pause may be due, and the end of its turn with a cancellation: five.
/// It may begin speech (a cancellation), ask a first question or two, and end the turn it opened (two): ten. A host
/// input may follow what was due (five), open a turn, ask about it, tell of a vote, and end it and cancel: nine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbox {
    slots: [Option<TurnOutput>; 12],
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
