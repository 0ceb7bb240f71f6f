use super::*;
use crate::KernelLevel;

/// Every level of this machine, with and without dot products of bytes.
fn levels() -> Vec<Level> {
    let mut levels: Vec<Level> = Level::available().chain([Level::detect()]).collect();
    levels.extend(levels.clone().iter().map(|level| level.without_byte_dot()));
    levels
}

/// Pseudo-random 32-bit numbers from a fixed seed.
fn random(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Floats of about unit size with a few large ones.
fn floats(seed: u32, len: usize) -> Vec<f32> {
    let mut next = random(seed);
    let mut float = || {
        let x = next() as f32 / 2.0f32.powi(31) - 1.0;
        if next().is_multiple_of(17) {
            9.0 * x
        } else {
            x
        }
    };
    (0..len).map(|_| float()).collect()
}

/// What [`matmul_int8`] promises, from the public values of `q`.
fn naive(q: &QuantisedRows, w: &dyn Fn(usize, usize) -> i8, r: usize, j: usize) -> i64 {
    (0..q.row_len())
        .map(|k| i64::from(q.value(r, k)) * i64::from(w(k, j)))
        .sum()
}

#[test]
fn sums_are_exact_for_every_row_count_and_shape() {
    for level in levels() {
        for (k, n) in [
            (1, 16),
            (4, 16),
            (37, 48),
            (63, 64),
            (64, 80),
            (66, 128),
            (240, 208),
        ] {
            let weights = |i: usize, j: usize| ((i * 7919 + j * 104_729 + 13) % 256) as u8 as i8;
            // Scales of 1 make the products whole numbers, below 2^24 here.
            let w = Int8Matrix::from_fn(k, n, weights, &[1.0]);
            assert_eq!((w.rows(), w.columns()), (k, n));
            let bias: Vec<f32> = (0..n).map(|j| j as f32 - 3.0).collect();
            for rows in 0..=20 {
                let (stride, y_stride) = (k + 5, n + 3);
                let mut next = random(rows as u32);
                let mut x: Vec<f32> = (0..rows * stride)
                    .map(|_| (next() % 255) as f32 - 127.0)
                    .collect();
                // A range of +-127 makes the scale of a row 1 and its middle 0; a single value has a range from 0.
                for r in 0..rows {
                    x[r * stride + (r + 1) % k] = -127.0;
                    x[r * stride + r % k] = 127.0;
                }
                let mut q = QuantisedRows::new(20, 240);
                quantise_rows(level, rows, &x, stride, k, &mut q);
                for epilogue in [Epilogue::Store, Epilogue::Add] {
                    for bias in [None, Some(&bias[..])] {
                        let mut y = vec![f32::NAN; rows * y_stride];
                        for r in 0..rows {
                            y[r * y_stride..][..n].fill(1000.0);
                        }
                        matmul_int8(level, &q, &w, bias, &mut y, y_stride, epilogue);
                        for r in 0..rows {
                            let (scale, middle) = if k == 1 { (0.5, 63.5) } else { (1.0, 0.0) };
                            assert_eq!((q.scale(r), q.middle(r)), (scale, middle));
                            for j in 0..n {
                                let mut expected = bias.map_or(0, |bias| bias[j] as i64);
                                for i in 0..k {
                                    expected += x[r * stride + i] as i64 * i64::from(weights(i, j));
                                }
                                if epilogue == Epilogue::Add {
                                    expected += 1000;
                                }
                                assert_eq!(
                                    y[r * y_stride + j],
                                    expected as f32,
                                    "{level:?} {rows} x {k} x {n} at {r}, {j}"
                                );
                            }
                            let past = &y[r * y_stride + n..(r + 1) * y_stride];
                            assert!(past.iter().all(|v| v.is_nan()), "wrote past the row");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn extremes_neither_saturate_nor_overflow() {
    let (rows, k, n) = (7, 1536, 64);
    for level in levels() {
        for (x, weight) in [(1.0, 127), (1.0, -128), (-1.0, 127), (-1.0, -128)] {
            let w = Int8Matrix::from_fn(k, n, |_, _| weight, &[1.0]);
            let mut q = QuantisedRows::new(rows, k);
            quantise_rows(level, rows, &vec![x * 127.0; rows * k], k, k, &mut q);
            let mut y = vec![0.0; rows * n];
            matmul_int8(level, &q, &w, None, &mut y, n, Epilogue::Store);
            let expected = x * 127.0 * f32::from(weight) * k as f32;
            assert!(y.iter().all(|&y| y == expected), "{level:?} {x} {weight}");
        }
    }
}

#[test]
fn products_have_the_stated_value_and_equal_bits_at_fused_levels() {
    let (rows, k, n) = (13, 1152, 384);
    let x = floats(1, rows * k);
    let mut next = random(2);
    let weights: Vec<i8> = (0..k * n).map(|_| next() as i8).collect();
    let scales: Vec<f32> = floats(3, n).iter().map(|s| s.abs() * 0.01).collect();
    let bias = floats(4, n);
    let weight = |i: usize, j: usize| weights[i * n + j];
    let w = Int8Matrix::from_fn(k, n, weight, &scales);
    let mut of_levels: Vec<Vec<f32>> = Vec::new();
    for level in levels() {
        let mut q = QuantisedRows::new(rows, k);
        quantise_rows(level, rows, &x, k, k, &mut q);
        let mut y = vec![0.0; rows * n];
        matmul_int8(level, &q, &w, Some(&bias), &mut y, n, Epilogue::Store);
        for r in 0..rows {
            for j in 0..n {
                let sum = naive(&q, &weight, r, j) as f32;
                let scale = q.scale(r) * scales[j];
                let column: i32 = (0..k).map(|i| i32::from(weight(i, j))).sum();
                let shift = column as f32 * scales[j];
                if level.kind() == KernelLevel::Portable {
                    let shift = q.middle(r) * shift;
                    let expected = sum * scale + (shift + bias[j]);
                    let error = (y[r * n + j] - expected).abs();
                    // Two roundings against one.
                    assert!(error <= 2e-7 * ((sum * scale).abs() + shift.abs() + bias[j].abs()));
                } else {
                    let bias = q.middle(r).mul_add(shift, bias[j]);
                    assert_eq!(y[r * n + j], sum.mul_add(scale, bias), "{level:?}");
                }
            }
        }
        if level.kind() != KernelLevel::Portable {
            of_levels.push(y);
        }
    }
    assert!(of_levels.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn quantised_rows_are_the_nearest_multiples_and_the_same_at_every_level() {
    let mut of_levels: Vec<Vec<(f32, f32, Vec<i8>)>> = Vec::new();
    for level in levels() {
        let mut all = Vec::new();
        for len in [1, 4, 15, 16, 17, 80, 384, 1152] {
            let (rows, stride) = (9, len + 2);
            let mut x = floats(len as u32, rows * stride);
            x[stride..2 * stride].fill(0.0);
            x[2 * stride..3 * stride]
                .iter_mut()
                .for_each(|v| *v *= 1e37);
            x[3 * stride..4 * stride]
                .iter_mut()
                .for_each(|v| *v *= 1e-28);
            // Its ties: a scale of 1 and halves.
            for (i, v) in x[4 * stride..5 * stride].iter_mut().enumerate() {
                *v = (i % 254) as f32 - 126.5;
            }
            x[4 * stride + len - 1] = -127.0;
            x[4 * stride] = 127.0;
            // One sign, as GELU leaves it, and one value.
            x[5 * stride..6 * stride]
                .iter_mut()
                .for_each(|v| *v = v.abs());
            x[6 * stride..7 * stride].fill(-2.5);
            let mut q = QuantisedRows::new(rows, len);
            quantise_rows(level, rows, &x, stride, len, &mut q);
            assert_eq!((q.rows(), q.row_len()), (rows, len));
            for r in 0..rows {
                let row = &x[r * stride..][..len];
                let scale = f64::from(q.scale(r));
                let middle = f64::from(q.middle(r));
                let (low, high) = row
                    .iter()
                    .fold((0.0f32, 0.0f32), |(a, b), v| (a.min(*v), b.max(*v)));
                assert_eq!(q.scale(r), (high * 0.5 - low * 0.5) / 127.0);
                assert_eq!(q.middle(r), high * 0.5 + low * 0.5);
                for (k, &v) in row.iter().enumerate() {
                    let q = q.value(r, k);
                    assert!((-127..=127).contains(&q));
                    // Half a step, and the rounding of its inverse.
                    let error = (f64::from(v) - f64::from(q) * scale - middle).abs();
                    assert!(error <= scale * (0.5 + 2e-5), "{level:?} {v} {q}");
                    if r == 4 && k > 0 && k + 1 < len {
                        assert_eq!(f32::from(q), v.round_ties_even());
                    }
                }
                all.push((
                    q.scale(r),
                    q.middle(r),
                    (0..len).map(|k| q.value(r, k)).collect(),
                ));
            }
        }
        of_levels.push(all);
    }
    assert!(of_levels.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_is_not_finite_or_too_small_stays_within_its_row() {
    for level in levels() {
        let len = 37;
        let mut x = vec![0.5f32; 6 * len];
        (x[0], x[20], x[36]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        x[len..2 * len].fill(f32::NAN);
        x[2 * len..3 * len].fill(f32::INFINITY);
        x[3 * len..4 * len].fill(1e-40);
        x[4 * len..5 * len].fill(f32::MAX);
        let mut q = QuantisedRows::new(6, len);
        quantise_rows(level, 6, &x, len, len, &mut q);
        let first: Vec<i8> = (0..len).map(|k| q.value(0, k)).collect();
        let mut expected = vec![127; len];
        (expected[0], expected[36]) = (0, -127);
        assert_eq!(first, expected);
        assert_eq!((q.scale(0), q.middle(0)), (0.5 / 127.0, 0.0));
        for r in 1..4 {
            assert_eq!(q.scale(r), 0.0);
            assert!((0..len).all(|k| q.value(r, k) == 0), "{level:?} row {r}");
        }
        for (r, half) in [(4, f32::MAX / 2.0), (5, 0.25)] {
            assert_eq!((q.scale(r), q.middle(r)), (half / 127.0, half));
            assert!((0..len).all(|k| q.value(r, k) == 127), "{level:?} row {r}");
        }
    }
}

#[test]
fn rows_may_overlap_as_a_convolution_wants_them() {
    // Kernel 3, stride 2 over frames of 8: row r begins at frame 2 r.
    let x = floats(9, 8 * 21);
    for level in levels() {
        let (mut overlapping, mut apart) = (QuantisedRows::new(10, 24), QuantisedRows::new(10, 24));
        quantise_rows(level, 10, &x, 16, 24, &mut overlapping);
        let copied: Vec<f32> = (0..10).flat_map(|r| x[16 * r..][..24].to_vec()).collect();
        quantise_rows(level, 10, &copied, 24, 24, &mut apart);
        for r in 0..10 {
            assert_eq!(overlapping.scale(r), apart.scale(r));
            assert!((0..24).all(|k| overlapping.value(r, k) == apart.value(r, k)));
        }
    }
}

#[test]
fn the_gelu_epilogue_has_the_bits_of_the_function() {
    let (rows, k, n) = (7, 64, 80);
    let x = floats(11, rows * k);
    let mut next = random(12);
    let weights: Vec<i8> = (0..k * n).map(|_| next() as i8).collect();
    let w = Int8Matrix::from_fn(k, n, |i, j| weights[i * n + j], &[0.01]);
    for level in levels() {
        let mut q = QuantisedRows::new(rows, k);
        quantise_rows(level, rows, &x, k, k, &mut q);
        let (mut y, mut expected) = (vec![0.0; rows * n], vec![0.0; rows * n]);
        matmul_int8(level, &q, &w, None, &mut expected, n, Epilogue::Store);
        crate::gelu(level, &mut expected);
        matmul_int8(level, &q, &w, None, &mut y, n, Epilogue::Gelu);
        assert_eq!(y, expected, "{level:?}");
    }
}

#[test]
fn a_requantised_matrix_is_the_one_packed_from_the_nearest_bytes() {
    for level in levels() {
        for (k, n) in [(64, 400), (400, 64), (37, 80), (1, 16), (6, 48)] {
            let x = floats(k as u32, k * n);
            // A column of zeros, and one of ties: a scale of 1 and halves.
            let element = |i: usize, j: usize| match j {
                0 => 0.0,
                1 if i == 0 => -127.0,
                1 => (i % 254) as f32 - 126.5,
                _ => x[i * n + j],
            };
            let m = Matrix::from_fn(k, n.next_multiple_of(PANEL), |i, j| {
                if j < n { element(i, j) } else { f32::NAN }
            });
            let largest = |j: usize| (0..k).fold(0.0f32, |a, i| a.max(element(i, j).abs()));
            let scales: Vec<f32> = (0..n).map(|j| largest(j) / 127.0).collect();
            let byte = |i: usize, j: usize| {
                let over = 127.0 / largest(j).max(f32::MIN_POSITIVE);
                (element(i, j) * over).round_ties_even() as i8
            };
            let expected = Int8Matrix::from_fn(k, n, byte, &scales);
            let mut w = Int8Matrix::zeros(k, n);
            // What was there before must not matter.
            w.data.fill(77);
            w.requantise(level, &m);
            let len = 4 * k.div_ceil(4) * n;
            assert_eq!(w.data[..len], expected.data[..len], "{level:?} {k} x {n}");
            assert_eq!(w.scales[..], expected.scales[..]);
            assert_eq!(w.sums[..], expected.sums[..]);
            assert_eq!(
                (w.offsets, w.negatives),
                (expected.offsets, expected.negatives)
            );
        }
    }
}

#[test]
fn attention_in_bytes_stays_near_the_one_in_floats() {
    let (tokens, head) = (50, 64);
    let [query, key, value] = [21, 22, 23].map(|seed| floats(seed, tokens * head));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    for level in levels() {
        let (mut keys, mut values) = (Matrix::zeros(head, tokens), Matrix::zeros(tokens, head));
        keys.repack_transposed(level, &key, head, tokens);
        values.repack(&value, head, head);
        let (mut w, mut v) = (Int8Matrix::zeros(head, 64), Int8Matrix::zeros(tokens, head));
        w.requantise(level, &keys);
        v.requantise(level, &values);
        let mut q = QuantisedRows::new(tokens, head);
        quantise_rows(level, tokens, &query, head, head, &mut q);
        let mut scores = vec![0.0; tokens * 64];
        matmul_int8(level, &q, &w, None, &mut scores, 64, Epilogue::Store);
        quantise_rows(level, tokens, &scores, 64, tokens, &mut q);
        let mut y = vec![0.0; tokens * head];
        matmul_int8(level, &q, &v, None, &mut y, head, Epilogue::Store);
        let (mut error, mut size) = (0.0, 0.0);
        for r in 0..tokens {
            let row = &query[r * head..][..head];
            let scores: Vec<f64> = (0..tokens)
                .map(|t| dot(row, &key[t * head..][..head]))
                .collect();
            for j in 0..head {
                let truth: f64 = (0..tokens)
                    .map(|t| scores[t] * f64::from(value[t * head + j]))
                    .sum();
                error += (f64::from(y[r * head + j]) - truth).powi(2);
                size += truth * truth;
            }
        }
        // Four roundings to 1/127 of a largest value some five times the usual one: about 1 % each.
        assert!(
            (error / size).sqrt() < 0.04,
            "{level:?} {}",
            (error / size).sqrt()
        );
    }
}

/// The type for AVX-VNNI, by the encoding of AVX-512VL where the machine has no other.
#[cfg(target_arch = "x86_64")]
#[test]
fn half_width_dot_products_equal_the_whole_ones() {
    #[target_feature(enable = "avx512f,avx512vl,avx512vnni,avx2,fma")]
    unsafe fn half(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<x86::Vnni256<false>>(product) }
    }
    let level = Level::detect();
    if level.kind() != KernelLevel::Avx512
        || !level.byte_dot()
        || !is_x86_feature_detected!("avx512vl")
    {
        println!("skipped: needs AVX-512 VNNI");
        return;
    }
    let (k, n) = (66, 144);
    let mut next = random(31);
    let weights: Vec<i8> = (0..k * n).map(|_| next() as i8).collect();
    let w = Int8Matrix::from_fn(k, n, |i, j| weights[i * n + j], &[0.01]);
    for rows in 1..14 {
        let x = floats(rows as u32, rows * k);
        let mut q = QuantisedRows::new(rows, k);
        quantise_rows(level, rows, &x, k, k, &mut q);
        let (mut y, mut expected) = (vec![0.0; rows * n], vec![0.0; rows * n]);
        matmul_int8(level, &q, &w, None, &mut expected, n, Epilogue::Store);
        let product = Product {
            q: &q,
            w: &w,
            bias: None,
            y: y.as_mut_ptr(),
            y_stride: n,
            epilogue: Epilogue::Store,
        };
        // SAFETY: the shapes are those of the call above, and the features were detected.
        unsafe { half(&product) };
        assert_eq!(y, expected, "{rows} rows");
    }
}

/// In release builds the product of rows and stride would wrap around to a small number, and the stores that follow are unchecked.
#[test]
#[should_panic(expected = "outputs shorter than 3 rows")]
fn output_rows_too_far_apart_to_count_are_refused() {
    let level = Level::detect();
    let w = Int8Matrix::from_fn(16, 64, |_, _| 1, &[1.0]);
    let mut q = QuantisedRows::new(3, 16);
    quantise_rows(level, 3, &[1.0; 48], 16, 16, &mut q);
    let far = 1 << (usize::BITS - 1);
    matmul_int8(level, &q, &w, None, &mut [0.0; 192], far, Epilogue::Store);
}

#[test]
#[should_panic(expected = "inputs shorter than 16 rows")]
fn attention_over_rows_too_far_apart_to_count_is_refused() {
    let x = [0.0; 16 * 16];
    // 15 times this is 1, but for what does not fit.
    let far = (usize::MAX / 15).wrapping_neg();
    let mut attention = Int8Attention::new(16, 16);
    attention.head(Level::detect(), [&x, &x, &x], far, &mut [0.0; 256], 16);
}
