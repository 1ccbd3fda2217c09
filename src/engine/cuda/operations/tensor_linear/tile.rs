//! Which tile a product takes on a card, and into how many splits of K: the one that is computed to end first. Not here: launches.

use crate::engine::cuda::card::{Card, Target};

/// Products of a tile in shared memory: `TILE_K` of the kernel.
const TILE_K: usize = 32;
/// Most splits of K; each adds 4 bytes of memory to write and read for each number of the output.
const MOST_SPLITS: usize = 16;
/// Tiles of K that a split has at least: fewer, and it begins and ends more than it multiplies.
const LEAST_TILES: usize = 3;
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
    /// Whether a launch before measures the norms of rows, and not each block those of its own.
    pub(super) measured: bool,
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
    /// Bytes of shared memory, without norms.
    pub(super) fn bytes(&self) -> usize {
        self.stages as usize * self.shape.slot()
    }

    fn blocks(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.shape.rows) * n.div_ceil(self.shape.columns) * self.splits as usize
    }

    /// Blocks beside what there were if all multiprocessors had as many as the busiest.
    fn busy(&self, card: &Card, m: usize, n: usize) -> f64 {
        let (blocks, multiprocessors) = (self.blocks(m, n), card.multiprocessors as usize);
        blocks as f64 / (blocks.div_ceil(multiprocessors) * multiprocessors) as f64
    }

    /// Clocks that it takes, computed: the busiest multiprocessor has its blocks one after the other at the rate of what is slowest, or as many
    /// at once as it holds, each waiting for its own loads and barriers.
    fn clocks(&self, card: &Card, source: Source, m: usize, n: usize) -> f64 {
        let Multiprocessor { mma, l2, shared, reserved } = multiprocessor(card);
        let norms = if source == Source::Normed { self.shape.rows * 8 } else { 0 };
        let Shape { rows, columns, warps, resident, .. } = *self.shape;
        let (tiles, sums) = (f64::from(self.tiles_per_split), (rows * columns) as f64);
        let busiest = self.blocks(m, n).div_ceil(card.multiprocessors as usize);
        let held = (shared / (self.bytes() + norms + reserved)).clamp(1, resident);
        // of a tile of K
        let multiplied = sums / 128.0 * 2.0 * mma / 4.0;
        let loaded = self.shape.slot() as f64 / l2;
        // about 13 issue slots for each number of the output, and its bytes
        let written = sums * 0.1 + sums * if self.splits > 1 { 4.0 } else { 2.0 } / l2;
        let at_once = multiplied.max(loaded) * tiles + written;
        let alone =
            (multiplied * 4.0 / f64::from(warps.min(4)) + 100.0).max(600.0 / f64::from(self.stages - 1)).max(loaded);
        let one_block = 1300.0 + alone * tiles + written;
        let product = (busiest as f64 * at_once).max(busiest.div_ceil(held) as f64 * one_block);
        // a second launch, which reads all sums
        let sums_of_splits = f64::from(self.splits) * 4.0 + 2.0;
        let finish = 2000.0 + sums_of_splits * (m * n) as f64 / (l2 * f64::from(card.multiprocessors));
        product + if self.splits > 1 { finish } else { 0.0 }
    }

    /// The same with a launch before it that measures norms, if that is faster; and the clocks, with those for the norms.
    fn with_norms(self, card: &Card, [m, n, k]: [usize; 3]) -> (f64, Self) {
        let Multiprocessor { l2, .. } = multiprocessor(card);
        let busiest = self.blocks(m, n).div_ceil(card.multiprocessors as usize);
        // in turns, of which each waits for its loads and sums
        let turns = |rows: usize, threads: usize| 900.0 * (rows * (k / 96).clamp(4, 32)).div_ceil(threads) as f64;
        let bytes = |rows: usize| (rows * k * 2) as f64;
        let Shape { rows, .. } = *self.shape;
        let each = busiest as f64 * bytes(rows) / l2 + turns(rows, self.shape.threads() as usize);
        // a launch, and all rows once from memory, which is about four times as slow as L2
        let before = 2000.0 + turns(32, 128) + bytes(m) / (l2 / 4.0 * f64::from(card.multiprocessors));
        let product = self.clocks(card, Source::Normed, m, n);
        if before * 1.2 < each { (product + before, Self { measured: true, ..self }) } else { (product + each, self) }
    }
}

