//! The weights of Smart Turn, from a container to what the kernels take.

use super::Precision;
use super::linear::Linear;
use crate::dsp::{MEL_BANDS, MEL_FRAMES};
use crate::error::ModelError;
use crate::nn::Container;

/// Mel bands of a frame.
pub(super) const BANDS: usize = MEL_BANDS;
/// Frames of a window: 8 s.
pub(super) const FRAMES: usize = MEL_FRAMES;
/// Tokens: frames at the second convolution's stride.
pub(super) const TOKENS: usize = FRAMES / 2;
/// Numbers per token.
pub(super) const WIDTH: usize = 384;
/// Heads of attention.
pub(super) const HEADS: usize = 6;
/// Numbers per token and head.
pub(super) const HEAD: usize = WIDTH / HEADS;
/// Numbers per token inside a feed-forward block.
pub(super) const HIDDEN: usize = 4 * WIDTH;
/// Taps of the convolutions.
pub(super) const TAPS: usize = 3;
/// Outputs of the pool's first layer, and of the classifier's.
pub(super) const POOL: usize = 256;
/// Outputs of the classifier's second layer.
pub(super) const LAST: usize = 64;
const LAYERS: usize = 4;

/// What the model computes with.
#[derive(Debug)]
pub(super) struct Weights {
    /// Of `TAPS * BANDS` inputs: three frames, one after another.
    pub(super) conv1: Linear,
    /// Of `TAPS * WIDTH` inputs.
    pub(super) conv2: Linear,
    /// `[TOKENS, WIDTH]`
    pub(super) position: Vec<f32>,
    pub(super) layers: [Layer; LAYERS],
    pub(super) norm: Norm,
    pub(super) pool_hidden: Linear,
    pub(super) pool_score: Output,
    pub(super) classifier_0: Linear,
    pub(super) classifier_norm: Norm,
    pub(super) classifier_1: Linear,
    pub(super) classifier_2: Output,
}

/// One block of the encoder.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Norm,
    /// Query, key and value side by side; the query is scaled by `1 / sqrt(HEAD)`.
    pub(super) attention_in: Linear,
    pub(super) attention_out: Linear,
    pub(super) feed_forward_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// Gain and bias of a layer normalisation.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) gain: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// A layer with one output.
#[derive(Debug)]
pub(super) struct Output {
    weight: Vec<f32>,
    bias: f32,
}

impl Output {
    /// Sums sixteen interleaved parts, in the same order on every machine.
    pub(super) fn of(&self, x: &[f32]) -> f32 {
        let mut parts = [0.0f32; 16];
        for (x, w) in x.chunks(16).zip(self.weight.chunks(16)) {
            for (part, (x, w)) in parts.iter_mut().zip(x.iter().zip(w)) {
                *part += x * w;
            }
        }
        parts.iter().sum::<f32>() + self.bias
    }
}

/// Names of a layer's weight, scale and bias.
#[derive(Clone, Copy)]
pub(super) struct LinearNames {
    pub(super) weight: &'static str,
    pub(super) scale: &'static str,
    pub(super) bias: Option<&'static str>,
}

macro_rules! linear {
    ($name:expr) => {
        LinearNames {
            weight: concat!($name, ".weight"),
            scale: concat!($name, ".scale"),
            bias: Some(concat!($name, ".bias")),
        }
    };
}

