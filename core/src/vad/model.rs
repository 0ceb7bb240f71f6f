//! The model for one stream: windows in, probabilities out.
//!
//! At 16 kHz: 64 samples of context and 512 new ones, 64 more mirrored on the right; four frames of a 256-point STFT at
//! hop 128, magnitudes; convolutions 129 -> 128, 128 -> 64 (stride 2), 64 -> 64 (stride 2), 64 -> 128 of kernel 3, each with `max(0, .)`;
//! an LSTM of 128; `max(0, .)`, a linear layer to one number, a sigmoid. At 8 kHz all lengths in samples are half as long, and there are 65 bins.

use crate::error::ModelError;
use crate::nn::{Container, Conv, Dense};
use crate::units::SampleRate;
use listenkit_kernels::{
    FRAMES, Gates, HIDDEN, KernelLevel, Level, LstmState, LstmWeights, Stft, StftSize,
    copy_bounded, lstm_finish, lstm_recurrent, relu_dot, sigmoid_one,
};
use std::sync::Arc;

/// Outputs of the four convolutions.
pub(crate) const CHANNELS: [usize; 4] = [128, 64, 64, 128];
/// Longest padded input: that of 16 kHz.
const MAX_SAMPLES: usize = 640;
/// Longest context: that of 16 kHz.
const MAX_CONTEXT: usize = 64;
/// Distance between frames of magnitudes: the bins of 16 kHz in whole vectors.
pub(crate) const MAX_BINS: usize = 144;
/// Larger samples are cut to this, and NaN to 0. Speech is within 1; the bound only keeps sums of squares finite, so that no input
/// can leave NaN in a stream's state.
const SAMPLE_LIMIT: f32 = 65_536.0;

/// What the encoder says about a window, and all the LSTM sees of it.
pub(crate) type Features = [f32; HIDDEN];

/// Sample rate that the model listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VadRate {
    /// 8 kHz: windows of 256 samples.
    Hz8000,
    /// 16 kHz: windows of 512 samples.
    Hz16000,
}

impl VadRate {
    /// The branch to listen with to a stream at `input`: the 8 kHz one up to 8 kHz, the 16 kHz one above.
    ///
    /// On telephone audio the two are equally good, and the native one needs no resampler: `docs/decisions/0005-telephone-audio.md`.
    pub const fn for_input(input: SampleRate) -> Self {
        if input.hz() <= 8_000 {
            Self::Hz8000
        } else {
            Self::Hz16000
        }
    }

    /// The rate in Hz.
    pub fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
        }
    }

    /// The rate.
    pub const fn sample_rate(self) -> SampleRate {
        match self {
            Self::Hz8000 => SampleRate::HZ_8000,
            Self::Hz16000 => SampleRate::HZ_16000,
        }
    }

    /// New samples in a window: 32 ms.
    pub fn window_len(self) -> usize {
        self.size().hop() * FRAMES
    }

    /// Samples of the previous window that the model sees again: 4 ms.
    pub fn context_len(self) -> usize {
        self.size().hop() / 2
    }

    fn size(self) -> StftSize {
        match self {
            Self::Hz8000 => StftSize::Points128,
            Self::Hz16000 => StftSize::Points256,
        }
    }
}

/// What one stream remembers between windows: about 1.3 kB, no heap.
///
/// A new state is a stream that has heard silence. It belongs to the rate of the model it is used with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VadState {
    pub(crate) lstm: LstmState,
    pub(crate) context: VadContext,
}

/// The last samples of the previous window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VadContext([f32; MAX_CONTEXT]);

impl Default for VadContext {
    fn default() -> Self {
        Self([0.0; MAX_CONTEXT])
    }
}

