//! Some blocks that stand for all of a launch: which they are, which of them count as the last of several, and how much memory all would touch. Not
//! here: running them (`launch`).
//!
//! Blocks that are left out arrive at no counter. So `atom.inc`, by which the last of several blocks knows that it is the last, does not reach
//! memory in a sample: of every `limit + 1` blocks of the sample one is told that it is the last, and the sample is made of whole groups. A
//! counter that is reached by the last of others only divides those again.
//!
//! What all blocks touch follows from what some do, for each operand by itself: memory is taken to belong to the nearest address below it that is
//! among the launch's arguments. Of an operand no more can be touched than lies between the lowest and the highest sector that was, for which the
//! first and the last block run beside the sample, without being counted; and no more than blocks touch each by itself. The smaller of the two counts.
//!
//! What the last of several blocks reads of an operand that it wrote before it was the last, others have written too: it is read again.

use std::collections::{BTreeMap, BTreeSet};

/// Blocks of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Blocks of the launch.
    pub count: u64,
    /// Of which so many run.
    pub some: u64,
}

impl Sample {
    /// At most `most` of `count` blocks, in whole `groups`; all where that would be too many.
    pub fn new(count: u64, most: u64, groups: u64) -> Self {
        let some = most.min(count).next_multiple_of(groups.max(1)).min(count);
        Self { count, some }
    }

    /// Whether blocks are left out.
    pub fn is_partial(&self) -> bool {
        self.some < self.count
    }

    /// How many places there are: those of the sample, and where blocks are left out two for the ends.
    pub fn places(&self) -> u64 {
        self.some + if self.is_partial() { 2 } else { 0 }
    }

    /// Whether a place is one of the two for the ends.
    pub fn is_end(&self, place: u64) -> bool {
        place >= self.some
    }

    /// The block at a place. The sample has one of each of as many equal parts of the launch, where in its part drawn by a fixed rule: a stride that
    /// is a multiple of the grid's width would find blocks of one column only. Of the ends the first block, and the last.
    pub fn block(&self, place: u64) -> u64 {
        if self.is_end(place) {
            return if place == self.some { 0 } else { self.count.saturating_sub(1) };
        }
        let begin = |place: u64| (u128::from(place) * u128::from(self.count) / u128::from(self.some.max(1))) as u64;
        let (begin, end) = (begin(place), begin(place + 1));
        let drawn = (place.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        begin + drawn % (end - begin).max(1)
    }
}

/// What a block of a sample is told, and what it touched.
#[derive(Debug)]
pub struct Sampled {
    /// Its place divided by the groups that it has passed; None for a block that is the last of every group, to find out their sizes.
    place: Option<u64>,
    counted: bool,
    /// What was answered at an instruction, for a limit.
    answers: Vec<(usize, u64, u64)>,
    groups: u64,
    /// Sectors that were read, that were written, and that were read as the last of a group.
    touched: [Vec<u64>; 3],
    /// How many of those that were written were so before.
    before: Option<usize>,
}

impl Sampled {
    /// The block at a place of a sample.
    pub fn at(place: u64) -> Self {
        Self {
            place: Some(place),
            counted: true,
            answers: Vec::new(),
            groups: 1,
            touched: Default::default(),
            before: None,
        }
    }

    /// One that is the last wherever it comes, and does not count: an end, or who finds out which groups there are.
    pub fn last() -> Self {
        Self { place: None, counted: false, ..Self::at(0) }
    }

    /// Whether it is one of the sample.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// What `atom.inc` with a limit finds in memory.
    pub fn ticket(&mut self, op: usize, limit: u64) -> u64 {
        if let Some((.., answer)) = self.answers.iter().find(|known| (known.0, known.1) == (op, limit)) {
            return *answer;
        }
        let size = limit.saturating_add(1);
        self.groups = self.groups.saturating_mul(size);
        let answer = self.place.map_or(limit, |place| place % size);
        self.place = self.place.map(|place| place / size);
        self.answers.push((op, limit, answer));
        if answer == limit {
            self.before.get_or_insert(self.touched[1].len());
        }
        answer
    }

    /// The product of the groups that it is in.
    pub fn groups(&self) -> u64 {
        self.groups
    }

    /// Notes a read (0) or write (1).
    #[inline(always)]
    pub fn touch(&mut self, direction: usize, address: u64) {
        let sector = address / 32;
        let touched = &mut self.touched[if direction == 0 && self.before.is_some() { 2 } else { direction }];
        if touched.last() != Some(&sector) {
            touched.push(sector);
        }
    }
}

/// What blocks of a sample touched, by direction and the sector where an operand begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched(BTreeMap<(usize, u64), Span>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    low: u64,
    high: u64,
    /// Sectors, each once a block.
    sectors: u64,
}

