//! Self-attention of all heads, one after another.

use super::Precision;
use super::weights::{HEAD, HEADS, TOKENS, WIDTH};
use listenkit_kernels::{AlignedVec, Int8Attention, Level, Matrix, Source, affine_rows, softmax};

/// Query rows whose scores are held at once: 90 KB of them, well within the second cache.
const BLOCK: usize = 50;
/// Distance between rows of query, key and value side by side.
const STRIDE: usize = 3 * WIDTH;

/// Memory for one head at a time.
#[derive(Clone, Debug)]
pub(super) enum Attention {
    Exact(Box<Exact>),
    Fast(Box<Int8Attention>),
}

impl Attention {
    pub(super) fn new(precision: Precision) -> Self {
        match precision {
            Precision::Exact => Self::Exact(Box::new(Exact::new())),
            Precision::Fast => Self::Fast(Box::new(Int8Attention::new(TOKENS, HEAD))),
        }
    }

    /// `[TOKENS, 3 * WIDTH]`, the query already scaled, to `[TOKENS, WIDTH]`.
    pub(super) fn heads(&mut self, level: Level, x: &[f32], y: &mut [f32]) {
        for at in (0..HEADS).map(|head| head * HEAD) {
            let rows = [&x[at..], &x[WIDTH + at..], &x[2 * WIDTH + at..]];
            match self {
                Self::Exact(exact) => exact.head(level, rows, &mut y[at..]),
                Self::Fast(fast) => fast.head(level, rows, STRIDE, &mut y[at..], WIDTH),
            }
        }
    }
}

/// The same in `f32`.
#[derive(Clone, Debug)]
pub(super) struct Exact {
    /// `[HEAD, TOKENS]`
    keys: Matrix,
    /// `[TOKENS, HEAD]`
    values: Matrix,
    /// `[BLOCK, columns of keys]`
    scores: AlignedVec,
    no_bias: AlignedVec,
}

impl Exact {
    fn new() -> Self {
        let keys = Matrix::zeros(HEAD, TOKENS);
        let columns = keys.columns();
        Self {
            keys,
            values: Matrix::zeros(TOKENS, HEAD),
            scores: AlignedVec::zeros(BLOCK * columns),
            no_bias: AlignedVec::zeros(columns),
        }
    }

    fn head(&mut self, level: Level, [query, key, value]: [&[f32]; 3], y: &mut [f32]) {
        self.keys.repack_transposed(level, key, STRIDE, TOKENS);
        self.values.repack(value, STRIDE, HEAD);
        let columns = self.keys.columns();
        for first in (0..TOKENS).step_by(BLOCK) {
            let rows = BLOCK.min(TOKENS - first);
            let queries = Source {
                x: &query[first * STRIDE..],
                stride: STRIDE,
                len: HEAD,
                first: 0,
            };
            affine_rows(
                level,
                rows,
                &[queries],
                &self.keys,
                &self.no_bias,
                &mut self.scores,
                columns,
                false,
            );
            softmax(level, &mut self.scores, rows, columns, TOKENS);
            let weights = Source {
                x: &self.scores,
                stride: columns,
                len: TOKENS,
                first: 0,
            };
            affine_rows(
                level,
                rows,
                &[weights],
                &self.values,
                &self.no_bias[..HEAD],
                &mut y[first * WIDTH..],
                WIDTH,
                false,
            );
        }
    }
}