impl VadState {
    /// A stream that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything: equal to a new state.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

/// Silero VAD v6. Cloning shares the weights.
#[derive(Clone, Debug)]
pub struct SileroVad {
    model: Arc<Model>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) rate: VadRate,
    pub(crate) level: Level,
    pub(crate) stft: Stft,
    pub(crate) conv1: Conv,
    pub(crate) conv2: Conv,
    pub(crate) conv3: Dense,
    pub(crate) conv4: Dense,
    pub(crate) lstm: LstmWeights,
    output: [f32; HIDDEN],
    output_bias: f32,
}

impl SileroVad {
    /// The model built into the library, at the fastest kernel level of this machine.
    ///
    /// # Errors
    /// [`ModelError`] when the embedded weights are damaged.
    #[cfg(feature = "embedded-models")]
    pub fn embedded(rate: VadRate) -> Result<Self, ModelError> {
        Self::load(listenkit_models::SILERO_VAD, rate, Level::detect())
    }

    /// The model built into the library, at the kernel level given, as a replay needs it.
    ///
    /// # Errors
    /// [`ModelError`] when this machine lacks the level, or the embedded weights are damaged.
    #[cfg(feature = "embedded-models")]
    pub fn embedded_at(rate: VadRate, level: KernelLevel) -> Result<Self, ModelError> {
        Self::from_bytes(listenkit_models::SILERO_VAD, rate, level)
    }

    /// The model in a weight file made by `models/silero_vad/convert.py`. The bytes are copied and may be dropped.
    ///
    /// # Errors
    /// [`ModelError`] when this machine lacks the level, or the bytes are not this model's.
    pub fn from_bytes(bytes: &[u8], rate: VadRate, level: KernelLevel) -> Result<Self, ModelError> {
        let level = Level::new(level).ok_or(ModelError::KernelLevel {
            level: level.name(),
        })?;
        Self::load(bytes, rate, level)
    }

    fn load(bytes: &[u8], rate: VadRate, level: Level) -> Result<Self, ModelError> {
        let container = Container::parse(bytes)?;
        let names = match rate {
            VadRate::Hz8000 => &NAMES_8K,
            VadRate::Hz16000 => &NAMES_16K,
        };
        let stft = Stft::new(rate.size());
        let bins = stft.size().bins();
        let [c1, c2, c3, c4] = CHANNELS;
        let conv = |i: usize| (names.encoder[2 * i], names.encoder[2 * i + 1]);
        let gates = 4 * HIDDEN;
        let mut bias = container.tensor(names.lstm[2], &[gates])?;
        let bias_hidden = container.tensor(names.lstm[3], &[gates])?;
        bias.iter_mut()
            .zip(bias_hidden)
            .for_each(|(bias, hidden)| *bias += hidden);
        let output = container.tensor(names.output[0], &[HIDDEN])?;
        let model = Model {
            rate,
            level,
            stft,
            conv1: Conv::load(&container, conv(0), bins, c1, 1)?,
            conv2: Conv::load(&container, conv(1), c1, c2, 2)?,
            // Two frames at stride 2 make one: its first tap meets the zero frame.
            conv3: Dense::load(&container, conv(2), c2, c3, 1..3)?,
            // One frame between two zero frames.
            conv4: Dense::load(&container, conv(3), c3, c4, 1..2)?,
            lstm: LstmWeights::new(
                &container.tensor(names.lstm[0], &[gates, HIDDEN])?,
                &container.tensor(names.lstm[1], &[gates, HIDDEN])?,
                &bias,
            ),
            output: core::array::from_fn(|i| output[i]),
            output_bias: container.tensor(names.output[1], &[1])?[0],
        };
        Ok(Self {
            model: Arc::new(model),
        })
    }

    /// The rate that the model listens at.
    pub fn rate(&self) -> VadRate {
        self.model.rate
    }

    /// The kernel level chosen at construction.
    pub fn kernel_level(&self) -> KernelLevel {
        self.model.level.kind()
    }

    /// The same, as kernels take it.
    pub(crate) fn level(&self) -> Level {
        self.model.level
    }

