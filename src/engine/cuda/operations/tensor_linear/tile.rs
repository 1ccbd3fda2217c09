//! Which tile a product takes on a card, and into how many splits of K: the one that is computed to end first. Not here: launches.

#[cfg(test)]
mod tests;

use super::NORM_BYTES;
use crate::engine::cuda::card::{Card, Target};

/// Products of a tile in shared memory: `TILE_K` of the kernel.
const TILE_K: usize = 32;
/// Most splits of K; each adds 4 bytes of memory to write and read for each number of the output.
const MOST_SPLITS: usize = 16;
/// Tiles of K that a split has at least: fewer, and it begins and ends more than it multiplies.
const LEAST_TILES: usize = 3;
/// Values of a row that is normed which a lane holds.
const NORM_HELD: usize = 12 * 8;
/// Bytes of shared memory that two blocks of the largest tile have room in.
const MUCH_SHARED: u32 = 160 << 10;
/// What of the multiprocessors' time must have a block, and what that may cost in computed time.
const BUSY: f64 = 0.7;
const BUSY_COSTS: f64 = 1.2;

/// Where rows of A come from: `Source` of the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Plain,
    Gathered,
    Normed,
}

/// A product `[m, k] · [k, n]`, and how many norms a row has, if it is normed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) rows: Source,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) norms: usize,
}

