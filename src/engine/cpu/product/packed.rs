//! A matrix, packed for the product's kernel. Not here: the product (`multiply`).

use std::ops::Range;

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::product::int8;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::instructions::Instructions;

/// Vectors of a row of a panel.
pub(crate) const PANEL_VECTORS: usize = 2;

/// How a matrix `[depth, columns]` is packed: in blocks of its depth, and each block in panels of its columns.
///
/// In memory it is `[blocks][panels][depth of the block][columns of the panel]`. The last panel's columns are padded to whole vectors. Pairs of bf16
/// are of two depths and one column; an odd depth is padded with a zero. Four bytes are of four, behind a head (`int8`).
/// A panel stays in the nearest caches while many rows are multiplied by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// Rows of the matrix, and columns of what is multiplied by it.
    pub(crate) depth: usize,
    /// Columns of the matrix, and of the product.
    pub(crate) columns: usize,
    /// Floats of a vector.
    pub(crate) lanes: usize,
    /// Depth of a block; the last may have less. Even where there are several.
    pub(crate) block: usize,
    /// Depths in the place of a float.
    pub(crate) per_float: usize,
    /// Floats before those of each block of depth.
    pub(crate) head: usize,
    /// The floats of each block behind its head are a multiple of this, padded with zeros.
    pub(crate) multiple: usize,
}

/// A packed matrix in borrowed memory.
#[derive(Clone, Copy)]
pub(crate) struct PackedMatrix<'a> {
    pub(crate) layout: Layout,
    pub(crate) numbers: Numbers,
    pub(crate) values: &'a [f32],
}

/// A packed weight, in memory of its own.
pub(crate) struct PackedWeight {
    pub(crate) layout: Layout,
    pub(crate) numbers: Numbers,
    values: Aligned,
}

/// The deepest block. A panel then takes 24 to 48 KiB, of bytes 12. Where that is more than the L1 cache, it streams from the L2 cache as quickly: from 128 to 512,
/// a Zen 4 with 32 KiB of L1 was within 2 %. Deeper blocks write sums less often.
const MAX_BLOCK_DEPTH: usize = 384;

/// Depth of a block. Blocks are nearly equal. They are whole panels of the layer before, whose columns this depth is.
pub(crate) fn block_depth(depth: usize, lanes: usize) -> usize {
    let blocks = depth.div_ceil(MAX_BLOCK_DEPTH);
    depth.div_ceil(blocks).next_multiple_of(PANEL_VECTORS * lanes).min(depth)
}

impl PackedWeight {
    /// Packs a weight `[columns, depth]`, as programs declare it.
    pub(crate) fn pack(
        instructions: Instructions,
        numbers: Numbers,
        weight: &[f32],
        depth: usize,
    ) -> Result<Self, NoMemory> {
        let (columns, lanes) = (weight.len() / depth, instructions.lanes());
        let numbers = numbers.of_layer(depth);
        let (per_float, head, multiple) = (numbers.per_float(), numbers.head(), numbers.multiple());
        let layout = Layout { depth, columns, lanes, block: block_depth(depth, lanes), per_float, head, multiple };
        let mut values = Aligned::zeros(layout.len())?;
        let steps = if head > 0 { int8::packed::steps(weight, depth) } else { Vec::new() };
        for block in 0..layout.blocks() {
            let depths = layout.depths(block);
            for panel in 0..layout.panels() {
                let (columns, width) = (layout.panel_columns(panel), layout.panel_width(panel));
                let packed = &mut values[layout.panel_range(block, panel)];
                if head > 0 {
                    int8::packed::pack(layout, (block, panel), (weight, &steps), packed);
                    continue;
                }
                for (column, row) in columns.enumerate() {
                    let row = &weight[row * depth..][depths.clone()];
                    numbers.put(row, packed[column..].iter_mut().step_by(width));
                }
            }
        }
        Ok(Self { layout, numbers, values })
    }

    /// The matrix, borrowed.
    pub(crate) fn panels(&self) -> PackedMatrix<'_> {
        PackedMatrix { layout: self.layout, numbers: self.numbers, values: &self.values }
    }
}

impl<'a> PackedMatrix<'a> {
    /// A panel `[floats of the block's depth][columns]`, its columns padded to whole vectors.
    pub(crate) fn panel(self, block: usize, panel: usize) -> &'a [f32] {
        &self.values[self.layout.panel_range(block, panel)]
    }

    /// The first panel of columns, of which there is at least one.
    pub(crate) fn first_panel(self, block: usize, columns: Range<usize>) -> &'a [f32] {
        self.panel(block, self.layout.panels_of(columns).start)
    }
}

impl Layout {
    /// Floats of the packed matrix.
    pub(crate) fn len(self) -> usize {
        self.floats(self.depth) * self.columns.next_multiple_of(self.lanes)
    }

    /// Blocks of its depth.
    pub(crate) fn blocks(self) -> usize {
        self.depth.div_ceil(self.block)
    }

    /// The depths of a block.
    pub(crate) fn depths(self, block: usize) -> Range<usize> {
        block * self.block..self.depth.min((block + 1) * self.block)
    }

