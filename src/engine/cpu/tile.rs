//! Tiles: how an output is cut into tasks that write it side by side, and the matrix product into a tile. All of the
//! engine's `unsafe` stands in this file. Not here: what is written.
//!
//! The cut depends on the shape of one image's output alone. A tile never spans two images, and neither the batch nor the
//! number of threads moves its edges: that makes a batch of n equal n singles bit for bit.

#![allow(unsafe_code, reason = "safe slices can neither be cut by columns nor handed to gemm, which takes pointers")]

use std::marker::PhantomData;
use std::ops::Range;

use gemm::Parallelism;

use super::threads::Threads;

/// An output `[images, rows, columns]` and the sides of its tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Images that are computed together.
    pub(super) images: usize,
    /// Rows of an image's output.
    pub(super) rows: usize,
    /// Columns of an image's output.
    pub(super) columns: usize,
    /// Rows of a tile; the last may have fewer.
    pub(super) tile_rows: usize,
    /// Columns of a tile; the last may have fewer.
    pub(super) tile_columns: usize,
}

/// A part of an image's output that one task writes.
pub(super) struct Tile<'a> {
    /// Which image.
    pub(super) image: usize,
    /// Which of its rows.
    pub(super) rows: Range<usize>,
    /// Which of its columns.
    pub(super) columns: Range<usize>,
    /// The element at the first row and column.
    first: *mut f32,
    /// Elements from a row to the next.
    stride: usize,
    output: PhantomData<&'a mut [f32]>,
}

impl Grid {
    /// Runs `task` on each tile of `output`.
    ///
    /// Tiles of the same columns follow each other, image after image: what belongs to these columns, a panel of a weight,
    /// stays in the cache.
    pub(super) fn each(self, threads: &Threads, output: &mut [f32], task: impl Fn(Tile<'_>) + Sync) {
        let Self { images, rows, columns, tile_rows, tile_columns } = self;
        assert_eq!(output.len(), images * rows * columns, "an output of {self:?}");
        let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
        let output = Shared(output.as_mut_ptr());
        threads.each(images * down * across, |index| {
            let (left, image, top) = (index / (images * down), index / down % images, index % down);
            let (left, top) = (left * tile_columns, top * tile_rows);
            // SAFETY: image < images, top < rows and left < columns, so that the element lies in the slice, whose length
            // was checked.
            let first = unsafe { output.get().add((image * rows + top) * columns + left) };
            task(Tile {
                image,
                rows: top..rows.min(top + tile_rows),
                columns: left..columns.min(left + tile_columns),
                first,
                stride: columns,
                output: PhantomData,
            });
        });
    }
}

impl Tile<'_> {
    /// A row of the tile, counted from its top.
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows.len(), "row {row} of {}", self.rows.len());
        // SAFETY: `Grid::each` makes tiles that lie inside the borrowed output and overlap no other tile; the row lies
        // inside this one, and `&mut self` keeps a second slice of it away.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns.len()) }
    }

    /// Writes the product of a matrix `[rows, depth]` and a panel `[depth, columns]`.
    pub(super) fn product(&mut self, matrix: &[f32], depth: usize, panel: &[f32]) {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        assert_eq!(matrix.len(), rows * depth, "a matrix of {rows}×{depth}");
        assert_eq!(panel.len(), depth * columns, "a panel of {depth}×{columns}");
        // SAFETY: the operands' lengths were checked against the strides given here (columns 1 apart, rows a row's length),
        // and the output is this tile, which no other task touches. `read_dst` is false: nothing of it is read first.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                depth,
                self.first,
                1,
                self.stride as isize,
                false,
                matrix.as_ptr(),
                1,
                depth as isize,
                panel.as_ptr(),
                1,
                columns as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                // the tiles are the parallelism: gemm's own would make the sums depend on the number of threads
                Parallelism::None,
            );
        }
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
