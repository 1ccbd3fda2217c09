//! The stem: images, as bytes or normalised, to embedded patches, with the norm after it. Kernel: `kernels/patch_embedding.cu`.
//!
//! Not here: the slot that the images come in (`slot`), which weight the kernel takes (`prepare`), patches of a map inside a network (`linear`).

mod prepare;
mod slot;

pub(crate) use prepare::prepare;
pub(crate) use slot::{Format, image_offset, slot_bytes};

use super::norm::{Norm, rounded, sum};
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use crate::program::InputSpec;
use prepare::{Ingest, SCALE, split};

static SOURCE: Source = source!("patch_embedding");

/// Patches that a warp of the tensor-core kernel takes at a time, their depth, and that as it lies in shared memory.
const ROWS: usize = 16;
const DEPTH: usize = 48;
const PITCH: usize = 56;
/// Outputs that four fragments share, eight neighbours a lane.
const GROUP: usize = 32;
/// Most outputs of the tensor-core kernel, but for 256.
const MOST_OUTPUTS: usize = 192;
/// Patches and outputs of a block of the plain kernel.
const PLAIN_PATCHES: usize = 8;
const PLAIN_BLOCK: usize = 128;

arguments! {
    /// `struct PatchEmbedding` of the kernel.
    struct PatchEmbeddingArguments {
        slot: u64,
        output: u64,
        weight: u64,
        bias: u64,
        scale: u64,
        shift: u64,
        sums: u64,
        tickets: u64,
        first: u32,
        stride: u32,
        height: u32,
        width: u32,
        size: u32,
        outputs: u32,
        patches: u32,
        down: u32,
        across: u32,
        norm: u32,
        eps: f32,
        centre_0: f32,
        centre_1: f32,
        centre_2: f32,
        factor_0: f32,
        factor_1: f32,
        factor_2: f32,
        rest_0: f32,
        rest_1: f32,
        rest_2: f32,
    }
}

/// `y = norm(W · patch + bias)` of each patch of `size` rows and columns. The input is a slot: bytes as [`image_offset`] says.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbedding {
    pub(crate) input: InputSpec,
    /// Rows and columns of a patch; those of the image beyond a multiple are not read.
    pub(crate) size: usize,
    pub(crate) outputs: usize,
    /// `[outputs, size, size, 3]` in f32, as [`prepare`] makes it.
    pub(crate) weight: Array,
    /// `[outputs]` in f32, as [`prepare`] makes it.
    pub(crate) bias: Array,
    pub(crate) norm: Option<Norm>,
    /// Of the output, and of what is multiplied.
    pub(crate) ty: Type,
}

impl PatchEmbedding {
    /// Rows and columns of patches.
    fn down_and_across(&self) -> [usize; 2] {
        [self.input.height / self.size, self.input.width / self.size]
    }

    /// Patches of all images.
    fn patches(&self, images: usize) -> usize {
        images * self.down_and_across().iter().product::<usize>()
    }

    /// Numbers of a patch.
    fn depth(&self) -> usize {
        self.size * self.size * 3
    }

    /// Whether the tensor-core kernel takes it.
    fn by_tensor_cores(&self) -> bool {
        self.size == 4
            && self.input.width.is_multiple_of(4)
            && self.outputs.is_multiple_of(8)
            && (self.outputs <= MOST_OUTPUTS || self.outputs == 256)
            && self.ty.bytes() == 2
    }

    /// The tensor-core kernel, and how many blocks of 4 warps an SM has registers for.
    fn tensor_kernel(&self) -> (&'static str, usize) {
        match (self.outputs, self.ty) {
            (96, Type::Bf16) => ("patch_embedding_96_bf16", 4),
            (96, _) => ("patch_embedding_96_f16", 4),
            (128, Type::Bf16) => ("patch_embedding_128_bf16", 4),
            (128, _) => ("patch_embedding_128_f16", 4),
            (192, Type::Bf16) => ("patch_embedding_192_bf16", 3),
            (192, _) => ("patch_embedding_192_f16", 3),
            (256, Type::Bf16) => ("patch_embedding_256_bf16", 2),
            (256, _) => ("patch_embedding_256_f16", 2),
            (_, Type::Bf16) => ("patch_embedding_few_bf16", 3),
            (_, _) => ("patch_embedding_few_f16", 3),
        }
    }

