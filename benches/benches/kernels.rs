//! The kernels of the voice activity model, each at every level of this machine, on its shapes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use listenkit_kernels::{
    Epilogue, Gates, HIDDEN, Int8Matrix, Level, LstmState, LstmWeights, Matrix, QuantisedRows,
    Source, Stft, StftSize, affine_rows, conv1, conv2, lstm_cells, lstm_finish, lstm_recurrent,
    matmul_int8, quantise_rows, tanh,
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

/// The matrices of the Smart Turn encoder, in bytes and in floats; elements are multiply-adds. Levels with dot products of bytes are
/// also timed without them.
fn matrices(c: &mut Criterion) {
    let mut group = c.benchmark_group("matrices");
    let mut levels: Vec<Level> = Level::available().collect();
    levels.extend(Level::available().filter(|level| level.byte_dot()));
    let available = Level::available().count();
    for (i, level) in levels.iter_mut().enumerate() {
        let name = if i >= available {
            *level = level.without_byte_dot();
            format!("{} without byte dot", level.kind())
        } else {
            level.kind().to_string()
        };
        let level = *level;
        for (rows, k, n) in [
            (400, 384, 384),
            (400, 384, 1536),
            (400, 1536, 384),
            (800, 240, 384),
            (400, 1152, 384),
            (400, 64, 400),
            (400, 400, 64),
        ] {
            let x = noise(rows * k);
            let mut q = QuantisedRows::new(rows, k);
            group.throughput(Throughput::Elements((rows * k) as u64));
            if n == 384 {
                group.bench_function(format!("quantise {rows} x {k} {name}"), |b| {
                    b.iter(|| quantise_rows(level, rows, black_box(&x), k, k, &mut q));
                });
            }
            quantise_rows(level, rows, &x, k, k, &mut q);
            group.throughput(Throughput::Elements((rows * k * n) as u64));
            let w = Int8Matrix::from_fn(k, n, |i, j| (i * 7 + j * 31) as u8 as i8, &[0.01]);
            let mut y = vec![0.0; rows * n];
            let shape = format!("{rows} x {k} x {n}");
            group.bench_function(format!("int8 {shape} {name}"), |b| {
                b.iter(|| {
                    matmul_int8(level, black_box(&q), &w, None, &mut y, n, Epilogue::Store);
                });
            });
            if i < available {
                let columns = n.next_multiple_of(64);
                let (w, bias) = (matrix(k, columns), noise(columns));
                let mut y = vec![0.0; rows * columns];
                let source = Source {
                    x: &x,
                    stride: k,
                    len: k,
                    first: 0,
                };
                group.bench_function(format!("f32 {shape} {name}"), |b| {
                    b.iter(|| {
                        affine_rows(level, rows, &[source], &w, &bias, &mut y, columns, false)
                    });
                });
            }
        }
    }
}

criterion_group!(benches, kernels, matrices);
criterion_main!(benches);
