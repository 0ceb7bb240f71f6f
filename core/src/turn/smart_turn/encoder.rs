//! Features to a probability: two convolutions, four layers of attention and feed-forward, attention pooling, a classifier.

use super::Precision;
use super::attention::Attention;
use super::linear::{Rows, Scratch};
use super::weights::{BANDS, FRAMES, HIDDEN, LAST, Layer, POOL, TAPS, TOKENS, WIDTH, Weights};
use crate::dsp::MelFeatures;
use listenkit_kernels::{AlignedVec, Level, gelu, layer_norm, sigmoid_one, softmax, tanh};

const EPSILON: f32 = 1e-5;
/// Larger features are cut to this, and NaN to 0. Log-mel features lie within -1.5 and 3 or so.
const FEATURE_LIMIT: f32 = 64.0;

/// Memory for one answer at a time, 5 MB.
#[derive(Clone, Debug)]
pub(super) struct Workspace {
    /// `[TOKENS, WIDTH]`: what the layers add to.
    x: AlignedVec,
    /// `[TOKENS, WIDTH]`: normalised rows, or what attention gave. Before the first layer the frames between two zero ones,
    /// `[1 + FRAMES + 1, BANDS]`.
    rows: AlignedVec,
    /// `[TOKENS, HIDDEN]`: whatever is wider. Before the first layer the first convolution's outputs between two zero
    /// frames, `[1 + FRAMES + 1, WIDTH]`.
    wide: AlignedVec,
    attention: Attention,
    scratch: Scratch,
}

impl Workspace {
    pub(super) fn new(precision: Precision) -> Self {
        Self {
            x: AlignedVec::zeros(TOKENS * WIDTH),
            rows: AlignedVec::zeros(TOKENS * WIDTH),
            wide: AlignedVec::zeros(TOKENS * HIDDEN),
            attention: Attention::new(precision),
            scratch: Scratch::new(precision),
        }
    }
}

/// The probability for features `[BANDS, FRAMES]`.
pub(super) fn probability(
    level: Level,
    weights: &Weights,
    features: &MelFeatures,
    work: &mut Workspace,
) -> f32 {
    convolutions(level, weights, features, work);
    for layer in &weights.layers {
        attention(level, layer, work);
        feed_forward(level, layer, work);
    }
    let pooled = pool(level, weights, work);
    classify(level, weights, &pooled, &mut work.scratch)
}

/// Frames to tokens. A row of three frames is in one piece where frames follow one another, so both convolutions are matrix
/// products over overlapping rows.
fn convolutions(level: Level, weights: &Weights, features: &MelFeatures, work: &mut Workspace) {
    let frames = &mut work.rows[..(FRAMES + 2) * BANDS];
    frames[..BANDS].fill(0.0);
    frames[(FRAMES + 1) * BANDS..].fill(0.0);
    for (band, values) in features.as_chunks::<FRAMES>().0.iter().enumerate() {
        for (frame, value) in frames.chunks_exact_mut(BANDS).skip(1).zip(values) {
            frame[band] = bounded(*value);
        }
    }
    let wide = &mut work.wide[..(FRAMES + 2) * WIDTH];
    wide[..WIDTH].fill(0.0);
    wide[(FRAMES + 1) * WIDTH..].fill(0.0);
    // In two halves: the scratch holds as many rows as there are tokens.
    for first in [0, TOKENS] {
        let rows = Rows {
            x: &frames[first * BANDS..],
            stride: BANDS,
            count: TOKENS,
        };
        let y = &mut wide[(1 + first) * WIDTH..][..TOKENS * WIDTH];
        weights.conv1.apply_gelu(level, rows, &mut work.scratch, y);
    }
    let rows = Rows {
        x: wide,
        stride: 2 * WIDTH,
        count: TOKENS,
    };
    weights
        .conv2
        .apply_gelu(level, rows, &mut work.scratch, &mut work.x);
    let positions = weights.position.iter();
    work.x.iter_mut().zip(positions).for_each(|(x, p)| *x += p);
}

/// `x += attention(norm(x))`
fn attention(level: Level, layer: &Layer, work: &mut Workspace) {
    let norm = &layer.attention_norm;
    layer_norm(
        level,
        &work.x,
        &norm.gain,
        &norm.bias,
        EPSILON,
        &mut work.rows,
    );
    let scratch = &mut work.scratch;
    layer.attention_in.apply(
        level,
        tokens(&work.rows, WIDTH),
        scratch,
        &mut work.wide,
        3 * WIDTH,
    );
    work.attention.heads(level, &work.wide, &mut work.rows);
    layer
        .attention_out
        .add(level, tokens(&work.rows, WIDTH), scratch, &mut work.x);
}

/// `x += down(gelu(up(norm(x))))`
fn feed_forward(level: Level, layer: &Layer, work: &mut Workspace) {
    let norm = &layer.feed_forward_norm;
    layer_norm(
        level,
        &work.x,
        &norm.gain,
        &norm.bias,
        EPSILON,
        &mut work.rows,
    );
    let scratch = &mut work.scratch;
    layer
        .up
        .apply_gelu(level, tokens(&work.rows, WIDTH), scratch, &mut work.wide);
    layer
        .down
        .add(level, tokens(&work.wide, HIDDEN), scratch, &mut work.x);
}

/// The tokens, weighted by how much each has to say.
fn pool(level: Level, weights: &Weights, work: &mut Workspace) -> [f32; WIDTH] {
    let norm = &weights.norm;
    layer_norm(
        level,
        &work.x,
        &norm.gain,
        &norm.bias,
        EPSILON,
        &mut work.rows,
    );
    let hidden = &mut work.wide[..TOKENS * POOL];
    weights.pool_hidden.apply(
        level,
        tokens(&work.rows, WIDTH),
        &mut work.scratch,
        hidden,
        POOL,
    );
    tanh(level, hidden);
    let mut scores = [0.0; TOKENS];
    for (score, hidden) in scores.iter_mut().zip(hidden.chunks_exact(POOL)) {
        *score = weights.pool_score.of(hidden);
    }
    softmax(level, &mut scores, 1, TOKENS, TOKENS);
    let mut pooled = [0.0; WIDTH];
    for (weight, row) in scores.iter().zip(work.rows.chunks_exact(WIDTH)) {
        for (pooled, value) in pooled.iter_mut().zip(row) {
            *pooled += weight * value;
        }
    }
    pooled
}

fn classify(level: Level, weights: &Weights, pooled: &[f32; WIDTH], scratch: &mut Scratch) -> f32 {
    let row = |x| Rows {
        x,
        stride: 0,
        count: 1,
    };
    let (mut first, mut normed) = ([0.0; POOL], [0.0; POOL]);
    weights
        .classifier_0
        .apply(level, row(pooled), scratch, &mut first, POOL);
    let norm = &weights.classifier_norm;
    layer_norm(level, &first, &norm.gain, &norm.bias, EPSILON, &mut normed);
    gelu(level, &mut normed);
    let mut last = [0.0; LAST];
    weights
        .classifier_1
        .apply(level, row(&normed), scratch, &mut last, LAST);
    gelu(level, &mut last);
    sigmoid_one(level, weights.classifier_2.of(&last))
}

fn bounded(feature: f32) -> f32 {
    if feature.is_nan() {
        0.0
    } else {
        feature.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
    }
}

fn tokens(x: &[f32], stride: usize) -> Rows<'_> {
    Rows {
        x,
        stride,
        count: TOKENS,
    }
}

const _: () = assert!(TAPS == 3, "rows of the convolutions are three frames");
