//! Registers that show a thread where it is, clocks, and which values are not finite.

use std::sync::OnceLock;
use std::time::Instant;

use super::grid::Grid;
use super::registers::{LANES, Mask, Registers, Slot};
use crate::decode::types::Type;

/// What a special register holds in the lanes of a warp.
pub(super) fn values(name: &str, grid: &Grid<'_>, block: u64, warp: usize) -> [u64; LANES] {
    let [x, y, _] = grid.block.map(|size| size as usize);
    let at = |lane: usize| warp * LANES + lane;
    let each = |value: fn(usize) -> u64| std::array::from_fn(value);
    let all = |value: u64| [value; LANES];
    let [grid_x, grid_y, _] = grid.grid.map(u64::from);
    match name {
        "%tid.x" => std::array::from_fn(|lane| (at(lane) % x) as u64),
        "%tid.y" => std::array::from_fn(|lane| (at(lane) / x % y) as u64),
        "%tid.z" => std::array::from_fn(|lane| (at(lane) / x / y) as u64),
        "%ntid.x" => all(grid.block[0].into()),
        "%ntid.y" => all(grid.block[1].into()),
        "%ntid.z" => all(grid.block[2].into()),
        // a launch that asks for no clusters has those of one block
        "%ctaid.x" | "%clusterid.x" => all(block % grid_x),
        "%ctaid.y" | "%clusterid.y" => all(block / grid_x % grid_y),
        "%ctaid.z" | "%clusterid.z" => all(block / grid_x / grid_y),
        "%nctaid.x" | "%nclusterid.x" => all(grid.grid[0].into()),
        "%nctaid.y" | "%nclusterid.y" => all(grid.grid[1].into()),
        "%nctaid.z" | "%nclusterid.z" => all(grid.grid[2].into()),
        "%cluster_ctaid.x" | "%cluster_ctaid.y" | "%cluster_ctaid.z" | "%cluster_ctarank" => all(0),
        "%cluster_nctaid.x" | "%cluster_nctaid.y" | "%cluster_nctaid.z" | "%cluster_nctarank" => all(1),
        "%is_explicit_cluster" => all(0),
        "%laneid" => each(|lane| lane as u64),
        "%warpid" => all(warp as u64),
        "%nwarpid" => all(64),
        "%smid" => all(block % u64::from(grid.multiprocessors)),
        "%nsmid" => all(grid.multiprocessors.into()),
        "%gridid" => all(grid.launch.into()),
        "%lanemask_eq" => each(|lane| 1 << lane),
        "%lanemask_le" => each(|lane| (2u64 << lane) - 1),
        "%lanemask_lt" => each(|lane| (1u64 << lane) - 1),
        "%lanemask_ge" => each(|lane| 0xFFFF_FFFF & !((1u64 << lane) - 1)),
        "%lanemask_gt" => each(|lane| 0xFFFF_FFFF & !((2u64 << lane) - 1)),
        // the system's words, the upper first: where the workspace of a cooperative launch is
        "%envreg1" => all(grid.workspace >> 32),
        "%envreg2" => all(grid.workspace & 0xFFFF_FFFF),
        "%dynamic_smem_size" => all(grid.shared[1] as u64),
        _ => all((grid.shared[0] + grid.shared[1]) as u64),
    }
}

/// Nanoseconds since the first who asked.
pub(super) fn nanoseconds() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// The lanes of a register that hold an infinity or a NaN: all bits of the exponent are set.
pub(super) fn not_finite(registers: &Registers, slot: Slot, ty: Type) -> Mask {
    let exponents: &[u64] = match ty {
        Type::F16 => &[0x7C00],
        Type::Bf16 => &[0x7F80],
        Type::F16x2 => &[0x7C00, 0x7C00_0000],
        Type::Bf16x2 => &[0x7F80, 0x7F80_0000],
        Type::F64 => &[0x7FF0_0000_0000_0000],
        _ => &[0x7F80_0000],
    };
    let mut found = 0;
    for &exponent in exponents {
        if exponent > u64::from(u32::MAX) {
            let values: [u64; LANES] = registers.read(slot);
            found |= (0..LANES).fold(0, |bits, lane| bits | u32::from(values[lane] & exponent == exponent) << lane);
        } else {
            let exponent = exponent as u32;
            let values: [u32; LANES] = registers.read(slot);
            // most have none: one pass that vectorises before the one that says where
            if values.iter().fold(false, |any, value| any | (value & exponent == exponent)) {
                found |= (0..LANES).fold(0, |bits, lane| bits | u32::from(values[lane] & exponent == exponent) << lane);
            }
        }
    }
    found
}