    /// Probability that `window` holds speech, given all that `state` has heard.
    ///
    /// The window is [`VadRate::window_len`] samples in [-1, 1]. A shorter one is taken as followed by zeros, what is beyond
    /// the length is not read, NaN counts as zero, and samples are cut at +-65536. Allocates nothing.
    pub fn probability(&self, state: &mut VadState, window: &[f32]) -> f32 {
        let model = &*self.model;
        let mut gates = Gates::default();
        let features =
            self.encode_beside(&mut state.context, window, Some((&state.lstm, &mut gates)));
        let (gates, state) = (core::slice::from_ref(&gates), &mut state.lstm);
        lstm_finish(
            model.level,
            &model.lstm,
            &features,
            gates,
            core::slice::from_mut(state),
        );
        model.output(state)
    }

    /// The part without memory but for the context, which moves on to the end of `window`.
    #[allow(
        dead_code,
        reason = "for states beside the stream's own, such as a guard's"
    )]
    pub(crate) fn encode(&self, context: &mut VadContext, window: &[f32]) -> Features {
        self.encode_beside(context, window, None)
    }

    /// [`SileroVad::encode`], and in the same pass over the weights what one state gives to its next gates.
    fn encode_beside(
        &self,
        context: &mut VadContext,
        window: &[f32],
        recurrent: Option<(&LstmState, &mut Gates)>,
    ) -> Features {
        let model = &*self.model;
        let [c1, c2, c3, c4] = CHANNELS;
        let mut samples = Aligned([0.0f32; MAX_SAMPLES]);
        model.pad(context, window, &mut samples.0);
        let mut magnitudes = Aligned([0.0f32; FRAMES * MAX_BINS]);
        model
            .stft
            .magnitudes(model.level, &samples.0, &mut magnitudes.0, MAX_BINS);
        let mut y1 = Aligned([0.0f32; FRAMES * 128]);
        let (x, y) = (&magnitudes.0, &mut y1.0[..FRAMES * c1]);
        match recurrent {
            Some((state, gates)) => {
                let lstm = (&model.lstm, &state.h);
                model
                    .conv1
                    .window_beside(model.level, x, MAX_BINS, y, lstm, gates);
            }
            None => model.conv1.window(model.level, x, MAX_BINS, y),
        }
        let mut y2 = Aligned([0.0f32; FRAMES / 2 * 64]);
        model
            .conv2
            .window(model.level, &y1.0, c1, &mut y2.0[..FRAMES / 2 * c2]);
        let mut y3 = Aligned([0.0f32; 64]);
        model
            .conv3
            .rows(model.level, 1, FRAMES / 2, &y2.0, &mut y3.0[..c3]);
        let mut y4 = Aligned([0.0f32; 128]);
        model.conv4.rows(model.level, 1, 1, &y3.0, &mut y4.0[..c4]);
        y4.0
    }

    /// The part with memory: moves every state on by one window and says what each makes of it. The states see the same features;
    /// each gets the bits it would get alone, and each load of the recurrent weights serves up to three. Fills as many probabilities
    /// as there are states.
    #[allow(
        dead_code,
        reason = "for states beside the stream's own, such as a guard's"
    )]
    pub(crate) fn step(
        &self,
        features: &Features,
        states: &mut [LstmState],
        probabilities: &mut [f32],
    ) {
        let model = &*self.model;
        for (states, probabilities) in states.chunks_mut(3).zip(probabilities.chunks_mut(3)) {
            let mut gates = [const { Gates([0.0; 4 * HIDDEN]) }; 3];
            lstm_recurrent(model.level, &model.lstm, states, &mut gates);
            lstm_finish(model.level, &model.lstm, features, &gates, states);
            for (state, probability) in states.iter().zip(probabilities) {
                *probability = model.output(state);
            }
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }
}

