//! Windows of a map, shifted and padded, by index arithmetic. Not here: attention inside them (`engine`).

use super::Shape;

/// The longest side of a window; far beyond any network, and such that no table of biases grows out of proportion.
pub const LONGEST_SIDE: usize = 32;

/// How a map is cut into windows for attention (Swin: Liu et al., 2021, section 3.2).
///
/// The map is rolled up and left by the shift and padded with zeros to whole windows, in one order or the other; windows of the result
/// attend within themselves, and only within what was together before the map was rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a window.
    pub size: [usize; 2],
    /// Rows and columns by which the map is rolled, each less than the window's.
    pub shift: [usize; 2],
    /// Padded first and rolled then, as transformers does; timm rolls first and pads then.
    pub pads_first: bool,
}

impl Windows {
    /// Windows of a map, down and across.
    #[must_use]
    pub fn count(&self, map: Shape) -> [usize; 2] {
        [map.height.div_ceil(self.size[0]), map.width.div_ceil(self.size[1])]
    }

    /// Positions of a window.
    #[must_use]
    pub fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Whether some positions of some windows are padding.
    #[must_use]
    pub fn pads(&self, map: Shape) -> bool {
        !map.height.is_multiple_of(self.size[0]) || !map.width.is_multiple_of(self.size[1])
    }

    /// Rows of a table of biases: one for each difference of two positions of a window.
    #[must_use]
    pub fn differences(&self) -> usize {
        (2 * self.size[0] - 1) * (2 * self.size[1] - 1)
    }

    /// The row of the table for a query and a key, by their indices in a window.
    #[must_use]
    pub fn difference(&self, query: usize, key: usize) -> usize {
        let [height, width] = self.size;
        let down = query / width + height - 1 - key / width;
        let across = query % width + width - 1 - key % width;
        down * (2 * width - 1) + across
    }

    /// The rows and the columns of the map by windows: `[windows along the side, positions of a window]`, None for padding. A position is padding where
    /// its row or its column is.
    #[must_use]
    pub fn lines(&self, map: Shape) -> [Vec<Option<usize>>; 2] {
        let line = |axis: usize, side: usize| {
            let padded = side.next_multiple_of(self.size[axis]);
            (0..padded).map(|at| self.source(at, axis, side)).collect()
        };
        [line(0, map.height), line(1, map.width)]
    }

    /// What belongs together: rows (axis 0) or columns (axis 1) of a window, of which the first is `at` in the rolled map, attend to each
    /// other only where this is the same. It differs in the last window of a shifted side only.
    #[must_use]
    pub fn region(&self, map: Shape, axis: usize, at: usize) -> usize {
        let side = [map.height, map.width][axis].next_multiple_of(self.size[axis]);
        match self.shift[axis] {
            0 => 0,
            shift => usize::from(at >= side - self.size[axis]) + usize::from(at >= side - shift),
        }
    }

    /// The row or column of the map that came to stand at `at` of the rolled and padded one.
    fn source(&self, at: usize, axis: usize, side: usize) -> Option<usize> {
        if self.pads_first {
            let padded = side.next_multiple_of(self.size[axis]);
            Some((at + self.shift[axis]) % padded).filter(|source| *source < side)
        } else {
            (at < side).then(|| (at + self.shift[axis]) % side)
        }
    }

    /// Holds the windows against a map.
    pub(super) fn check(&self, map: Shape) -> Result<(), String> {
        let fits = |axis: usize, side: usize| {
            (1..=side.min(LONGEST_SIDE)).contains(&self.size[axis]) && self.shift[axis] < self.size[axis]
        };
        if fits(0, map.height) && fits(1, map.width) {
            return Ok(());
        }
        Err(format!("windows of {:?} shifted by {:?} do not fit a map of {map}", self.size, self.shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(size: usize, shift: usize, pads_first: bool) -> Windows {
        Windows { size: [size, size], shift: [shift, shift], pads_first }
    }

    #[test]
    fn every_row_and_column_is_in_one_window() {
        let map = Shape::map(7, 10, 1);
        for (size, shift, pads_first) in [(4, 0, false), (4, 2, false), (4, 2, true), (7, 3, true), (1, 0, false)] {
            let windows = windows(size, shift, pads_first);
            for ((line, side), count) in windows.lines(map).iter().zip([7, 10]).zip(windows.count(map)) {
                assert_eq!(line.len(), count * size);
                let mut all: Vec<usize> = line.iter().copied().flatten().collect();
                all.sort_unstable();
                assert_eq!(all, (0..side).collect::<Vec<_>>(), "{windows:?}");
            }
        }
    }

    #[test]
    fn rolling_then_padding_is_not_padding_then_rolling() {
        let map = Shape::map(5, 4, 1);
        // 5 rows roll by 2 to 2 3 4 0 1; or with 3 rows of padding to 2 3 4 . . . 0 1
        let rows = |pads_first| windows(4, 2, pads_first).lines(map)[0].clone();
        let [two, three, four, zero, one] = [2, 3, 4, 0, 1].map(Some);
        assert_eq!(rows(false), [two, three, four, zero, one, None, None, None]);
        assert_eq!(rows(true), [two, three, four, None, None, None, zero, one]);
    }

    #[test]
    fn regions_keep_apart_what_the_roll_brought_together() {
        let map = Shape::map(8, 8, 1);
        let regions = |shift: usize| (0..8).map(|at| windows(4, shift, false).region(map, 0, at)).collect::<Vec<_>>();
        assert_eq!(regions(1), [0, 0, 0, 0, 1, 1, 1, 2]);
        assert_eq!(regions(0), [0; 8]);
    }

    /// By `timm.models.swin_transformer.get_relative_position_index(2, 3)`.
    #[test]
    fn differences_are_counted_as_timm_does() {
        let windows = Windows { size: [2, 3], shift: [0, 0], pads_first: false };
        let row = |query: usize| (0..6).map(|key| windows.difference(query, key)).collect::<Vec<_>>();
        assert_eq!(row(0), [7, 6, 5, 2, 1, 0]);
        assert_eq!(row(5), [14, 13, 12, 9, 8, 7]);
    }
}
