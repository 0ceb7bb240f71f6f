//! The positions at which an [`Endpointer`](super::Endpointer) has to act by itself.

use crate::units::SamplePos;

/// What happens at a position. The order is the order of firing at equal positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The turn ends by its own record: the arithmetic in [`Turn::decide`](super::decision::Turn::decide).
    Decision,
    /// The turn ends, after a decision was held back for speech that seemed to begin.
    Hold,
    /// The turn has reached `max_turn`.
    Ceiling,
    /// The audio model is asked again.
    Question,
}

impl Timer {
    const ALL: [Self; 4] = [Self::Decision, Self::Hold, Self::Ceiling, Self::Question];
}

/// At most one armed position per [`Timer`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    armed: [Option<SamplePos>; Timer::ALL.len()],
}

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: SamplePos) {
        self.armed[timer as usize] = Some(at);
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        self.armed[timer as usize] = None;
    }

    pub(super) const fn is_armed(&self, timer: Timer) -> bool {
        self.armed[timer as usize].is_some()
    }

    /// The timer that fires first, and where.
    pub(super) fn next(&self) -> Option<(Timer, SamplePos)> {
        Timer::ALL
            .into_iter()
            .filter_map(|timer| Some((timer, self.armed[timer as usize]?)))
            .min_by_key(|&(_, at)| at)
    }

    /// Moves every armed timer to another time base.
    pub(super) fn map(&mut self, map: impl Fn(SamplePos) -> SamplePos) {
        for at in self.armed.iter_mut().flatten() {
            *at = map(*at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_is_next_and_ties_follow_the_order_of_the_enum() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.arm(Timer::Ceiling, SamplePos(5));
        timers.arm(Timer::Hold, SamplePos(5));
        timers.arm(Timer::Decision, SamplePos(7));
        assert_eq!(timers.next(), Some((Timer::Hold, SamplePos(5))));
        timers.disarm(Timer::Hold);
        assert_eq!(timers.next(), Some((Timer::Ceiling, SamplePos(5))));
        timers.arm(Timer::Ceiling, SamplePos(8));
        assert_eq!(timers.next(), Some((Timer::Decision, SamplePos(7))));
    }

    #[test]
    fn every_timer_has_its_own_slot() {
        for (slot, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, slot);
        }
    }
}