impl Model {
    /// Context, window and mirrored end, as the STFT reads them; then the window's end becomes the context.
    pub(crate) fn pad(&self, context: &mut VadContext, window: &[f32], samples: &mut [f32]) {
        let (context_len, window_len) = (self.rate.context_len(), self.rate.window_len());
        let end = context_len + window_len;
        samples[..context_len].copy_from_slice(&context.0[..context_len]);
        let window = &window[..window.len().min(window_len)];
        let (new, rest) = samples[context_len..end].split_at_mut(window.len());
        copy_bounded(self.level, window, new, SAMPLE_LIMIT);
        rest.fill(0.0);
        let (samples, mirrored) = samples.split_at_mut(end);
        for (mirror, &sample) in mirrored[..context_len]
            .iter_mut()
            .zip(samples[..end - 1].iter().rev())
        {
            *mirror = sample;
        }
        context.0[..context_len].copy_from_slice(&samples[window_len..]);
    }

    /// The layer after the LSTM.
    pub(crate) fn output(&self, state: &LstmState) -> f32 {
        let logit = relu_dot(self.level, &state.h, &self.output, self.output_bias);
        sigmoid_one(self.level, logit)
    }
}

/// Scratch on cache lines of its own.
#[repr(C, align(64))]
struct Aligned<T>(T);

struct Names {
    encoder: [&'static str; 8],
    lstm: [&'static str; 4],
    output: [&'static str; 2],
}

macro_rules! names {
    ($rate:literal) => {
        Names {
            encoder: [
                concat!($rate, "/encoder.0.weight"),
                concat!($rate, "/encoder.0.bias"),
                concat!($rate, "/encoder.1.weight"),
                concat!($rate, "/encoder.1.bias"),
                concat!($rate, "/encoder.2.weight"),
                concat!($rate, "/encoder.2.bias"),
                concat!($rate, "/encoder.3.weight"),
                concat!($rate, "/encoder.3.bias"),
            ],
            lstm: [
                concat!($rate, "/lstm.weight_ih"),
                concat!($rate, "/lstm.weight_hh"),
                concat!($rate, "/lstm.bias_ih"),
                concat!($rate, "/lstm.bias_hh"),
            ],
            output: [
                concat!($rate, "/output.weight"),
                concat!($rate, "/output.bias"),
            ],
        }
    };
}

const NAMES_16K: Names = names!("16k");
const NAMES_8K: Names = names!("8k");

#[cfg(all(test, feature = "embedded-models"))]
mod tests {
    use super::*;
    use crate::vad::test_signal;

    #[test]
    fn states_that_share_features_get_the_probabilities_they_get_alone() {
        for rate in [VadRate::Hz8000, VadRate::Hz16000] {
            let vad = SileroVad::embedded(rate).expect("embedded");
            let signal = test_signal(rate, 12);
            let windows: Vec<&[f32]> = signal.chunks(rate.window_len()).collect();
            // State s is fresh at window s, as a guard's companions are; more states than one pass of the kernel takes.
            let (mut context, mut states) = (VadContext::default(), vec![LstmState::default(); 5]);
            let mut together = Vec::new();
            for (at, window) in windows.iter().enumerate() {
                let features = vad.encode(&mut context, window);
                let count = (at + 1).min(5);
                let mut probabilities = vec![0.0; count];
                vad.step(&features, &mut states[..count], &mut probabilities);
                together.push(probabilities);
            }
            for first in 0..5 {
                let mut alone = VadState::new();
                for (at, window) in windows.iter().enumerate() {
                    if at == first {
                        alone.lstm = LstmState::default();
                    }
                    let expected = vad.probability(&mut alone, window);
                    if at >= first {
                        assert_eq!(
                            together[at][first], expected,
                            "{rate:?} window {at} state {first}"
                        );
                    }
                }
                assert_eq!(alone.lstm, states[first]);
                assert_eq!(alone.context, context);
            }
        }
    }
}
