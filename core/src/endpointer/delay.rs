//! How long a pause has to last: constants, or a smallest delay learned from the user's own pauses.
//!
//! The learned rule is the one of LiveKit Agents 1.8.9 (`voice/endpointing.py`), checked against that
//! class by a recorded table (`benches/livekit_endpointing.py`). The reasoning behind it: an agent should
//! not answer into a pause that this user habitually makes. Two kinds of pause tell:
//!
//! * a pause between two utterances in which the agent stayed silent, and
//! * a pause in which the agent began to answer and the user went on at once: it answered too early.
//!
//! A pause in which the agent had its say is an exchange of turns and teaches nothing.

use std::time::Duration;

use crate::units::{SampleCount, SamplePos, SampleRate};

/// The smallest and the largest delay after the last voiced sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delays {
    /// The same for every turn.
    Fixed { min: SampleCount, max: SampleCount },
    /// `min` is a floor, from which the smallest delay is learned; `max` is never learned.
    Dynamic {
        min: SampleCount,
        max: SampleCount,
        /// Weight of history in the running mean, above 0 and up to 1. LiveKit: 0.9.
        alpha: f64,
    },
}

impl Delays {
    const fn min(self) -> SampleCount {
        match self {
            Self::Fixed { min, .. } | Self::Dynamic { min, .. } => min,
        }
    }

    const fn max(self) -> SampleCount {
        match self {
            Self::Fixed { max, .. } | Self::Dynamic { max, .. } => max,
        }
    }
}

/// What the end of an utterance taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing.
    None,
    /// The length of a pause the agent kept out of.
    Pause,
    /// The length of a pause the agent broke into too early.
    EarlyAgent,
}

/// The delays in force, and what they are learned from.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayPolicy {
    delays: Delays,
    rate: SampleRate,
    grace: SampleCount,
    /// The learned smallest delay in samples. Fractional: a mean of hundreds of pauses must not collect
    /// a rounding error from each.
    learned: f64,
    user_start: Option<SamplePos>,
    user_end: Option<SamplePos>,
    agent_start: Option<SamplePos>,
    agent_end: Option<SamplePos>,
    agent_speaking: bool,
    user_speaking: bool,
    overlapping: bool,
}

impl DelayPolicy {
    pub(super) const fn new(delays: Delays, rate: SampleRate, grace: SampleCount) -> Self {
        Self {
            delays,
            rate,
            grace,
            learned: delays.min().0 as f64,
            user_start: None,
            user_end: None,
            agent_start: None,
            agent_end: None,
            agent_speaking: false,
            user_speaking: false,
            overlapping: false,
        }
    }

    /// The smallest delay in force, to the nearest sample; never above [`max`](Self::max).
    pub(super) fn min(&self) -> SampleCount {
        match self.delays {
            Delays::Fixed { min, max } => min.min(max),
            Delays::Dynamic { .. } => SampleCount(self.effective().round() as u64),
        }
    }

    /// The largest delay.
    pub(super) const fn max(&self) -> SampleCount {
        self.delays.max()
    }

    pub(super) const fn is_agent_speaking(&self) -> bool {
        self.agent_speaking
    }

    /// The user began to speak at `at`. While they overlap with the agent, further starts are the same one.
    pub(super) const fn user_started(&mut self, at: SamplePos, overlapping: bool) {
        if self.overlapping {
            return;
        }
        self.user_start = Some(at);
        self.overlapping = overlapping;
        self.user_speaking = true;
    }

