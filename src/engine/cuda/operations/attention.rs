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
/// Shared memory of a block, in bytes, on cards that have room for as many heads as for warps.
const MUCH_SHARED: u32 = 128 * 1024;
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
        padded_height: u32,
        padded_width: u32,
        channels: u32,
        heads: u32,
        window_height: u32,
        window_width: u32,
        shift_height: u32,
        shift_width: u32,
        pads_first: u32,
        group: u32,
        groups: u32,
        middle: u32,
        pitch: u32,
        no_key: u32,
        width_reciprocal: u32,
        group_reciprocal: u32,
        scale: f32,
        zero: u32,
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
        _images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        judge::expected(self, at, memory, outputs)
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

    /// `group` is how many heads a block takes.
    fn arguments(&self, at: &Operands, group: usize) -> AttentionArguments {
        let Windows { size, shift, pads_first } = self.windows;
        let reciprocal = |n: usize| (65536 / n + 1) as u32;
        AttentionArguments {
            input: at.input.address,
            output: at.output.address,
            bias: self.bias.address,
            padding: address(self.padding),
            height: self.height as u32,
            width: self.width as u32,
            padded_height: self.height.next_multiple_of(size[0]) as u32,
            padded_width: self.width.next_multiple_of(size[1]) as u32,
            channels: self.channels as u32,
            heads: self.heads as u32,
            window_height: size[0] as u32,
            window_width: size[1] as u32,
            shift_height: shift[0] as u32,
            shift_width: shift[1] as u32,
            pads_first: pads_first.into(),
            group: group as u32,
            groups: self.heads.div_ceil(group) as u32,
            middle: self.windows.difference(0, 0) as u32,
            pitch: table_pitch(&self.windows, group) as u32,
            no_key: no_key(&self.windows) as u32,
            width_reciprocal: reciprocal(size[1]),
            group_reciprocal: reciprocal(group),
            scale: (1.0 / (self.dim() as f64).sqrt()) as f32,
            zero: 0,
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
        let pitch = area.next_multiple_of(4);
        let shared = POSITION * pitch + size_of::<f32>() * QUERIES * (pitch + 1);
        let arguments = self.arguments(at, 1);
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
        let block = [32, split as u32, group as u32];
        let positions = keys.next_multiple_of(TILE_QUERIES);
        let table = size_of::<f32>() * table_pitch(&self.windows, group);
        let shared = POSITION * positions + group * (2 * ROW_BYTES * keys + table);
        let launch = Launch::new(&SOURCE, kernel, grid, block, &self.arguments(at, group));
        Some(launch.with_shared(shared as u32))
    }

    /// Heads of a block, and warps of a head. A head has several warps where all of them run at once: that is sooner over. Else it has one, or two
    /// where shared memory has room for few heads, and several heads share what a block finds out about its window.
    fn warps(&self, card: &Card, windows: usize, keys: usize) -> (usize, usize) {
        if keys == LARGE {
            return (1, LARGE_SPLIT);
        }
        let multiprocessors = card.multiprocessors as usize;
        let tiles = self.windows.area().div_ceil(TILE_QUERIES);
        let fits =
            |split: &usize| *split < 2 * tiles && split * windows * self.heads <= RESIDENT_WARPS * multiprocessors;
        let fewest = if card.shared_per_block < MUCH_SHARED { 2.min(tiles) } else { 1 };
        let split = [4, 2].into_iter().find(fits).unwrap_or(fewest);
        let most = if windows * self.heads < 2 * multiprocessors { 1 } else { WARPS / split };
        // groups alike, if they are not much smaller for it; else nearly alike
        let even = (most.div_ceil(2)..=most).rev().find(|group| self.heads.is_multiple_of(*group));
        (even.unwrap_or(self.heads.div_ceil(self.heads.div_ceil(most))), split)
    }
}

/// Where the tensor cores' form has, in a head's table in shared memory, the bias of keys that are not there, for a query at the first position:
/// half the banks away from the table's begin.
fn no_key(windows: &Windows) -> usize {
    (windows.differences() + 15) / 32 * 32 + 16
}

/// Numbers from one head's table in shared memory to the next one's, such that a warp that writes to all tables of a group writes each to
/// banks of its own.
fn table_pitch(windows: &Windows, group: usize) -> usize {
    let (length, bank) = (no_key(windows) + windows.difference(0, 0) + 1, 32_usize.div_ceil(group) % 32);
    (length + 31 - bank) / 32 * 32 + bank
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

    const H100: Card = Card { capability: 90, multiprocessors: 132, shared_per_block: 227 * 1024 };
    const T4: Card = Card { capability: 75, multiprocessors: 40, shared_per_block: 64 * 1024 };

    /// The launch for square maps and windows.
    fn launch(card: Card, images: usize, [side, heads, window]: [usize; 3], ty: Type) -> Launch {
        let array = Array { address: 256, len: 0, ty };
        let windows = Windows { size: [window; 2], shift: [window / 2; 2], pads_first: false };
        let channels = 32 * heads;
        let (bias, padding) = (array, None);
        let op = Attention { height: side, width: side, channels, heads, windows, bias, padding, ty };
        let at = Operands { input: array, residual: None, output: array, scratch: None, tickets: None };
        op.launches(&card, images, &at).remove(0)
    }

    #[test]
    fn one_image_has_a_block_of_four_warps_for_each_window_and_head() {
        for (stage, blocks) in [[56, 3, 7], [28, 6, 7], [14, 12, 7], [7, 24, 7]].into_iter().zip([192, 96, 48, 24]) {
            for card in [T4, H100] {
                let launch = launch(card, 1, stage, Type::F16);
                let small = card == T4 && blocks == 192;
                assert_eq!(launch.kernel, "attention_56_f16");
                let warps = if small { 2 } else { 4 };
                assert_eq!((launch.grid.iter().product(), launch.block), (blocks, [32, warps, 1]), "{stage:?}");
            }
        }
    }

    #[test]
    fn heads_of_many_windows_share_blocks() {
        let grid = |card, images, stage| {
            let launch = launch(card, images, stage, Type::Bf16);
            (launch.grid, launch.block)
        };
        assert_eq!(grid(H100, 64, [56, 3, 7]), ([8, 8, 64], [32, 1, 3]));
        assert_eq!(grid(H100, 64, [14, 12, 7]), ([6, 2, 64], [32, 1, 4]));
        // five heads: three and two
        assert_eq!(grid(H100, 64, [56, 5, 7]), ([16, 8, 64], [32, 1, 3]));
        // little shared memory: two warps a head
        assert_eq!(grid(T4, 64, [14, 12, 7]), ([12, 2, 64], [32, 2, 2]));
    }

    #[test]
    fn no_launch_needs_more_than_the_shared_memory_that_is_there_without_asking() {
        for (window, heads, ty) in (1..=32).flat_map(|window| (1..9).map(move |heads| (window, heads, Type::F16))) {
            for (card, images) in [(T4, 1), (T4, 64), (H100, 1), (H100, 64)] {
                let launch = launch(card, images, [64, heads, window], ty);
                assert!(launch.shared <= 48 * 1024, "{launch:?}");
            }
        }
    }
}
