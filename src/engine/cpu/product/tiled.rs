//! The product by AMX: a tile's rows in groups of at most 16, two groups and a panel at a time. Sums pass through memory, where a vector of them becomes products.
//!
//! Which rows share a kernel changes no sum: each is of its row and its column. Not here: the loop of vectors (`multiply`), the instructions (`simd/amx`).

use std::ops::Range;

use pulp::Simd;

use super::epilogue::{Epilogue, SumsOf};
use super::factors::Factors;
use super::multiply::Prefetch;
use super::packed::Layout;
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::amx::{Ahead, Amx, KERNEL, Matrices, Operands, Panel, Registers, SIDE, Sums};
use crate::engine::cpu::simd::vector::{load, store};

/// Rows in groups of the same size. The last may start with rows of the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Groups {
    rows: usize,
    /// Rows of a group.
    size: usize,
}

impl Groups {
    /// Cuts rows, of which there is at least one.
    pub(super) fn of(rows: usize) -> Self {
        Self { rows, size: rows.div_ceil(rows.div_ceil(SIDE)) }
    }

    /// Number of groups.
    fn count(self) -> usize {
        self.rows.div_ceil(self.size)
    }

    /// Number of kernels: each of two groups, the last perhaps of one.
    pub(super) fn kernels(self) -> usize {
        self.count().div_ceil(2)
    }

    /// The first row of a group, and how many of its rows the group before has.
    fn first(self, group: usize) -> (usize, usize) {
        let first = (group * self.size).min(self.rows - self.size);
        (first, group * self.size - first)
    }
}

/// What all panels of a product use one after the other.
pub(super) struct Memory {
    registers: Registers,
    sums: Sums,
}

impl Memory {
    /// For rows in these groups.
    pub(super) fn new(amx: Amx, groups: Groups) -> Self {
        Self { registers: amx.registers(groups.size), sums: Sums([[0.0; KERNEL]; KERNEL]) }
    }
}

/// What [`panel`] reads and writes.
pub(super) struct PanelOf<'a, 'b> {
    /// From the tile's first row on.
    pub(super) rows: Rows<'a>,
    pub(super) groups: Groups,
    /// With its head.
    pub(super) values: &'a [f32],
    pub(super) layout: Layout,
    /// Its columns, counted in the matrix.
    pub(super) columns: Range<usize>,
    pub(super) tile: &'a mut Tile<'b>,
    /// Whether the products are written; otherwise they are added.
    pub(super) is_first: bool,
    /// After the last block, with the residual.
    pub(super) epilogue: Option<(&'a Epilogue, Option<Rows<'a>>)>,
}

/// Multiplies all rows of a tile by a panel.
#[inline(always)]
pub(super) fn panel<S: Simd, F: Factors>(
    simd: S,
    (factors, operands): (F, Operands),
    Memory { registers, sums }: &mut Memory,
    of: PanelOf<'_, '_>,
    ahead: &mut Prefetch,
) {
    let PanelOf { rows, groups, values, layout, columns, tile, is_first, epilogue } = of;
    let width = columns.len().next_multiple_of(SIDE);
    let (head, values) = values.split_at(layout.head * width);
    let panel = Panel { values, width, steps: values.len() / width / SIDE };
    let has_head = F::HEAD > 0;
    let of_columns = [0, SIDE].map(|vector| load(simd, if has_head && vector < width { &head[vector..] } else { &[] }));
    let steps = has_head.then(|| &head[width..][..columns.len()]);
    let of_tile = columns.start - tile.column_range().start..columns.end - tile.column_range().start;
    for kernel in 0..groups.kernels() {
        let pair = 2 * kernel..groups.count().min(2 * kernel + 2);
        let lines = ahead.lines();
        let [first, second] = [pair.start, pair.end - 1].map(|group| &rows.row(groups.first(group).0)[layout.head..]);
        let matrices = Matrices { values: &[first, second][..pair.len()], stride: rows.stride() };
        registers.multiply(operands, matrices, panel, Ahead { next: ahead.next, lines }, sums);
        ahead.next = ahead.next.wrapping_add(lines * panel.steps * SIDE);
        for (sums, group) in sums.0.chunks_exact(SIDE).zip(pair) {
            let (first, others) = groups.first(group);
            let products = Products { factors, sums, rows, first, of_columns, is_first };
            let of_group = first + others..first + groups.size;
            if let Some((epilogue, residual)) = epilogue {
                epilogue.apply(simd, tile, (of_group, columns.clone()), residual, steps, products);
                continue;
            }
            for row in of_group {
                let [out] = tile.rows::<1>(row, of_tile.clone());
                for (vector, out) in out.chunks_mut(SIDE).enumerate() {
                    store(simd, out, products.get(simd, load(simd, out), row, vector));
                }
            }
        }
    }
}

/// The products of a group.
struct Products<'a, S: Simd, F> {
    factors: F,
    sums: &'a [[f32; KERNEL]],
    /// From the tile's first row on.
    rows: Rows<'a>,
    /// The row of the first sums.
    first: usize,
    /// The first row of the panel's head.
    of_columns: [S::f32s; 2],
    is_first: bool,
}

impl<S: Simd, F: Factors> Clone for Products<'_, S, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd, F: Factors> Copy for Products<'_, S, F> {}

impl<S: Simd, F: Factors> SumsOf<S> for Products<'_, S, F> {
    #[inline(always)]
    fn get(self, simd: S, tile: S::f32s, row: usize, vector: usize) -> S::f32s {
        let sums = load(simd, &self.sums[row - self.first][vector * SIDE..]);
        let product = self.factors.product(simd, sums, self.rows.row(row), self.of_columns[vector]);
        if self.is_first { product } else { simd.add_f32s(tile, product) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_rows_once() {
        for rows in 1..200 {
            let groups = Groups::of(rows);
            assert!(groups.size <= SIDE && groups.kernels() == rows.div_ceil(KERNEL), "{groups:?}");
            let covered: Vec<usize> = (0..groups.count())
                .flat_map(|group| {
                    let (first, others) = groups.first(group);
                    first + others..first + groups.size
                })
                .collect();
            assert_eq!(covered, (0..rows).collect::<Vec<_>>());
        }
    }
}