/// The tile of `[m, k] · [k, n]`: of those that keep the card busy, the fastest as computed; or the fastest of all, where that is much faster.
pub(super) fn tile(card: &Card, source: Source, m: usize, n: usize, k: usize) -> Tile {
    let all = k.div_ceil(TILE_K);
    let splits = || (1..=MOST_SPLITS).filter(|splits| *splits == 1 || all.div_ceil(*splits) >= LEAST_TILES);
    let tiles = shapes(card, source)
        .filter(|shape| shape.suits(n))
        .flat_map(|shape| splits().map(move |splits| cut(card, source, shape, k, splits)));
    let mut fastest: [Option<(f64, Tile)>; 2] = [None, None];
    for tile in tiles {
        let (clocks, tile) = match source {
            Source::Normed => tile.with_norms(card, [m, n, k]),
            Source::Plain | Source::Gathered => (tile.clocks(card, source, m, n), tile),
        };
        let busy = tile.busy(card, m, n) >= BUSY;
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
    Tile { shape, stages: shape.stages(card, source), splits, tiles_per_split: tiles_per_split as u32, measured: false }
}

fn multiprocessor(card: &Card) -> Multiprocessor {
    let (mma, l2, shared, reserved) = match card.capability {
        ..80 => (16.0, 20.0, 64, 0),
        80..86 => (8.0, 33.0, 164, 1),
        86..89 => (16.0, 16.0, 100, 1),
        // between L4 and RTX 4090; and later cards of their kind
        89 | 120.. => (24.0, 16.0, 100, 1),
        90..120 => (6.4, 23.0, 228, 1),
    };
    Multiprocessor { mma, l2, shared: shared << 10, reserved: reserved << 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARDS: [(&str, u32, u32, u32); 6] = [
        ("T4", 75, 40, 64),
        ("A100", 80, 108, 163),
        ("A10", 86, 72, 99),
        ("L4", 89, 58, 99),
        ("RTX 4090", 89, 128, 99),
        ("H100", 90, 132, 227),
    ];

    fn cards() -> impl Iterator<Item = (&'static str, Card)> {
        CARDS.into_iter().map(|(name, capability, multiprocessors, shared)| {
            (name, Card { capability, multiprocessors, shared_per_block: shared << 10 })
        })
    }

    /// Rows of an image, N and K of ConvNeXt's (and Swin's) products with C channels in the first stage.
    fn products(channels: usize) -> Vec<(Source, usize, usize, usize)> {
        let mut products = Vec::new();
        for (stage, edge) in [56, 28, 14, 7].into_iter().enumerate() {
            let (c, rows) = (channels << stage, edge * edge);
            products.push((Source::Plain, rows, 4 * c, c));
            products.push((Source::Plain, rows, c, 4 * c));
            products.push((Source::Plain, rows, c, c));
            products.push((Source::Normed, rows, 3 * c, c));
            products.push((Source::Normed, rows, 4 * c, c));
            if stage < 3 {
                products.push((Source::Normed, rows / 4, 2 * c, 4 * c));
            }
        }
        products
    }

    #[test]
    fn a_batch_keeps_every_card_busy() {
        let mut below = Vec::new();
        for (name, card) in cards() {
            for (images, channels) in [8, 64, 256].into_iter().flat_map(|images| [(images, 96), (images, 128)]) {
                for (source, rows, n, k) in products(channels) {
                    let m = images * rows;
                    let tile = tile(&card, source, m, n, k);
                    let busy = tile.busy(&card, m, n);
                    assert!(busy >= 0.68, "{name}: {m} × {n} × {k} by {tile:?} is {busy}");
                    if busy < BUSY {
                        below.push((name, m, n, k));
                    }
                }
            }
        }
        // 98 blocks of 128 rows on 72 multiprocessors; what fills these takes longer
        assert!(below.iter().all(|(name, m, ..)| (*name, *m) == ("A10", 6272)), "{below:?}");
    }

    #[test]
    fn one_image_reaches_half_of_the_multiprocessors() {
        for (name, card) in cards() {
            let head = (Source::Plain, 1, 1000, 768);
            for (source, m, n, k) in [96, 128].into_iter().flat_map(products).chain([head]) {
                let tile = tile(&card, source, m, n, k);
                let blocks = tile.blocks(m, n);
                assert!(blocks >= card.few_blocks() as usize, "{name}: {m} × {n} × {k} by {tile:?}: {blocks} blocks");
            }
        }
    }

    #[test]
    fn little_of_a_tile_lies_beyond_the_matrix() {
        for (name, card) in cards() {
            for (source, rows, n, k) in products(96).into_iter().chain(products(128)) {
                let m = 64 * rows;
                let tile = tile(&card, source, m, n, k);
                let computed = m.next_multiple_of(tile.shape.rows) * n.next_multiple_of(tile.shape.columns);
                // 512 columns are six tiles of 96 on T4, where one block of 128 × 128 and its norms fill a multiprocessor
                assert!((m * n) as f64 / computed as f64 > 0.88, "{name}: {m} × {n} × {k} by {tile:?}");
            }
        }
    }

    #[test]
    fn norms_are_measured_before_where_many_columns_share_rows() {
        for (name, card) in cards() {
            let measured = |m, n, k| tile(&card, Source::Normed, m, n, k).measured;
            assert!(measured(64 * 196, 1536, 384), "{name}: fc1 of Swin's third stage at 64");
            assert!(!measured(3136, 384, 96), "{name}: fc1 of the first stage of one image");
        }
    }

    #[test]
    fn every_tile_fits_into_shared_memory_with_the_most_norms() {
        for (name, card) in cards() {
            for shape in &SHAPES {
                for source in [Source::Plain, Source::Gathered, Source::Normed] {
                    let stages = shape.stages(&card, source);
                    let tile = Tile { shape, stages, splits: 1, tiles_per_split: 1, measured: false };
                    let norms = if source == Source::Normed { shape.rows * super::super::MOST_NORMS * 8 } else { 0 };
                    assert!(tile.bytes() + norms <= card.shared_per_block as usize, "{name}: {tile:?}");
                    let sums = shape.warps as usize * 16 * 36 * 4;
                    assert!(sums <= tile.bytes(), "{name}: {tile:?} has no room for sums");
                }
            }
        }
    }

    #[test]
    fn splits_have_all_of_k() {
        for (_, card) in cards() {
            for k in [8, 96, 768, 1000, 3072, 4096] {
                let tile = tile(&card, Source::Plain, 49, 96, k);
                let all = k.div_ceil(TILE_K) as u32;
                let (splits, each) = (tile.splits, tile.tiles_per_split);
                assert!(splits * each >= all && (splits - 1) * each < all, "{k}: {tile:?}");
            }
        }
    }
}
