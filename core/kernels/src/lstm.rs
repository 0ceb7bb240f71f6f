//! An LSTM of 128 units: one step for one stream, for several states over the same input, or for the gates that a
//! batch has computed.

use crate::level::{Level, dispatch};
use crate::math::{sigmoid_v, tanh_v};
use crate::matrix::{Matrix, PANEL};
use crate::simd::F32x16;
use core::marker::PhantomData;

/// Units of the LSTM.
pub const HIDDEN: usize = 128;
const GATES: usize = 4;

/// State of one LSTM: what it hears of the past.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct LstmState {
    /// Output of the last step.
    pub h: [f32; HIDDEN],
    /// Cell.
    pub c: [f32; HIDDEN],
}

impl Default for LstmState {
    fn default() -> Self {
        Self {
            h: [0.0; HIDDEN],
            c: [0.0; HIDDEN],
        }
    }
}

/// Weights of an LSTM over 128 inputs.
///
/// A panel of the matrix holds the four gates of sixteen units, in PyTorch's order (input, forget, cell, output), so that one pass over a panel
/// ends with all that these units need.
#[derive(Clone, Debug)]
pub struct LstmWeights {
    /// Rows 0..128 meet the input, rows 128..256 the previous output.
    matrix: Matrix,
    bias: Vec<f32>,
}

impl LstmWeights {
    /// Packs PyTorch's tensors: `input` and `hidden` are `[4 * 128, 128]`, `bias` is the sum of both biases, `[4 * 128]`.
    ///
    /// # Panics
    /// When a slice has another length: shapes are the model's, never the input's.
    pub fn new(input: &[f32], hidden: &[f32], bias: &[f32]) -> Self {
        assert_eq!(input.len(), GATES * HIDDEN * HIDDEN, "input weights");
        assert_eq!(hidden.len(), GATES * HIDDEN * HIDDEN, "hidden weights");
        assert_eq!(bias.len(), GATES * HIDDEN, "biases");
        Self {
            matrix: Matrix::from_fn(2 * HIDDEN, GATES * HIDDEN, |k, column| {
                let m = if k < HIDDEN { input } else { hidden };
                m[torch_row(column) * HIDDEN + k % HIDDEN]
            }),
            bias: (0..GATES * HIDDEN)
                .map(|column| bias[torch_row(column)])
                .collect(),
        }
    }

    /// `[256, 512]`: rows for the input, then for the previous output; columns in the order of [`lstm_cells`].
    pub fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// `[512]`, in the order of [`lstm_cells`].
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }
}

/// Row of PyTorch's weight that a packed column holds.
fn torch_row(column: usize) -> usize {
    let (panel, gate, lane) = (column / PANEL, column % PANEL / 16, column % 16);
    gate * HIDDEN + panel * 16 + lane
}

/// One step of every state over the same `x`. The input's share of the gates is computed once, and each load of the
/// recurrent weights serves up to three states. Every state gets the bits it would get alone.
pub fn lstm_step(level: Level, w: &LstmWeights, x: &[f32; HIDDEN], states: &mut [LstmState]) {
    for group in states.chunks_mut(3) {
        // SAFETY: shapes are in the types.
        unsafe { lstm_step_entry(level, w, x, group) }
    }
}

dispatch!(unsafe fn lstm_step_entry(w: &LstmWeights, x: &[f32; HIDDEN], states: &mut [LstmState]) = lstm_step_body);

/// # Safety
/// At most three states.
#[inline(always)]
unsafe fn lstm_step_body<V: F32x16>(
    _: PhantomData<V>,
    w: &LstmWeights,
    x: &[f32; HIDDEN],
    states: &mut [LstmState],
) {
    // SAFETY: the count of states is matched.
    unsafe {
        match (states.len(), V::UNITS) {
            (1, 2) => steps::<V, 1, 2>(w, x, states),
            (2, 2) => steps::<V, 2, 2>(w, x, states),
            // Three states of two panels would need 24 accumulators and the eight weights besides.
            (3, _) => steps::<V, 3, 1>(w, x, states),
            (2, _) => steps::<V, 2, 1>(w, x, states),
            (1, _) => steps::<V, 1, 1>(w, x, states),
            _ => {}
        }
    }
}

