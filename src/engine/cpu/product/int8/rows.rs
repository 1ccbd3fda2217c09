//! Rows of floats to bytes, in their own place: `x ≈ step · (byte − zero)`, with a step and a zero for each block of a row.
//!
//! The zero is a whole byte, so that a zero stays one: a great many numbers behind a GELU are nearly zero. Not here: weights (`packed`).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{HEAD, PER_FLOAT};
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::packed::block_depth;
use crate::engine::cpu::simd::amx::SIDE;
use crate::engine::cpu::simd::int8::Quads;
use crate::engine::cpu::simd::vector::{load, multiply_add, store};

/// Floats of the longest vector.
const MAX_LANES: usize = 16;
/// Vectors of partial results, so that an operation does not wait for the one before.
const PARTS: usize = 4;
/// The least range of numbers: a row of zeros has none.
const LEAST: f32 = 1e-30;

/// Quantises each row of a tile: a block after the other, each a head of its step and its offset `−step · zero`, and its bytes.
pub(super) struct QuantizeRows<'a, 'b, Q> {
    pub(super) quads: Q,
    pub(super) tile: &'a mut Tile<'b>,
}

impl<Q: Quads> WithSimd for QuantizeRows<'_, '_, Q> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { quads, tile } = self;
        let depth = tile.column_range().len();
        let block = block_depth(depth, S::F32_LANES);
        let (head, multiple) = quads.amx().map_or((HEAD, 1), |_| (SIDE, SIDE));
        for row in 0..tile.height() {
            let (row, mut into) = (tile.row(row), 0);
            for start in (0..depth).step_by(block) {
                let of = start..depth.min(start + block);
                // what pads them for AMX is multiplied by zeros
                let floats = head + of.len().div_ceil(PER_FLOAT).next_multiple_of(multiple);
                quantize(simd, quads, row, of, (into, head));
                into += floats;
            }
        }
    }
}

/// Quantises one block of a row to what starts at `into`, which is not behind its own start.
#[inline(always)]
fn quantize<S: Simd, Q: Quads>(simd: S, quads: Q, row: &mut [f32], of: Range<usize>, (into, head): (usize, usize)) {
    let Extremes { low, high, fault } = extremes(simd, &row[of.clone()]);
    let range = (high - low).max(LEAST);
    let inverse = Q::MOST / range;
    let step = range / Q::MOST;
    let zero = (-low * inverse).round_ties_even();
    let (inverses, zeros) = (simd.splat_f32s(inverse), simd.splat_f32s(zero));
    let (least, most) = (simd.splat_f32s(0.0), simd.splat_f32s(Q::MOST));
    let byte = |x: S::f32s| {
        let scaled = multiply_add(simd, x, inverses, zeros);
        if Q::SATURATES { scaled } else { simd.min_f32s(simd.max_f32s(scaled, least), most) }
    };
    // bytes are written where numbers stood that were read before
    let group = PER_FLOAT * S::F32_LANES;
    let groups = of.len() / group;
    for index in 0..groups {
        let (vectors, _) = S::as_simd_f32s(&row[of.start + index * group..][..group]);
        let bytes = quads.bytes::<S>([byte(vectors[0]), byte(vectors[1]), byte(vectors[2]), byte(vectors[3])]);
        let (place, _) = S::as_mut_simd_f32s(&mut row[into + head + index * S::F32_LANES..][..S::F32_LANES]);
        place[0] = bytes;
    }
    let rest = &row[of.start + groups * group..of.end];
    if !rest.is_empty() {
        let mut numbers = [0.0; PER_FLOAT * MAX_LANES];
        numbers[..rest.len()].copy_from_slice(rest);
        let vector = |index: usize| byte(load(simd, &numbers[index * S::F32_LANES..]));
        let bytes = quads.bytes::<S>([vector(0), vector(1), vector(2), vector(3)]);
        let floats = rest.len().div_ceil(PER_FLOAT);
        store(simd, &mut row[into + head + groups * S::F32_LANES..][..floats], bytes);
    }
    row[into] = step + fault;
    row[into + 1] = -step * zero;
}

/// The least and the greatest number, zero among them.
struct Extremes {
    low: f32,
    high: f32,
    /// Zero, or no number where one is none or infinite: comparisons would lose it.
    fault: f32,
}

#[inline(always)]
fn extremes<S: Simd>(simd: S, values: &[f32]) -> Extremes {
    let zero = simd.splat_f32s(0.0);
    let (mut low, mut high, mut fault) = ([zero; PARTS], [zero; PARTS], [zero; PARTS]);
    let (vectors, rest) = S::as_simd_f32s(values);
    let (fours, ones) = vectors.as_chunks::<PARTS>();
    for four in fours {
        for part in 0..PARTS {
            low[part] = simd.min_f32s(low[part], four[part]);
            high[part] = simd.max_f32s(high[part], four[part]);
            fault[part] = multiply_add(simd, four[part], zero, fault[part]);
        }
    }
    let last = simd.partial_load_f32s(rest); // behind it are zeros
    for part in 0..PARTS {
        let one = ones.get(part).copied().unwrap_or(if part == ones.len() { last } else { zero });
        low[part] = simd.min_f32s(low[part], one);
        high[part] = simd.max_f32s(high[part], one);
        fault[part] = multiply_add(simd, one, zero, fault[part]);
    }
    for part in 1..PARTS {
        low[0] = simd.min_f32s(low[0], low[part]);
        high[0] = simd.max_f32s(high[0], high[part]);
        fault[0] = simd.add_f32s(fault[0], fault[part]);
    }
    Extremes {
        low: simd.reduce_min_f32s(low[0]),
        high: simd.reduce_max_f32s(high[0]),
        fault: simd.reduce_sum_f32s(fault[0]),
    }
}
