//! Weights to bytes, with a step per column, in the panels that the kernel reads. Not here: rows (`rows`), the layout (`product/packed`).

use super::PER_FLOAT;
use crate::engine::cpu::product::packed::Layout;
use crate::program::int8::{byte, step};

/// The step of each column of a weight `[columns, depth]`.
pub(crate) fn steps(weight: &[f32], depth: usize) -> Vec<f32> {
    weight.chunks_exact(depth).map(step).collect()
}

/// Packs one panel: a head that starts with a row of the sums of its columns and a row of their steps, and rows of bytes, four depths of a column in the place of a float.
pub(crate) fn pack(
    layout: Layout,
    (block, panel): (usize, usize),
    (weight, steps): (&[f32], &[f32]),
    packed: &mut [f32],
) {
    let (columns, width) = (layout.panel_columns(panel), layout.panel_width(panel));
    let depths = layout.depths(block);
    for (place, column) in columns.enumerate() {
        let step = steps[column];
        let bytes: Vec<i8> = weight[column * layout.depth..][depths.clone()].iter().map(|x| byte(*x, step)).collect();
        packed[place] = bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>() as f32;
        packed[width + place] = step;
        for (index, quad) in bytes.chunks(PER_FLOAT).enumerate() {
            let mut whole = [0; PER_FLOAT];
            for (whole, byte) in whole.iter_mut().zip(quad) {
                *whole = *byte as u8;
            }
            packed[(layout.head + index) * width + place] = f32::from_bits(u32::from_le_bytes(whole));
        }
    }
}
