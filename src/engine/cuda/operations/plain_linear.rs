//! The plain kernel of [`Linear`]: every shape, every type. Kernel: `kernels/plain_linear.cu`. Not here: what it computes (`linear`).

use super::Operands;
use super::linear::{Linear, Rows};
use super::norm::Norm;
use crate::engine::cuda::array::address;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;

static SOURCE: Source = source!("plain_linear");

/// Rows up to which each warp takes one output: there is little to share but the weight.
const FEW: usize = 16;
/// Rows of a block of theirs.
const FEW_ROWS: usize = 4;
/// Outputs of a block of theirs.
const FEW_OUTPUTS: usize = 4;
/// Blocks that the larger tile must give: about half the multiprocessors of the larger cards.
const ENOUGH_BLOCKS: usize = 64;
/// Rows of a block that takes moments.
const MOMENTS_ROWS: usize = 8;

arguments! {
    /// `struct PlainLinear` of the kernel.
    struct PlainLinearArguments {
        input: u64,
        weight: u64,
        bias: u64,
        scale: u64,
        residual: u64,
        output: u64,
        moments: u64,
        norm_scale: u64,
        norm_shift: u64,
        rows: u32,
        inputs: u32,
        outputs: u32,
        kind: u32,
        count: u32,
        across: u32,
        height: u32,
        width: u32,
        channels: u32,
        side: u32,
        together: u32,
        gelu: u32,
        logits: u32,
        eps: f32,
    }
}

/// Bytes for the moments of what is normed: two f32 each.
pub(crate) fn scratch(linear: &Linear, images: usize) -> usize {
    linear.norm.map_or(0, |_| 8 * images * normed_rows(linear).0)
}

/// The launches for this many images; the scratch holds at least what [`scratch`] says.
pub(crate) fn launches(linear: &Linear, images: usize, at: &Operands) -> Vec<Launch> {
    let rows = images * linear.count;
    let arguments = arguments(linear, rows, at);
    let (kernel, grid, block) = product(rows, linear.outputs);
    let product = Launch::new(&SOURCE, named(kernel, linear.ty), grid, [block, 1, 1], &arguments);
    let moments = linear.norm.map(|_| {
        let (rows, inputs) = normed_rows(linear);
        let rows = images * rows;
        // pixels of patches lie in the input as rows; where those of four values do, the patches' do too
        let kind = if matches!(linear.rows, Rows::Patches { .. }) { 0 } else { arguments.kind };
        let arguments = PlainLinearArguments { rows: rows as u32, inputs: inputs as u32, kind, ..arguments };
        let grid = [rows.div_ceil(MOMENTS_ROWS) as u32, 1, 1];
        Launch::new(&SOURCE, named("moments", linear.ty), grid, [256, 1, 1], &arguments)
    });
    moments.into_iter().chain([product]).collect()
}

/// How many rows an image's norm takes, and of how many numbers each.
fn normed_rows(linear: &Linear) -> (usize, usize) {
    match linear.rows {
        Rows::Plain | Rows::Merged { .. } => (linear.count, linear.inputs),
        Rows::Patches { height, width, channels, .. } => (height * width, channels),
    }
}

/// The kernel that multiplies, its grid and its threads: by the shape of the launch alone.
fn product(rows: usize, outputs: usize) -> (&'static str, [u32; 3], u32) {
    let tiles = |side: usize| rows.div_ceil(side) * outputs.div_ceil(side);
    if rows <= FEW {
        return ("few", [outputs.div_ceil(FEW_OUTPUTS) as u32, rows.div_ceil(FEW_ROWS) as u32, 1], 128);
    }
    if tiles(64) >= ENOUGH_BLOCKS {
        ("wide", [tiles(64) as u32, 1, 1], 256)
    } else {
        ("middle", [tiles(32) as u32, 1, 1], 256)
    }
}

