//! A queue of fixed size for what an [`Endpointer`](super::Endpointer) has to say.

use super::TurnOutput;

/// What waits to be polled.
///
/// Sixteen slots are enough. Between two polls lies at most one window or one host input. A window is three
/// inputs and an advance. Each ends at most one turn: four. Each input asks at most one first question, and the repeats
/// lie in the future of their first one, so at most those of the pause before are due: six. Cancelling needs an open
/// question, asked now or in the pause before: at most four and a first one. Fifteen. A host input may ask the repeats,
/// end the turn before it and cancel, and then open one, ask about it, tell of a vote, end it at once and cancel: nine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbox {
    slots: [Option<TurnOutput>; 16],
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
