//! Rows times matrix in bytes: activations quantised row by row as they come, weights once, sums exact in `i32`.
//!
//! The sums are integers, so every level and every tile shape gives the same ones; the few float operations that follow are
//! in one order. Activations stay in -127..=127; weights may be -128. A panel of the matrix holds four inputs of each of
//! its columns together, which is what the dot products of bytes take.
//!
//! `vpdpbusd` reaches 231 billion multiply-adds a second on one core of Zen 4 (EPYC, 3.7 GHz), AVX2 90, floats 58: the group
//! `matrices` of the bench `kernels`.

mod attention;
mod dot;
#[cfg(target_arch = "aarch64")]
mod neon;
mod quantise;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use attention::Int8Attention;
pub use quantise::{QuantisedRows, quantise_rows};

use crate::align::{AlignedBytes, reach};
use crate::level::dispatch;
use crate::math::ROUND;
use crate::rows::gelu_v;
use crate::simd::F32x16;
use crate::{AlignedVec, Level, Matrix, PANEL};
use core::marker::PhantomData;
use dot::{Corrections, Dot, offset};
use quantise::scale_of;

/// Most inputs per output: 65536 * 255 * 128 is still an `i32`.
const MOST_ROWS: usize = 65_536;

/// A `[k, n]` matrix of signed bytes with a scale per column, packed in panels of [`PANEL`] columns.
#[derive(Clone, Debug)]
pub struct Int8Matrix {
    rows: usize,
    columns: usize,
    data: AlignedBytes,
    scales: AlignedVec,
    /// The [`Corrections`] of each column.
    offsets: Vec<i32>,
    negatives: Vec<i32>,
    /// Of each column, the sum of its weights as floats, for the middles of rows.
    sums: AlignedVec,
}

impl Int8Matrix {
    /// Packs the matrix whose element (i, j) is `element(i, j) * scales[j]`; one scale for all columns is a slice of one.
    ///
    /// # Panics
    /// When the number of columns is not a multiple of 16, the scales are not one or one per column, or there are more than
    /// 65536 rows: shapes are the model's, never the input's.
    pub fn from_fn(
        rows: usize,
        columns: usize,
        element: impl Fn(usize, usize) -> i8,
        scales: &[f32],
    ) -> Self {
        assert!(
            scales.len() == 1 || scales.len() == columns,
            "one scale, or one per column"
        );
        let mut matrix = Self::zeros(rows, columns);
        for j in 0..columns {
            matrix.scales[j] = scales[if scales.len() == 1 { 0 } else { j }];
            let (panel, width) = matrix.panel(j / PANEL);
            for i in 0..rows {
                let value = element(i, j);
                let at = panel + (i / 4 * width + j % PANEL) * 4 + i % 4;
                matrix.data[at] = value as u8;
                matrix.offsets[j] -= 128 * i32::from(value);
                matrix.negatives[j] += i32::from(value.min(0).unsigned_abs());
            }
            matrix.sums[j] = (matrix.offsets[j] / -128) as f32 * matrix.scales[j];
        }
        matrix
    }

    /// A matrix of zeros, to be filled by [`Int8Matrix::requantise`].
    ///
    /// # Panics
    /// As for [`Int8Matrix::from_fn`].
    pub fn zeros(rows: usize, columns: usize) -> Self {
        assert!(
            columns.is_multiple_of(16),
            "{columns} columns are not whole vectors of 16"
        );
        assert!(rows <= MOST_ROWS, "{rows} rows may overflow the sums");
        Self {
            rows,
            columns,
            data: AlignedBytes::zeros(4 * rows.div_ceil(4) * columns),
            scales: AlignedVec::zeros(columns),
            offsets: vec![0; columns],
            negatives: vec![0; columns],
            sums: AlignedVec::zeros(columns),
        }
    }

    /// Replaces the matrix by the first columns of `m`, without allocating. The scale of a column is its largest magnitude over
    /// 127, and its elements are rounded to the nearest multiple, ties to the even one.
    ///
    /// For matrices that are themselves computed, such as the keys and values of an attention head. Every level gives the
    /// same matrix, as long as the elements are finite; products with a column where they are not mean nothing.
    ///
    /// # Panics
    /// When `m` has other rows or fewer columns.
    pub fn requantise(&mut self, level: Level, m: &Matrix) {
        assert_eq!(m.rows(), self.rows, "other rows");
        assert!(m.columns() >= self.columns, "fewer columns");
        // SAFETY: the assertions above are what the body asks for.
        unsafe { requantise_entry(level, self, m) }
    }