fn arguments(linear: &Linear, rows: usize, at: &Operands) -> PlainLinearArguments {
    let (kind, [height, width, channels, side], across) = match linear.rows {
        Rows::Plain => (0, [1, 1, linear.inputs, 1], 1),
        Rows::Patches { height, width, channels, size } => (1, [height, width, channels, size], width / size),
        Rows::Merged { height, width, channels } => (2, [height, width, channels, 2], width.div_ceil(2)),
    };
    let lies_together = match linear.rows {
        Rows::Plain => linear.inputs.is_multiple_of(4),
        // lines of a patch, which begin at a multiple of their length in a line of the map
        Rows::Patches { .. } if linear.norm.is_none() => {
            (side * channels).is_multiple_of(4) && (width * channels).is_multiple_of(4)
        }
        Rows::Patches { .. } | Rows::Merged { .. } => channels.is_multiple_of(4),
    };
    let ([norm_scale, norm_shift], eps) = Norm::arguments(linear.norm);
    PlainLinearArguments {
        input: at.input.address,
        weight: linear.weight.address,
        bias: linear.bias.address,
        scale: address(linear.scale),
        residual: address(at.residual.filter(|_| linear.residual)),
        output: at.output.address,
        moments: linear.norm.map_or(0, |_| address(at.scratch)),
        norm_scale,
        norm_shift,
        rows: rows as u32,
        inputs: linear.inputs as u32,
        outputs: linear.outputs as u32,
        kind,
        count: linear.count as u32,
        across: across as u32,
        height: height as u32,
        width: width as u32,
        channels: channels as u32,
        side: side as u32,
        together: u32::from(lies_together),
        gelu: u32::from(linear.gelu),
        logits: u32::from(linear.output != linear.ty),
        eps,
    }
}

/// The kernel of a type.
fn named(kernel: &str, ty: Type) -> &'static str {
    match (kernel, ty) {
        ("moments", Type::F16) => "plain_linear_moments_f16",
        ("moments", Type::Bf16) => "plain_linear_moments_bf16",
        ("moments", _) => "plain_linear_moments_f32",
        ("few", Type::F16) => "plain_linear_few_f16",
        ("few", Type::Bf16) => "plain_linear_few_bf16",
        ("few", _) => "plain_linear_few_f32",
        ("wide", Type::F16) => "plain_linear_wide_f16",
        ("wide", Type::Bf16) => "plain_linear_wide_bf16",
        ("wide", _) => "plain_linear_wide_f32",
        (_, Type::F16) => "plain_linear_middle_f16",
        (_, Type::Bf16) => "plain_linear_middle_bf16",
        (_, _) => "plain_linear_middle_f32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNELS: [&str; 4] = ["moments", "few", "wide", "middle"];

    #[test]
    fn the_argument_lies_as_the_kernels() {
        for ty in [Type::F32, Type::F16, Type::Bf16] {
            let kernels = KERNELS.map(|kernel| named(kernel, ty));
            crate::engine::cuda::launch::assert_fits::<PlainLinearArguments>(&SOURCE, &kernels);
        }
    }

    /// `swizzled` of the kernel.
    fn swizzled(tile: usize, value: usize, row: usize) -> usize {
        value * tile + (row ^ (value / 4 % 4 * 8))
    }

    /// Whether these words lie in as many banks.
    fn apart(words: impl Iterator<Item = usize>) -> bool {
        let mut banks = [false; 32];
        words.into_iter().all(|word| !std::mem::replace(&mut banks[word % 32], true))
    }

    #[test]
    fn tiles_are_stored_and_loaded_without_bank_conflicts() {
        for (tile, slices) in [(64, 1), (32, 4)] {
            // a warp stores one value of each of four quads of eight rows
            for (first_row, slice, i) in
                (0..tile / 8).flat_map(|r| (0..slices).flat_map(move |s| (0..4).map(move |i| (8 * r, s, i))))
            {
                let stored = (0..32).map(|lane| swizzled(tile, slice * 16 + lane % 4 * 4 + i, first_row + lane / 4));
                assert!(apart(stored), "tile {tile}, row {first_row}, slice {slice}, value {i}");
            }
            // eight lanes load four outputs each, and four lanes four rows each: distinct words of a warp
            for value in 0..16 * slices {
                for first in (0..tile).step_by(32) {
                    let outputs = (0..32).map(|output| swizzled(tile, value, first + output));
                    assert!(apart(outputs), "tile {tile}, value {value}, outputs {first}");
                }
                for first in (0..tile).step_by(16) {
                    assert!(apart((0..16).map(|row| swizzled(tile, value, first + row))), "rows {first}");
                }
                // four that lie together stay together, aligned
                for first in (0..tile).step_by(4) {
                    let place = swizzled(tile, value, first);
                    assert!(place.is_multiple_of(4) && (0..4).all(|i| swizzled(tile, value, first + i) == place + i));
                }
            }
            // every place of a tile once
            let mut places: Vec<usize> =
                (0..16 * slices).flat_map(|value| (0..tile).map(move |row| swizzled(tile, value, row))).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..16 * slices * tile));
        }
    }

    #[test]
    fn few_rows_and_small_products_get_more_blocks() {
        assert_eq!(product(1, 1000), ("few", [250, 1, 1], 128));
        assert_eq!(product(16, 10), ("few", [3, 4, 1], 128));
        assert_eq!(product(49, 768), ("middle", [48, 1, 1], 256));
        assert_eq!(product(3136, 384), ("wide", [294, 1, 1], 256));
    }
}