/// A kernel's tile: sums of a block.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) warps: u32,
    /// Tiles of K in shared memory, where they come by `cp.async`.
    stages: u32,
    /// Blocks whose registers a multiprocessor holds, as `__launch_bounds__` says.
    resident: usize,
    /// Its kernels, in f16 and in bf16.
    pub(super) plain: [&'static str; 2],
    pub(super) gathered: Option<[&'static str; 2]>,
    pub(super) normed: Option<[&'static str; 2]>,
}

macro_rules! kernels {
    ($name:literal) => {
        [concat!("tensor_linear_", $name, "_f16"), concat!("tensor_linear_", $name, "_bf16")]
    };
}

/// Four warps of 64 × 64: few reads of shared memory, for cards whose tensor cores are fast.
const LARGE: Shape = Shape {
    rows: 128,
    columns: 128,
    warps: 4,
    stages: 5,
    resident: 2,
    plain: kernels!("128x128x4"),
    gathered: None,
    normed: Some(kernels!("128x128x4_normed")),
};
/// Two of these beside each other: fewest reads of L2.
const WIDEST: Shape = Shape {
    columns: 256,
    warps: 8,
    stages: 4,
    resident: 1,
    plain: kernels!("128x256"),
    normed: Some(kernels!("128x256_normed")),
    ..LARGE
};
/// Eight warps of 64 × 32, for the other cards.
const LARGE_OF_EIGHT: Shape =
    Shape { warps: 8, stages: 3, plain: kernels!("128x128x8"), normed: Some(kernels!("128x128x8_normed")), ..LARGE };
/// For 96 · 2ⁿ columns.
const THREE: Shape = Shape {
    columns: 96,
    warps: 6,
    stages: 3,
    plain: kernels!("128x96"),
    normed: Some(kernels!("128x96_normed")),
    ..LARGE
};
const SQUARE: Shape = Shape {
    rows: 64,
    columns: 64,
    stages: 4,
    resident: 4,
    plain: kernels!("64x64"),
    gathered: Some(kernels!("gathered")),
    normed: Some(kernels!("64x64_normed")),
    ..LARGE
};
const LOW: Shape = Shape { rows: 32, stages: 5, plain: kernels!("32x64"), gathered: None, normed: None, ..SQUARE };
const LOWEST: Shape = Shape { rows: 16, warps: 2, plain: kernels!("16x64"), ..LOW };

pub(super) static SHAPES: [Shape; 7] = [WIDEST, LARGE, LARGE_OF_EIGHT, THREE, SQUARE, LOW, LOWEST];

/// How a product is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tile {
    pub(super) shape: &'static Shape,
    /// Tiles of K in shared memory.
    pub(super) stages: u32,
    /// Parts of K, each in blocks of its own.
    pub(super) splits: u32,
    pub(super) tiles_per_split: u32,
}

/// What a multiprocessor of a capability does in a clock (`tests/emulator/src/count/device.rs` has the cards, and where their figures come from).
struct Multiprocessor {
    /// Clocks of an m16n8k16 on a quarter of it.
    mma: f64,
    /// Its share of what the L2 cache gives, in bytes.
    l2: f64,
    /// Bytes of shared memory, and what of it each block takes beside its own.
    shared: usize,
    reserved: usize,
}

impl Shape {
    /// Threads of a block.
    pub(super) fn threads(&self) -> u32 {
        self.warps * 32
    }

    /// Bytes of a tile of K in shared memory.
    fn slot(&self) -> usize {
        (self.rows + self.columns) * TILE_K * 2
    }

    /// The kernels of a source.
    pub(super) fn kernels(&self, source: Source) -> Option<[&'static str; 2]> {
        match source {
            Source::Plain => Some(self.plain),
            Source::Gathered => self.gathered,
            Source::Normed => self.normed,
        }
    }

    /// Whether little of it lies beyond so many columns: what is multiplied for nothing is power, which large products run out of.
    fn suits(&self, n: usize) -> bool {
        self.columns <= 64 || n.next_multiple_of(self.columns) * 8 <= n * 9
    }

    /// Tiles of K in shared memory: `Ring` of the kernel.
    fn stages(&self, card: &Card, source: Source) -> u32 {
        match (card.target(), source) {
            (Target::Sm75, _) => 2,
            (Target::Sm80, Source::Normed) => 3,
            (Target::Sm80, Source::Plain | Source::Gathered) => self.stages,
        }
    }
}

impl Tile {
    /// Bytes of shared memory of a block: its slots, its norms, and scale and shift of its K, or of a pixel where each is normed alone.
    pub(super) fn shared(&self, product: &Product) -> usize {
        let normed = match (product.rows, product.norms) {
            (Source::Plain | Source::Gathered, _) => 0,
            (Source::Normed, 1) => product.k.min(self.tiles_per_split as usize * TILE_K),
            (Source::Normed, norms) => product.k / norms,
        };
        let norms = if normed > 0 { self.shape.rows * product.norms } else { 0 };
        self.stages as usize * self.shape.slot() + (norms + normed) * NORM_BYTES
    }

    /// Tiles of the output.
    pub(super) fn tiles(&self, product: &Product) -> usize {
        product.m.div_ceil(self.shape.rows) * product.n.div_ceil(self.shape.columns)
    }

    fn blocks(&self, product: &Product) -> usize {
        self.tiles(product) * self.splits as usize
    }

    /// Blocks beside what there were if all multiprocessors had as many as the busiest.
    fn busy(&self, card: &Card, product: &Product) -> f64 {
        let (blocks, multiprocessors) = (self.blocks(product), card.multiprocessors as usize);
        blocks as f64 / (blocks.div_ceil(multiprocessors) * multiprocessors) as f64
    }

    /// Clocks that it takes, computed: the busiest multiprocessor has its blocks one after the other at the rate of what is slowest, or as many
    /// at once as it holds, each waiting for its own loads and barriers.
    pub(super) fn clocks(&self, card: &Card, product: &Product) -> f64 {
        let Multiprocessor { mma, l2, shared, reserved } = multiprocessor(card);
        let Shape { rows, columns, warps, resident, .. } = *self.shape;
        let (tiles, sums) = (f64::from(self.tiles_per_split), (rows * columns) as f64);
        let busiest = self.blocks(product).div_ceil(card.multiprocessors as usize);
        let held = (shared / (self.shared(product) + reserved)).clamp(1, resident);
        // of a tile of K
        let multiplied = sums / 128.0 * 2.0 * mma / 4.0;
        let loaded = self.shape.slot() as f64 / l2;
        // about 13 issue slots for each number of the output, and its bytes
        let written = sums * 0.1 + sums * if self.splits > 1 { 4.0 } else { 2.0 } / l2;
        // the norms of a block's rows are measured in turns, each of which waits for its loads and sums
        let (bytes, turns) = self.normed(product);
        let measured = bytes as f64 / l2;
        let at_once = multiplied.max(loaded) * tiles + written + measured;
        let alone =
            (multiplied * 4.0 / f64::from(warps.min(4)) + 100.0).max(600.0 / f64::from(self.stages - 1)).max(loaded);
        let one_block = 1300.0 + alone * tiles + written + measured.max(900.0 * turns as f64);
        let blocks = (busiest as f64 * at_once).max(busiest.div_ceil(held) as f64 * one_block);
        if self.splits == 1 {
            return blocks;
        }
        // the last block of a tile waits for its ticket, then reads all parts
        let splits = self.splits as usize;
        blocks + 1200.0 + (busiest.div_ceil(splits) * splits) as f64 * sums * 4.0 / l2 + 100.0 * splits as f64
    }

    /// Bytes that a block reads to measure norms, and in how many turns of its threads.
    fn normed(&self, product: &Product) -> (usize, usize) {
        if product.rows != Source::Normed {
            return (0, 0);
        }
        let Product { k, norms, .. } = *product;
        let length = k / norms;
        // of patches only the pixels in a split's part of K
        let measured =
            norms.min((self.tiles_per_split as usize * TILE_K).div_ceil(length) + usize::from(self.splits > 1)).max(1);
        let rows = self.shape.rows * measured;
        let lanes = length.div_ceil(NORM_HELD).next_power_of_two().max(4);
        (rows * length * 2, (rows * lanes).div_ceil(self.shape.threads() as usize))
    }
}

/// The tile of `[m, k] · [k, n]`: of those that keep the card busy, the fastest as computed; or the fastest of all, where that is much faster.
pub(super) fn tile(card: &Card, product: &Product) -> Tile {
    let Product { rows: source, n, k, .. } = *product;
    let all = k.div_ceil(TILE_K);
    let splits = || (1..=MOST_SPLITS).filter(|splits| *splits == 1 || all.div_ceil(*splits) >= LEAST_TILES);
    let tiles = shapes(card, source)
        .filter(|shape| shape.suits(n))
        .flat_map(|shape| splits().map(move |splits| cut(card, source, shape, k, splits)))
        .filter(|tile| tile.shared(product) <= card.shared_per_block as usize);
    let mut fastest: [Option<(f64, Tile)>; 2] = [None, None];
    for tile in tiles {
        let clocks = tile.clocks(card, product);
        let busy = tile.busy(card, product) >= BUSY;
        for (of_busy, best) in [false, true].into_iter().zip(&mut fastest) {
            if (busy || !of_busy) && best.is_none_or(|(least, _)| clocks < least) {
                *best = Some((clocks, tile));
            }
        }
    }
    match fastest {
        [Some((least, _)), Some((clocks, tile))] if clocks <= least * BUSY_COSTS => tile,
        [Some((_, tile)), _] => tile,
        // there is a tile for every source
        [None, _] => cut(card, source, &SHAPES[4], k, 1),
    }
}

/// Shapes of a card, and of a source. Warps of 64 × 64 are for cards with as much shared memory as A100 has, of 64 × 32 for the others.
pub(super) fn shapes(card: &Card, source: Source) -> impl Iterator<Item = &'static Shape> {
    let much = card.shared_per_block >= MUCH_SHARED;
    SHAPES.iter().filter(move |shape| {
        let other = if much { **shape == LARGE_OF_EIGHT } else { **shape == LARGE || **shape == WIDEST };
        !other && shape.kernels(source).is_some()
    })
}

/// A product in blocks of a shape, and no more splits of K than have something of it.
pub(super) fn cut(card: &Card, source: Source, shape: &'static Shape, k: usize, splits: usize) -> Tile {
    let all = k.div_ceil(TILE_K);
    let tiles_per_split = all.div_ceil(splits);
    let splits = all.div_ceil(tiles_per_split) as u32;
    Tile { shape, stages: shape.stages(card, source), splits, tiles_per_split: tiles_per_split as u32 }
}

fn multiprocessor(card: &Card) -> Multiprocessor {
    let (mma, shared, reserved) = match card.capability {
        ..80 => (16.0, 64, 0),
        80..86 => (8.0, 164, 1),
        86..89 => (16.0, 100, 1),
        // between L4 and RTX 4090; and later cards of their kind
        89 | 120.. => (24.0, 100, 1),
        90..120 => (6.4, 228, 1),
    };
    Multiprocessor { mma, l2: card.l2_rate(), shared: shared << 10, reserved: reserved << 10 }
}