    /// Bytes of shared memory of a block of the tensor-core kernel.
    fn shared(&self, warps: usize) -> usize {
        let rows = self.outputs.next_multiple_of(GROUP);
        let weight = 2 * rows * DEPTH * self.ty.bytes();
        let vectors = 3 * rows * Type::F32.bytes();
        weight + vectors + warps * ROWS * PITCH * self.ty.bytes()
    }
}

impl Operation for PatchEmbedding {
    fn name(&self) -> &'static str {
        if self.norm.is_some() { "patch embedding + norm" } else { "patch embedding" }
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let output = self.patches(images) * self.outputs;
        let needs = Needs { input: slot_bytes(&self.input, images), output, ..Needs::default() };
        if self.norm.is_none() || self.by_tensor_cores() {
            return needs;
        }
        // the plain kernel's sums are f32, as the output may be itself
        let scratch = if self.ty == Type::F32 { 0 } else { output * Type::F32.bytes() };
        Needs { scratch, tickets: self.patches(images).div_ceil(PLAIN_PATCHES), ..needs }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let patches = self.patches(images);
        let [down, across] = self.down_and_across();
        let first = image_offset(&self.input, images, 0);
        let ([scale, shift], eps) = Norm::arguments(self.norm);
        let plain_norms = self.norm.is_some() && !self.by_tensor_cores();
        let sums = plain_norms.then_some(at.scratch.unwrap_or(at.output));
        let Ingest { centre, factor, rest } = Ingest::new(&self.input);
        let arguments = PatchEmbeddingArguments {
            slot: at.input.address,
            output: at.output.address,
            weight: self.weight.address,
            bias: self.bias.address,
            scale,
            shift,
            sums: address(sums),
            tickets: address(at.tickets.filter(|_| plain_norms)),
            first: first as u32,
            stride: (image_offset(&self.input, images, 1) - first) as u32,
            height: self.input.height as u32,
            width: self.input.width as u32,
            size: self.size as u32,
            outputs: self.outputs as u32,
            patches: patches as u32,
            down: down as u32,
            across: across as u32,
            norm: u32::from(self.norm.is_some()),
            eps,
            centre_0: centre[0],
            centre_1: centre[1],
            centre_2: centre[2],
            factor_0: factor[0],
            factor_1: factor[1],
            factor_2: factor[2],
            rest_0: rest[0],
            rest_1: rest[1],
            rest_2: rest[2],
        };
        if self.by_tensor_cores() {
            let (kernel, resident) = self.tensor_kernel();
            let tiles = patches.div_ceil(ROWS);
            // few patches: half the warps a block, for twice the blocks
            let few = tiles.div_ceil(4) < card.multiprocessors as usize;
            let warps = if few { 2 } else { 4 };
            // two rounds of blocks at most, so that the weight is read by few
            let blocks = tiles.div_ceil(warps).min(2 * resident * card.multiprocessors as usize);
            let launch = Launch::new(&SOURCE, kernel, [blocks as u32, 1, 1], [warps as u32 * 32, 1, 1], &arguments);
            return vec![launch.with_shared(self.shared(warps) as u32)];
        }
        let kernel = match self.ty {
            Type::F16 => "patch_embedding_plain_f16",
            Type::Bf16 => "patch_embedding_plain_bf16",
            Type::F32 | Type::U8 => "patch_embedding_plain_f32",
        };
        let grid = [patches.div_ceil(PLAIN_PATCHES) as u32, self.outputs.div_ceil(PLAIN_BLOCK) as u32, 1];
        vec![Launch::new(&SOURCE, kernel, grid, [PLAIN_BLOCK as u32, 1, 1], &arguments)]
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let weight = memory.read(self.weight, 0..self.outputs * self.depth())?;
        let [high, low] = if self.by_tensor_cores() { split(&weight, self.ty) } else { split(&weight, Type::F32) };
        let bias = memory.read(self.bias, 0..self.outputs)?;
        let ingest = Ingest::new(&self.input);
        let mut expected = Vec::with_capacity(outputs.len());
        for outputs in outputs.chunk_by(|a, b| a / self.outputs == b / self.outputs) {
            let patch = outputs[0] / self.outputs;
            let numbers = self.patch(images, at.input, memory, &ingest, patch)?;
            let one = |output: &usize| {
                let row = output * self.depth()..(output + 1) * self.depth();
                let products = |part: &[f64]| -> Vec<f64> {
                    numbers.iter().zip(part).map(|(x, w)| x * w / f64::from(SCALE)).collect()
                };
                // what is left by the high part is summed first, and the sum goes into that of the others
                let low = sum(products(&low[row.clone()]).into_iter(), 0.0);
                let scaled = sum([low.value].into_iter().chain(products(&high[row])), bias[*output]);
                // tensor cores cut off where fma rounds: a whole unit each time
                Expected { bound: 2.0 * (scaled.bound + low.bound), ..scaled }
            };
            let asked: Vec<usize> = outputs.iter().map(|index| index % self.outputs).collect();
            match self.norm {
                None => expected.extend(asked.iter().map(|output| rounded(one(output), self.ty))),
                Some(norm) => {
                    let sums: Vec<Expected> = (0..self.outputs).map(|output| one(&output)).collect();
                    expected.extend(norm.expected(&sums, &asked, self.ty, memory)?);
                }
            }
        }
        Ok(expected)
    }
}

