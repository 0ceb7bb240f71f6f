//! Weight matrices in panels, and rows times matrix.

use crate::AlignedVec;
use crate::align::reach;
use crate::level::{Level, dispatch};
use crate::simd::F32x16;
use crate::sparse::{MAX_SPARSE, one_row};
use core::marker::PhantomData;

/// Columns of a panel. A panel holds them for all rows of the matrix, row after row, so that one pass
/// over the inputs reads one forward stream of memory.
pub const PANEL: usize = 64;
pub(crate) const VECTORS: usize = PANEL / 16;

/// A `[k, n]` matrix, packed in panels of [`PANEL`] columns.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    data: AlignedVec,
}

impl Matrix {
    /// Packs the matrix whose element is `element(row, column)`.
    ///
    /// # Panics
    /// When `columns` is not a multiple of [`PANEL`]: shapes are the model's, never the input's.
    pub fn from_fn(rows: usize, columns: usize, element: impl Fn(usize, usize) -> f32) -> Self {
        assert!(
            columns.is_multiple_of(PANEL),
            "{columns} columns are not whole panels of {PANEL}"
        );
        let mut data = AlignedVec::zeros(rows * columns);
        for (i, value) in data.iter_mut().enumerate() {
            let (panel, at) = (i / (rows * PANEL), i % (rows * PANEL));
            *value = element(at / PANEL, panel * PANEL + at % PANEL);
        }
        Self {
            rows,
            columns,
            data,
        }
    }

    /// A matrix of zeros, to be filled by [`Matrix::repack`] or [`Matrix::repack_transposed`]. `columns` is rounded up to whole
    /// panels.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let columns = columns.next_multiple_of(PANEL);
        Self {
            rows,
            columns,
            data: AlignedVec::zeros(rows * columns),
        }
    }

    /// Replaces the matrix, without allocating: element (i, j) becomes `x[i * stride + j]` for the first `columns`
    /// columns, and 0 in the others.
    ///
    /// For matrices that are themselves computed, such as the values of an attention head.
    ///
    /// # Panics
    /// When `columns` is more than the matrix has, or `x` is shorter than its rows.
    pub fn repack(&mut self, x: &[f32], stride: usize, columns: usize) {
        assert!(columns <= self.columns, "{columns} columns do not fit");
        let rows = self.rows;
        for i in 0..rows {
            let row = &x[i * stride..][..columns];
            for (panel, y) in self.data.chunks_exact_mut(rows * PANEL).enumerate() {
                let row = row.get(panel * PANEL..).unwrap_or_default();
                let (y, here) = (&mut y[i * PANEL..][..PANEL], row.len().min(PANEL));
                y[..here].copy_from_slice(&row[..here]);
                y[here..].fill(0.0);
            }
        }
    }

    /// Replaces the matrix, without allocating: element (i, j) becomes `x[j * stride + i]` for the first `columns`
    /// columns, and 0 in the others. Row `j` of `x` becomes column `j`.
    ///
    /// For the keys of an attention head, whose products with the queries are wanted.
    ///
    /// # Panics
    /// When `columns` is more than the matrix has, or `x` is shorter than that many rows.
    pub fn repack_transposed(&mut self, level: Level, x: &[f32], stride: usize, columns: usize) {
        assert!(columns <= self.columns, "{columns} columns do not fit");
        assert!(
            columns == 0 || x.len() >= reach(columns, stride, self.rows),
            "inputs shorter than {columns} rows"
        );
        // SAFETY: the assertions above are what the body asks for.
        unsafe { repack_transposed_entry(level, self, x, stride, columns) }
    }

    /// Inputs per output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Outputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// First element of a panel.
    #[inline(always)]
    pub(crate) fn panel(&self, panel: usize) -> *const f32 {
        debug_assert!(panel < self.columns / PANEL);
        self.data.as_ptr().wrapping_add(panel * self.rows * PANEL)
    }
}

dispatch!(unsafe fn repack_transposed_entry(
    matrix: &mut Matrix, x: &[f32], stride: usize, columns: usize
) = repack_transposed_body);

