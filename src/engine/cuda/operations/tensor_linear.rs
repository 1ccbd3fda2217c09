//! The kernel of [`Linear`] by tensor cores: f16 and bf16, rows of whole 16 bytes. Kernel: `kernels/tensor_linear.cu`.
//!
//! Not here: what a linear computes (`linear`), which tile is taken (`tile`), where tiles lie in shared memory (`places`).

#[cfg(test)]
mod gelu;
#[cfg(test)]
mod places;
mod tile;

use super::Operands;
use super::linear::{Linear, Rows};
use crate::engine::cuda::array::address;
use crate::engine::cuda::card::{Card, Target};
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use tile::Source as RowsFrom;
pub(crate) use tile::Tile;

static SOURCE: Source = source!("tensor_linear");

/// Values in 16 bytes.
const CHUNK: usize = 8;
/// Longest row or pixel that is normed: 32 lanes hold 12 chunks each.
const LONGEST_NORM: usize = 32 * 12 * CHUNK;
/// Most norms of a row; those of a block's rows lie in shared memory.
const MOST_NORMS: usize = 16;
/// Threads of a block of the launches before and after the product.
const BLOCK_BESIDE: usize = 128;
/// Rows whose norms a block measures before.
const MEASURED_ROWS: usize = 32;
/// 1 / σ and −mean / σ in f32.
const NORM_BYTES: usize = 8;

arguments! {
    /// `struct TensorLinear` of the kernel.
    struct TensorLinearArguments {
        input: u64,
        weight: u64,
        bias: u64,
        scale: u64,
        residual: u64,
        output: u64,
        partials: u64,
        measured: u64,
        rows: u32,
        outputs: u32,
        inputs: u32,
        splits: u32,
        tiles_per_split: u32,
        gelu: u32,
        wide: u32,
        rows_per_image: u32,
        height: u32,
        width: u32,
        channels: u32,
        across: u32,
        size: u32,
        merged: u32,
        norms: u32,
        eps: f32,
    }
}

/// Whether this kernel computes it on this card.
pub(crate) fn fits(linear: &Linear, card: &Card) -> bool {
    let known = match linear.ty {
        Type::F16 => true,
        Type::Bf16 => card.target() >= Target::Sm80,
        Type::F32 | Type::U8 => false,
    };
    let pixel = pixel(linear);
    let (normed, norms) = match linear.rows {
        Rows::Patches { .. } => (pixel, norms_of_a_row(linear)),
        Rows::Plain | Rows::Merged { .. } => (linear.inputs, 1),
    };
    known
        && (linear.output == linear.ty || linear.output == Type::F32)
        && linear.inputs.is_multiple_of(CHUNK)
        && pixel.is_multiple_of(CHUNK)
        && (linear.norm.is_none() || (normed <= LONGEST_NORM && norms <= MOST_NORMS))
}

/// Bytes that it needs between its launches.
pub(crate) fn scratch(linear: &Linear, card: &Card, images: usize) -> usize {
    scratch_of(linear, images, &chosen(linear, card, images))
}

/// The launches that compute it.
pub(crate) fn launches(linear: &Linear, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
    launches_by(linear, images, at, &chosen(linear, card, images))
}

/// One of the ways to cut it that the card has, for a proof of them all: a number of a shape, and how many splits of K there may be. Norms are
/// measured before where there are splits.
pub(crate) fn any_tile(linear: &Linear, card: &Card, number: usize, splits: usize) -> Tile {
    let from = rows_from(linear);
    let shapes: Vec<_> = tile::shapes(card, from).collect();
    let cut = tile::cut(card, from, shapes[number % shapes.len()], linear.inputs, splits);
    Tile { measured: from == RowsFrom::Normed && splits > 1, ..cut }
}

/// Bytes that it needs between its launches when it is cut so.
pub(crate) fn scratch_of(linear: &Linear, images: usize, tile: &Tile) -> usize {
    let [norms, partials] = scratch_parts(linear, images, tile);
    norms + partials
}

/// The launches that compute it when it is cut so.
pub(crate) fn launches_by(linear: &Linear, images: usize, at: &Operands, tile: &Tile) -> Vec<Launch> {
    let arguments = arguments(linear, images, at, tile);
    let (rows, outputs) = (images * linear.count, linear.outputs);
    let bf16 = linear.ty == Type::Bf16;
    let mut launches = Vec::new();
    if tile.measured {
        let kernel = if bf16 { "tensor_linear_measure_bf16" } else { "tensor_linear_measure_f16" };
        let blocks = rows.div_ceil(MEASURED_ROWS);
        launches.push(Launch::new(&SOURCE, kernel, [blocks as u32, 1, 1], [BLOCK_BESIDE as u32, 1, 1], &arguments));
    }
    let blocks = rows.div_ceil(tile.shape.rows) * outputs.div_ceil(tile.shape.columns);
    let norms = if linear.norm.is_some() { tile.shape.rows * arguments.norms as usize * NORM_BYTES } else { 0 };
    let (grid, block) = ([blocks as u32, tile.splits, 1], [tile.shape.threads(), 1, 1]);
    let product = Launch::new(&SOURCE, kernel(linear, tile), grid, block, &arguments);
    launches.push(product.with_shared((tile.bytes() + norms) as u32));
    if tile.splits > 1 {
        // as `by_eight` of the kernel has it
        let each = if linear.output != Type::F32 && outputs.is_multiple_of(8) { 8 } else { 1 };
        let blocks = (rows * outputs / each).div_ceil(BLOCK_BESIDE);
        let kernel = if bf16 { "tensor_linear_finish_bf16" } else { "tensor_linear_finish_f16" };
        launches.push(Launch::new(&SOURCE, kernel, [blocks as u32, 1, 1], [BLOCK_BESIDE as u32, 1, 1], &arguments));
    }
    launches
}

