//! How the fast kernels cut a map into tiles: which tile fits, which takes the least time on a card, and where it lies in shared memory.
//! Not here: arguments and launches.

#[cfg(test)]
mod tests;

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
/// Vectors of a position that a lane norms where blocks share the channels, and positions that it norms at once; where a warp is too narrow for
/// these, one position of so many vectors.
const NORM_VECTORS: usize = 3;
const NORM_POSITIONS: usize = 2;
const MOST_VECTORS: usize = 8;
/// What of the multiprocessors' time must have a block, and what that may cost in computed time.
const BUSY: f64 = 0.7;
const BUSY_COSTS: f64 = 1.2;
/// Output rows of a strip that there is a kernel for.
const STRIPS: [usize; 5] = [14, 7, 4, 2, 1];

/// What a block computes: a strip of rows, of some columns and channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) rows: usize,
    pub(super) column_pairs: usize,
    /// Pairs of channels.
    pub(super) pairs: usize,
    norm: Normed,
    /// Tiles of a block, where there are more tiles than blocks at once.
    turns: usize,
}

/// Who norms the positions of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normed {
    Nobody,
    /// The block, which has all channels of its positions, before it writes them.
    Block,
    /// The last of the blocks that share the channels, after all have written theirs.
    LastBlock,
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
    /// The tiles that take the least time; None where only the plain kernel fits.
    pub(super) fn best(
        shape: [usize; 3],
        kernel: usize,
        norm: bool,
        ty: Type,
        card: &Card,
        images: usize,
    ) -> Option<Self> {
        let strip = Self::strip(shape, kernel, norm, ty, card, images);
        let fused = if norm { Self::fused(shape, kernel, ty, card, images) } else { None };
        // fewer blocks than half the multiprocessors leave too much of the card to nobody
        let fused = fused.filter(|tiles| 2 * tiles.count(shape, images) >= card.multiprocessors as usize);
        let clocks = |tiles: &Self| tiles.clocks(shape, card, images);
        let (first, second) = match (fused, strip) {
            (Some(fused), Some(strip)) if clocks(&fused) <= clocks(&strip) => (fused, strip),
            (Some(fused), Some(strip)) => (strip, fused),
            (fused, strip) => return fused.or(strip),
        };
        // what the card does beside is not in these figures: busy multiprocessors may cost a little
        let busy = |tiles: &Self| tiles.busy(shape, card, images) >= BUSY;
        let second_is_better = !busy(&first) && busy(&second) && clocks(&second) <= clocks(&first) * BUSY_COSTS;
        Some(if second_is_better { second } else { first })
    }

    /// Blocks beside what there were if all multiprocessors had as many as the busiest.
    fn busy(&self, shape: [usize; 3], card: &Card, images: usize) -> f64 {
        let (blocks, multiprocessors) = (self.blocks(shape, images), card.multiprocessors as usize);
        blocks as f64 / blocks.next_multiple_of(multiprocessors) as f64
    }

    /// The tiles that take the least time where blocks share the channels.
    fn strip(shape: [usize; 3], kernel: usize, norm: bool, ty: Type, card: &Card, images: usize) -> Option<Self> {
        let too_many = norm && shape[2] > 32 * MOST_VECTORS * VECTOR;
        if kernel != KERNEL || ty.bytes() != 2 || !shape[2].is_multiple_of(VECTOR) || too_many {
            return None;
        }
        let norm = if norm { Normed::LastBlock } else { Normed::Nobody };
        let tiles = STRIPS.into_iter().flat_map(|rows| {
            [32, 16, 8].into_iter().flat_map(move |pairs| {
                [6, 4, 3, 2, 1].map(move |warps| Self { rows, column_pairs: warps * 32 / pairs, pairs, norm, turns: 1 })
            })
        });
        // with four column pairs a block has a thread for each vector of a row
        let fitting = tiles.filter(|tiles| tiles.column_pairs >= 4 && tiles.shared() <= card.shared_per_block as usize);
        fitting
            .map(|tiles| tiles.in_turns(shape, card, images))
            .min_by(|a, b| a.clocks(shape, card, images).total_cmp(&b.clocks(shape, card, images)))
    }

    /// The tiles of blocks that have all channels of their positions.
    fn fused(shape: [usize; 3], kernel: usize, ty: Type, card: &Card, images: usize) -> Option<Self> {
        let pairs = shape[2] / 2;
        if kernel != KERNEL || ty.bytes() != 2 || !shape[2].is_multiple_of(32) {
            return None;
        }
        let tiles = [8, 6, 4, 3, 2, 1].map(|column_pairs| Self {
            rows: KERNEL,
            column_pairs,
            pairs,
            norm: Normed::Block,
            turns: 1,
        });
        let fits = |tiles: &Self| {
            // a warp of two column pairs reads four columns apart, which takes four pairs
            (pairs.is_multiple_of(32) || tiles.column_pairs.is_multiple_of(4))
                && tiles.threads().is_multiple_of(32)
                && tiles.threads() <= WARPS * 32
                && tiles.shared() <= card.shared_per_block as usize
        };
        let fitting = tiles.into_iter().filter(fits).map(|tiles| tiles.in_turns(shape, card, images));
        fitting.min_by(|a, b| a.clocks(shape, card, images).total_cmp(&b.clocks(shape, card, images)))
    }

    /// With several tiles a block, for a block's weights are read once: as many as leave two rounds of blocks, so that the last ones are not alone,
    /// and as make the busiest SM the least busy.
    fn in_turns(self, shape: [usize; 3], card: &Card, images: usize) -> Self {
        let multiprocessors = card.multiprocessors as usize;
        let at_once = self.resident(card) * multiprocessors;
        let rounds = self.count(shape, images) * self.chunks(shape) / (2 * at_once);
        let most = match self.norm {
            Normed::Nobody | Normed::Block => 16,
            // what the last block norms must still be in L2
            Normed::LastBlock => card.l2_bytes() / 4 / (at_once * self.output_bytes()),
        };
        let most = rounds.min(most).clamp(1, 16);
        let tiles = (1..=most).rev().map(|turns| Self { turns, ..self });
        let busiest = |tiles: &Self| tiles.blocks(shape, images).div_ceil(multiprocessors) * tiles.turns;
        tiles.min_by_key(busiest).unwrap_or(self)
    }

    /// Whether a block has all channels of its positions, and norms them.
    pub(super) fn has_all_channels(&self) -> bool {
        self.norm == Normed::Block
    }

    /// How many sets of positions blocks share whose last block norms them; 0 where none does.
    pub(super) fn shared_positions(&self, shape: [usize; 3], images: usize) -> usize {
        if self.norm == Normed::LastBlock { self.blocks(shape, images) / self.chunks(shape) } else { 0 }
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
    pub(super) fn chunks(&self, [_, _, channels]: [usize; 3]) -> usize {
        channels.div_ceil(2 * self.pairs)
    }

    /// Blocks of a launch.
    pub(super) fn blocks(&self, shape: [usize; 3], images: usize) -> usize {
        self.count(shape, images).div_ceil(self.turns) * self.chunks(shape)
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
        if self.has_all_channels() { self.rows * self.columns() * (2 * self.pairs + 4) * Type::F32.bytes() } else { 0 }
    }

    /// Bytes of a block's outputs of a tile.
    fn output_bytes(&self) -> usize {
        self.rows * self.columns() * self.pairs * 2 * Type::F16.bytes()
    }

    /// Blocks that an SM has at once.
    fn resident(&self, card: &Card) -> usize {
        let warps = self.threads().div_ceil(32);
        // a multiprocessor keeps 1 KiB of a block's shared memory for itself
        let shared = (card.shared_per_block as usize + 1024) / (self.shared() + 1024);
        (WARPS / warps).min(shared).max(1)
    }

    /// About how long the launch takes: the busiest SM by instructions, by what it reads from L2, and by how long a block takes alone. The
    /// constants are those of the kernels' SASS; a choice between tiles is all that hangs on them.
    pub(super) fn clocks(&self, shape: [usize; 3], card: &Card, images: usize) -> f64 {
        let [height, width, channels] = shape;
        let [down, across] = self.down_and_across(shape);
        let warps = self.threads().div_ceil(32) as f64;
        let read_rows = self.rows + 2 * HALO;
        // rows beyond the map are left out
        let inside = |row: usize| row.wrapping_sub(HALO) < height;
        let rows = (0..down).flat_map(|strip| (0..read_rows).map(move |row| (strip * self.rows + row, row)));
        let rows: Vec<usize> = rows.filter(|(at, _)| inside(*at)).map(|(_, row)| row).collect();
        let outputs = |row: usize| (row + 1).min(KERNEL).min(read_rows - row).min(self.rows);
        let fma = rows.iter().map(|row| outputs(*row) * KERNEL * COLUMNS * 2).sum::<usize>() as f64 / down as f64;
        let other = (rows.len() * 30) as f64 / down as f64;
        // a warp whose columns are all beyond the map only copies
        let last = width.div_ceil(COLUMNS) - (across - 1) * self.column_pairs;
        let idle = warps - (last * self.pairs).div_ceil(32) as f64;
        let active = 1.0 - idle / (warps * across as f64);
        let slots = if self.column_pairs < 4 { 2 } else { 1 };
        let norming = match self.norm {
            Normed::Block => {
                (self.rows * self.columns()).div_ceil(8) as f64 / warps * (60.0 + 2.0 * channels as f64) + 40.0
            }
            Normed::Nobody | Normed::LastBlock => 8.0 * self.rows as f64,
        };
        // a tile's norm by one block: turns of it, and a warp's instructions in each
        let (norm_turns, norm_issue) = self.norm_of_a_tile(shape);
        let normed_by_one = norm_turns * norm_issue;
        let norming = norming + normed_by_one / self.chunks(shape) as f64;
        let turns = self.turns as f64;
        let around = (read_rows * 5 * slots) as f64 + 120.0 + norming + 220.0 / turns;
        let issue = (fma + other) * active + around;
        let fma_lanes = if matches!(card.capability, 75 | 80) { 2.0 } else { 4.0 };

        let busiest = self.blocks(shape, images).div_ceil(card.multiprocessors as usize) as f64;
        let by_instructions = busiest * turns * warps * (issue / 4.0).max(fma * active / fma_lanes);
        // each warp reads those of its channels; that L1 may have them already is not counted on
        let weights = warps as usize * KERNEL * KERNEL * self.pairs.min(32) * 2 * Type::F32.bytes();
        let outputs = self.output_bytes();
        // written once, or once more after they were read
        let outputs = if self.norm == Normed::LastBlock { 3 * outputs } else { outputs };
        let bytes = (read_rows * self.map().row * VECTOR_BYTES + outputs) as f64 + weights as f64 / turns;
        // L2 gives lines; a sector of each is half as fast
        let rate = if self.pairs == 8 { 20.0 } else { 32.0 };
        let by_bytes = busiest * turns * bytes / rate;
        let rounds = (busiest / self.resident(card) as f64).ceil();
        // four warps issue at once; one alone waits for itself at times
        let alone = rounds * (turns * ((warps / 4.0).max(1.2) * (fma + other + around) + 600.0) + 600.0);
        // At the end the last block norms while nobody else is there: after a fence and a counter's answer it waits for L2 once,
        // and for itself.
        let tail = if self.norm == Normed::LastBlock {
            2000.0 + turns * (norm_turns * ((warps / 4.0).max(1.2) * norm_issue + 250.0) + 800.0)
        } else {
            0.0
        };
        let alone = alone + tail;
        // what is shorter hides behind what is longer, but for some of it
        let parts = [by_instructions, by_bytes, alone];
        let longest = parts.into_iter().fold(0.0, f64::max);
        longest + 0.2 * (parts.iter().sum::<f64>() - longest)
    }

    /// How many turns the last block takes for a tile's norm, and the instructions of a warp in each.
    fn norm_of_a_tile(&self, [height, width, channels]: [usize; 3]) -> (f64, f64) {
        if self.norm != Normed::LastBlock {
            return (0.0, 0.0);
        }
        let vectors = channels.div_ceil(VECTOR);
        let lanes = vectors.div_ceil(NORM_VECTORS).next_power_of_two().min(32);
        let at_once = if vectors > 32 * NORM_VECTORS { 1 } else { NORM_POSITIONS };
        let positions = self.rows.min(height) * self.columns().min(width);
        let turns = positions.div_ceil(at_once * self.threads() / lanes);
        let issue = at_once * (vectors.div_ceil(lanes) * 65 + 10 * lanes.ilog2() as usize + 30) + 50;
        (turns as f64, issue as f64)
    }
}
