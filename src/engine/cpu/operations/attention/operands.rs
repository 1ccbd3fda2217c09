//! Keys and values of a head, packed from rows as the product's kernel reads them. Not here: their rows (`attention`).

use pulp::{Simd, WithSimd};

use super::scaled_copy;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::Layout;
use crate::engine::cpu::simd::bf16::Pairs;
use crate::engine::cpu::simd::vector::{load, store};

/// Rows and columns of the squares in which keys are transposed. The compiler keeps them in registers.
const SQUARE: usize = 4;

/// Packs rows of keys, which are columns of the product, of the product's numbers already.
#[inline(always)]
pub(super) fn pack_keys(layout: Layout, rows: &[f32], packed: &mut [f32]) {
    let (depth, floats, count) = (layout.depth, layout.depth.div_ceil(layout.per_float), rows.len() / layout.depth);
    for panel in layout.panels_of(0..count) {
        let (range, columns, width) =
            (layout.panel_range(0, panel), layout.panel_columns(panel), layout.panel_width(panel));
        let packed = &mut packed[range];
        let keys = &rows[columns.start * depth..columns.end.min(count) * depth];
        for (square, keys) in keys.chunks(SQUARE * depth).enumerate() {
            let column = square * SQUARE;
            let mut transposed = 0;
            if keys.len() == SQUARE * depth {
                transposed = floats / SQUARE * SQUARE;
                transpose(keys, depth, &mut packed[..transposed * width], width, column);
            }
            for (column, key) in keys.chunks_exact(depth).enumerate().map(|(key, values)| (column + key, values)) {
                for (row, from) in packed.chunks_exact_mut(width).zip(&key[..floats]).skip(transposed) {
                    row[column] = *from;
                }
            }
        }
    }
}

/// Transposes `SQUARE` keys into columns, from `column` on, of rows whose number is a multiple of `SQUARE`.
#[inline(always)]
fn transpose(keys: &[f32], depth: usize, rows: &mut [f32], width: usize, column: usize) {
    let mut of_keys: [&[[f32; SQUARE]]; SQUARE] = [&[]; SQUARE];
    for (of_key, key) in of_keys.iter_mut().zip(keys.chunks_exact(depth)) {
        *of_key = key.as_chunks().0;
    }
    for (square, rows) in rows.chunks_exact_mut(SQUARE * width).enumerate() {
        let [a, b, c, d] = [of_keys[0][square], of_keys[1][square], of_keys[2][square], of_keys[3][square]];
        for (row, depth) in rows.chunks_exact_mut(width).zip(0..SQUARE) {
            row[column..column + SQUARE].copy_from_slice(&[a[depth], b[depth], c[depth], d[depth]]);
        }
    }
}

/// Packs rows of `dim` floats of values, which are rows of the product.
#[inline(always)]
pub(super) fn pack_values<S: Simd>(
    simd: S,
    (layout, numbers): (Layout, Numbers),
    rows: &[f32],
    dim: usize,
    packed: &mut [f32],
) {
    if let Numbers::Pairs(pairs) = numbers {
        return pairs.vectorize(PairValues { pairs, layout, rows, dim, packed });
    }
    for panel in layout.panels_of(0..dim) {
        let (range, columns, width) =
            (layout.panel_range(0, panel), layout.panel_columns(panel), layout.panel_width(panel));
        let columns = columns.start..dim.min(columns.end);
        let values = rows.chunks_exact(dim).take(layout.depth);
        for (value, row) in values.zip(packed[range].chunks_exact_mut(width)) {
            scaled_copy(simd, &value[columns.clone()], 1.0, &mut row[..columns.len()]);
        }
    }
}

/// Packs values as pairs of two rows and one column.
struct PairValues<'a> {
    pairs: Pairs,
    layout: Layout,
    rows: &'a [f32],
    dim: usize,
    packed: &'a mut [f32],
}

impl WithSimd for PairValues<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pairs, layout, rows, dim, packed } = self;
        let rows = &rows[..layout.depth * dim];
        for panel in layout.panels_of(0..dim) {
            let (range, width) = (layout.panel_range(0, panel), layout.panel_width(panel));
            let columns = layout.panel_columns(panel).start..dim.min(layout.panel_columns(panel).end);
            for (two, row) in rows.chunks(2 * dim).zip(packed[range].chunks_exact_mut(width)) {
                let (first, second) = two.split_at(dim);
                for column in columns.clone().step_by(S::F32_LANES) {
                    // behind an odd number of rows is one of zeros
                    let second = if second.is_empty() { simd.splat_f32s(0.0) } else { load(simd, &second[column..]) };
                    let both = pairs.interleave::<S>(load(simd, &first[column..]), second);
                    store(simd, &mut row[column - columns.start..], both);
                }
            }
        }
    }
}
