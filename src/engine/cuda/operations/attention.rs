//! Attention in shifted windows. Kernels: `kernels/attention.cu`. Not here: what it must compute (`judge`).

#[cfg(test)]
mod banks;
mod judge;

use super::{Expected, Needs, Operands, Operation};
use crate::engine::cuda::array::{Array, Contents, address};
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::{Launch, Source, arguments, source};
use crate::engine::cuda::number::Type;
use crate::program::{Shape, Windows};

static SOURCE: Source = source!("attention");

/// Queries and threads of a block of the plain form.
const QUERIES: usize = 8;
const PLAIN_BLOCK: usize = 64;
/// Bytes of a position in shared memory.
const POSITION: usize = 8;
/// Channels of a head that the tensor cores' form takes, and their bytes.
const TENSOR_DIM: usize = 32;
const ROW_BYTES: usize = 64;
/// Queries that a warp takes at a time.
const TILE_QUERIES: usize = 16;
/// Warps of a block, but where windows are large.
const WARPS: usize = 4;
/// Warps an SM has room for, by their registers.
const RESIDENT_WARPS: usize = 16;
/// The tensor cores' kernels by the positions they have room for.
const TENSOR_KERNELS: [(usize, [&str; 2]); 4] = [
    (16, ["attention_16_f16", "attention_16_bf16"]),
    (56, ["attention_56_f16", "attention_56_bf16"]),
    (64, ["attention_64_f16", "attention_64_bf16"]),
    (LARGE, ["attention_144_f16", "attention_144_bf16"]),
];
/// The largest, whose blocks are a head's three warps.
const LARGE: usize = 144;
const LARGE_SPLIT: usize = 3;

arguments! {
    /// `struct Attention` of the kernels.
    struct AttentionArguments {
        input: u64,
        output: u64,
        bias: u64,
        padding: u64,
        height: u32,
        width: u32,
        channels: u32,
        heads: u32,
        window_height: u32,
        window_width: u32,
        shift_height: u32,
        shift_width: u32,
        pads_first: u32,
        group: u32,
        split: u32,
        scale: f32,
    }
}

/// `softmax(q·kᵀ / sqrt(d) + bias + mask) · v` in each window and head of maps `[h, w, 3c]`, whose channels are q, k and v of all heads one after
/// another; `[h, w, c]`.
pub(crate) struct Attention {
    /// Rows of the map.
    pub(crate) height: usize,
    /// Columns of the map.
    pub(crate) width: usize,
    /// c, of the output.
    pub(crate) channels: usize,
    /// Heads, of which c is a multiple.
    pub(crate) heads: usize,
    pub(crate) windows: Windows,
    /// `[differences, heads]` in f32, see [`Windows::difference`].
    pub(crate) bias: Array,
    /// `[3c]` in f32: q, k and v of padding, taken as they are after rounding to `ty`. There where the windows pad.
    pub(crate) padding: Option<Array>,
    /// Of input and output.
    pub(crate) ty: Type,
}

impl Operation for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn needs(&self, _card: &Card, images: usize) -> Needs {
        let numbers = images * self.height * self.width * self.channels;
        Needs { input: 3 * numbers, output: numbers, ..Needs::default() }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        vec![self.tensor(card, images, at).unwrap_or_else(|| self.plain(images, at))]
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        judge::expected(self, images, at, memory, outputs)
    }
}

impl Attention {
    /// The map, by its output.
    fn map(&self) -> Shape {
        Shape::map(self.height, self.width, self.channels)
    }

    /// Channels of a head.
    fn dim(&self) -> usize {
        self.channels / self.heads
    }

    fn arguments(&self, at: &Operands, group: usize, split: usize) -> AttentionArguments {
        let Windows { size, shift, pads_first } = self.windows;
        AttentionArguments {
            input: at.input.address,
            output: at.output.address,
            bias: self.bias.address,
            padding: address(self.padding),
            height: self.height as u32,
            width: self.width as u32,
            channels: self.channels as u32,
            heads: self.heads as u32,
            window_height: size[0] as u32,
            window_width: size[1] as u32,
            shift_height: shift[0] as u32,
            shift_width: shift[1] as u32,
            pads_first: pads_first.into(),
            group: group as u32,
            split: split as u32,
            scale: (1.0 / (self.dim() as f64).sqrt()) as f32,
        }
    }

    /// The form for all types and shapes.
    fn plain(&self, images: usize, at: &Operands) -> Launch {
        let kernel = match self.ty {
            Type::F16 => "attention_f16",
            Type::Bf16 => "attention_bf16",
            Type::F32 | Type::U8 => "attention_f32",
        };
        let [down, across] = self.windows.count(self.map());
        let area = self.windows.area();
        let grid = [area.div_ceil(QUERIES) * self.heads * across, down, images].map(|blocks| blocks as u32);
        let shared = POSITION * area + size_of::<f32>() * QUERIES * (area + 1);
        let arguments = self.arguments(at, 1, 1);
        Launch::new(&SOURCE, kernel, grid, [PLAIN_BLOCK as u32, 1, 1], &arguments).with_shared(shared as u32)
    }
}

impl Attention {
    /// The form by tensor cores, where there is one.
    fn tensor(&self, card: &Card, images: usize, at: &Operands) -> Option<Launch> {
        if self.dim() != TENSOR_DIM {
            return None;
        }
        let (keys, [half, brain]) = TENSOR_KERNELS.into_iter().find(|(keys, _)| self.windows.area() <= *keys)?;
        let kernel = match self.ty {
            Type::F16 => half,
            Type::Bf16 => brain,
            Type::F32 | Type::U8 => return None,
        };
        let [down, across] = self.windows.count(self.map());
        let (group, split) = self.warps(card, images * down * across, keys);
        let grid = [self.heads.div_ceil(group) * across, down, images].map(|blocks| blocks as u32);
        let block = [(32 * group * split) as u32, 1, 1];
        let tables = size_of::<f32>() * self.windows.differences();
        let shared = POSITION * keys + group * (2 * ROW_BYTES * keys + tables);
        let launch = Launch::new(&SOURCE, kernel, grid, block, &self.arguments(at, group, split));
        Some(launch.with_shared(shared as u32))
    }

    /// Heads of a block, and warps of a head. A head has several warps where all of them run at once: that is sooner over. Else it has one, and several
    /// heads share what a block finds out about its window.
    fn warps(&self, card: &Card, windows: usize, keys: usize) -> (usize, usize) {
        if keys == LARGE {
            return (1, LARGE_SPLIT);
        }
        let multiprocessors = card.multiprocessors as usize;
        let tiles = self.windows.area().div_ceil(TILE_QUERIES);
        let fits =
            |split: &usize| *split < 2 * tiles && split * windows * self.heads <= RESIDENT_WARPS * multiprocessors;
        let split = [4, 2].into_iter().find(fits).unwrap_or(1);
        // as even as it goes
        let most = if windows * self.heads < 2 * multiprocessors { 1 } else { WARPS / split };
        (self.heads.div_ceil(self.heads.div_ceil(most)), split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_lies_as_the_kernels() {
        let plain = ["attention_f32", "attention_f16", "attention_bf16"];
        let tensor = TENSOR_KERNELS.iter().flat_map(|(_, kernels)| kernels);
        let kernels: Vec<&str> = plain.iter().chain(tensor).copied().collect();
        crate::engine::cuda::launch::assert_fits::<AttentionArguments>(&SOURCE, &kernels);
    }
}
