//! A queue of fixed size for what an [`Endpointer`](super::Endpointer) has to say.

use super::TurnOutput;

/// What waits to be polled.
///
/// Eight slots are enough. Between two polls lies at most one window or one host input. A window is three
/// inputs and an advance: each ends at most one turn (timers fire for the open turn only, and no timer opens
/// one), each input asks at most one question: seven. A host input may end the turn before it, and then
/// open one, ask about it, and end it at once: three.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbox {
    slots: [Option<TurnOutput>; 8],
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
