//! The kernels of the voice activity model, each at every level of this machine, on its shapes.

use criterion::{Criterion, criterion_group, criterion_main};
use listenkit_kernels::{
    Gates, HIDDEN, Level, LstmState, LstmWeights, Matrix, Source, Stft, StftSize, affine_rows,
    conv1, conv2, lstm_cells, lstm_finish, lstm_recurrent, tanh,
};
use std::hint::black_box;

fn noise(len: usize) -> Vec<f32> {
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 8) as f32 / 8_388_608.0 - 1.0) * 0.1
    };
    (0..len).map(|_| next()).collect()
}

fn matrix(rows: usize, columns: usize) -> Matrix {
    let values = noise(rows * columns);
    Matrix::from_fn(rows, columns, |i, j| values[i * columns + j])
}

fn kernels(c: &mut Criterion) {
    let mut group = c.benchmark_group("kernels");
    for level in Level::available() {
        let name = level.kind();

        for size in [StftSize::Points256, StftSize::Points128] {
            let (stft, x, mut y) = (Stft::new(size), noise(size.samples()), vec![0.0; 4 * 144]);
            group.bench_function(format!("stft {} {name}", size.points()), |b| {
                b.iter(|| stft.magnitudes(level, black_box(&x), &mut y, 144));
            });
        }

        let (x, bias, mut y) = (noise(4 * 144), noise(128), vec![0.0; 4 * 128]);
        let w = matrix(3 * 129, 128);
        group.bench_function(format!("conv1 129 to 128 {name}"), |b| {
            b.iter(|| conv1(level, black_box(&x), 144, &w, &bias, &mut y));
        });
        let w = matrix(3 * 128, 64);
        group.bench_function(format!("conv2 128 to 64 {name}"), |b| {
            b.iter(|| conv2(level, black_box(&x), 128, &w, &bias[..64], &mut y));
        });

        let gates = 4 * HIDDEN;
        let (wi, wh) = (noise(gates * HIDDEN), noise(gates * HIDDEN));
        let w = LstmWeights::new(&wi, &wh, &noise(gates));
        let x: [f32; HIDDEN] = core::array::from_fn(|i| (wi[i] * 10.0).max(0.0));
        for states in 1..=3 {
            let mut state = vec![LstmState::default(); states];
            let mut gates = vec![Gates::default(); states];
            group.bench_function(format!("lstm recurrent, {states} states {name}"), |b| {
                b.iter(|| lstm_recurrent(level, &w, black_box(&state), &mut gates));
            });
            group.bench_function(format!("lstm finish, {states} states {name}"), |b| {
                b.iter(|| lstm_finish(level, &w, black_box(&x), &gates, &mut state));
            });
        }
        let mut state = LstmState::default();
        let packed: [f32; 4 * HIDDEN] = core::array::from_fn(|i| wi[i]);
        group.bench_function(format!("lstm cells {name}"), |b| {
            b.iter(|| lstm_cells(level, black_box(&packed), &mut state));
        });

        let rows = 32;
        let (x, mut y) = (noise(rows * HIDDEN), vec![0.0; rows * gates]);
        let source = Source {
            x: &x,
            stride: HIDDEN,
            len: HIDDEN,
            first: 0,
        };
        group.bench_function(format!("32 rows by 128 x 512 {name}"), |b| {
            b.iter(|| {
                affine_rows(
                    level,
                    rows,
                    &[source],
                    w.matrix(),
                    w.bias(),
                    &mut y,
                    gates,
                    false,
                )
            });
        });

        let mut values = noise(512);
        group.bench_function(format!("tanh of 512 {name}"), |b| {
            b.iter(|| tanh(level, black_box(&mut values)));
        });
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
