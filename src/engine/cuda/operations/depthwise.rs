//! Depthwise convolution, and the norm after it, in one launch. Kernel: `kernels/depthwise.cu`.
//!
//! A block that has all channels of its positions norms them before it writes them. Where blocks share the channels, the last of them norms what all
//! wrote, which is rounded then as a convolution on its own is.
//!
//! Not here: the choice of tiles (`tiles`).

mod tiles;

use super::norm::{Norm, rounded, sum};
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use tiles::{Map, Tiles};

static SOURCE: Source = source!("depthwise");

/// Threads of a block of the plain kernel.
const PLAIN_BLOCK: usize = 128;
/// Columns of a thread of the plain kernel.
const PLAIN_COLUMNS: usize = 4;

arguments! {
    /// `struct Depthwise` of the kernel.
    struct DepthwiseArguments {
        input: u64,
        output: u64,
        weight: u64,
        bias: u64,
        scale: u64,
        shift: u64,
        sums: u64,
        tickets: u64,
        images: u32,
        kernel: u32,
        height: u32,
        width: u32,
        channels: u32,
        tiles: u32,
        down: u32,
        across: u32,
        pairs: u32,
        chunks: u32,
        plane: u32,
        two_planes: u32,
        row: u32,
        column_words: u32,
        row_words: u32,
        eps: f32,
    }
}

/// `y[i, j, c] = bias[c] + Σ x[i + di, j + dj, c] · weight[di, dj, c]` of a map `[height, width, channels]`, with zeros around it; then, where
/// there is a norm, that of each position.
#[derive(Clone, Debug)]
pub(crate) struct Depthwise {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Rows and columns of the kernel; odd.
    pub(crate) kernel: usize,
    /// `[kernel, kernel, channels]` in f32.
    pub(crate) weight: Array,
    /// `[channels]` in f32.
    pub(crate) bias: Array,
    pub(crate) norm: Option<Norm>,
    /// Of input and output.
    pub(crate) ty: Type,
}

impl Depthwise {
    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// The tiles of the fast kernels; None where only the plain one fits.
    fn tiles(&self, card: &Card, images: usize) -> Option<Tiles> {
        Tiles::best(self.shape(), self.kernel, self.norm.is_some(), self.ty, card, images)
    }

    /// About how many clocks the fast kernels take, computed for the choice between ways to do the same; None where only the plain one fits.
    pub(crate) fn clocks(&self, card: &Card, images: usize) -> Option<f64> {
        self.tiles(card, images).map(|tiles| tiles.clocks(self.shape(), card, images))
    }

    /// Blocks of the plain kernel that share a line of the map, and channels of a thread.
    fn plain_blocks(&self) -> (usize, usize) {
        let vector = if self.channels.is_multiple_of(16 / self.ty.bytes()) { 16 / self.ty.bytes() } else { 1 };
        ((self.width.div_ceil(PLAIN_COLUMNS) * (self.channels / vector)).div_ceil(PLAIN_BLOCK), vector)
    }
}

impl Operation for Depthwise {
    fn name(&self) -> &'static str {
        if self.norm.is_some() { "depthwise + norm" } else { "depthwise" }
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let numbers = images * self.height * self.width * self.channels;
        let needs = Needs { input: numbers, output: numbers, ..Needs::default() };
        match self.tiles(card, images) {
            _ if self.norm.is_none() => needs,
            Some(tiles) => Needs { tickets: tiles.shared_positions(self.shape(), images), ..needs },
            // the plain kernel's sums are f32, as the output may be itself
            None => {
                let scratch = if self.ty == Type::F32 { 0 } else { numbers * Type::F32.bytes() };
                Needs { scratch, tickets: images * self.height, ..needs }
            }
        }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let tiles = self.tiles(card, images);
        let Map { plane, two_planes, row } = tiles.map_or_else(Map::default, |tiles| tiles.map());
        let [down, across] = tiles.map_or([0; 2], |tiles| tiles.down_and_across(self.shape()));
        let ([scale, shift], eps) = Norm::arguments(self.norm);
        let plain_norms = self.norm.is_some() && tiles.is_none();
        let sums = plain_norms.then_some(at.scratch.unwrap_or(at.output));
        let last_block_norms =
            plain_norms || tiles.is_some_and(|tiles| tiles.shared_positions(self.shape(), images) > 0);
        let (plain_blocks, _) = self.plain_blocks();
        let arguments = DepthwiseArguments {
            input: at.input.address,
            output: at.output.address,
            weight: self.weight.address,
            bias: self.bias.address,
            scale,
            shift,
            sums: address(sums),
            tickets: address(at.tickets.filter(|_| last_block_norms)),
            images: images as u32,
            kernel: self.kernel as u32,
            height: self.height as u32,
            width: self.width as u32,
            channels: self.channels as u32,
            tiles: (images * down * across) as u32,
            down: down as u32,
            across: across as u32,
            pairs: tiles.map_or(0, |tiles| tiles.pairs) as u32,
            chunks: tiles.map_or(plain_blocks, |tiles| tiles.chunks(self.shape())) as u32,
            plane: plane as u32,
            two_planes: two_planes as u32,
            row: row as u32,
            column_words: (self.channels / 2) as u32,
            row_words: (self.width * self.channels / 2) as u32,
            eps,
        };
        if let Some(tiles) = tiles {
            let grid = [tiles.blocks(self.shape(), images) as u32, 1, 1];
            let block = [tiles.threads() as u32, 1, 1];
            let launch = Launch::new(&SOURCE, self.kernel_of(tiles), grid, block, &arguments);
            return vec![launch.with_shared(tiles.shared() as u32)];
        }
        let kernel = match self.ty {
            Type::F16 => "depthwise_plain_f16",
            Type::Bf16 => "depthwise_plain_bf16",
            Type::F32 | Type::U8 => "depthwise_plain_f32",
        };
        let grid = [(images * self.height * plain_blocks) as u32, 1, 1];
        vec![Launch::new(&SOURCE, kernel, grid, [PLAIN_BLOCK as u32, 1, 1], &arguments)]
    }

    fn expected(
        &self,
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let weight = memory.read(self.weight, 0..self.weight.len)?;
        let bias = memory.read(self.bias, 0..self.channels)?;
        let mut expected = Vec::with_capacity(outputs.len());
        for outputs in outputs.chunk_by(|a, b| a / self.channels == b / self.channels) {
            let position = outputs[0] / self.channels;
            let channels: Vec<usize> = outputs.iter().map(|index| index % self.channels).collect();
            match self.norm {
                None => {
                    let sums = self.sums(at.input, memory, &weight, &bias, position, &channels)?;
                    expected.extend(sums.into_iter().map(|sum| rounded(sum, self.ty)));
                }
                Some(norm) => {
                    let all: Vec<usize> = (0..self.channels).collect();
                    let mut sums = self.sums(at.input, memory, &weight, &bias, position, &all)?;
                    // with counters and no scratch, blocks may share the channels through the output
                    if at.tickets.is_some() && at.scratch.is_none() {
                        sums.iter_mut().for_each(|sum| *sum = rounded(*sum, self.ty));
                    }
                    expected.extend(norm.expected(&sums, &channels, self.ty, memory)?);
                }
            }
        }
        Ok(expected)
    }
}

