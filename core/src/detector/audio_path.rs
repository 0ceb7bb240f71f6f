//! From mono input samples to one probability per window: resampler, window, model.

use crate::resample::{Resampler, ResamplerDesign};
use crate::timeline::Epoch;
use crate::units::{Probability, SampleCount, SamplePos, SampleRate};
use crate::vad::{SileroVad, StateGuard, VadState};

use super::turn_history::TurnHistory;

/// Most samples of mono input that are handled at once: half of 10 ms at 48 kHz.
pub(super) const BLOCK: usize = 240;

/// A window the model has scored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) start: SamplePos,
    pub(super) end: SamplePos,
    /// As the model said.
    pub(super) raw: f32,
    /// After smoothing.
    pub(super) probability: Probability,
}

/// The signal path of one stream, within one epoch.
#[derive(Debug)]
pub(super) struct AudioPath {
    vad: SileroVad,
    state: VadState,
    guard: Option<StateGuard>,
    smoothing: Option<f32>,
    smoothed: Option<f32>,
    epoch: Epoch,
    resampler: Resampler,
    /// The window being filled, at the analysis rate, and room for what its last input gives beyond it.
    buffer: Vec<f32>,
    filled: usize,
    /// Samples of a window.
    window: usize,
    /// Windows completed in this epoch.
    windows: u64,
    /// Input position at which the current window is complete.
    next_at: SamplePos,
    turn: TurnHistory,
}

impl AudioPath {
    pub(super) fn new(
        vad: &SileroVad,
        guard: bool,
        smoothing: Option<f32>,
        input: SampleRate,
        at: SamplePos,
        turn: TurnHistory,
    ) -> Self {
        let analysis = vad.rate().sample_rate();
        let window = vad.rate().window_len();
        let epoch = Epoch::new(at, input, analysis);
        let mut path = Self {
            vad: vad.clone(),
            state: VadState::new(),
            guard: guard.then(StateGuard::new),
            smoothing,
            smoothed: None,
            epoch,
            resampler: resampler(vad, input),
            buffer: vec![0.0; window + analysis.hz().div_ceil(input.hz()) as usize],
            filled: 0,
            window,
            windows: 0,
            next_at: at,
            turn,
        };
        path.next_at = path.window_needs();
        path
    }

    /// The position at which the window being filled is complete. Feeding must stop there.
    pub(super) const fn next_at(&self) -> SamplePos {
        self.next_at
    }

    /// Takes samples that end at or before [`next_at`](Self::next_at); says what the window scored
    /// if it is complete.
    pub(super) fn feed(&mut self, mono: &[f32]) -> Option<Scored> {
        let done = self
            .resampler
            .process(mono, &mut self.buffer[self.filled..]);
        debug_assert_eq!(done.consumed, mono.len(), "there is room up to next_at");
        let analysed = &self.buffer[self.filled..self.filled + done.written];
        self.turn.push(mono, analysed);
        self.filled += done.written;
        (self.filled >= self.window).then(|| self.score(None))
    }

    /// Ends the epoch: what is still inside the resampler comes out, a window that is begun is
    /// filled up with zeros. Call until `None`.
    pub(super) fn drain(&mut self, position: SamplePos) -> Option<Scored> {
        let written = self.resampler.flush(&mut self.buffer[self.filled..]);
        let analysed = &self.buffer[self.filled..self.filled + written];
        self.turn.drain(analysed);
        self.filled += written;
        if self.filled == 0 {
            return None;
        }
        self.buffer[self.filled..].fill(0.0);
        self.filled = self.filled.max(self.window);
        Some(self.score(Some(position)))
    }

    /// Begins a new epoch at `at`, with everything forgotten but the turn so far.
    pub(super) fn restart(&mut self, at: SamplePos) {
        self.epoch = Epoch::new(
            at,
            self.resampler.design().from(),
            self.resampler.design().to(),
        );
        self.resampler.reset();
        self.turn.restart();
        self.state.reset();
        self.guard.iter_mut().for_each(StateGuard::reset);
        self.smoothed = None;
        self.filled = 0;
        self.windows = 0;
        self.next_at = self.window_needs();
    }

    /// Goes on at another input rate.
    pub(super) fn change_rate(&mut self, input: SampleRate, at: SamplePos) {
        if input != self.resampler.design().from() {
            self.resampler = resampler(&self.vad, input);
            let extra = self.vad.rate().hz().div_ceil(input.hz()) as usize;
            self.buffer.resize(self.window + extra, 0.0);
            self.turn.change_rate(input);
        }
        self.restart(at);
    }

    pub(super) fn epoch_start(&self) -> SamplePos {
        self.epoch.start()
    }

    /// Most samples beyond the end of a window that are needed to score it.
    pub(super) fn delay(&self) -> SampleCount {
        SampleCount(self.resampler.longest_lag(self.window))
    }

    /// What turn models look at.
    pub(super) const fn turn(&self) -> &TurnHistory {
        &self.turn
    }

    pub(super) const fn turn_mut(&mut self) -> &mut TurnHistory {
        &mut self.turn
    }

    /// Bytes of state that do not depend on how much audio is kept.
    pub(super) fn state_bytes(&self) -> usize {
        std::mem::size_of::<Self>()
            + std::mem::size_of_val(self.buffer.as_slice())
            + self.resampler.state_bytes()
            + self.turn.state_bytes()
    }

    fn score(&mut self, cut: Option<SamplePos>) -> Scored {
        let raw = self
            .vad
            .probability(&mut self.state, &self.buffer[..self.window]);
        if let Some(guard) = &mut self.guard {
            guard.observe(raw, &mut self.state);
        }
        let smoothed = match (self.smoothing, self.smoothed) {
            (Some(weight), Some(before)) => weight * before + (1.0 - weight) * raw,
            _ => raw,
        };
        self.smoothed = Some(smoothed);
        let len = self.window as u64;
        let end = self.epoch.input_at((self.windows + 1) * len);
        let scored = Scored {
            start: self.epoch.input_at(self.windows * len),
            end: cut.map_or(end, |cut| end.min(cut)),
            raw,
            probability: Probability::clamped(smoothed),
        };
        self.windows += 1;
        self.buffer.copy_within(self.window..self.filled, 0);
        self.filled -= self.window;
        self.next_at = self.window_needs();
        scored
    }

    /// Input position at which the last sample of the current window can be computed.
    fn window_needs(&self) -> SamplePos {
        let last = (self.windows + 1) * self.window as u64 - 1;
        SamplePos(
            self.epoch
                .start()
                .0
                .saturating_add(self.resampler.input_needed(last)),
        )
    }
}

/// From the input's rate to the model's, with kernels of the model's level. Streams of equal rates share the filter.
fn resampler(vad: &SileroVad, input: SampleRate) -> Resampler {
    let design = ResamplerDesign::shared(input, vad.rate().sample_rate(), vad.level());
    Resampler::with_design(design).aligned()
}