/// Blocks of 16 x 16 are transposed in registers; what is left at the edges goes one by one.
///
/// # Safety
/// The assertions of [`Matrix::repack_transposed`] hold.
#[inline(always)]
unsafe fn repack_transposed_body<V: F32x16>(
    _: PhantomData<V>,
    matrix: &mut Matrix,
    x: &[f32],
    stride: usize,
    columns: usize,
) {
    let rows = matrix.rows;
    let whole = rows - rows % 16;
    for column in (0..matrix.columns).step_by(16) {
        let here = columns.saturating_sub(column).min(16);
        let at = column / PANEL * rows * PANEL + column % PANEL;
        let y = &mut matrix.data[at..];
        if here == 16 {
            for i in (0..whole).step_by(16) {
                let mut block = [V::splat(0.0); 16];
                // SAFETY: rows `column..column + 16` of `x` exist, with inputs `i..i + 16`; sixteen rows of the matrix
                // from `i` exist, with sixteen columns from `column`.
                unsafe {
                    for (j, v) in block.iter_mut().enumerate() {
                        *v = V::load(x.as_ptr().add((column + j) * stride + i));
                    }
                    V::transpose(&mut block);
                    for (r, v) in block.iter().enumerate() {
                        v.store(y.as_mut_ptr().add((i + r) * PANEL));
                    }
                }
            }
        }
        for i in if here == 16 { whole..rows } else { 0..rows } {
            for j in 0..16 {
                let value = (j < here).then(|| x[(column + j) * stride + i]);
                y[i * PANEL + j] = value.unwrap_or(0.0);
            }
        }
    }
}

/// A block of input rows of [`affine_rows`] and the rows of the matrix it meets.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Inputs, row `r` at `r * stride`.
    pub x: &'a [f32],
    /// Distance between rows.
    pub stride: usize,
    /// Inputs per row.
    pub len: usize,
    /// Row of the matrix that the first input meets.
    pub first: usize,
}

/// `y = x W + bias` for one row, `max(0, y)` if `relu`.
///
/// # Panics
/// When the lengths do not fit the matrix.
pub fn affine(level: Level, x: &[f32], w: &Matrix, bias: &[f32], y: &mut [f32], relu: bool) {
    let source = Source {
        x,
        stride: 0,
        len: x.len(),
        first: 0,
    };
    affine_rows(level, 1, &[source], w, bias, y, w.columns, relu);
}

