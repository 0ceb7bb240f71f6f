//! A layer `y = x W + b` over many rows, in either precision.

use super::Precision;
use super::weights::{HIDDEN, Part, TAPS, TOKENS, WIDTH};
use listenkit_kernels::{
    AlignedVec, Epilogue, Int8Matrix, Level, Matrix, QuantisedRows, Source, affine_rows, gelu,
    matmul_int8, quantise_rows,
};

/// A weight matrix with its bias.
#[derive(Debug)]
pub(super) struct Linear {
    weights: Weights,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Weights {
    Exact(Matrix),
    Fast(Int8Matrix),
}

/// What a layer needs beside its inputs and outputs.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    /// For the fast precision.
    quantised: QuantisedRows,
    /// `[TOKENS, WIDTH]`, for the exact one.
    products: AlignedVec,
}

impl Scratch {
    pub(super) fn new(precision: Precision) -> Self {
        let (tokens, products) = match precision {
            Precision::Fast => (TOKENS, 0),
            Precision::Exact => (0, TOKENS * WIDTH),
        };
        Self {
            quantised: QuantisedRows::new(tokens, HIDDEN),
            products: AlignedVec::zeros(products),
        }
    }
}

/// Rows of inputs: row `r` is at `r * stride`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

impl Linear {
    /// Packs layers with the same inputs side by side.
    pub(super) fn new(precision: Precision, parts: &[Part<'_>]) -> Self {
        let inputs = parts[0].weight.len() / parts[0].scale.len();
        Self::pack(precision, parts, inputs, |input| input)
    }

    /// Packs a convolution of three taps for rows of three frames: `[outputs, inputs, taps]` in the file, tap by tap here.
    pub(super) fn convolution(precision: Precision, part: Part<'_>) -> Self {
        let len = part.weight.len() / part.scale.len();
        let inputs = len / TAPS;
        Self::pack(precision, &[part], len, |at| {
            at % inputs * TAPS + at / inputs
        })
    }

    /// `place(i)` is where input `i` is in an output's weights, `len` of them.
    fn pack(
        precision: Precision,
        parts: &[Part<'_>],
        len: usize,
        place: impl Fn(usize) -> usize,
    ) -> Self {
        let outputs = parts[0].scale.len();
        let columns = outputs * parts.len();
        let element = |row: usize, column: usize| {
            parts[column / outputs].weight[column % outputs * len + place(row)]
        };
        let scales: Vec<f32> = parts.iter().flat_map(|part| part.scale.clone()).collect();
        let weights = match precision {
            Precision::Exact => Weights::Exact(Matrix::from_fn(len, columns, |row, column| {
                f32::from(element(row, column)) * scales[column]
            })),
            Precision::Fast => Weights::Fast(Int8Matrix::from_fn(len, columns, element, &scales)),
        };
        Self {
            weights,
            bias: parts.iter().flat_map(|part| part.bias.clone()).collect(),
        }
    }

    /// `y = x W + b`, rows of `y` at `y_stride`.
    pub(super) fn apply(
        &self,
        level: Level,
        rows: Rows<'_>,
        scratch: &mut Scratch,
        y: &mut [f32],
        y_stride: usize,
    ) {
        match &self.weights {
            Weights::Exact(w) => self.exact(level, rows, w, y, y_stride),
            Weights::Fast(w) => {
                let q = &mut scratch.quantised;
                self.fast(level, rows, w, q, y, y_stride, Epilogue::Store);
            }
        }
    }

    /// `y = gelu(x W + b)`, rows of `y` one after another.
    pub(super) fn apply_gelu(
        &self,
        level: Level,
        rows: Rows<'_>,
        scratch: &mut Scratch,
        y: &mut [f32],
    ) {
        let y_stride = self.bias.len();
        match &self.weights {
            Weights::Exact(w) => {
                self.exact(level, rows, w, y, y_stride);
                gelu(level, &mut y[..rows.count * y_stride]);
            }
            Weights::Fast(w) => {
                let q = &mut scratch.quantised;
                self.fast(level, rows, w, q, y, y_stride, Epilogue::Gelu);
            }
        }
    }

    /// `y += x W + b` for tokens `[TOKENS, WIDTH]`.
    pub(super) fn add(&self, level: Level, rows: Rows<'_>, scratch: &mut Scratch, y: &mut [f32]) {
        match &self.weights {
            Weights::Exact(w) => {
                self.exact(level, rows, w, &mut scratch.products, WIDTH);
                let products = scratch.products.iter();
                y.iter_mut().zip(products).for_each(|(y, p)| *y += p);
            }
            Weights::Fast(w) => {
                let q = &mut scratch.quantised;
                self.fast(level, rows, w, q, y, WIDTH, Epilogue::Add);
            }
        }
    }

    fn exact(&self, level: Level, rows: Rows<'_>, w: &Matrix, y: &mut [f32], y_stride: usize) {
        let source = Source {
            x: rows.x,
            stride: rows.stride,
            len: w.rows(),
            first: 0,
        };
        let bias = &self.bias;
        affine_rows(level, rows.count, &[source], w, bias, y, y_stride, false);
    }

    #[allow(clippy::too_many_arguments)]
    fn fast(
        &self,
        level: Level,
        rows: Rows<'_>,
        w: &Int8Matrix,
        q: &mut QuantisedRows,
        y: &mut [f32],
        y_stride: usize,
        epilogue: Epilogue,
    ) {
        quantise_rows(level, rows.count, rows.x, rows.stride, w.rows(), q);
        matmul_int8(level, q, w, Some(&self.bias), y, y_stride, epilogue);
    }
}
