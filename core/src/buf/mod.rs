//! Memory of the recent past: a ring that is addressed by position.

/// The most recent values of a stream, `width` of them per sample, found again by their position.
///
/// Positions count samples and never start over. The ring overwrites the oldest and never grows.
#[derive(Clone, Debug)]
pub(crate) struct History<T> {
    values: Vec<T>,
    width: usize,
    /// Position of the next sample.
    written: u64,
    /// Nothing before this position is given out.
    forgotten: u64,
}

impl<T: Copy + Default> History<T> {
    /// Room for `samples` samples of `width` values. Allocates here, and only here.
    pub(crate) fn new(samples: usize, width: usize) -> Self {
        Self::starting_at(0, samples, width)
    }

    /// The same, where the first sample gets position `start`.
    pub(crate) fn starting_at(start: u64, samples: usize, width: usize) -> Self {
        Self {
            values: vec![T::default(); samples * width],
            width,
            written: start,
            forgotten: start,
        }
    }

    /// Appends whole samples.
    pub(crate) fn push(&mut self, values: &[T]) {
        debug_assert_eq!(values.len() % self.width.max(1), 0, "whole samples only");
        let capacity = self.values.len();
        if capacity == 0 {
            return;
        }
        let samples = (values.len() / self.width) as u64;
        // A host can say that so much is missing that no position is left; time stops there, as it does for `SamplePos`.
        self.written = self.written.saturating_add(samples);
        // Of a block longer than the ring only the end can stay.
        let values = &values[values.len().saturating_sub(capacity)..];
        let end = self.index(self.written);
        let start = (end + capacity - values.len()) % capacity;
        let head = values.len().min(capacity - start);
        self.values[start..start + head].copy_from_slice(&values[..head]);
        self.values[..values.len() - head].copy_from_slice(&values[head..]);
    }

    /// Appends `samples` samples of default values. The work is bounded by the size of the ring.
    pub(crate) fn push_default(&mut self, samples: u64) {
        let capacity = (self.values.len() / self.width.max(1)) as u64;
        let seen = samples.min(capacity);
        self.written = self.written.saturating_add(samples - seen);
        let zeros = [T::default(); 64];
        let chunk = zeros.len() / self.width.max(1);
        let mut left = usize::try_from(seen).unwrap_or(0);
        while left > 0 {
            let take = left.min(chunk);
            self.push(&zeros[..take * self.width]);
            left -= take;
        }
    }

    /// Position of the next sample.
    pub(crate) const fn end(&self) -> u64 {
        self.written
    }

    /// The oldest position still held.
    pub(crate) fn start(&self) -> u64 {
        let capacity = (self.values.len() / self.width.max(1)) as u64;
        self.forgotten.max(self.written.saturating_sub(capacity))
    }

    /// Goes on at another position, with nothing written before it.
    pub(crate) const fn restart(&mut self, at: u64) {
        self.written = at;
        self.forgotten = at;
    }

    /// The samples `start..end` in order, as two slices because the ring may wrap; `None` if any of
    /// them is overwritten or not written yet.
    pub(crate) fn range(&self, start: u64, end: u64) -> Option<(&[T], &[T])> {
        if start > end || end > self.written || start < self.start() {
            return None;
        }
        let len = (end - start) as usize * self.width;
        if len == 0 {
            return Some((&[], &[]));
        }
        let start = self.index(start);
        let head = len.min(self.values.len() - start);
        Some((
            &self.values[start..start + head],
            &self.values[..len - head],
        ))
    }

    /// Bytes of audio this can hold.
    pub(crate) const fn bytes(&self) -> usize {
        std::mem::size_of::<T>() * self.values.len()
    }

    /// Index of the first value of the sample at `position`.
    fn index(&self, position: u64) -> usize {
        let samples = (self.values.len() / self.width) as u64;
        (position % samples) as usize * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(history: &History<i16>, start: u64, end: u64) -> Option<Vec<i16>> {
        history
            .range(start, end)
            .map(|(head, tail)| [head, tail].concat())
    }

    #[test]
    fn any_range_still_held_reads_back_whatever_the_push_sizes() {
        for step in 1..=23 {
            let mut history = History::new(10, 2);
            let all: Vec<i16> = (0..200).collect();
            let mut pushed = 0;
            for block in all.chunks(step * 2) {
                history.push(block);
                pushed += block.len() / 2;
                let oldest = pushed.saturating_sub(10);
                for start in oldest..=pushed {
                    let expected = all[start * 2..pushed * 2].to_vec();
                    assert_eq!(read(&history, start as u64, pushed as u64), Some(expected));
                }
                if oldest > 0 {
                    assert_eq!(read(&history, oldest as u64 - 1, pushed as u64), None);
                }
                assert_eq!(read(&history, pushed as u64, pushed as u64 + 1), None);
            }
        }
    }

    #[test]
    fn skipped_samples_read_as_silence() {
        let mut history = History::new(10, 1);
        history.push(&[1, 2, 3, 4, 5, 6, 7]);
        history.push_default(2);
        history.push(&[8]);
        assert_eq!(read(&history, 4, 10), Some(vec![5, 6, 7, 0, 0, 8]));
        history.push_default(1_000_000_000_000);
        history.push(&[9]);
        let end = history.end();
        assert_eq!(end, 1_000_000_000_011);
        assert_eq!(read(&history, end - 3, end), Some(vec![0, 0, 9]));
        assert_eq!(read(&history, end - 11, end), None);
    }

    #[test]
    fn a_history_can_go_on_from_another() {
        let mut history = History::starting_at(100, 10, 1);
        history.push(&[1, 2]);
        assert_eq!(read(&history, 100, 102), Some(vec![1, 2]));
        assert_eq!(read(&history, 99, 101), None);
    }

    #[test]
    fn a_restarted_history_gives_out_nothing_of_before() {
        for at in [0, 5, 1_000] {
            let mut history = History::new(10, 1);
            history.push(&[1, 2, 3, 4, 5, 6, 7]);
            history.restart(at);
            assert_eq!((history.start(), history.end()), (at, at));
            history.push(&[8, 9]);
            assert_eq!(read(&history, at, at + 2), Some(vec![8, 9]));
            assert_eq!(read(&history, at.wrapping_sub(1), at + 1), None);
        }
    }

    #[test]
    fn a_history_without_room_keeps_nothing() {
        let mut history = History::<i16>::new(0, 1);
        history.push(&[1, 2, 3]);
        assert_eq!(history.range(0, 1), None);
        assert_eq!(history.bytes(), 0);
    }
}
