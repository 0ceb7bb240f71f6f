//! The caller's clock: whether frames have stopped coming.

use crate::units::{SampleCount, SamplePos};

/// Watches the caller's clock against the stream. Only the progress of the clock while nothing else happens counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The clock when the stream was last seen to move, or, once starved, up to where time has followed it.
    clock: SamplePos,
    /// How far the stream had moved then.
    progress: u64,
    starved: bool,
}

/// What a tick of the clock means for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// Nothing is missing, as far as can be known yet.
    Fine,
    /// The stream starves from here on: so many samples are missing.
    Starves(SampleCount),
    /// It still starves: time has gone on by so much.
    Goes(SampleCount),
}

impl Watch {
    /// The clock shows `at`. `progress` is any number that changes when the caller moves the stream.
    pub(super) fn tick(&mut self, at: SamplePos, progress: u64, patience: SampleCount) -> Tick {
        let mut seen = match self.0 {
            Some(seen) if seen.progress == progress => seen,
            _ => Seen {
                clock: at,
                progress,
                starved: false,
            },
        };
        let late = at.since(seen.clock);
        let tick = match seen.starved {
            false if late >= patience => Tick::Starves(late),
            true if late > SampleCount::ZERO => Tick::Goes(late),
            _ => Tick::Fine,
        };
        if tick != Tick::Fine {
            seen.clock = at;
            seen.starved = true;
        }
        self.0 = Some(seen);
        tick
    }
}
