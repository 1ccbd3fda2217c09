//! The windows of a map: which pixels lie in which, and which of them see each other. Not here: what attention computes of them.

use crate::engine::cpu::error::NoMemory;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::program::{Shape, Windows};

/// Added to scores between pixels that only the roll made neighbours, as in timm and transformers.
const MASKED: f32 = -100.0;

/// The windows of a map, as attention needs them. Blocks with the same windows share it.
pub(crate) struct Geometry {
    pub(super) windows: Windows,
    /// Rows and columns of a map.
    pub(super) sides: [usize; 2],
    /// Windows down and across.
    pub(super) count: [usize; 2],
    /// As [`Windows::lines`].
    lines: [Vec<Option<usize>>; 2],
    /// For each row of the map the index of its window, counted down; for each column the same, counted across.
    pub(super) windows_of: [Vec<usize>; 2],
    /// Keys of a row of scores: the pixels of a window, padded to whole vectors.
    pub(super) keys: usize,
    /// Masks `[area, keys]`. The first index is 1 for the last windows down, the second for the last across. None where all is zero.
    masks: [[Option<Aligned>; 2]; 2],
}

impl Geometry {
    /// Windows on a map.
    pub(crate) fn new(instructions: Instructions, map: Shape, windows: &Windows) -> Result<Self, NoMemory> {
        let (sides, lines) = ([map.height, map.width], windows.lines(map));
        let windows_of = [0, 1].map(|axis: usize| {
            let mut window_of = vec![0; sides[axis]];
            for (position, source) in lines[axis].iter().enumerate() {
                if let Some(source) = source {
                    window_of[*source] = position / windows.size[axis];
                }
            }
            window_of
        });
        let (count, area) = (windows.count(map), windows.area());
        let keys = area.next_multiple_of(instructions.lanes());
        let mask = |last: [bool; 2]| -> Result<Option<Aligned>, NoMemory> {
            if !(0..2).any(|axis| last[axis] && windows.shift[axis] > 0) {
                return Ok(None);
            }
            let region = |index: usize| {
                let of_window = [index / windows.size[1], index % windows.size[1]];
                [0, 1].map(|axis: usize| {
                    let first = if last[axis] { (count[axis] - 1) * windows.size[axis] } else { 0 };
                    if last[axis] { windows.region(map, axis, first + of_window[axis]) } else { 0 }
                })
            };
            let regions: Vec<[usize; 2]> = (0..area).map(region).collect();
            let mut mask = Aligned::zeros(area * keys)?;
            for (row, query) in mask.chunks_exact_mut(keys).zip(&regions) {
                for (value, key) in row.iter_mut().zip(&regions) {
                    *value = if key == query { 0.0 } else { MASKED };
                }
            }
            Ok(Some(mask))
        };
        let masks = [[mask([false, false])?, mask([false, true])?], [mask([true, false])?, mask([true, true])?]];
        Ok(Self { windows: *windows, sides, count, lines, windows_of, keys, masks })
    }

    /// Whether it is for these windows on a map of this size.
    pub(crate) fn fits(&self, map: Shape, windows: &Windows) -> bool {
        self.windows == *windows && self.sides == [map.height, map.width]
    }

    /// The pixel of the map at a row and column of a window; None for padding.
    #[inline(always)]
    pub(super) fn pixel(&self, [down, across]: [usize; 2], y: usize, x: usize) -> Option<(usize, usize)> {
        let [height, width] = self.windows.size;
        Some((self.lines[0][down * height + y]?, self.lines[1][across * width + x]?))
    }

    /// What is added to the scores of a window.
    pub(super) fn mask(&self, [down, across]: [usize; 2]) -> Option<&Aligned> {
        let last = [down + 1 == self.count[0], across + 1 == self.count[1]].map(usize::from);
        self.masks[last[0]][last[1]].as_ref()
    }
}
