//! How the fast kernels cut a map into tiles: which tile fits, which takes the least time on a card, and where it lies in shared memory.
//! Not here: arguments and launches.

use crate::engine::cuda::card::Card;
use crate::engine::cuda::number::Type;

/// Rows and columns of the fast kernels' kernel, and how many of them lie to each side.
const KERNEL: usize = 7;
const HALO: usize = KERNEL / 2;
/// Channels and bytes of a vector in shared memory.
const VECTOR: usize = 8;
const VECTOR_BYTES: usize = 16;
/// Columns of a thread.
const COLUMNS: usize = 2;
/// Warps that an SM has registers for.
const WARPS: usize = 12;
/// Output rows of a strip that there is a kernel for.
const STRIPS: [usize; 5] = [14, 7, 4, 2, 1];

/// What a block computes: a strip of rows, of some columns and channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) rows: usize,
    pub(super) column_pairs: usize,
    /// Pairs of channels.
    pub(super) pairs: usize,
    /// Tiles of a block, where there are more tiles than blocks at once.
    turns: usize,
}

/// Where a tile lies in shared memory: the vector of 8 channels `part` at `column` of a row is the row's vector
/// `part % 2 · plane + part / 2 · two_planes + column`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) plane: usize,
    pub(super) two_planes: usize,
    /// Vectors of a row.
    pub(super) row: usize,
}

impl Tiles {
    /// The tiles that take the least time where blocks share the channels.
    pub(super) fn strip(shape: [usize; 3], kernel: usize, ty: Type, card: &Card, images: usize) -> Option<Self> {
        if kernel != KERNEL || ty.bytes() != 2 || !shape[2].is_multiple_of(VECTOR) {
            return None;
        }
        let tiles = STRIPS.into_iter().flat_map(|rows| {
            [32, 16, 8].into_iter().flat_map(move |pairs| {
                [6, 4, 3, 2, 1].map(move |warps| Self { rows, column_pairs: warps * 32 / pairs, pairs, turns: 1 })
            })
        });
        let fitting = tiles.filter(|tiles| tiles.shared() <= card.shared_per_block as usize);
        let best = fitting.min_by(|a, b| a.clocks(shape, card, images).total_cmp(&b.clocks(shape, card, images)))?;
        // two rounds of blocks, so that the last ones are not alone; more tiles than that share the weights
        let at_once = best.resident(card) * card.multiprocessors as usize;
        let turns = (best.count(shape, images) * best.chunks(shape) / (2 * at_once)).clamp(1, 16);
        Some(Self { turns, ..best })
    }

    /// The tiles of blocks that have all channels of their positions.
    pub(super) fn fused(shape: [usize; 3], kernel: usize, ty: Type, card: &Card) -> Option<Self> {
        let pairs = shape[2] / 2;
        if kernel != KERNEL || ty.bytes() != 2 || !shape[2].is_multiple_of(32) {
            return None;
        }
        let tiles = [8, 6, 4, 3, 2, 1].map(|column_pairs| Self { rows: KERNEL, column_pairs, pairs, turns: 1 });
        let fits = |tiles: &Self| {
            tiles.threads().is_multiple_of(32)
                && tiles.threads() <= WARPS * 32
                && tiles.shared() <= card.shared_per_block as usize
        };
        // as for a batch that fills the card
        let images = 64;
        let cost = |tiles: &Self| tiles.clocks(shape, card, images);
        tiles.into_iter().filter(fits).min_by(|a, b| cost(a).total_cmp(&cost(b)))
    }

    /// Threads of a block.
    pub(super) fn threads(&self) -> usize {
        self.column_pairs * self.pairs
    }

    fn columns(&self) -> usize {
        self.column_pairs * COLUMNS
    }

    /// Tiles of an image's map, from top to bottom and from left to right.
    pub(super) fn down_and_across(&self, [height, width, _]: [usize; 3]) -> [usize; 2] {
        [height.div_ceil(self.rows), width.div_ceil(self.columns())]
    }

    /// Tiles of all images.
    pub(super) fn count(&self, shape: [usize; 3], images: usize) -> usize {
        let [down, across] = self.down_and_across(shape);
        images * down * across
    }

