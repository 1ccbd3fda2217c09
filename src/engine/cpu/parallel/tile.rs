//! Tiles: the part of an output that one task writes, and the cut of an output into such parts. Not here: what is written.
//!
//! Apart from a prefetch and the instructions of bf16 and int8, all `unsafe` of this engine stands here. The cut depends on the batch and on the number of threads. The value
//! of an element must not depend on the tile that it lies in.

#![allow(unsafe_code, reason = "safe slices cannot be cut by columns for several threads")]

use std::marker::PhantomData;
use std::ops::Range;

use super::threads::{ThreadMemory, Threads};

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

/// Rows and columns of a matrix, written by one task.
pub(crate) struct Tile<'a> {
    /// Which rows and columns of the matrix.
    rows: Range<usize>,
    columns: Range<usize>,
    /// The element at the first row and column.
    first: *mut f32,
    /// Elements from a row to the next.
    stride: usize,
    output: PhantomData<&'a mut [f32]>,
}

impl Grid {
    /// Runs `task` on each tile of `output`. Tiles of the same columns follow each other, so that a panel of a weight for these
    /// columns stays in the cache.
    pub(crate) fn each(self, threads: &Threads, output: &mut [f32], task: impl Fn(Tile<'_>, ThreadMemory<'_>) + Sync) {
        let Self { rows, columns, tile_rows, tile_columns } = self;
        assert_eq!(Some(output.len()), rows.checked_mul(columns), "an output of {self:?}");
        let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
        let output = Shared(output.as_mut_ptr());
        threads.each(down * across, |index, memory| {
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
            task(tile, memory);
        });
    }
}

/// Output maps `[n, h, w, c]`, cut into windows and into parts of their channels.
///
/// A window need not be a rectangle of the map: shifted windows wrap around its borders.
#[derive(Clone, Copy)]
pub(crate) struct WindowGrid<'a> {
    /// For each row of a map the index of its window, counted down; for each column the same, counted across.
    pub(crate) windows: [&'a [usize]; 2],
    /// Windows down and across.
    pub(crate) count: [usize; 2],
    pub(crate) channels: usize,
    /// Channels of a tile; the last may have fewer.
    pub(crate) tile_channels: usize,
}

/// The pixels of one window in one map, and some of their channels, written by one task.
pub(crate) struct WindowTile<'a> {
    image: usize,
    /// Down and across.
    window: [usize; 2],
    channels: Range<usize>,
    /// As [`WindowGrid::windows`].
    windows: [&'a [usize]; 2],
    /// The first of the channels of the map's first pixel.
    first: *mut f32,
    /// Elements from a pixel to the next.
    stride: usize,
    output: PhantomData<&'a mut [f32]>,
}

impl WindowGrid<'_> {
    /// Runs `task` on each tile: for each map, window and part of the channels.
    pub(crate) fn each(
        self,
        threads: &Threads,
        output: &mut [f32],
        task: impl Fn(WindowTile<'_>, ThreadMemory<'_>) + Sync,
    ) {
        let [rows, columns] = self.windows;
        let map = rows.len() * columns.len() * self.channels;
        assert!(map > 0 && output.len().is_multiple_of(map), "maps of {} × {} pixels", rows.len(), columns.len());
        let (images, parts) = (output.len() / map, self.channels.div_ceil(self.tile_channels));
        let [down, across] = self.count;
        let output = Shared(output.as_mut_ptr());
        threads.each(images * down * across * parts, |index, memory| {
            let (window, left) = (index / parts % (down * across), index % parts * self.tile_channels);
            let image = index / parts / (down * across);
            let tile = WindowTile {
                image,
                window: [window / across, window % across],
                channels: left..self.channels.min(left + self.tile_channels),
                windows: self.windows,
                // SAFETY: image < images and left < channels, so that the element lies in the slice.
                first: unsafe { output.get().add(image * map + left) },
                stride: self.channels,
                output: PhantomData,
            };
            task(tile, memory);
        });
    }
}

