//! Weights to bytes, with a step per column, in the panels that the kernel reads. Not here: rows (`rows`), the layout (`product/packed`).

use super::{HEAD, PER_FLOAT};
use crate::engine::cpu::product::packed::Layout;

/// The largest byte of a weight, of either sign.
pub(crate) const MOST: f32 = 127.0;

/// The step of each column of a weight `[columns, depth]`: its largest number is the largest byte.
pub(crate) fn steps(weight: &[f32], depth: usize) -> Vec<f32> {
    let step = |column: &[f32]| {
        // a number that is none is not lost
        let fault = column.iter().map(|x| x * 0.0).sum::<f32>();
        column.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / MOST + fault
    };
    weight.chunks_exact(depth).map(step).collect()
}

/// The nearest byte.
pub(crate) fn byte(x: f32, step: f32) -> i8 {
    if step > 0.0 { (x / step).round_ties_even().clamp(-MOST, MOST) as i8 } else { 0 }
}

/// Packs one panel: a row of the sums of its columns, each times its step, a row of the steps, and rows of bytes, four depths of a column in the place of a float.
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
        let bytes: Vec<i8> =
            weight[column * layout.depth..][depths.clone()].iter().map(|x| byte(*x, step)).collect();
        packed[place] = bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>() as f32 * step;
        packed[width + place] = step;
        for (index, quad) in bytes.chunks(PER_FLOAT).enumerate() {
            let mut whole = [0; PER_FLOAT];
            for (whole, byte) in whole.iter_mut().zip(quad) {
                *whole = *byte as u8;
            }
            packed[(HEAD + index) * width + place] = f32::from_bits(u32::from_le_bytes(whole));
        }
    }
}