/// `y[r] = sum over sources of x[r] W[first..first + len] + bias` for many rows, `max(0, y)` if `relu`.
///
/// Each output is summed in the order of the sources, then of their inputs, whatever `rows` is.
///
/// # Panics
/// When the lengths do not fit the matrix.
#[allow(clippy::too_many_arguments)]
pub fn affine_rows(
    level: Level,
    rows: usize,
    sources: &[Source<'_>],
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    y_stride: usize,
    relu: bool,
) {
    if rows == 0 {
        return;
    }
    for s in sources {
        assert!(
            s.x.len() >= reach(rows, s.stride, s.len),
            "inputs shorter than {rows} rows"
        );
        assert!(
            s.first.saturating_add(s.len) <= w.rows,
            "more inputs than rows of the matrix"
        );
    }
    assert_eq!(bias.len(), w.columns, "one bias per column");
    assert!(
        y.len() >= reach(rows, y_stride, w.columns),
        "outputs shorter than {rows} rows"
    );
    // SAFETY: the assertions above are what the body asks for.
    unsafe { affine_rows_entry(level, rows, sources, w, bias, y, y_stride, relu) }
}

dispatch!(unsafe fn affine_rows_entry(
    rows: usize, sources: &[Source<'_>], w: &Matrix, bias: &[f32], y: &mut [f32], y_stride: usize, relu: bool
) = affine_rows_body);

/// # Safety
/// The assertions of [`affine_rows`] hold.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn affine_rows_body<V: F32x16>(
    _: PhantomData<V>,
    rows: usize,
    sources: &[Source<'_>],
    w: &Matrix,
    bias: &[f32],
    y: &mut [f32],
    y_stride: usize,
    relu: bool,
) {
    if rows == 1 && w.rows <= MAX_SPARSE {
        // SAFETY: passed on from the caller.
        unsafe { one_row::<V>(sources, w, bias, y, relu) }
        return;
    }
    let y = y.as_mut_ptr();
    for panel in 0..w.columns / PANEL {
        let mut vector = 0;
        while vector < VECTORS {
            let column = panel * PANEL + 16 * vector;
            // SAFETY: `column` is within the matrix, so all four pointers are within their slices.
            let (wp, bp, yp) = unsafe {
                (
                    w.panel(panel).add(16 * vector),
                    bias.as_ptr().add(column),
                    y.add(column),
                )
            };
            let mut row = 0;
            // SAFETY: rows `row..row + R` exist by the loop's condition, and the columns by `vector`.
            unsafe {
                if V::COLUMNS == 4 {
                    while row + 6 <= rows {
                        tile::<V, 6, 4>(sources, row, wp, bp, yp, y_stride, relu);
                        row += 6;
                    }
                    match rows - row {
                        1 => tile::<V, 1, 4>(sources, row, wp, bp, yp, y_stride, relu),
                        2 => tile::<V, 2, 4>(sources, row, wp, bp, yp, y_stride, relu),
                        3 => tile::<V, 3, 4>(sources, row, wp, bp, yp, y_stride, relu),
                        4 => tile::<V, 4, 4>(sources, row, wp, bp, yp, y_stride, relu),
                        5 => tile::<V, 5, 4>(sources, row, wp, bp, yp, y_stride, relu),
                        _ => {}
                    }
                } else {
                    while row + V::ROWS <= rows {
                        match V::ROWS {
                            6 => tile::<V, 6, 1>(sources, row, wp, bp, yp, y_stride, relu),
                            4 => tile::<V, 4, 1>(sources, row, wp, bp, yp, y_stride, relu),
                            _ => tile::<V, 2, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        }
                        row += V::ROWS;
                    }
                    match rows - row {
                        1 => tile::<V, 1, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        2 => tile::<V, 2, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        3 => tile::<V, 3, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        4 => tile::<V, 4, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        5 => tile::<V, 5, 1>(sources, row, wp, bp, yp, y_stride, relu),
                        _ => {}
                    }
                }
            }
            vector += V::COLUMNS;
        }
    }
}

/// `R` rows by `C` vectors of outputs, held in registers over all inputs.
///
/// # Safety
/// Rows `row..row + R` exist in every source and in `y`; `w`, `bias` and `y` point at the first of `C` vectors of columns
/// of one panel.
#[inline(always)]
unsafe fn tile<V: F32x16, const R: usize, const C: usize>(
    sources: &[Source<'_>],
    row: usize,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    y_stride: usize,
    relu: bool,
) {
    // SAFETY: `row` exists in every source, the matrix has `first + len` rows, and `bias` and `y` have the columns.
    unsafe {
        let mut acc = [[V::splat(0.0); C]; R];
        for c in 0..C {
            let b = V::load(bias.add(16 * c));
            for row in &mut acc {
                row[c] = b;
            }
        }
        for s in sources {
            let x = s.x.as_ptr().add(row * s.stride);
            let mut w = w.add(s.first * PANEL);
            for k in 0..s.len {
                let mut column = [V::splat(0.0); C];
                for (c, column) in column.iter_mut().enumerate() {
                    *column = V::load(w.add(16 * c));
                }
                for (r, row) in acc.iter_mut().enumerate() {
                    let x = V::splat(*x.add(r * s.stride + k));
                    for c in 0..C {
                        row[c] = x.fma(column[c], row[c]);
                    }
                }
                w = w.add(PANEL);
            }
        }
        for (r, row_acc) in acc.iter().enumerate() {
            for (c, &value) in row_acc.iter().enumerate() {
                let value = if relu {
                    value.max(V::splat(0.0))
                } else {
                    value
                };
                value.store(y.add((row + r) * y_stride + 16 * c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelLevel;

    /// Small whole numbers: every sum is exact, so that order and fusing cannot hide or excuse a difference.
    fn number(i: usize) -> f32 {
        ((i * 7919 + 13) % 17) as f32 - 8.0
    }

    #[test]
    fn rows_times_matrix_equals_the_naive_sum_for_every_row_count() {
        let (k, n) = (37, 128);
        let w = Matrix::from_fn(k, n, |i, j| number(i * n + j));
        let bias: Vec<f32> = (0..n).map(|j| number(j + 5)).collect();
        for level in Level::available() {
            for rows in 0..20 {
                let (a_stride, b_stride) = (23, 40);
                let a: Vec<f32> = (0..rows * a_stride).map(number).collect();
                let b: Vec<f32> = (0..rows * b_stride).map(|i| number(i + 1)).collect();
                let sources = [
                    Source {
                        x: &a,
                        stride: a_stride,
                        len: 20,
                        first: 3,
                    },
                    Source {
                        x: &b,
                        stride: b_stride,
                        len: 14,
                        first: 23,
                    },
                ];
                for relu in [false, true] {
                    let mut y = vec![f32::NAN; rows * (n + 3)];
                    affine_rows(level, rows, &sources, &w, &bias, &mut y, n + 3, relu);
                    for r in 0..rows {
                        for j in 0..n {
                            let mut sum = bias[j];
                            for i in 0..20 {
                                sum += a[r * a_stride + i] * number((3 + i) * n + j);
                            }
                            for i in 0..14 {
                                sum += b[r * b_stride + i] * number((23 + i) * n + j);
                            }
                            let expected = if relu { sum.max(0.0) } else { sum };
                            assert_eq!(
                                y[r * (n + 3) + j],
                                expected,
                                "{level:?} rows {rows} at {r}, {j}"
                            );
                        }
                        assert!(
                            y[r * (n + 3) + n..(r + 1) * (n + 3)]
                                .iter()
                                .all(|v| v.is_nan()),
                            "wrote past the row"
                        );
                    }
                }
            }
        }
    }

    /// In release builds the product of rows and stride would wrap around to a small number.
    #[test]
    #[should_panic(expected = "inputs shorter than 3 rows")]
    fn rows_too_far_apart_to_count_are_refused() {
        let w = Matrix::from_fn(16, 64, |_, _| 1.0);
        let source = Source {
            x: &[0.0; 64],
            stride: 1 << (usize::BITS - 1),
            len: 16,
            first: 0,
        };
        let (bias, mut y) = ([0.0; 64], [0.0; 192]);
        affine_rows(Level::detect(), 3, &[source], &w, &bias, &mut y, 64, false);
    }

    #[test]
    #[should_panic(expected = "more inputs than rows of the matrix")]
    fn inputs_that_begin_too_far_down_to_count_are_refused() {
        let w = Matrix::from_fn(16, 64, |_, _| 1.0);
        let source = Source {
            x: &[0.0; 64],
            stride: 0,
            len: 16,
            first: usize::MAX - 15,
        };
        let (bias, mut y) = ([0.0; 64], [0.0; 64]);
        affine_rows(Level::detect(), 1, &[source], &w, &bias, &mut y, 64, false);
    }

    #[test]
    fn a_repacked_matrix_is_the_one_packed_from_the_same_elements() {
        for level in Level::available() {
            for (rows, columns) in [(64, 400), (400, 64), (37, 100), (16, 16), (5, 3), (20, 128)] {
                // Garbage first: a repack must also clear what it does not fill.
                let mut m = Matrix::zeros(rows, columns);
                assert_eq!(m.columns(), columns.next_multiple_of(PANEL));
                m.data.fill(f32::NAN);
                let stride = columns + 5;
                let x: Vec<f32> = (0..(rows - 1) * stride + columns).map(number).collect();
                m.repack(&x, stride, columns);
                let expected = Matrix::from_fn(rows, m.columns(), |i, j| {
                    if j < columns { x[i * stride + j] } else { 0.0 }
                });
                assert_eq!(m.data[..], expected.data[..], "{rows} x {columns}");

                m.data.fill(f32::NAN);
                let stride = rows + 3;
                let x: Vec<f32> = (0..(columns - 1) * stride + rows).map(number).collect();
                m.repack_transposed(level, &x, stride, columns);
                let expected = Matrix::from_fn(rows, m.columns(), |i, j| {
                    if j < columns { x[j * stride + i] } else { 0.0 }
                });
                assert_eq!(
                    m.data[..],
                    expected.data[..],
                    "{level:?} {rows} x {columns}"
                );
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others_and_at_every_fused_level() {
        let (k, n, rows) = (129, 64, 13);
        let real = |i: usize| (number(i) + 0.37) * 0.01 * (1.0 + (i % 11) as f32);
        let w = Matrix::from_fn(k, n, |i, j| real(i * n + j));
        let bias: Vec<f32> = (0..n).map(real).collect();
        // Some zeros, which a single row leaves out.
        let x = (0..rows * k).map(|i| if i % 3 == 0 { 0.0 } else { real(i + 3) });
        let x: Vec<f32> = x.collect();
        let mut of_levels: Vec<Vec<f32>> = Vec::new();
        for level in Level::available() {
            let mut many = vec![0.0; rows * n];
            let source = Source {
                x: &x,
                stride: k,
                len: k,
                first: 0,
            };
            affine_rows(level, rows, &[source], &w, &bias, &mut many, n, false);
            for r in 0..rows {
                let mut one = vec![0.0; n];
                affine(level, &x[r * k..(r + 1) * k], &w, &bias, &mut one, false);
                assert_eq!(one, many[r * n..(r + 1) * n], "{level:?} row {r}");
            }
            if level.kind() != KernelLevel::Portable {
                of_levels.push(many);
            }
        }
        assert!(of_levels.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