/// `S` states, `U` panels (of 16 units) at a time.
///
/// # Safety
/// `states.len() == S`.
#[inline(always)]
unsafe fn steps<V: F32x16, const S: usize, const U: usize>(
    w: &LstmWeights,
    x: &[f32; HIDDEN],
    states: &mut [LstmState],
) {
    // All units read the old outputs, so the new ones wait here.
    let mut new = [[0.0f32; HIDDEN]; S];
    for panel in (0..HIDDEN / 16).step_by(U) {
        // SAFETY: a panel has 256 rows of 64 columns; the bias has 64 per panel; states have 128 units.
        unsafe {
            let mut input = [[V::splat(0.0); GATES]; U];
            for (u, unit) in input.iter_mut().enumerate() {
                for (g, gate) in unit.iter_mut().enumerate() {
                    *gate = V::load(w.bias.as_ptr().add((panel + u) * PANEL + 16 * g));
                }
            }
            for (k, &x) in x.iter().enumerate() {
                let x = V::splat(x);
                for (u, unit) in input.iter_mut().enumerate() {
                    let row = w.matrix.panel(panel + u).add(k * PANEL);
                    for (g, gate) in unit.iter_mut().enumerate() {
                        *gate = x.fma(V::load(row.add(16 * g)), *gate);
                    }
                }
            }
            let mut acc = [input; S];
            for k in 0..HIDDEN {
                let mut h = [V::splat(0.0); S];
                for (s, h) in h.iter_mut().enumerate() {
                    *h = V::splat(*states.get_unchecked(s).h.as_ptr().add(k));
                }
                for u in 0..U {
                    let row = w.matrix.panel(panel + u).add((HIDDEN + k) * PANEL);
                    for g in 0..GATES {
                        let weights = V::load(row.add(16 * g));
                        for s in 0..S {
                            acc[s][u][g] = h[s].fma(weights, acc[s][u][g]);
                        }
                    }
                }
            }
            for s in 0..S {
                for u in 0..U {
                    let at = 16 * (panel + u);
                    let cell = states.get_unchecked_mut(s).c.as_mut_ptr().add(at);
                    let (h, c) = cell_v(acc[s][u], V::load(cell));
                    c.store(cell);
                    h.store(new[s].as_mut_ptr().add(at));
                }
            }
        }
    }
    for (state, new) in states.iter_mut().zip(&new) {
        state.h = *new;
    }
}

#[inline(always)]
fn cell_v<V: F32x16>(gates: [V; GATES], c: V) -> (V, V) {
    let [i, f, g, o] = gates;
    let c = sigmoid_v(f).fma(c, sigmoid_v(i).mul(tanh_v(g)));
    (sigmoid_v(o).mul(tanh_v(c)), c)
}

/// The end of a step: gates, in the packed order (per sixteen units: their input, forget, cell and output gates), to a new state.
pub fn lstm_cells(level: Level, gates: &[f32; GATES * HIDDEN], state: &mut LstmState) {
    // SAFETY: shapes are in the types.
    unsafe { lstm_cells_entry(level, gates, state) }
}

dispatch!(unsafe fn lstm_cells_entry(gates: &[f32; GATES * HIDDEN], state: &mut LstmState) = lstm_cells_body);

/// # Safety
/// None beyond the level's.
#[inline(always)]
unsafe fn lstm_cells_body<V: F32x16>(
    _: PhantomData<V>,
    gates: &[f32; GATES * HIDDEN],
    state: &mut LstmState,
) {
    for panel in 0..HIDDEN / 16 {
        // SAFETY: eight panels of 64 gates and 16 units.
        unsafe {
            let mut loaded = [V::splat(0.0); GATES];
            for (g, gate) in loaded.iter_mut().enumerate() {
                *gate = V::load(gates.as_ptr().add(panel * PANEL + 16 * g));
            }
            let cell = state.c.as_mut_ptr().add(16 * panel);
            let (h, c) = cell_v(loaded, V::load(cell));
            c.store(cell);
            h.store(state.h.as_mut_ptr().add(16 * panel));
        }
    }
}

/// `bias + sum of w * max(0, h)`: the layer after the LSTM.
pub fn relu_dot(level: Level, h: &[f32; HIDDEN], w: &[f32; HIDDEN], bias: f32) -> f32 {
    // SAFETY: shapes are in the types.
    unsafe { relu_dot_entry(level, h, w, bias) }
}

dispatch!(unsafe fn relu_dot_entry(h: &[f32; HIDDEN], w: &[f32; HIDDEN], bias: f32) -> f32 = relu_dot_body);