/// Bytes of the norms that are measured before, up to a multiple of 16, and of the splits' sums.
fn scratch_parts(linear: &Linear, images: usize, tile: &Tile) -> [usize; 2] {
    let rows = images * linear.count;
    let norms = if tile.measured { rows * norms_of_a_row(linear) * NORM_BYTES } else { 0 };
    let sums = if tile.splits > 1 { tile.splits as usize * rows * linear.outputs * size_of::<f32>() } else { 0 };
    [norms.next_multiple_of(16), sums]
}

fn norms_of_a_row(linear: &Linear) -> usize {
    match linear.rows {
        Rows::Patches { size, .. } => size * size,
        Rows::Plain | Rows::Merged { .. } => 1,
    }
}

fn chosen(linear: &Linear, card: &Card, images: usize) -> Tile {
    tile::tile(card, rows_from(linear), images * linear.count, linear.outputs, linear.inputs)
}

fn rows_from(linear: &Linear) -> RowsFrom {
    match (linear.norm, linear.rows) {
        (Some(_), _) => RowsFrom::Normed,
        (None, Rows::Plain) => RowsFrom::Plain,
        (None, Rows::Patches { .. } | Rows::Merged { .. }) => RowsFrom::Gathered,
    }
}

/// Length of what lies together in the input: a pixel, or a plain row.
fn pixel(linear: &Linear) -> usize {
    match linear.rows {
        Rows::Plain => linear.inputs,
        Rows::Patches { channels, .. } | Rows::Merged { channels, .. } => channels,
    }
}

fn arguments(linear: &Linear, images: usize, at: &Operands, tile: &Tile) -> TensorLinearArguments {
    // height, width, patches side by side, size of a patch
    let (height, width, across, size) = match linear.rows {
        Rows::Plain => (1, 1, 1, 1),
        Rows::Patches { height, width, size, .. } => (height, width, width / size, size),
        Rows::Merged { height, width, .. } => (height, width, width.div_ceil(2), 2),
    };
    let [norm_bytes, _] = scratch_parts(linear, images, tile);
    let scratch = address(at.scratch);
    let rows_per_image = if linear.rows == Rows::Plain { 1 } else { linear.count };
    TensorLinearArguments {
        input: at.input.address,
        weight: linear.weight.address,
        bias: linear.bias.address,
        scale: address(linear.scale),
        residual: address(at.residual.filter(|_| linear.residual)),
        output: at.output.address,
        partials: if tile.splits > 1 { scratch + norm_bytes as u64 } else { 0 },
        measured: if tile.measured { scratch } else { 0 },
        rows: (images * linear.count) as u32,
        outputs: linear.outputs as u32,
        inputs: linear.inputs as u32,
        splits: tile.splits,
        tiles_per_split: tile.tiles_per_split,
        gelu: u32::from(linear.gelu),
        wide: u32::from(linear.output == Type::F32),
        rows_per_image: rows_per_image as u32,
        height: height as u32,
        width: width as u32,
        channels: pixel(linear) as u32,
        across: across as u32,
        size: size as u32,
        merged: u32::from(matches!(linear.rows, Rows::Merged { .. })),
        norms: norms_of_a_row(linear) as u32,
        eps: linear.norm.unwrap_or(0.0),
    }
}

/// The kernel's name.
fn kernel(linear: &Linear, tile: &Tile) -> &'static str {
    let [f16, bf16] = tile.shape.kernels(rows_from(linear)).unwrap_or(tile.shape.plain);
    if linear.ty == Type::Bf16 { bf16 } else { f16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let of = |shape: &tile::Shape| [Some(shape.plain), shape.gathered, shape.normed];
        let kernels = tile::SHAPES.iter().flat_map(of).flatten().flatten();
        let beside = ["finish_f16", "finish_bf16", "measure_f16", "measure_bf16"];
        let beside: Vec<String> = beside.iter().map(|name| format!("tensor_linear_{name}")).collect();
        let kernels: Vec<&str> = kernels.chain(beside.iter().map(String::as_str)).collect();
        // warps of 64 × 64 are for cards that have cp.async
        let wide = |kernel: &&str| kernel.contains("128x128x4") || kernel.contains("128x256");
        let (newer, all): (Vec<&str>, Vec<&str>) = kernels.into_iter().partition(wide);
        crate::engine::cuda::launch::assert_fits::<TensorLinearArguments>(&SOURCE, &all);
        let newest = Source { name: SOURCE.name, sm_75: SOURCE.sm_80, sm_80: SOURCE.sm_80 };
        crate::engine::cuda::launch::assert_fits::<TensorLinearArguments>(&newest, &newer);
    }
}