type NormNames = [&'static str; 2];

macro_rules! norm {
    ($name:expr) => {
        [concat!($name, ".weight"), concat!($name, ".bias")]
    };
}

struct LayerNames {
    attention_norm: NormNames,
    attention_in: [LinearNames; 3],
    attention_out: LinearNames,
    feed_forward_norm: NormNames,
    up: LinearNames,
    down: LinearNames,
}

macro_rules! layer {
    ($n:literal) => {
        LayerNames {
            attention_norm: norm!(concat!("layers.", $n, ".attention_norm")),
            attention_in: [
                linear!(concat!("layers.", $n, ".attention.query")),
                LinearNames {
                    bias: None,
                    ..linear!(concat!("layers.", $n, ".attention.key"))
                },
                linear!(concat!("layers.", $n, ".attention.value")),
            ],
            attention_out: linear!(concat!("layers.", $n, ".attention.output")),
            feed_forward_norm: norm!(concat!("layers.", $n, ".feed_forward_norm")),
            up: linear!(concat!("layers.", $n, ".up")),
            down: linear!(concat!("layers.", $n, ".down")),
        }
    };
}

const LAYER_NAMES: [LayerNames; LAYERS] = [layer!(0), layer!(1), layer!(2), layer!(3)];

impl Weights {
    pub(super) fn load(
        container: &Container<'_>,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        let linear = |names, inputs, outputs| {
            let part = part(container, names, &[outputs, inputs])?;
            Ok::<_, ModelError>(Linear::new(precision, &[part]))
        };
        // One row after the convolutions: the time of these is nothing.
        let exact = |names, inputs, outputs| {
            let part = part(container, names, &[outputs, inputs])?;
            Ok::<_, ModelError>(Linear::new(Precision::Exact, &[part]))
        };
        let conv = |names, inputs| {
            let part = part(container, names, &[WIDTH, inputs, TAPS])?;
            Ok::<_, ModelError>(Linear::convolution(precision, part))
        };
        let layer = |names: &LayerNames| {
            let square = [WIDTH, WIDTH];
            let [query, key, value] = names.attention_in;
            let mut query = part(container, query, &square)?;
            // A power of two: exact.
            let scale = 1.0 / (HEAD as f32).sqrt();
            query.scale.iter_mut().for_each(|s| *s *= scale);
            query.bias.iter_mut().for_each(|b| *b *= scale);
            let parts = [
                query,
                part(container, key, &square)?,
                part(container, value, &square)?,
            ];
            Ok(Layer {
                attention_norm: norm(container, names.attention_norm, WIDTH)?,
                attention_in: Linear::new(precision, &parts),
                attention_out: linear(names.attention_out, WIDTH, WIDTH)?,
                feed_forward_norm: norm(container, names.feed_forward_norm, WIDTH)?,
                up: linear(names.up, WIDTH, HIDDEN)?,
                down: linear(names.down, HIDDEN, WIDTH)?,
            })
        };
        let [l0, l1, l2, l3] = &LAYER_NAMES;
        Ok(Self {
            conv1: conv(linear!("conv1"), BANDS)?,
            conv2: conv(linear!("conv2"), WIDTH)?,
            position: container.tensor("position", &[TOKENS, WIDTH])?,
            layers: [layer(l0)?, layer(l1)?, layer(l2)?, layer(l3)?],
            norm: norm(container, norm!("norm"), WIDTH)?,
            pool_hidden: linear(linear!("pool.hidden"), WIDTH, POOL)?,
            pool_score: output(container, linear!("pool.score"), POOL)?,
            classifier_0: exact(linear!("classifier.0"), WIDTH, POOL)?,
            classifier_norm: norm(container, norm!("classifier.norm"), POOL)?,
            classifier_1: exact(linear!("classifier.1"), POOL, LAST)?,
            classifier_2: output(container, linear!("classifier.2"), LAST)?,
        })
    }
}

/// A layer as the file holds it: outputs first.
pub(super) struct Part<'a> {
    /// `[outputs, inputs]`, to be multiplied by `scale` of the output; with a third axis the inputs are `[inputs, taps]`.
    pub(super) weight: &'a [i8],
    pub(super) scale: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

fn part<'a>(
    container: &Container<'a>,
    names: LinearNames,
    shape: &[usize],
) -> Result<Part<'a>, ModelError> {
    let outputs = shape[0];
    Ok(Part {
        weight: container.tensor_i8(names.weight, shape)?,
        scale: container.tensor(names.scale, &[outputs])?,
        bias: match names.bias {
            Some(bias) => container.tensor(bias, &[outputs])?,
            None => vec![0.0; outputs],
        },
    })
}

fn norm(container: &Container<'_>, names: NormNames, len: usize) -> Result<Norm, ModelError> {
    Ok(Norm {
        gain: container.tensor(names[0], &[len])?,
        bias: container.tensor(names[1], &[len])?,
    })
}

fn output(
    container: &Container<'_>,
    names: LinearNames,
    inputs: usize,
) -> Result<Output, ModelError> {
    let part = part(container, names, &[1, inputs])?;
    Ok(Output {
        weight: part
            .weight
            .iter()
            .map(|w| f32::from(*w) * part.scale[0])
            .collect(),
        bias: part.bias[0],
    })
}