    /// The user's last voiced sample was before `at`. `interruption` is the verdict on speech over the
    /// agent, if somebody gave one: did the user mean to interrupt?
    pub(super) fn user_ended(&mut self, at: SamplePos, interruption: Option<bool>) -> Lesson {
        if interruption == Some(false) && self.overlapping && !self.within_grace() {
            // "Mm-hm": not an utterance of its own.
            self.overlapping = false;
            self.user_speaking = false;
            self.user_start = None;
            self.user_end = None;
            return Lesson::None;
        }

        let pause = between(self.user_end, self.user_start);
        let before_agent = between(self.user_end, self.agent_start);
        let over_agent =
            self.overlapping || (self.agent_start.is_some() && self.agent_end.is_none());
        let lesson = if pause == 0 {
            Lesson::None
        } else if over_agent {
            let gap = if self.user_start.is_some() && self.agent_start.is_some() {
                pause.abs_diff(before_agent)
            } else {
                0
            };
            let at_once = gap > 0 && gap as f64 <= self.effective();
            if at_once && before_agent > 0 && before_agent <= self.max().0 {
                Lesson::EarlyAgent
            } else {
                Lesson::None
            }
        } else if self.agent_start.is_none() && self.agent_end.is_none() {
            Lesson::Pause
        } else {
            Lesson::None
        };
        if lesson != Lesson::None {
            self.learn(pause);
        }

        self.user_end = Some(at);
        if !self.agent_speaking {
            self.agent_start = None;
            self.agent_end = None;
        }
        self.user_speaking = false;
        self.overlapping = false;
        lesson
    }

    /// The agent became audible at `at`.
    pub(super) fn agent_started(&mut self, at: SamplePos) {
        // The user is speaking, so the stored end is of the utterance before: move it behind this overlap,
        // which then counts as no pause.
        if !self.agent_speaking
            && self.user_speaking
            && let (Some(start), Some(end)) = (self.user_start, self.user_end)
            && end < start
        {
            self.user_end = Some(at - self.rate.samples(Duration::from_millis(1)));
        }
        self.agent_start = Some(at);
        self.agent_end = None;
        self.agent_speaking = true;
        self.overlapping = self.user_speaking;
    }

    /// The agent fell silent at `at`. Its start is kept until the user has spoken again.
    pub(super) const fn agent_stopped(&mut self, at: SamplePos) {
        if self.agent_speaking {
            self.agent_end = Some(at);
        }
        self.agent_speaking = false;
        self.overlapping = false;
    }

    /// Goes on in another time base. What was learned is kept, in seconds.
    pub(super) fn rebase(
        &mut self,
        delays: Delays,
        rate: SampleRate,
        grace: SampleCount,
        map: impl Fn(SamplePos) -> SamplePos,
    ) {
        self.learned *= f64::from(rate.hz()) / f64::from(self.rate.hz());
        self.delays = delays;
        self.rate = rate;
        self.grace = grace;
        self.learned = self.clamped(self.learned);
        for at in [
            &mut self.user_start,
            &mut self.user_end,
            &mut self.agent_start,
            &mut self.agent_end,
        ] {
            *at = at.map(&map);
        }
    }

    /// Speech that began this close to the agent's began before the user could have heard it: audio of
    /// a synthesiser starts with silence.
    fn within_grace(&self) -> bool {
        match (self.user_start, self.agent_start) {
            (Some(user), Some(agent)) => user.0.abs_diff(agent.0) < self.grace.0,
            _ => false,
        }
    }

    fn learn(&mut self, pause: u64) {
        if let Delays::Dynamic { alpha, .. } = self.delays {
            let mean = alpha * self.learned + (1.0 - alpha) * pause as f64;
            self.learned = self.clamped(mean);
        }
    }

    const fn clamped(&self, learned: f64) -> f64 {
        learned
            .min(self.delays.max().0 as f64)
            .max(self.delays.min().0 as f64)
    }

    const fn effective(&self) -> f64 {
        self.learned.min(self.max().0 as f64)
    }
}

/// Samples from `earlier` to `later`; 0 if they are the other way round or one is not known.
const fn between(earlier: Option<SamplePos>, later: Option<SamplePos>) -> u64 {
    match (earlier, later) {
        (Some(earlier), Some(later)) => later.since(earlier).0,
        _ => 0,
    }
}