    /// Floats in whose place so many depths stand, with the heads of their blocks. They start with a block.
    #[inline(always)]
    pub(crate) fn floats(self, depths: usize) -> usize {
        let (blocks, rest) = (depths / self.block, depths % self.block);
        let of_rest = if rest > 0 { self.floats_of_block(rest) } else { 0 };
        blocks * self.floats_of_block(self.block) + of_rest
    }

    fn floats_of_block(self, depth: usize) -> usize {
        self.head + depth.div_ceil(self.per_float).next_multiple_of(self.multiple)
    }

    /// Columns of a whole panel.
    pub(crate) fn panel(self) -> usize {
        PANEL_VECTORS * self.lanes
    }

    /// The panels that hold these columns, which start with a panel.
    pub(crate) fn panels_of(self, columns: Range<usize>) -> Range<usize> {
        columns.start / self.panel()..columns.end.div_ceil(self.panel())
    }

    /// The columns of a panel.
    pub(crate) fn panel_columns(self, panel: usize) -> Range<usize> {
        panel * self.panel()..self.columns.min((panel + 1) * self.panel())
    }

    /// Columns of a panel in memory, with its padding.
    pub(crate) fn panel_width(self, panel: usize) -> usize {
        self.panel_columns(panel).len().next_multiple_of(self.lanes)
    }

    /// The elements of a panel.
    pub(crate) fn panel_range(self, block: usize, panel: usize) -> Range<usize> {
        let depths = self.depths(block);
        let (before, floats) = (self.floats(depths.start), self.floats(depths.len()));
        let start = before * self.columns.next_multiple_of(self.lanes) + floats * panel * self.panel();
        start..start + floats * self.panel_width(panel)
    }

    fn panels(self) -> usize {
        self.columns.div_ceil(self.panel())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::cpu::simd::bf16::{Pairs, pair};

    #[test]
    fn every_element_is_where_its_panel_says() {
        let plain = Instructions::available().pop().unwrap(); // vectors of 4, panels of 8
        for (depth, columns) in [(1, 1), (5, 19), (800, 13), (769, 8)] {
            let weight: Vec<f32> = (0..depth * columns).map(|i| i as f32 + 1.0).collect();
            let matrix = PackedWeight::pack(plain, Numbers::F32, &weight, depth).unwrap();
            let (mut seen, layout) = (0, matrix.layout);
            for block in 0..layout.blocks() {
                for panel in layout.panels_of(0..columns) {
                    let (values, columns) = (matrix.panels().panel(block, panel), layout.panel_columns(panel));
                    let width = columns.len().next_multiple_of(4);
                    for (row, depth_index) in values.chunks_exact(width).zip(layout.depths(block)) {
                        for (value, column) in row.iter().zip(columns.clone()) {
                            assert_eq!(*value, weight[column * depth + depth_index]);
                            seen += 1;
                        }
                        assert!(row[columns.len()..].iter().all(|value| *value == 0.0));
                    }
                }
            }
            assert_eq!(seen, weight.len());
        }
    }

    #[test]
    fn every_pair_is_where_its_panel_says() {
        let Some(pairs) = Pairs::of(Instructions::best()) else { return };
        for (depth, columns) in [(1, 1), (5, 19), (801, 45), (769, 64)] {
            let weight: Vec<f32> = (0..depth * columns).map(|i| (i % 251) as f32).collect(); // which bf16 holds
            let numbers = Numbers::Pairs(pairs);
            let matrix = PackedWeight::pack(Instructions::best(), numbers, &weight, depth).unwrap();
            let (mut seen, layout) = (0, matrix.layout);
            let floats = |block| layout.depths(block).len().div_ceil(2).next_multiple_of(matrix.numbers.multiple());
            assert_eq!(layout.len(), (0..layout.blocks()).map(floats).sum::<usize>() * columns.next_multiple_of(16));
            for block in 0..layout.blocks() {
                for panel in layout.panels_of(0..columns) {
                    let (values, columns) = (matrix.panels().panel(block, panel), layout.panel_columns(panel));
                    let width = layout.panel_width(panel);
                    for (row, first) in values.chunks_exact(width).zip(layout.depths(block).step_by(2)) {
                        for (value, column) in row.iter().zip(columns.clone()) {
                            let second = if first + 1 < depth { weight[column * depth + first + 1] } else { 0.0 };
                            assert_eq!(value.to_bits(), pair(weight[column * depth + first], second).to_bits());
                            seen += 1;
                        }
                        assert!(row[columns.len()..].iter().all(|value| value.to_bits() == 0));
                    }
                    let padding = &values[layout.depths(block).len().div_ceil(2) * width..];
                    assert!(padding.iter().all(|value| value.to_bits() == 0));
                }
            }
            assert_eq!(seen, depth.div_ceil(2) * columns);
        }
    }

    #[test]
    fn blocks_are_nearly_equal_and_whole_panels() {
        assert_eq!(
            [48, 96, 384, 640, 768, 3072, 400].map(|depth| block_depth(depth, 8)),
            [48, 96, 384, 320, 384, 384, 208]
        );
        assert_eq!([40, 768, 1280, 1536].map(|depth| block_depth(depth, 16)), [40, 384, 320, 384]);
    }
}