impl WindowTile<'_> {
    /// Index of the map.
    pub(crate) fn image(&self) -> usize {
        self.image
    }

    /// Index of the window, down and across.
    pub(crate) fn window(&self) -> [usize; 2] {
        self.window
    }

    /// Which channels.
    pub(crate) fn channels(&self) -> Range<usize> {
        self.channels.clone()
    }

    /// The tile's channels of a pixel of the map.
    ///
    /// # Panics
    /// If the pixel lies in another window.
    #[inline(always)]
    pub(crate) fn pixel(&mut self, y: usize, x: usize) -> &mut [f32] {
        let [rows, columns] = self.windows;
        let (down, across) = (rows[y], columns[x]);
        // one by one: two arrays would be written to the stack, to be compared as a vector that is not there yet
        let inside = down == self.window[0] && across == self.window[1];
        assert!(inside, "pixel ({y}, {x}) lies in window {:?}, not in {:?}", [down, across], self.window);
        // SAFETY: the pixel lies in its map, for its row and its column have a window. No other task has this window and these channels
        // of this map: `WindowGrid::each` runs one task for each. `&mut self` keeps a second slice of it away.
        unsafe {
            let first = self.first.add((y * columns.len() + x) * self.stride);
            std::slice::from_raw_parts_mut(first, self.channels.len())
        }
    }
}

impl<'a> Tile<'a> {
    /// A tile that is all of `values`, in which a row starts `stride` elements after the one before.
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
    pub(crate) fn row_range(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Number of rows.
    #[inline(always)]
    pub(crate) fn height(&self) -> usize {
        self.rows.len()
    }

    /// Which columns of the matrix.
    #[inline(always)]
    pub(crate) fn column_range(&self) -> Range<usize> {
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
    /// Columns of `R` rows from `row` on, all counted from the tile's top left.
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

/// The output's address, for tasks on other threads.
struct Shared(*mut f32);

// SAFETY: the pointer is only used to make tiles that do not overlap, while `each` holds the only borrow.
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
    fn tiles_cover_an_output_once_and_know_their_rows_and_columns() {
        for count in [1, 3] {
            let threads = Threads::new(count, 0).unwrap();
            let grid = Grid { rows: 21, columns: 10, tile_rows: 4, tile_columns: 4 };
            let mut output = vec![0.0; 21 * 10];
            grid.each(&threads, &mut output, |mut tile, _| {
                let (rows, columns) = (tile.row_range(), tile.column_range());
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
    fn windows_cover_their_maps_once() {
        let (rows, columns) = ([0, 1, 0], [1, 0, 1, 2]);
        for count in [1, 3] {
            let threads = Threads::new(count, 0).unwrap();
            let grid = WindowGrid { windows: [&rows, &columns], count: [2, 3], channels: 7, tile_channels: 3 };
            let mut output = vec![0.0; 2 * 12 * 7];
            grid.each(&threads, &mut output, |mut tile, _| {
                let (image, window, left) = (tile.image(), tile.window(), tile.channels().start);
                let pixels = (0..12).map(|pixel| (pixel / 4, pixel % 4));
                for (y, x) in pixels.filter(|(y, x)| [rows[*y], columns[*x]] == window) {
                    for (channel, value) in tile.pixel(y, x).iter_mut().enumerate() {
                        *value += (((image * 3 + y) * 4 + x) * 7 + left + channel) as f32;
                    }
                }
            });
            let expected: Vec<f32> = (0..output.len()).map(|i| i as f32).collect();
            assert_eq!(output, expected);
        }
    }

    #[test]
    #[should_panic(expected = "pixel (0, 1) lies in window [0, 1], not in [0, 0]")]
    fn a_pixel_of_another_window_is_refused() {
        let grid = WindowGrid { windows: [&[0], &[0, 1]], count: [1, 1], channels: 1, tile_channels: 1 };
        grid.each(&Threads::new(1, 0).unwrap(), &mut [0.0; 2], |mut tile, _| tile.pixel(0, 1).fill(0.0));
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
