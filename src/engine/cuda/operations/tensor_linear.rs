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
use super::norm::Norm;
use crate::engine::cuda::array::address;
use crate::engine::cuda::card::{Card, Target};
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
pub(crate) use tile::Tile;
use tile::{Product, Source as RowsFrom};

static SOURCE: Source = source!("tensor_linear");

/// Values in 16 bytes.
const CHUNK: usize = 8;
/// Longest row or pixel that is normed: 32 lanes hold 12 chunks each.
const LONGEST_NORM: usize = 32 * 12 * CHUNK;
/// Most norms of a row; those of a block's rows lie in shared memory.
const MOST_NORMS: usize = 16;
/// 1 / σ and −mean / σ in f32; and as many for a scale and a shift.
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
        tickets: u64,
        norm_scale: u64,
        norm_shift: u64,
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
    let norms = norms_of_a_row(linear);
    let normed = linear.inputs / norms;
    known
        && (linear.output == linear.ty || linear.output == Type::F32)
        && linear.inputs.is_multiple_of(CHUNK)
        && pixel.is_multiple_of(CHUNK)
        && (linear.norm.is_none() || (normed <= LONGEST_NORM && norms <= MOST_NORMS))
}

/// What it needs beside its operands: bytes of scratch memory, and tickets.
pub(crate) fn beside(linear: &Linear, card: &Card, images: usize) -> [usize; 2] {
    beside_of(linear, images, &chosen(linear, card, images))
}

/// The launch that computes it.
pub(crate) fn launch(linear: &Linear, card: &Card, images: usize, at: &Operands) -> Launch {
    launch_by(linear, images, at, &chosen(linear, card, images))
}

/// One of the ways to cut it that the card has, for a proof of them all: a number of a shape, and how many splits of K there may be.
pub(crate) fn any_tile(linear: &Linear, card: &Card, number: usize, splits: usize) -> Tile {
    let from = rows_from(linear);
    let shapes: Vec<_> = tile::shapes(card, from).collect();
    tile::cut(card, from, shapes[number % shapes.len()], linear.inputs, splits)
}

/// What it needs beside its operands when it is cut so: bytes for the sums of all splits of all tiles, and a ticket for each tile.
pub(crate) fn beside_of(linear: &Linear, images: usize, tile: &Tile) -> [usize; 2] {
    if tile.splits == 1 {
        return [0, 0];
    }
    let tiles = tile.tiles(&product_of(linear, images));
    [tiles * tile.splits as usize * tile.shape.rows * tile.shape.columns * size_of::<f32>(), tiles]
}

/// The launch that computes it when it is cut so.
pub(crate) fn launch_by(linear: &Linear, images: usize, at: &Operands, tile: &Tile) -> Launch {
    let product = product_of(linear, images);
    let (grid, block) = ([tile.tiles(&product) as u32, tile.splits, 1], [tile.shape.threads(), 1, 1]);
    let launch = Launch::new(&SOURCE, kernel(linear, tile), grid, block, &arguments(linear, images, at, tile));
    launch.with_shared(tile.shared(&product) as u32)
}

fn norms_of_a_row(linear: &Linear) -> usize {
    match linear.rows {
        Rows::Patches { size, .. } => size * size,
        Rows::Plain | Rows::Merged { .. } => 1,
    }
}

/// About how many clocks it takes, computed for the choice between ways to do the same.
pub(crate) fn clocks(linear: &Linear, card: &Card, images: usize) -> f64 {
    chosen(linear, card, images).clocks(card, &product_of(linear, images))
}

fn chosen(linear: &Linear, card: &Card, images: usize) -> Tile {
    tile::tile(card, &product_of(linear, images))
}

fn product_of(linear: &Linear, images: usize) -> Product {
    let (m, n, k) = (images * linear.count, linear.outputs, linear.inputs);
    Product { rows: rows_from(linear), m, n, k, norms: norms_of_a_row(linear) }
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
    let of_splits = |array| if tile.splits > 1 { address(array) } else { 0 };
    let ([norm_scale, norm_shift], eps) = Norm::arguments(linear.norm);
    let rows_per_image = if linear.rows == Rows::Plain { 1 } else { linear.count };
    TensorLinearArguments {
        input: at.input.address,
        weight: linear.weight.address,
        bias: linear.bias.address,
        scale: address(linear.scale),
        residual: address(at.residual.filter(|_| linear.residual)),
        output: at.output.address,
        partials: of_splits(at.scratch),
        tickets: of_splits(at.tickets),
        norm_scale,
        norm_shift,
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
        eps,
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
        let kernels: Vec<&str> = tile::SHAPES.iter().flat_map(of).flatten().flatten().collect();
        // warps of 64 × 64 are for cards that have cp.async
        let wide = |kernel: &&str| kernel.contains("128x128x4") || kernel.contains("128x256");
        let (newer, all): (Vec<&str>, Vec<&str>) = kernels.into_iter().partition(wide);
        crate::engine::cuda::launch::assert_fits::<TensorLinearArguments>(&SOURCE, &all);
        let newest = Source { name: SOURCE.name, sm_75: SOURCE.sm_80, sm_80: SOURCE.sm_80 };
        crate::engine::cuda::launch::assert_fits::<TensorLinearArguments>(&newest, &newer);
    }
}