impl PatchEmbedding {
    /// The numbers that a patch of all images is multiplied as, `[size, size, 3]`.
    fn patch(
        &self,
        images: usize,
        slot: Array,
        memory: &dyn Contents,
        ingest: &Ingest,
        patch: usize,
    ) -> Result<Vec<f64>, DriverError> {
        let InputSpec { height, width, .. } = self.input;
        let [down, across] = self.down_and_across();
        let image = patch / across / down;
        let (top, left) = (patch / across % down * self.size, patch % across * self.size);
        let first = image_offset(&self.input, images, image);
        let bytes = |from: usize, count: usize| -> Result<Vec<u8>, DriverError> {
            Ok(memory.read(slot, from..from + count)?.into_iter().map(|byte| byte as u8).collect())
        };
        let format = bytes(image * 4, 4)?;
        let numbers = |plane: Type, row: usize, channel: usize| -> Result<Vec<f64>, DriverError> {
            let from = (channel * height + top + row) * width + left;
            Ok(plane.decode(&bytes(first + from * plane.bytes(), self.size * plane.bytes())?))
        };
        let mut patch = Vec::with_capacity(self.depth());
        for row in 0..self.size {
            if format[0] == Format::Bytes as u8 {
                let row = bytes(first + ((top + row) * width + left) * 3, self.size * 3)?;
                patch.extend(row.iter().enumerate().map(|(at, byte)| ingest.byte(at % 3, *byte)));
            } else {
                let plane = if format[0] == Format::F32 as u8 { Type::F32 } else { Type::F16 };
                let planes = [numbers(plane, row, 0)?, numbers(plane, row, 1)?, numbers(plane, row, 2)?];
                let values =
                    (0..self.size).flat_map(|x| planes.iter().enumerate().map(move |(c, plane)| (c, plane[x])));
                patch.extend(values.map(|(channel, value)| ingest.normalised(channel, value as f32)));
            }
        }
        // as the kernel stores them
        Ok(self.ty.decode(&self.ty.encode(patch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let forms = ["plain", "96", "128", "192", "256", "few"];
        let kernels = forms.iter().flat_map(|form| ["f16", "bf16"].map(|ty| format!("patch_embedding_{form}_{ty}")));
        let kernels: Vec<String> = kernels.chain(["patch_embedding_plain_f32".to_owned()]).collect();
        let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
        crate::engine::cuda::launch::assert_fits::<PatchEmbeddingArguments>(&SOURCE, &kernels);
    }

    /// Where a vector of 8 numbers of a row of the weight lies, counted in such.
    fn vector(row: usize, vector: usize) -> usize {
        row * (DEPTH / 8) + (vector ^ (row >> 2 & 1))
    }

    /// The output whose weights are a row in shared memory.
    fn output_of(row: usize) -> usize {
        row & !30 | row >> 2 & 6 | row << 2 & 24
    }

    #[test]
    fn no_access_of_the_weight_or_of_patches_meets_a_bank_twice() {
        let eight = (0..8).collect::<Vec<_>>();
        let banks = |places: &mut dyn Iterator<Item = usize>| {
            let mut banks: Vec<usize> = places.map(|place| place % 8).collect();
            banks.sort_unstable();
            banks
        };
        let rows = 256;
        let mut all: Vec<usize> = Vec::new();
        for row in (0..rows).step_by(8) {
            // ldmatrix: eight rows
            for at in 0..DEPTH / 8 {
                assert_eq!(
                    banks(&mut (row..row + 8).map(|row| vector(row, at))),
                    eight,
                    "rows from {row}, vector {at}"
                );
            }
            // as the kernel's lanes count from the first of eight rows
            for lane in 0..8 {
                let flip = lane / 4 % 2;
                assert!((0..6).all(|at| vector(row + lane, at) == row * 6 + lane * 6 + (at ^ flip)));
            }
            all.extend((0..48).map(|at| vector(row + at / 6, at % 6)));
        }
        // staging: sixteen lanes write half a vector each, one after the other
        for first in (0..rows * (DEPTH / 4)).step_by(16) {
            let halves: Vec<usize> = (first..first + 16).map(|i| i ^ (((i / 12) >> 2 & 1) * 2)).collect();
            for half in 0..2 {
                let mut of_half = halves.iter().filter(|at| *at % 2 == half).map(|at| at / 2);
                assert_eq!(banks(&mut of_half), eight, "from half vector {first}");
            }
            let expected = (first..first + 16).map(|i| vector(i / 12, i % 12 / 2) * 2 + i % 2);
            assert!(halves.iter().copied().eq(expected), "from half vector {first}");
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..rows * (DEPTH / 8)), "each vector has a place of its own");
        // rows of the tile: ldmatrix, and stores of 16 bytes a row
        assert_eq!(banks(&mut (0..8).map(|row| row * PITCH / 8)), eight);
        // bias, scale and shift: four lanes read two words each
        let mut words: Vec<usize> = (0..4).flat_map(|q| [8 * q, 8 * q + 1]).collect();
        words.dedup_by_key(|word| *word % 32);
        assert_eq!(words.len(), 8);
    }

    #[test]
    fn four_fragments_give_a_lane_eight_neighbouring_outputs() {
        for lane in 0..4 {
            let outputs: Vec<usize> =
                (0..4).flat_map(|tile| [0, 1].map(|j| output_of(tile * 8 + lane * 2 + j))).collect();
            assert_eq!(outputs, (lane * 8..lane * 8 + 8).collect::<Vec<_>>());
        }
        assert_eq!(output_of(64 + 9), 64 + output_of(9));
    }

    #[test]
    fn every_width_of_the_tensor_cores_fits_a_block_of_any_card() {
        // a T4 has the least: 64 KiB
        for outputs in (8..=MOST_OUTPUTS).step_by(8).chain([256]) {
            let rows = outputs.next_multiple_of(GROUP);
            let bytes = of_outputs(outputs).shared(4);
            assert_eq!(bytes, rows * (2 * 96 + 12) + 4 * 1792);
            assert!(bytes <= 64 << 10, "{outputs} outputs");
        }
    }

    fn of_outputs(outputs: usize) -> PatchEmbedding {
        let array = Array { address: 0, len: 0, ty: Type::F32 };
        let input = InputSpec::imagenet(224);
        PatchEmbedding { input, size: 4, outputs, weight: array, bias: array, norm: None, ty: Type::F16 }
    }
}
