//! Depthwise convolution, and the norm after it where a launch sees all channels of a position. Kernel: `kernels/depthwise.cu`.
//!
//! Not here: the choice of tiles (`tiles`); a norm that is left to the next product (`linear`).

mod tiles;

use super::norm::{Norm, rounded, sum};
use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use tiles::{Map, Tiles};

static SOURCE: Source = source!("depthwise");

/// Threads of a block of the plain kernel, and of its norm.
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
        images: u32,
        height: u32,
        width: u32,
        channels: u32,
        kernel: u32,
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

/// By how much a convolution may take longer for the norm in it: about what the norm costs elsewhere, which reads the map again.
const WORTH: f64 = 1.5;

/// Whether the norm after a convolution belongs into its launch: where a block can hold all channels of its tile, enough tiles are there
/// to keep the card busy, and the tiles do not become so narrow that the convolution suffers. Elsewhere blocks share the channels, and the next
/// product norms its rows.
pub(crate) fn norm_inside(
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    ty: Type,
    card: &Card,
    images: usize,
) -> bool {
    let shape = [height, width, channels];
    let fused = Tiles::fused(shape, kernel, ty, card, images);
    let strip = Tiles::strip(shape, kernel, ty, card, images);
    fused.zip(strip).is_some_and(|(fused, strip)| {
        fused.count(shape, images) >= 2 * card.multiprocessors as usize
            && fused.clocks(shape, card, images) <= WORTH * strip.clocks(shape, card, images)
    })
}

impl Depthwise {
    fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// The tiles of the fast kernels; None where only the plain one fits.
    fn tiles(&self, card: &Card, images: usize) -> Option<Tiles> {
        match self.norm {
            None => Tiles::strip(self.shape(), self.kernel, self.ty, card, images),
            Some(_) => Tiles::fused(self.shape(), self.kernel, self.ty, card, images),
        }
    }
}

impl Operation for Depthwise {
    fn name(&self) -> &'static str {
        if self.norm.is_some() { "depthwise + norm" } else { "depthwise" }
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let numbers = images * self.height * self.width * self.channels;
        let two_launches = self.norm.is_some() && self.tiles(card, images).is_none();
        let scratch = if two_launches { numbers * Type::F32.bytes() } else { 0 };
        Needs { input: numbers, output: numbers, scratch, ..Needs::default() }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        let tiles = self.tiles(card, images);
        let Map { plane, two_planes, row } = tiles.map_or_else(Map::default, |tiles| tiles.map());
        let [down, across] = tiles.map_or([0; 2], |tiles| tiles.down_and_across(self.shape()));
        let ([scale, shift], eps) = Norm::arguments(self.norm);
        let sums = at.scratch.filter(|_| self.norm.is_some() && tiles.is_none());
        let arguments = DepthwiseArguments {
            input: at.input.address,
            output: at.output.address,
            weight: self.weight.address,
            bias: self.bias.address,
            scale,
            shift,
            sums: sums.map_or(0, |array| array.address),
            images: images as u32,
            height: self.height as u32,
            width: self.width as u32,
            channels: self.channels as u32,
            kernel: self.kernel as u32,
            tiles: (images * down * across) as u32,
            down: down as u32,
            across: across as u32,
            pairs: tiles.map_or(0, |tiles| tiles.pairs) as u32,
            chunks: tiles.map_or(0, |tiles| tiles.chunks(self.shape())) as u32,
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
        let vector = if self.channels.is_multiple_of(16 / self.ty.bytes()) { 16 / self.ty.bytes() } else { 1 };
        let positions = images * self.height * self.width;
        let threads = images * self.height * self.width.div_ceil(PLAIN_COLUMNS) * (self.channels / vector);
        let norm_threads = positions * 32;
        let (convolution, norm) = match self.ty {
            Type::F16 => ("depthwise_plain_f16", "depthwise_norm_f16"),
            Type::Bf16 => ("depthwise_plain_bf16", "depthwise_norm_bf16"),
            Type::F32 | Type::U8 => ("depthwise_plain_f32", "depthwise_norm_f32"),
        };
        let plain = |kernel, threads: usize| {
            let blocks = threads.div_ceil(PLAIN_BLOCK) as u32;
            Launch::new(&SOURCE, kernel, [blocks, 1, 1], [PLAIN_BLOCK as u32, 1, 1], &arguments)
        };
        let mut launches = vec![plain(convolution, threads)];
        launches.extend(self.norm.map(|_| plain(norm, norm_threads)));
        launches
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
                    let sums = self.sums(at.input, memory, &weight, &bias, position, &all)?;
                    expected.extend(norm.expected(&sums, &channels, self.ty, memory)?);
                }
            }
        }
        Ok(expected)
    }
}

impl Depthwise {
    fn kernel_of(&self, tiles: Tiles) -> &'static str {
        let bf16 = self.ty == Type::Bf16;
        match (tiles.rows, self.norm.is_some(), bf16) {
            (_, true, false) => "depthwise_fused_f16",
            (_, true, true) => "depthwise_fused_bf16",
            (14, false, false) => "depthwise_strip_14_f16",
            (14, false, true) => "depthwise_strip_14_bf16",
            (7, false, false) => "depthwise_strip_7_f16",
            (7, false, true) => "depthwise_strip_7_bf16",
            (4, false, false) => "depthwise_strip_4_f16",
            (4, false, true) => "depthwise_strip_4_bf16",
            (2, false, false) => "depthwise_strip_2_f16",
            (2, false, true) => "depthwise_strip_2_bf16",
            (_, false, false) => "depthwise_strip_1_f16",
            (_, false, true) => "depthwise_strip_1_bf16",
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
    fn the_norm_is_inside_where_maps_are_large_and_images_many() {
        let card = Card { capability: 90, multiprocessors: 132, shared_per_block: 227 << 10 };
        let inside = |height, channels, ty, images| norm_inside(height, height, channels, 7, ty, &card, images);
        assert!(inside(56, 96, Type::F16, 64) && inside(56, 128, Type::Bf16, 64) && inside(28, 192, Type::F16, 64));
        assert!(!inside(56, 96, Type::F16, 1), "too few tiles");
        assert!(!inside(56, 96, Type::F32, 64), "no kernel");
        assert!(!inside(7, 768, Type::F16, 256), "all channels of two columns are too much for a block");
        assert!(!norm_inside(56, 56, 96, 5, Type::F16, &card, 64), "no kernel of this size");
    }

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let forms = ["plain", "norm", "fused", "strip_1", "strip_2", "strip_4", "strip_7", "strip_14"];
        let types = forms.iter().flat_map(|form| ["f16", "bf16"].map(|ty| format!("depthwise_{form}_{ty}")));
        let kernels: Vec<String> =
            types.chain(["depthwise_plain_f32".to_owned(), "depthwise_norm_f32".to_owned()]).collect();
        let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
        crate::engine::cuda::launch::assert_fits::<DepthwiseArguments>(&SOURCE, &kernels);
    }
}
