//! An LSTM of 128 units: one step for one stream, for several states over the same input, or for the gates that a
//! batch has computed.

use crate::level::{Level, dispatch};
use crate::math::{sigmoid_v, tanh_v};
use crate::matrix::{Matrix, PANEL};
use crate::simd::F32x16;
use crate::sparse::Nonzero;
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

    /// `[256, 512]`: rows for the input, then for the previous output; columns in the order of [`Gates`].
    pub fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// `[512]`, in the order of [`Gates`].
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }
}

/// Row of PyTorch's weight that a packed column holds.
fn torch_row(column: usize) -> usize {
    let (panel, gate, lane) = (column / PANEL, column % PANEL / 16, column % 16);
    gate * HIDDEN + panel * 16 + lane
}

/// The gates of a state before the activations, in the packed order: per sixteen units their input, forget, cell and
/// output gates.
#[derive(Clone, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Gates(pub [f32; GATES * HIDDEN]);

impl Default for Gates {
    fn default() -> Self {
        Self([0.0; GATES * HIDDEN])
    }
}

/// What the states themselves give to their next gates: `bias + W h`. Each load of the weights serves up to three states. One gates per
/// state.
///
/// # Panics
/// When there are fewer gates than states.
pub fn lstm_recurrent(level: Level, w: &LstmWeights, states: &[LstmState], gates: &mut [Gates]) {
    assert!(gates.len() >= states.len(), "one gates per state");
    for (states, gates) in states.chunks(3).zip(gates.chunks_mut(3)) {
        // SAFETY: at most three states, and as many gates.
        unsafe { lstm_recurrent_entry(level, w, states, gates) }
    }
}

/// Adds what the input gives to the gates of every state, and moves the states on. Inputs that are zero cost nothing.
///
/// # Panics
/// When there are fewer gates than states.
pub fn lstm_finish(
    level: Level,
    w: &LstmWeights,
    x: &[f32; HIDDEN],
    gates: &[Gates],
    states: &mut [LstmState],
) {
    assert!(gates.len() >= states.len(), "one gates per state");
    // SAFETY: as many gates as states.
    unsafe { lstm_finish_entry(level, w, x, gates, states) }
}

dispatch!(unsafe fn lstm_recurrent_entry(w: &LstmWeights, states: &[LstmState], gates: &mut [Gates]) = lstm_recurrent_body);
dispatch!(unsafe fn lstm_finish_entry(
    w: &LstmWeights,
    x: &[f32; HIDDEN],
    gates: &[Gates],
    states: &mut [LstmState],
) = lstm_finish_body);

/// # Safety
/// At most three states, and as many gates.
#[inline(always)]
unsafe fn lstm_recurrent_body<V: F32x16>(
    _: PhantomData<V>,
    w: &LstmWeights,
    states: &[LstmState],
    gates: &mut [Gates],
) {
    // SAFETY: the count of states is matched, and there are as many gates.
    unsafe {
        match (states, V::UNITS) {
            ([state], 2) => Recurrent::<V, 2>::new(w, &state.h, &mut gates[0]).finish(),
            ([state], _) => Recurrent::<V, 1>::new(w, &state.h, &mut gates[0]).finish(),
            ([_, _], 2) => recurrent_of::<V, 2, 2>(w, states, gates),
            ([_, _], _) => recurrent_of::<V, 2, 1>(w, states, gates),
            ([_, _, _], _) => recurrent_of::<V, 3, 1>(w, states, gates),
            _ => {}
        }
    }
}

