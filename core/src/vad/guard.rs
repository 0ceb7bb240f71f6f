//! The state guard: the first words are heard, also after a long time without any.
//!
//! Some cells of Silero's LSTM are counters: their forget gate stays near 1 and nothing bounds them. While nobody speaks they
//! count up (after 30 s of music |c| is 10 to 300, where speech keeps it below 5 in most cells), and since `tanh` is flat out
//! there, the first seconds of speech go into counting back down. Control engineers call this integrator wind-up, and their
//! remedy is a leak: while the model is sure that nobody speaks, each window takes 3 % off the cells. They keep the last
//! second or so, and forget the half minute before.
//!
//! How the rule and its three numbers were chosen, and what else was tried: `docs/decisions/0003-state-guard.md`.

use super::VadState;

/// Windows below this probability are sure to hold no speech: only they count, and only in them do the cells leak. A model
/// that has gone deaf stays far below it; a quiet voice does not, and must not be drained.
const SURE_BELOW: f32 = 0.05;
/// A window of speech. The count of quiet windows starts again.
const SPEECH_FROM: f32 = 0.5;
/// Quiet windows that pass untouched, 2 s: within a turn and its pauses the model is the official one, bit for bit.
const PATIENCE: u8 = 62;
/// What remains of a cell after each further quiet window. Halves it in 0.7 s.
const LEAK: f32 = 0.97;

/// Keeps one stream's [`VadState`] from going deaf in long noise or music.
///
/// Depends on nothing but the probabilities of the windows before, so it is as deterministic as the model, at both rates. Costs
/// a byte of state, and 128 multiplications a window while the stream is quiet.
///
/// ```
/// # #[cfg(feature = "embedded-models")] {
/// use listenkit::vad::{SileroVad, StateGuard, VadRate, VadState};
///
/// let vad = SileroVad::embedded(VadRate::Hz16000)?;
/// let (mut state, mut guard) = (VadState::new(), StateGuard::new());
/// for window in vec![0.0; 16_000].chunks(vad.rate().window_len()) {
///     let probability = vad.probability(&mut state, window);
///     guard.observe(probability, &mut state);
/// }
/// # }
/// # Ok::<(), listenkit::ModelError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateGuard {
    /// Quiet windows since speech, at most `PATIENCE`.
    quiet: u8,
}

impl StateGuard {
    /// The guard of a stream that has heard nothing.
    pub const fn new() -> Self {
        Self { quiet: 0 }
    }

    /// To be called after every window, with the model's own probability for it and the state it left behind. What changes is
    /// the state that the next window meets.
    pub fn observe(&mut self, probability: f32, state: &mut VadState) {
        if probability >= SPEECH_FROM {
            self.quiet = 0;
        } else if probability < SURE_BELOW {
            if self.quiet < PATIENCE {
                self.quiet += 1;
            } else {
                state.lstm.c.iter_mut().for_each(|cell| *cell *= LEAK);
            }
        }
    }

    /// Forgets everything: equal to a new guard. Goes with [`VadState::reset`].
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> VadState {
        let mut state = VadState::new();
        for (i, (c, h)) in state.lstm.c.iter_mut().zip(&mut state.lstm.h).enumerate() {
            *c = i as f32 - 64.0;
            *h = i as f32 / 128.0;
        }
        state
    }

    /// Windows of `probability` until the state changes, of `limit` at most.
    fn untouched(guard: &mut StateGuard, probability: f32, limit: usize) -> usize {
        let (before, mut now) = (state(), state());
        (0..limit)
            .take_while(|_| {
                guard.observe(probability, &mut now);
                now == before
            })
            .count()
    }

    #[test]
    fn two_seconds_of_quiet_pass_untouched_and_then_every_window_leaks() {
        let mut guard = StateGuard::new();
        assert_eq!(untouched(&mut guard, 0.049, 1_000), 62);
        for _ in 0..1_000 {
            assert_eq!(untouched(&mut guard, 0.0, 1), 0);
        }
    }

    #[test]
    fn a_leak_takes_three_percent_off_the_cells_and_leaves_the_rest() {
        let mut guard = StateGuard { quiet: PATIENCE };
        let (before, mut after) = (state(), state());
        guard.observe(0.0, &mut after);
        for (before, after) in before.lstm.c.iter().zip(&after.lstm.c) {
            assert_eq!(*after, *before * 0.97);
        }
        assert_eq!(after.lstm.h, before.lstm.h);
        assert_eq!(after.context, before.context);
    }

    #[test]
    fn one_window_of_speech_starts_the_count_again() {
        let mut guard = StateGuard { quiet: PATIENCE };
        assert_eq!(untouched(&mut guard, 0.5, 1), 1);
        assert_eq!(untouched(&mut guard, 0.0, 1_000), 62);
    }

    #[test]
    fn doubtful_windows_neither_count_nor_leak_nor_start_again() {
        let mut guard = StateGuard::new();
        assert_eq!(untouched(&mut guard, 0.0, 61), 61);
        assert_eq!(untouched(&mut guard, 0.05, 1_000), 1_000);
        assert_eq!(untouched(&mut guard, 0.499, 1_000), 1_000);
        assert_eq!(untouched(&mut guard, 0.0, 1_000), 1);
    }

    #[test]
    fn a_reset_guard_is_a_new_one() {
        let mut guard = StateGuard { quiet: 40 };
        guard.reset();
        assert_eq!(guard, StateGuard::default());
        assert_eq!(guard, StateGuard::new());
    }
}
