//! Tiles: the part of a matrix that one task writes, and the cut of an output into such parts. All `unsafe` of memory in this
//! engine stands here. Not here: what is written.
//!
//! An element's value must not depend on the tile that it lies in: the cut follows the batch and the number of threads.

#![allow(unsafe_code, reason = "safe slices cannot be cut by columns for several threads")]

use std::marker::PhantomData;
use std::ops::Range;

use crate::engine::cpu::parallel::threads::{Threads, Worker};

/// An output `[rows, columns]` and the sides of its tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Rows of the output, of all images.
    pub(crate) rows: usize,
    /// Columns of the output.
    pub(crate) columns: usize,
    /// Rows of a tile; the last may have fewer.
    pub(crate) tile_rows: usize,
    /// Columns of a tile; the last may have fewer.
    pub(crate) tile_columns: usize,
}

/// Some rows and columns of a matrix, to be written by one task.
pub(crate) struct Tile<'a> {
    /// Rows and columns of the matrix.
    rows: Range<usize>,
    columns: Range<usize>,
    /// The element at the first row and column.
    first: *mut f32,
    /// Elements from a row to the next.
    stride: usize,
    output: PhantomData<&'a mut [f32]>,
}

impl Grid {
    /// Runs `task` on each tile of `output`. Tiles of the same columns follow each other: what belongs to these columns, a
    /// panel of a weight, stays in the cache.
    pub(crate) fn each(self, threads: &Threads, output: &mut [f32], task: impl Fn(Tile<'_>, Worker<'_>) + Sync) {
        let Self { rows, columns, tile_rows, tile_columns } = self;
        assert_eq!(Some(output.len()), rows.checked_mul(columns), "an output of {self:?}");
        let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
        let output = Shared(output.as_mut_ptr());
        threads.each(down * across, |index, worker| {
            let (top, left) = (index % down * tile_rows, index / down * tile_columns);
            // SAFETY: top < rows and left < columns, so that the element lies in the slice, whose length was checked.
            let first = unsafe { output.get().add(top * columns + left) };
            let tile = Tile {
                rows: top..rows.min(top + tile_rows),
                columns: left..columns.min(left + tile_columns),
                first,
                stride: columns,
                output: PhantomData,
            };
            task(tile, worker);
        });
    }
}

/// How the places of an output of maps are dealt out: each to the owner of its row and its column, as windows own theirs, and its channels in
/// equal parts.
#[derive(Clone, Copy)]
pub(crate) struct Deal<'a> {
    /// Of each row of a map, which of the owners down it belongs to; of each column, which of those across.
    pub(crate) owners: [&'a [usize]; 2],
    /// Owners down and across.
    pub(crate) count: [usize; 2],
    pub(crate) channels: usize,
    /// Channels of a part; the last may have fewer.
    pub(crate) part_channels: usize,
}

/// The places of one owner in one map, and some of their channels, to be written by one task.
pub(crate) struct Hand<'a> {
    image: usize,
    /// Down and across.
    owner: [usize; 2],
    channels: Range<usize>,
    owners: [&'a [usize]; 2],
    /// The element at the map's first place and the first channel.
    first: *mut f32,
    stride: usize,
    output: PhantomData<&'a mut [f32]>,
}

impl Deal<'_> {
    /// Runs `task` for each map, owner and part.
    pub(crate) fn each(self, threads: &Threads, output: &mut [f32], task: impl Fn(Hand<'_>, Worker<'_>) + Sync) {
        let [rows, columns] = self.owners;
        let map = rows.len() * columns.len() * self.channels;
        assert!(map > 0 && output.len().is_multiple_of(map), "maps of {} × {} places", rows.len(), columns.len());
        let (images, parts) = (output.len() / map, self.channels.div_ceil(self.part_channels));
        let [down, across] = self.count;
        let output = Shared(output.as_mut_ptr());
        threads.each(images * down * across * parts, |index, worker| {
            let (owner, left) = (index / parts % (down * across), index % parts * self.part_channels);
            let image = index / parts / (down * across);
            let hand = Hand {
                image,
                owner: [owner / across, owner % across],
                channels: left..self.channels.min(left + self.part_channels),
                owners: self.owners,
                // SAFETY: there are so many images and left < channels, so that the element lies in the slice.
                first: unsafe { output.get().add(image * map + left) },
                stride: self.channels,
                output: PhantomData,
            };
            task(hand, worker);
        });
    }
}

impl Hand<'_> {
    /// Which map.
    pub(crate) fn image(&self) -> usize {
        self.image
    }

    /// Whose places, down and across.
    pub(crate) fn owner(&self) -> [usize; 2] {
        self.owner
    }

    /// Which channels.
    pub(crate) fn channels(&self) -> Range<usize> {
        self.channels.clone()
    }

    /// The channels of a place of the map, which must be the owner's.
    #[inline(always)]
    pub(crate) fn place(&mut self, y: usize, x: usize) -> &mut [f32] {
        let [rows, columns] = self.owners;
        let owner = [rows[y], columns[x]];
        assert!(owner == self.owner, "({y}, {x}) belongs to {owner:?}, not to {:?}", self.owner);
        // SAFETY: the place lies in its map, for it has an owner; it is of this owner, and of no other task that has the same channels,
        // since `Deal::each` runs one for each map, owner and part. `&mut self` keeps a second slice of it away.
        unsafe {
            let first = self.first.add((y * columns.len() + x) * self.stride);
            std::slice::from_raw_parts_mut(first, self.channels.len())
        }
    }
}