    /// Blocks that share the channels.
    fn chunks(&self, [_, _, channels]: [usize; 3]) -> usize {
        channels.div_ceil(2 * self.pairs)
    }

    /// The grid: tiles, and chunks of channels.
    pub(super) fn grid(&self, shape: [usize; 3], images: usize) -> [usize; 3] {
        [self.count(shape, images).div_ceil(self.turns), self.chunks(shape), 1]
    }

    /// Where the tile's vectors lie.
    pub(super) fn map(&self) -> Map {
        // a column more than are read: the plane is odd, so that neighbouring parts lie in different banks
        let plane = self.columns() + 2 * HALO + 1;
        let parts = self.pairs.div_ceil(4);
        // a warp with four parts reads two columns that are two apart: every other pair of planes lies half of the banks away
        let two_planes = if parts == 4 { 2 * plane + (12 - 2 * plane % 8) % 8 } else { 2 * plane };
        Map { plane, two_planes, row: parts.div_ceil(2) * two_planes }
    }

    /// Bytes of shared memory of a block: the tile, or with a norm the sums that come into its place.
    pub(super) fn shared(&self) -> usize {
        let tile = (self.rows + 2 * HALO) * self.map().row * VECTOR_BYTES;
        tile.max(self.stash())
    }

    /// Bytes of the f32 sums of a block that norms.
    fn stash(&self) -> usize {
        if self.pairs.is_multiple_of(16) && self.rows == KERNEL {
            self.rows * self.columns() * (2 * self.pairs + 4) * Type::F32.bytes()
        } else {
            0
        }
    }

    /// Blocks that an SM has at once.
    fn resident(&self, card: &Card) -> usize {
        let warps = self.threads().div_ceil(32);
        // a multiprocessor keeps 1 KiB of a block's shared memory for itself
        let shared = (card.shared_per_block as usize + 1024) / (self.shared() + 1024);
        (WARPS / warps).min(shared).max(1)
    }

    /// About how long the launch takes: the busiest SM by instructions, by what it reads, and by how long a block takes alone.
    fn clocks(&self, shape: [usize; 3], card: &Card, images: usize) -> f64 {
        let [height, width, _] = shape;
        let [down, across] = self.down_and_across(shape);
        let blocks = self.count(shape, images) * self.chunks(shape);
        let warps = self.threads().div_ceil(32);
        // instructions of a warp, by what the kernel's SASS has: rows beyond the map are left out
        let (mut fma, mut other) = (0.0, 0.0);
        for strip in 0..down {
            for row in 0..self.rows + 2 * HALO {
                if (strip * self.rows + row).wrapping_sub(HALO) < height {
                    let outputs = (row + 1).min(KERNEL).min(self.rows + 2 * HALO - row).min(self.rows);
                    fma += (outputs * KERNEL * COLUMNS * 2) as f64;
                    other += 30.0;
                }
            }
        }
        let slots = (self.columns() + 2 * HALO).div_ceil(8) * 8 * self.pairs.div_ceil(4);
        let (fma, other) = (fma / down as f64, other / down as f64);
        let filling = (self.rows + 2 * HALO) as f64 * 7.0 * slots.div_ceil(self.threads()) as f64 + 100.0;
        let instructions = fma + other + filling + 60.0 + 8.0 * self.rows as f64;
        let fma_lanes = if matches!(card.capability, 75 | 80) { 2.0 } else { 4.0 };
        // a warp whose columns are all beyond the map only copies
        let active = (width.div_ceil(COLUMNS) as f64 / (across * self.column_pairs) as f64).min(1.0);
        let issue = ((fma + other) * active + filling) / 4.0;
        let busiest = blocks.div_ceil(card.multiprocessors as usize) as f64;
        let by_issue = busiest * warps as f64 * issue.max(fma * active / fma_lanes);
        let bytes = self.shared() + KERNEL * KERNEL * self.pairs * 2 * Type::F32.bytes();
        let by_bytes = busiest * bytes as f64 / 40.0;
        let alone = (busiest / self.resident(card) as f64).ceil() * (1.4 * instructions + 1000.0);
        by_issue.max(by_bytes).max(alone)
    }
}
