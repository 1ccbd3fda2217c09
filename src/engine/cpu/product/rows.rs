//! Rows of a matrix that are read. Not here: rows that are written (`parallel/tile`).

/// Rows of a matrix in memory, each `stride` elements after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows that start at multiples of `stride`.
    pub(crate) fn new(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride }
    }

    /// A row and what follows it.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..]
    }

    /// Elements from a row to the next.
    #[inline(always)]
    pub(crate) fn stride(self) -> usize {
        self.stride
    }

    /// The same rows without their first columns.
    pub(crate) fn skip(self, columns: usize) -> Self {
        Self { values: &self.values[columns..], stride: self.stride }
    }

    /// The rows from one on.
    pub(crate) fn from(self, row: usize) -> Self {
        Self { values: self.row(row), stride: self.stride }
    }
}
