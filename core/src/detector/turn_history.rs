//! What turn models look at: the last seconds at 16 kHz, and mel frames of the turn that is being spoken.

use listenkit_kernels::Level;

use crate::buf::History;
use crate::dsp::{HOP, LogMel, MelRing};
use crate::resample::{Resampler, ResamplerDesign};
use crate::timeline;
use crate::turn::TurnAudio;
use crate::units::{SampleCount, SamplePos, SampleRate};
use crate::vad::SileroVad;

use super::audio_path::BLOCK;

/// Turn models listen at this rate.
const RATE: SampleRate = SampleRate::HZ_16000;

/// Most frames computed after one window of 32 ms. 3.2 become due; the others catch up with what was said before the
/// turn was known, half a second in 20 windows. What is not ready when a model asks, it computes itself.
const CATCH_UP: usize = 6;

/// Samples that may belong to a turn before the window that shows it: that window, and what the resampler holds back.
const ONSET: u64 = 2 * 512;

/// Positions count samples at 16 kHz from the stream's beginning, gaps included. They are the grid of the mel frames.
#[derive(Debug)]
pub(super) struct TurnHistory {
    input: SampleRate,
    recent: History<f32>,
    mel: Option<MelRing>,
    /// Where the audio of the open turn begins.
    turn_start: Option<u64>,
    /// From the input to 16 kHz, where the VAD listens at another rate.
    own: Option<OwnRate>,
    level: Level,
}

#[derive(Debug)]
struct OwnRate {
    resampler: Resampler,
    buffer: Vec<f32>,
}

impl TurnHistory {
    /// Keeps the last `duration`, in samples of `input`.
    pub(super) fn new(
        vad: &SileroVad,
        input: SampleRate,
        duration: SampleCount,
        mel_frames: bool,
    ) -> Self {
        let samples = usize::try_from(len(duration, input)).unwrap_or(usize::MAX);
        let used = samples > 0;
        let other_rate = vad.rate().sample_rate() != RATE;
        Self {
            input,
            recent: History::new(samples, 1),
            mel: (used && mel_frames).then(|| MelRing::new(LogMel::shared())),
            turn_start: None,
            own: (used && other_rate).then(|| OwnRate::new(input, vad.level())),
            level: vad.level(),
        }
    }

    /// Takes input samples, and what they are at the VAD's rate.
    pub(super) fn push(&mut self, mono: &[f32], analysed: &[f32]) {
        match &mut self.own {
            None => self.recent.push(analysed),
            Some(own) => {
                let written = own.resampler.process(mono, &mut own.buffer).written;
                self.recent.push(&own.buffer[..written]);
            }
        }
    }

    /// The epoch ends: what is inside the resampler comes out. `analysed` is what is inside the VAD's.
    pub(super) fn drain(&mut self, analysed: &[f32]) {
        match &mut self.own {
            None => self.recent.push(analysed),
            Some(own) => {
                let written = own.resampler.flush(&mut own.buffer);
                self.recent.push(&own.buffer[..written]);
            }
        }
    }

    /// A new epoch begins.
    pub(super) fn restart(&mut self) {
        if let Some(own) = &mut self.own {
            own.resampler.reset();
        }
    }

    pub(super) fn change_rate(&mut self, input: SampleRate) {
        self.input = input;
        if let Some(own) = &mut self.own {
            *own = OwnRate::new(input, self.level);
        }
    }

    /// As new.
    pub(super) fn forget(&mut self) {
        self.recent.restart(0);
        self.mel.iter_mut().for_each(MelRing::restart);
        self.turn_start = None;
    }

    /// Time passes without audio: silence, for a turn model.
    pub(super) fn skip(&mut self, duration: SampleCount) {
        self.recent.push_default(len(duration, self.input));
    }

    /// A window is over. While a turn is open or seems to begin, its mel frames are computed; `prefix` is how much of
    /// what came before belongs to it.
    pub(super) fn follow(&mut self, in_turn: bool, prefix: SampleCount) {
        let Some(mel) = &mut self.mel else { return };
        if !in_turn {
            self.turn_start = None;
            return;
        }
        let before = len(prefix, self.input) + ONSET;
        let start = *self
            .turn_start
            .get_or_insert(self.recent.end().saturating_sub(before));
        mel.follow(&self.recent, start, CATCH_UP);
    }

    /// The last samples of the stream: as many as `duration`, in input samples, amounts to, as far as they are kept, up
    /// to the last place on the grid.
    pub(super) fn audio(&self, duration: SampleCount) -> TurnAudio<'_> {
        let now = self.recent.end();
        let end = now - now % HOP as u64;
        let start = now.saturating_sub(len(duration, self.input));
        let start = start.max(self.recent.start()).min(end);
        let (head, tail) = self.recent.range(start, end).unwrap_or((&[], &[]));
        TurnAudio {
            frames: self.mel.as_ref().map(|mel| mel.until(end)),
            ..TurnAudio::new(RATE, head, tail)
        }
    }

    /// Bytes of state that do not depend on how much audio is kept.
    pub(super) fn state_bytes(&self) -> usize {
        let own = self.own.as_ref().map_or(0, |own| {
            own.resampler.state_bytes() + std::mem::size_of_val(own.buffer.as_slice())
        });
        own + self.mel.as_ref().map_or(0, MelRing::state_bytes)
    }

    pub(super) fn retained_bytes(&self) -> usize {
        self.recent.bytes() + self.mel.as_ref().map_or(0, MelRing::bytes)
    }
}

impl OwnRate {
    fn new(input: SampleRate, level: Level) -> Self {
        let design = ResamplerDesign::shared(input, RATE, level);
        let resampler = Resampler::with_design(design).aligned();
        let room = resampler.output_len_max(BLOCK).max(resampler.delay());
        Self {
            resampler,
            buffer: vec![0.0; room],
        }
    }
}

/// Samples at 16 kHz that `duration`, at `input`, amounts to; rounded up.
fn len(duration: SampleCount, input: SampleRate) -> u64 {
    timeline::convert(SamplePos(duration.0), input, RATE).0
}