/// # Safety
/// None beyond the level's.
#[inline(always)]
unsafe fn relu_dot_body<V: F32x16>(
    _: PhantomData<V>,
    h: &[f32; HIDDEN],
    w: &[f32; HIDDEN],
    bias: f32,
) -> f32 {
    let mut lanes = [0.0f32; 16];
    // SAFETY: both arrays hold 128 floats, `lanes` 16.
    unsafe {
        let mut acc = V::splat(0.0);
        for at in (0..HIDDEN).step_by(16) {
            let h = V::load(h.as_ptr().add(at)).max(V::splat(0.0));
            acc = h.fma(V::load(w.as_ptr().add(at)), acc);
        }
        acc.store(lanes.as_mut_ptr());
    }
    lanes.iter().fold(bias, |sum, lane| sum + lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KernelLevel, Source, affine_rows};

    fn number(i: usize) -> f32 {
        (((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0) * 0.3
    }

    fn weights() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let n = GATES * HIDDEN;
        let of = |len: usize, offset: usize| (0..len).map(|i| number(i + offset)).collect();
        (of(n * HIDDEN, 1), of(n * HIDDEN, 77), of(n, 5))
    }

    fn input(step: usize) -> [f32; HIDDEN] {
        core::array::from_fn(|i| number(i + 131 * step))
    }

    /// The textbook equations in f64, rows in PyTorch's order.
    fn reference(steps: usize) -> (Vec<f64>, Vec<f64>) {
        let (wi, wh, b) = weights();
        let (mut h, mut c) = (vec![0.0f64; HIDDEN], vec![0.0f64; HIDDEN]);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for step in 0..steps {
            let x = input(step);
            let gate: Vec<f64> = (0..GATES * HIDDEN)
                .map(|r| {
                    (0..HIDDEN).fold(f64::from(b[r]), |sum, k| {
                        sum + f64::from(wi[r * HIDDEN + k]) * f64::from(x[k])
                            + f64::from(wh[r * HIDDEN + k]) * h[k]
                    })
                })
                .collect();
            for u in 0..HIDDEN {
                c[u] = sigmoid(gate[HIDDEN + u]) * c[u]
                    + sigmoid(gate[u]) * gate[2 * HIDDEN + u].tanh();
                h[u] = sigmoid(gate[3 * HIDDEN + u]) * c[u].tanh();
            }
        }
        (h, c)
    }

    #[test]
    fn twenty_steps_follow_the_equations_at_every_level() {
        let (wi, wh, b) = weights();
        let w = LstmWeights::new(&wi, &wh, &b);
        let (h, c) = reference(20);
        let mut fused = Vec::new();
        for level in Level::available() {
            let mut state = [LstmState::default()];
            for step in 0..20 {
                lstm_step(level, &w, &input(step), &mut state);
            }
            // Sums of 256 terms of size 0.1 in f32, over 20 steps that forget: some 1e-6.
            for u in 0..HIDDEN {
                assert!(
                    (f64::from(state[0].h[u]) - h[u]).abs() < 3e-6,
                    "{level:?} h {u}"
                );
                assert!(
                    (f64::from(state[0].c[u]) - c[u]).abs() < 6e-6,
                    "{level:?} c {u}"
                );
            }
            if level.kind() != KernelLevel::Portable {
                fused.push(state);
            }
        }
        assert!(fused.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn states_beside_each_other_get_the_bits_they_get_alone_and_in_a_batch() {
        let (wi, wh, b) = weights();
        let w = LstmWeights::new(&wi, &wh, &b);
        for level in Level::available() {
            // State s starts s steps late.
            let mut together: Vec<LstmState> = vec![LstmState::default(); 7];
            for step in 0..10 {
                let count = (step + 1).min(7);
                lstm_step(level, &w, &input(step), &mut together[..count]);
            }
            for (s, state) in together.iter().enumerate() {
                let mut alone = [LstmState::default()];
                let mut batch = LstmState::default();
                for step in s..10 {
                    let x = input(step);
                    lstm_step(level, &w, &x, &mut alone);
                    let mut gates = [0.0; GATES * HIDDEN];
                    let source = |x, first| Source {
                        x,
                        stride: 0,
                        len: HIDDEN,
                        first,
                    };
                    let sources = [source(&x, 0), source(&batch.h, HIDDEN)];
                    affine_rows(
                        level,
                        1,
                        &sources,
                        w.matrix(),
                        w.bias(),
                        &mut gates,
                        512,
                        false,
                    );
                    lstm_cells(level, &gates, &mut batch);
                }
                assert_eq!(*state, alone[0], "{level:?} state {s}");
                assert_eq!(*state, batch, "{level:?} state {s} in a batch");
            }
        }
    }

    #[test]
    fn output_layer_ignores_negative_units() {
        let w: [f32; HIDDEN] = core::array::from_fn(|i| i as f32);
        let h: [f32; HIDDEN] = core::array::from_fn(|i| if i % 2 == 0 { 1.0 } else { -1.0 });
        let expected = (0..HIDDEN).step_by(2).sum::<usize>() as f32 + 0.5;
        for level in Level::available() {
            assert_eq!(relu_dot(level, &h, &w, 0.5), expected);
        }
    }
}
