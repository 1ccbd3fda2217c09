//! Where the squares lie that a convolution reads of a map. Not here: the convolution, which is a product of them (`op`).

/// Squares of a map that a convolution reads, the same along both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squares {
    /// Positions along a side of a square.
    pub kernel: usize,
    /// From a square to the next.
    pub stride: usize,
    /// From a position of a square to the next; 1 where it has no holes.
    pub dilation: usize,
    /// Zeros before the map and after it.
    pub padding: [usize; 2],
}

impl Squares {
    /// Rows or columns from a square's first to after its last.
    #[must_use]
    pub const fn reach(self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Numbers of a square of a map of so many channels, and the zeros behind them.
    #[must_use]
    pub const fn columns(self, channels: usize) -> usize {
        (self.kernel * self.kernel * channels).next_multiple_of(8)
    }

    /// Squares along a side of this length; 0 where none fits.
    #[must_use]
    pub const fn along(self, side: usize) -> usize {
        let padded = side + self.padding[0] + self.padding[1];
        if padded < self.reach() { 0 } else { (padded - self.reach()) / self.stride + 1 }
    }

    /// The row or column of the map where a position of a square is; None beyond the map.
    #[must_use]
    pub const fn at(self, square: usize, position: usize, side: usize) -> Option<usize> {
        match (square * self.stride + position * self.dilation).checked_sub(self.padding[0]) {
            Some(at) if at < side => Some(at),
            _ => None,
        }
    }
}