impl<'a> Tile<'a> {
    /// A tile that is a whole piece of memory, in which a row starts `stride` elements after the one before.
    pub(crate) fn over(values: &'a mut [f32], rows: Range<usize>, columns: Range<usize>, stride: usize) -> Self {
        assert!(
            columns.len() <= stride && rows.len().checked_mul(stride).is_some_and(|needed| needed <= values.len()),
            "{rows:?} of {stride} in {}",
            values.len()
        );
        Self { rows, columns, first: values.as_mut_ptr(), stride, output: PhantomData }
    }

    /// Which rows of the matrix.
    #[inline(always)]
    pub(crate) fn range(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// How many they are.
    #[inline(always)]
    pub(crate) fn height(&self) -> usize {
        self.rows.len()
    }

    /// Which columns of the matrix.
    #[inline(always)]
    pub(crate) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// A row of the tile, counted from its top.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows.len(), "row {row} of {}", self.rows.len());
        // SAFETY: `Grid::each` makes tiles that lie inside the borrowed output and overlap no other tile, `over` one that lies
        // inside its own borrow; the row lies inside this one, and `&mut self` keeps a second slice of it away.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns.len()) }
    }
}

impl Tile<'_> {
    /// The same columns, counted from the tile's left, of `R` rows.
    #[inline(always)]
    pub(crate) fn rows<const R: usize>(&mut self, row: usize, columns: Range<usize>) -> [&mut [f32]; R] {
        let inside = row + R <= self.rows.len() && columns.start <= columns.end && columns.end <= self.columns.len();
        assert!(inside, "{R} rows from {row} on and columns {columns:?} of {}×{}", self.rows.len(), self.columns.len());
        std::array::from_fn(|index| {
            // SAFETY: as in `row`; rows with different indices do not overlap, for a row is not longer than the stride.
            unsafe {
                let first = self.first.add((row + index) * self.stride + columns.start);
                std::slice::from_raw_parts_mut(first, columns.len())
            }
        })
    }
}

/// The output's address for tasks on other threads.
struct Shared(*mut f32);

// SAFETY: the pointer is only used to make tiles that do not overlap, while `Grid::each` holds the only borrow.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_an_output_once_and_name_their_place_in_it() {
        for count in [1, 3] {
            let threads = Threads::new(count, 0).unwrap();
            let grid = Grid { rows: 21, columns: 10, tile_rows: 4, tile_columns: 4 };
            let mut output = vec![0.0; 21 * 10];
            grid.each(&threads, &mut output, |mut tile, _| {
                let (rows, columns) = (tile.range(), tile.columns());
                assert!(rows.len() <= 4 && columns.len() <= 4);
                for (row, y) in rows.enumerate() {
                    for (value, x) in tile.row(row).iter_mut().zip(columns.clone()) {
                        *value += (y * 10 + x) as f32;
                    }
                }
            });
            let expected: Vec<f32> = (0..output.len()).map(|i| i as f32).collect();
            assert_eq!(output, expected);
        }
    }

    #[test]
    fn places_are_dealt_out_once() {
        let (rows, columns) = ([0, 1, 0], [1, 0, 1, 2]);
        for count in [1, 3] {
            let threads = Threads::new(count, 0).unwrap();
            let deal = Deal { owners: [&rows, &columns], count: [2, 3], channels: 7, part_channels: 3 };
            let mut output = vec![0.0; 2 * 12 * 7];
            deal.each(&threads, &mut output, |mut hand, _| {
                let (image, owner, left) = (hand.image(), hand.owner(), hand.channels().start);
                let places = (0..12).map(|place| (place / 4, place % 4));
                for (y, x) in places.filter(|(y, x)| [rows[*y], columns[*x]] == owner) {
                    for (channel, value) in hand.place(y, x).iter_mut().enumerate() {
                        *value += (((image * 3 + y) * 4 + x) * 7 + left + channel) as f32;
                    }
                }
            });
            let expected: Vec<f32> = (0..output.len()).map(|i| i as f32).collect();
            assert_eq!(output, expected);
        }
    }

    #[test]
    #[should_panic(expected = "(0, 1) belongs to [0, 1], not to [0, 0]")]
    fn a_place_of_another_is_refused() {
        let deal = Deal { owners: [&[0], &[0, 1]], count: [1, 1], channels: 1, part_channels: 1 };
        deal.each(&Threads::new(1, 0).unwrap(), &mut [0.0; 2], |mut hand, _| hand.place(0, 1).fill(0.0));
    }

    #[test]
    fn a_tile_of_memory_keeps_to_its_columns() {
        let mut values = [0.0; 6];
        let mut tile = Tile::over(&mut values, 10..12, 5..7, 3);
        tile.row(1).fill(7.0);
        assert_eq!(values, [0.0, 0.0, 0.0, 7.0, 7.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "10..13 of 3 in 6")]
    fn a_tile_larger_than_its_memory_is_refused() {
        Tile::over(&mut [0.0; 6], 10..13, 5..7, 3);
    }
}
