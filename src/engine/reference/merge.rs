//! Patch merging by its definition: 2×2 pixels become one. Not here: speed.

use super::map::Map;
use crate::program::Shape;

/// `[h, w, c] → [⌈h/2⌉, ⌈w/2⌉, 4c]`, the pixels of a square column by column. Pixels outside of the map are zero.
pub(crate) fn merge(input: &Map) -> Map {
    let Shape { height, width, channels } = input.shape;
    let mut output = Map::zeros(Shape::map(height.div_ceil(2), width.div_ceil(2), 4 * channels));
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let first = (x % 2 * 2 + y % 2) * channels;
        for c in 0..channels {
            output.set(y / 2, x / 2, first + c, input.at(y, x, c));
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `timm.models.swin_transformer.PatchMerging` up to its norm, on a map of 3×3.
    #[test]
    fn squares_are_taken_column_by_column_and_filled_with_zeros() {
        let input = Map::new(Shape::map(3, 3, 1), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let expected = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 0.0, 0.0, 7.0, 0.0, 8.0, 0.0, 9.0, 0.0, 0.0, 0.0];
        assert_eq!(merge(&input).values, expected);
    }
}