impl Depthwise {
    fn kernel_of(&self, tiles: Tiles) -> &'static str {
        match (tiles.has_all_channels(), tiles.rows, self.ty == Type::Bf16) {
            (true, _, false) => "depthwise_fused_f16",
            (true, _, true) => "depthwise_fused_bf16",
            (false, 14, false) => "depthwise_strip_14_f16",
            (false, 14, true) => "depthwise_strip_14_bf16",
            (false, 7, false) => "depthwise_strip_7_f16",
            (false, 7, true) => "depthwise_strip_7_bf16",
            (false, 4, false) => "depthwise_strip_4_f16",
            (false, 4, true) => "depthwise_strip_4_bf16",
            (false, 2, false) => "depthwise_strip_2_f16",
            (false, 2, true) => "depthwise_strip_2_bf16",
            (false, _, false) => "depthwise_strip_1_f16",
            (false, _, true) => "depthwise_strip_1_bf16",
        }
    }

    /// The sums of some channels, in rising order, at a position of all images.
    fn sums(
        &self,
        input: Array,
        memory: &dyn Contents,
        weight: &[f64],
        bias: &[f64],
        position: usize,
        channels: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let (x, y) = (position % self.width, position / self.width % self.height);
        let mut taps = Vec::new();
        for (dy, dx) in (0..self.kernel).flat_map(|dy| (0..self.kernel).map(move |dx| (dy, dx))) {
            let halo = self.kernel / 2;
            let (from_y, from_x) = ((y + dy).wrapping_sub(halo), (x + dx).wrapping_sub(halo));
            if from_y < self.height && from_x < self.width {
                let from = (position - y * self.width - x + from_y * self.width + from_x) * self.channels;
                taps.push((dy * self.kernel + dx, memory.read(input, from + first..from + last + 1)?));
            }
        }
        let one = |channel: &usize| {
            let products =
                taps.iter().map(|(tap, values)| values[channel - first] * weight[tap * self.channels + channel]);
            sum(products, bias[*channel])
        };
        Ok(channels.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_is_no_launch_of_its_own() {
        let card = Card { capability: 90, multiprocessors: 132, shared_per_block: 227 << 10 };
        let array = |ty| Array { address: 1 << 20, len: 1 << 20, ty };
        let launches = |size, channels, kernel, ty, images| {
            let (weight, bias) = (array(Type::F32), array(Type::F32));
            let norm = Some(Norm { affine: None, eps: 1e-6 });
            let depthwise = Depthwise { height: size, width: size, channels, kernel, weight, bias, norm, ty };
            let needs = depthwise.needs(&card, images);
            let at = Operands {
                input: array(ty),
                residual: None,
                output: array(ty),
                scratch: (needs.scratch > 0).then(|| array(Type::U8)),
                tickets: (needs.tickets > 0).then(|| array(Type::U8)),
            };
            depthwise.launches(&card, images, &at).iter().map(|launch| launch.kernel).collect::<Vec<_>>()
        };
        assert_eq!(launches(28, 192, 7, Type::F16, 8), ["depthwise_fused_f16"]);
        assert_eq!(launches(28, 192, 7, Type::Bf16, 8), ["depthwise_fused_bf16"]);
        let few = launches(7, 768, 7, Type::F16, 1);
        assert!(
            few.len() == 1 && few[0].starts_with("depthwise_strip"),
            "too few tiles for blocks of all channels: {few:?}"
        );
        assert_eq!(launches(56, 96, 7, Type::F32, 1), ["depthwise_plain_f32"]);
        assert_eq!(launches(56, 96, 5, Type::F16, 64), ["depthwise_plain_f16"]);
    }

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let forms = ["plain", "fused", "strip_1", "strip_2", "strip_4", "strip_7", "strip_14"];
        let types = forms.iter().flat_map(|form| ["f16", "bf16"].map(|ty| format!("depthwise_{form}_{ty}")));
        let kernels: Vec<String> = types.chain(["depthwise_plain_f32".to_owned()]).collect();
        let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
        crate::engine::cuda::launch::assert_fits::<DepthwiseArguments>(&SOURCE, &kernels);
    }
}