    /// Inputs per output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Outputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// First byte of a panel, and its columns: fewer than [`PANEL`] in the last one, perhaps.
    #[inline(always)]
    fn panel(&self, panel: usize) -> (usize, usize) {
        let first = panel * PANEL;
        let bytes_of_column = 4 * self.rows.div_ceil(4);
        (first * bytes_of_column, (self.columns - first).min(PANEL))
    }
}

dispatch!(unsafe fn requantise_entry(to: &mut Int8Matrix, m: &Matrix) = requantise_body);

/// # Safety
/// `m` has the rows of `to` and at least its columns.
#[inline(always)]
unsafe fn requantise_body<V: F32x16>(_: PhantomData<V>, to: &mut Int8Matrix, m: &Matrix) {
    let (zero, round) = (V::splat(0.0), V::splat(ROUND));
    for column in (0..to.columns).step_by(16) {
        let (first, width) = to.panel(column / PANEL);
        let from = m.panel(column / PANEL).wrapping_add(column % PANEL);
        // SAFETY: row `i` exists, with sixteen columns from `column`.
        let row = |i: usize| unsafe { V::load(from.add(i * PANEL)) };
        let (mut high, mut low) = (zero, zero);
        for i in 0..to.rows {
            (high, low) = (row(i).max(high), row(i).min(low));
        }
        let (mut scale, mut over) = ([0.0; 16], [0.0; 16]);
        // SAFETY: sixteen floats.
        unsafe { zero.sub(low).max(high).store(scale.as_mut_ptr()) };
        for (scale, over) in scale.iter_mut().zip(&mut over) {
            (*scale, *over) = scale_of(*scale);
        }
        // SAFETY: sixteen floats.
        let over = unsafe { V::load(over.as_ptr()) };
        // Whole numbers below 2^24, so that these sums are exact.
        let (mut sum, mut negative) = (zero, zero);
        let mut bytes = first + 4 * (column % PANEL);
        for i in (0..to.rows).step_by(4) {
            let mut four = [round; 4];
            for (k, v) in four.iter_mut().enumerate().take(to.rows - i) {
                // Not fused: the portable level must round alike.
                *v = row(i + k).mul(over).add(round);
                let value = v.sub(round);
                sum = sum.add(value);
                negative = negative.sub(value.min(zero));
            }
            let group = &mut to.data[bytes..bytes + 64];
            // SAFETY: 64 bytes.
            unsafe { V::store_low_bytes_of_four(four, group.as_mut_ptr()) };
            bytes += 4 * width;
        }
        let (mut sums, mut negatives) = ([0.0; 16], [0.0; 16]);
        // SAFETY: sixteen floats each.
        unsafe {
            sum.store(sums.as_mut_ptr());
            negative.store(negatives.as_mut_ptr());
        }
        for j in 0..16 {
            to.scales[column + j] = scale[j];
            to.offsets[column + j] = -128 * (sums[j] as i32);
            to.negatives[column + j] = negatives[j] as i32;
            to.sums[column + j] = sums[j] * scale[j];
        }
    }
}

/// What becomes of the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// They replace what is in the output.
    Store,
    /// They are added to what is in the output.
    Add,
    /// Their [`gelu`](crate::gelu()) replaces what is in the output.
    Gelu,
}

/// `y[r] = q[r] W + bias` for all rows of `q`, as floats; row `r` of `y` is at `r * y_stride`.
///
/// A product is `sum * (row scale * column scale) + (row middle * column sum + bias)`, where the sum of bytes is exact and
/// the column sum is that of the weights; the levels with a fused multiply-add return the same bits.
///
/// # Panics
/// When the lengths do not fit the matrix, or `q` was filled at another level.
pub fn matmul_int8(
    level: Level,
    q: &QuantisedRows,
    w: &Int8Matrix,
    bias: Option<&[f32]>,
    y: &mut [f32],
    y_stride: usize,
    epilogue: Epilogue,
) {
    if q.rows == 0 {
        return;
    }
    assert_eq!(q.len, w.rows, "one input per row of the matrix");
    assert_eq!(q.offset, offset(level), "rows quantised at another level");
    assert!(
        bias.is_none_or(|bias| bias.len() == w.columns),
        "one bias per column"
    );
    assert!(
        y.len() >= reach(q.rows, y_stride, w.columns),
        "outputs shorter than {} rows",
        q.rows
    );
    let product = Product {
        q,
        w,
        bias: bias.map(<[f32]>::as_ptr),
        y: y.as_mut_ptr(),
        y_stride,
        epilogue,
    };
    // SAFETY: the assertions above are what the body asks for.
    unsafe { matmul_entry(level, &product) }
}

