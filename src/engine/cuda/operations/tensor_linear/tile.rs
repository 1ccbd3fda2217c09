//! Which tile a product takes on a card. Not here: launches.

use crate::engine::cuda::card::Card;

/// Products that a tile in shared memory has: TILE_K of the kernel.
const TILE_K: usize = 32;

/// A kernel's tile: sums of a block.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) warps: u32,
    /// In f16, in bf16.
    pub(super) kernels: [&'static str; 2],
}

pub(super) static SHAPES: [Shape; 1] = [Shape {
    rows: 128,
    columns: 128,
    warps: 4,
    kernels: ["tensor_linear_128x128x4_f16", "tensor_linear_128x128x4_bf16"],
}];

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) shape: &'static Shape,
    /// Tiles of K in shared memory.
    pub(super) stages: u32,
    /// Parts of K, each in blocks of its own.
    pub(super) splits: u32,
    pub(super) tiles_per_split: u32,
}

impl Shape {
    /// Threads of a block.
    pub(super) fn threads(&self) -> u32 {
        self.warps * 32
    }
}

impl Tile {
    /// Bytes of shared memory, without norms.
    pub(super) fn bytes(&self) -> u32 {
        self.stages * (self.shape.rows + self.shape.columns) * 64
    }
}

/// The tile of `[m, k] · [k, n]`.
pub(super) fn tile(_card: &Card, _m: usize, _n: usize, k: usize) -> Tile {
    Tile { shape: &SHAPES[0], stages: 4, splits: 1, tiles_per_split: k.div_ceil(TILE_K) as u32 }
}