impl Touched {
    /// Adds a block. `starts` are the addresses where operands begin, rising.
    pub fn add(&mut self, mut block: Sampled, starts: &[u64]) {
        let counted = u64::from(block.is_counted());
        let start = |sector: u64| starts.partition_point(|start| start / 32 <= sector).checked_sub(1);
        let written = &block.touched[1];
        let before: BTreeSet<_> = written[..block.before.unwrap_or(0)].iter().map(|sector| start(*sector)).collect();
        let late = std::mem::take(&mut block.touched[2]);
        let (again, first): (Vec<u64>, Vec<u64>) =
            late.into_iter().partition(|sector| before.contains(&start(*sector)));
        block.touched[0].extend(first);
        block.touched[2] = again;
        for (direction, mut sectors) in block.touched.into_iter().enumerate() {
            sectors.sort_unstable();
            sectors.dedup();
            for sector in sectors {
                let start = start(sector).map_or(0, |at| starts[at]);
                let span = self.0.entry((direction, start)).or_insert(Span { low: sector, high: sector, sectors: 0 });
                let sectors = span.sectors + counted;
                *span = Span { low: span.low.min(sector), high: span.high.max(sector), sectors };
            }
        }
    }

    /// Adds what others touched.
    pub fn join(&mut self, other: &Self) {
        for (key, other) in &other.0 {
            let span = self.0.entry(*key).or_insert(Span { sectors: 0, ..*other });
            let (low, high) = (span.low.min(other.low), span.high.max(other.high));
            *span = Span { low, high, sectors: span.sectors + other.sectors };
        }
    }

    /// Sectors that all blocks read, that they write, and that they read again.
    pub fn unique(&self, sample: &Sample) -> [u64; 3] {
        let mut unique = [0; 3];
        for ((direction, _), span) in &self.0 {
            let each = u128::from(span.sectors) * u128::from(sample.count) / u128::from(sample.some.max(1));
            unique[*direction] += (each as u64).min(span.high - span.low + 1);
        }
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_launch_and_has_its_ends_beside_it() {
        for (count, most) in [(100, 8), (1536, 16), (9, 8), (1 << 40, 3)] {
            let sample = Sample::new(count, most, 1);
            let blocks: Vec<u64> = (0..sample.places()).map(|place| sample.block(place)).collect();
            let (inner, ends) = blocks.split_at(most as usize);
            assert!(inner.windows(2).all(|pair| pair[0] < pair[1]) && inner[inner.len() - 1] < count, "{blocks:?}");
            assert_eq!(ends, [0, count - 1]);
        }
        // all blocks, each at its place
        let all = Sample::new(7, 9, 1);
        assert_eq!((0..all.places()).map(|place| all.block(place)).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        // not of one column of 16 only
        let columns: std::collections::BTreeSet<u64> =
            (0..16).map(|place| Sample::new(4096, 16, 1).block(place) % 16).collect();
        assert!(columns.len() > 6, "{columns:?}");
    }

    #[test]
    fn of_every_group_one_block_is_the_last() {
        let sample = Sample::new(1000, 8, 12);
        assert_eq!(sample.some, 12);
        // groups of 3, whose last are in groups of 4
        let mut last = [0, 0];
        for place in 0..sample.some {
            let mut block = Sampled::at(place);
            let answer = block.ticket(7, 2);
            assert_eq!(block.ticket(7, 2), answer, "the answer stays");
            if answer == 2 {
                last[0] += 1;
                last[1] += u32::from(block.ticket(9, 3) == 3);
            }
        }
        assert_eq!(last, [4, 1]);
        let mut pilot = Sampled::last();
        assert_eq!([pilot.ticket(7, 2), pilot.ticket(9, 3), pilot.groups()], [2, 3, 12]);
        assert!(!Sample::new(10, 8, 12).is_partial());
    }

    #[test]
    fn what_the_last_of_a_group_reads_of_what_all_of_it_wrote_is_read_again() {
        let (sums, rows) = (32 * 1000, 32 * 2000);
        let sample = Sample::new(8, 8, 2);
        let mut touched = Touched::default();
        for place in 0..sample.some {
            let mut block = Sampled::at(place);
            block.touch(1, sums + 32 * place);
            if block.ticket(3, 1) == 1 {
                block.touch(0, sums + 32 * (place - 1));
                block.touch(0, sums + 32 * place);
                // in place
                block.touch(0, rows + 32 * place);
                block.touch(1, rows + 32 * place);
            }
            touched.add(block, &[sums, rows]);
        }
        assert_eq!(touched.unique(&sample), [4, 8 + 4, 8]);
    }

    #[test]
    fn an_operand_that_all_share_counts_once_and_one_of_holes_by_what_each_touches() {
        let (weights, images) = (0u64, 32 * 1000);
        let sample = Sample::new(100, 2, 1);
        let mut touched = Touched::default();
        for place in 0..sample.places() {
            let mut block = if sample.is_end(place) { Sampled::last() } else { Sampled::at(place) };
            (0..10).for_each(|sector| block.touch(0, weights + 32 * sector));
            // four sectors of every forty
            (0..4).for_each(|sector| block.touch(0, images + 32 * (40 * sample.block(place) + sector)));
            let mut one = Touched::default();
            one.add(block, &[weights, images]);
            touched.join(&one);
        }
        assert_eq!(touched.unique(&sample), [10 + 400, 0, 0]);
    }
}