/// `S` states, `P` panels at a time.
///
/// # Safety
/// There are `S` states and gates.
#[inline(always)]
unsafe fn recurrent_of<V: F32x16, const S: usize, const P: usize>(
    w: &LstmWeights,
    states: &[LstmState],
    gates: &mut [Gates],
) {
    for panel in (0..HIDDEN / 16).step_by(P) {
        // SAFETY: a panel has 256 rows of 64 columns; the bias and the gates have 64 per panel; states have 128 units.
        unsafe {
            let mut acc = [[[V::splat(0.0); GATES]; P]; S];
            for p in 0..P {
                for g in 0..GATES {
                    let bias = V::load(w.bias.as_ptr().add((panel + p) * PANEL + 16 * g));
                    for s in 0..S {
                        acc[s][p][g] = bias;
                    }
                }
            }
            for k in 0..HIDDEN {
                let mut h = [V::splat(0.0); S];
                for (s, h) in h.iter_mut().enumerate() {
                    *h = V::splat(*states.get_unchecked(s).h.as_ptr().add(k));
                }
                for p in 0..P {
                    let row = w.matrix.panel(panel + p).add((HIDDEN + k) * PANEL);
                    for g in 0..GATES {
                        let weights = V::load(row.add(16 * g));
                        for s in 0..S {
                            acc[s][p][g] = h[s].fma(weights, acc[s][p][g]);
                        }
                    }
                }
            }
            for s in 0..S {
                let gates = gates.get_unchecked_mut(s).0.as_mut_ptr();
                for p in 0..P {
                    for g in 0..GATES {
                        acc[s][p][g].store(gates.add((panel + p) * PANEL + 16 * g));
                    }
                }
            }
        }
    }
}

/// [`lstm_recurrent`] of one state, `P` panels at a time, in steps that can be taken between others.
pub(crate) struct Recurrent<'a, V, const P: usize> {
    w: &'a LstmWeights,
    h: &'a [f32; HIDDEN],
    gates: &'a mut Gates,
    acc: [[V; GATES]; P],
    panel: usize,
    k: usize,
}

impl<'a, V: F32x16, const P: usize> Recurrent<'a, V, P> {
    #[inline(always)]
    pub(crate) fn new(w: &'a LstmWeights, h: &'a [f32; HIDDEN], gates: &'a mut Gates) -> Self {
        let acc = [[V::splat(0.0); GATES]; P];
        let mut this = Self {
            w,
            h,
            gates,
            acc,
            panel: 0,
            k: 0,
        };
        this.start();
        this
    }

    #[inline(always)]
    fn start(&mut self) {
        for p in 0..P {
            for g in 0..GATES {
                let bias = &self.w.bias[(self.panel + p) * PANEL + 16 * g..][..16];
                // SAFETY: sixteen floats.
                self.acc[p][g] = unsafe { V::load(bias.as_ptr()) };
            }
        }
    }

    /// The next `count` inputs of the current panels, if there are panels left. `count` divides 128.
    #[inline(always)]
    pub(crate) fn steps(&mut self, count: usize) {
        if self.panel == HIDDEN / 16 {
            return;
        }
        for k in self.k..self.k + count {
            // SAFETY: `k` is below 128 and `panel + P` at most 8, since both move on together below.
            unsafe {
                let h = V::splat(*self.h.as_ptr().add(k));
                for p in 0..P {
                    let row = self
                        .w
                        .matrix
                        .panel(self.panel + p)
                        .add((HIDDEN + k) * PANEL);
                    for g in 0..GATES {
                        self.acc[p][g] = h.fma(V::load(row.add(16 * g)), self.acc[p][g]);
                    }
                }
            }
        }
        self.k += count;
        if self.k == HIDDEN {
            for p in 0..P {
                for g in 0..GATES {
                    let gates = &mut self.gates.0[(self.panel + p) * PANEL + 16 * g..][..16];
                    // SAFETY: sixteen floats.
                    unsafe { self.acc[p][g].store(gates.as_mut_ptr()) }
                }
            }
            self.panel += P;
            self.k = 0;
            if self.panel < HIDDEN / 16 {
                self.start();
            }
        }
    }

    /// All steps that are left.
    #[inline(always)]
    pub(crate) fn finish(&mut self) {
        while self.panel < HIDDEN / 16 {
            self.steps(2);
        }
    }
}

/// # Safety
/// As many gates as states.
#[inline(always)]
unsafe fn lstm_finish_body<V: F32x16>(
    _: PhantomData<V>,
    w: &LstmWeights,
    x: &[f32; HIDDEN],
    gates: &[Gates],
    states: &mut [LstmState],
) {
    let mut inputs = Nonzero::new();
    inputs.extend::<V>(x, 0);
    // States innermost: what the first reads of a panel, the others find in the first-level cache.
    let panels = if V::UNITS == 2 { 2 } else { 1 };
    for panel in (0..HIDDEN / 16).step_by(panels) {
        for (gates, state) in gates.iter().zip(&mut *states) {
            // SAFETY: there are eight panels, taken two by two or one by one.
            unsafe {
                match panels {
                    2 => finish_panels::<V, 2>(w, &inputs, gates, state, panel),
                    _ => finish_panels::<V, 1>(w, &inputs, gates, state, panel),
                }
            }
        }
    }
}