/// The arguments of [`matmul_int8`], checked: a bias per column, and outputs for every row.
struct Product<'a> {
    q: &'a QuantisedRows,
    w: &'a Int8Matrix,
    bias: Option<*const f32>,
    y: *mut f32,
    y_stride: usize,
    epilogue: Epilogue,
}

/// Picks the kernel of the level.
///
/// # Safety
/// The pointers of `product` are as it says, and the level is the one that filled its rows.
unsafe fn matmul_entry(level: Level, product: &Product<'_>) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
    unsafe fn avx512_vnni(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<x86::Avx512Vnni>(product) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
    unsafe fn avx512_bw(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<x86::Avx512Bytes>(product) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avxvnni,avx2,fma")]
    unsafe fn avx_vnni(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<x86::Vnni256<true>>(product) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<x86::Avx2Bytes>(product) }
    }
    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn neon_dot(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<neon::NeonDot>(product) }
    }
    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    unsafe fn neon(product: &Product<'_>) {
        // SAFETY: passed on from the caller.
        unsafe { matmul_body::<neon::NeonPairs>(product) }
    }
    // SAFETY: a `Level` exists only for instructions this machine has, and so does its leave to use dot products; the
    // rest is passed on from the caller.
    unsafe {
        match (level.kind(), level.byte_dot()) {
            #[cfg(target_arch = "x86_64")]
            (crate::KernelLevel::Avx512, true) => avx512_vnni(product),
            #[cfg(target_arch = "x86_64")]
            (crate::KernelLevel::Avx2, true) => avx_vnni(product),
            #[cfg(target_arch = "x86_64")]
            (crate::KernelLevel::Avx512, false) if is_x86_feature_detected!("avx512bw") => {
                avx512_bw(product)
            }
            #[cfg(target_arch = "x86_64")]
            (crate::KernelLevel::Avx512 | crate::KernelLevel::Avx2, false) => avx2(product),
            #[cfg(target_arch = "aarch64")]
            (crate::KernelLevel::Neon, true) => neon_dot(product),
            #[cfg(target_arch = "aarch64")]
            (crate::KernelLevel::Neon, false) => neon(product),
            _ => matmul_body::<dot::PortableDot>(product),
        }
    }
}

/// # Safety
/// As for [`matmul_entry`], and the machine has the instructions of `D`.
#[inline(always)]
unsafe fn matmul_body<D: Dot>(product: &Product<'_>) {
    let (rows, columns) = (product.q.rows, product.w.columns);
    let mut sums = Sums([0.0; MOST_TILE_ROWS * PANEL]);
    let to = sums.0.as_mut_ptr();
    let mut column = 0;
    while column < columns {
        let left = (columns - column).min(PANEL - column % PANEL);
        let wide = D::COLUMNS == 4 && left == PANEL;
        let mut row = 0;
        while row < rows {
            let here = (rows - row).min(D::ROWS);
            // SAFETY: rows `row..row + here` exist, and a whole panel of columns if `wide`, else sixteen.
            unsafe {
                match here {
                    1 if wide => tile::<D, 1, 4>(product, row, column, to),
                    2 if wide => tile::<D, 2, 4>(product, row, column, to),
                    3 if wide => tile::<D, 3, 4>(product, row, column, to),
                    4 if wide => tile::<D, 4, 4>(product, row, column, to),
                    5 if wide && D::ROWS > 4 => tile::<D, 5, 4>(product, row, column, to),
                    6 if wide && D::ROWS > 4 => tile::<D, 6, 4>(product, row, column, to),
                    1 => tile::<D, 1, 1>(product, row, column, to),
                    2 => tile::<D, 2, 1>(product, row, column, to),
                    3 => tile::<D, 3, 1>(product, row, column, to),
                    4 => tile::<D, 4, 1>(product, row, column, to),
                    5 if D::ROWS > 4 => tile::<D, 5, 1>(product, row, column, to),
                    6 if D::ROWS > 4 => tile::<D, 6, 1>(product, row, column, to),
                    _ => {}
                }
                finish::<D::Float>(product, row, here, column, if wide { 4 } else { 1 }, to);
            }
            row += here;
        }
        column += if wide { PANEL } else { 16 };
    }
}

const MOST_TILE_ROWS: usize = 6;