/// # Safety
/// Panels `panel..panel + P` exist.
#[inline(always)]
unsafe fn finish_panels<V: F32x16, const P: usize>(
    w: &LstmWeights,
    inputs: &Nonzero<{ HIDDEN + 16 }>,
    gates: &Gates,
    state: &mut LstmState,
    panel: usize,
) {
    // SAFETY: a panel has 64 gates and 16 units; the inputs meet the first 128 rows of the matrix.
    unsafe {
        let mut acc = [[V::splat(0.0); GATES]; P];
        for p in 0..P {
            for g in 0..GATES {
                acc[p][g] = V::load(gates.0.as_ptr().add((panel + p) * PANEL + 16 * g));
            }
        }
        inputs.accumulate(0..inputs.count(), &mut acc, &w.matrix, panel);
        for p in 0..P {
            let at = 16 * (panel + p);
            let cell = state.c.as_mut_ptr().add(at);
            let (h, c) = cell_v(acc[p], V::load(cell));
            c.store(cell);
            h.store(state.h.as_mut_ptr().add(at));
        }
    }
}

#[inline(always)]
fn cell_v<V: F32x16>(gates: [V; GATES], c: V) -> (V, V) {
    let [i, f, g, o] = gates;
    let c = sigmoid_v(f).fma(c, sigmoid_v(i).mul(tanh_v(g)));
    (sigmoid_v(o).mul(tanh_v(c)), c)
}

/// The end of a step whose gates are complete, in the order of [`Gates`].
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
        // Half of it zeros, as a `max(0, .)` leaves them.
        core::array::from_fn(|i| number(i + 131 * step).max(0.0))
    }

    fn advance(level: Level, w: &LstmWeights, x: &[f32; HIDDEN], states: &mut [LstmState]) {
        let mut gates = vec![Gates::default(); states.len()];
        lstm_recurrent(level, w, states, &mut gates);
        lstm_finish(level, w, x, &gates, states);
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
                advance(level, &w, &input(step), &mut state);
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
                advance(level, &w, &input(step), &mut together[..count]);
            }
            for (s, state) in together.iter().enumerate() {
                let mut alone = [LstmState::default()];
                let mut batch = LstmState::default();
                for step in s..10 {
                    let x = input(step);
                    advance(level, &w, &x, &mut alone);
                    let mut gates = [0.0; GATES * HIDDEN];
                    let source = |x, first| Source {
                        x,
                        stride: 0,
                        len: HIDDEN,
                        first,
                    };
                    let sources = [source(&batch.h, HIDDEN), source(&x, 0)];
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
    fn saturated_gates_keep_or_replace_the_cell() {
        for level in Level::available() {
            for big in [30.0, 1e3, 1e30, f32::MAX] {
                let of = |values: [f32; GATES]| core::array::from_fn(|i| values[i % PANEL / 16]);
                let start = LstmState {
                    h: [0.0; HIDDEN],
                    c: [0.5; HIDDEN],
                };
                // Input gate closed, forget gate open: the cell stays. And the other way round: it becomes tanh(g).
                for (gates, expected) in
                    [([-big, big, big, big], 0.5), ([big, -big, -big, big], -1.0)]
                {
                    let mut state = start.clone();
                    lstm_cells(level, &of(gates), &mut state);
                    assert!(
                        state.c.iter().all(|c| (c - expected).abs() < 1e-6),
                        "{level:?} {big} {}",
                        state.c[0]
                    );
                    assert!(
                        state.h.iter().all(|h| (h - expected.tanh()).abs() < 1e-6),
                        "{level:?} {big}"
                    );
                }
                let mut closed = start;
                lstm_cells(level, &of([0.0, 0.0, 0.0, -big]), &mut closed);
                assert!(closed.h.iter().all(|h| h.abs() < 1e-11));
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