/// The sums of a tile, [`PANEL`] to a row. They pass through memory so that the code which follows is there once and not
/// once per shape of tile, where it would also keep the compiler from holding the sums in registers.
#[repr(align(64))]
struct Sums([f32; MOST_TILE_ROWS * PANEL]);

/// `R` rows by `C` vectors of sums, held in registers over all inputs.
///
/// # Safety
/// As for [`matmul_body`]; the rows and columns exist, the latter in one panel; `to` is a [`Sums`].
#[inline(always)]
unsafe fn tile<D: Dot, const R: usize, const C: usize>(
    product: &Product<'_>,
    row: usize,
    column: usize,
    to: *mut f32,
) {
    let (q, w) = (product.q, product.w);
    let (panel, width) = w.panel(column / PANEL);
    let stride = q.stride;
    // SAFETY: the caller's rows exist in `q` and the columns in the panel and the corrections; rows of `q` are padded to whole
    // cache lines, so that the last group of four can be read.
    unsafe {
        debug_assert_eq!(q.offset, D::OFFSET);
        let mut x = q.data.as_ptr().add(row * stride);
        let mut weights: *const i8 = w.data.as_ptr().add(panel + 4 * (column % PANEL)).cast();
        let corrections = Corrections {
            offset: w.offsets.as_ptr().add(column),
            negatives: w.negatives.as_ptr().add(column),
        };
        let mut sums = [[D::start(corrections); C]; R];
        for c in 1..C {
            let start = D::start(corrections.after(c));
            for row in &mut sums {
                row[c] = start;
            }
        }
        for _ in 0..w.rows.div_ceil(4) {
            let mut four = [D::weights(weights); C];
            for c in 1..C {
                four[c] = D::weights(weights.add(64 * c));
            }
            for (r, row) in sums.iter_mut().enumerate() {
                let x = D::inputs(x.add(r * stride));
                for c in 0..C {
                    row[c] = row[c].add(x, four[c]);
                }
            }
            x = x.add(4);
            weights = weights.add(4 * width);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, sum) in sums.iter().enumerate() {
                sum.to_float().store(to.add(r * PANEL + 16 * c));
            }
        }
    }
}

/// Scales and bias, and what the epilogue asks for, for the sums of a tile.
///
/// # Safety
/// The rows and vectors of columns exist in `product`, and `sums` holds them.
#[inline(always)]
unsafe fn finish<V: F32x16>(
    product: &Product<'_>,
    row: usize,
    rows: usize,
    column: usize,
    vectors: usize,
    sums: *const f32,
) {
    // Chosen here and not for every vector. Not by closures: they are compiled without the level's instructions unless they
    // happen to be inlined, which made this six times as slow.
    const STORE: u8 = Epilogue::Store as u8;
    const ADD: u8 = Epilogue::Add as u8;
    const GELU: u8 = Epilogue::Gelu as u8;
    // SAFETY: passed on from the caller.
    unsafe {
        match product.epilogue {
            Epilogue::Store => each::<V, STORE>(product, row, rows, column, vectors, sums),
            Epilogue::Add => each::<V, ADD>(product, row, rows, column, vectors, sums),
            Epilogue::Gelu => each::<V, GELU>(product, row, rows, column, vectors, sums),
        }
    }
}

/// # Safety
/// As for [`finish`].
#[inline(always)]
unsafe fn each<V: F32x16, const EPILOGUE: u8>(
    product: &Product<'_>,
    row: usize,
    rows: usize,
    column: usize,
    vectors: usize,
    sums: *const f32,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        for c in 0..vectors {
            let column = column + 16 * c;
            let of_column = V::load(product.w.scales.as_ptr().add(column));
            let bias = match product.bias {
                Some(bias) => V::load(bias.add(column)),
                None => V::splat(0.0),
            };
            let sum_of_column = V::load(product.w.sums.as_ptr().add(column));
            for r in 0..rows {
                let scale = V::splat(*product.q.scales.as_ptr().add(row + r)).mul(of_column);
                let middle = V::splat(*product.q.middles.as_ptr().add(row + r));
                let bias = middle.fma(sum_of_column, bias);
                let to = product.y.add((row + r) * product.y_stride + column);
                let mut value = V::load(sums.add(r * PANEL + 16 * c)).fma(scale, bias);
                if EPILOGUE == Epilogue::Add as u8 {
                    value = value.add(V::load(to));
                } else if EPILOGUE == Epilogue::Gelu as u8 {
                    value = gelu_v(value);
                }
                value.store(to);
            }
        }
    }
}
