//! Unfolding by its definition: the squares that a convolution reads become rows. Not here: speed.

use super::map::Map;
use crate::program::{Shape, Squares};

/// `[h, w, c] → [h', w', kernel²·c]`, zeros beyond the map and behind each square to a multiple of 8.
pub(crate) fn unfold(input: &Map, squares: Squares) -> Map {
    let Shape { height, width, channels } = input.shape;
    let [down, across] = [height, width].map(|side| squares.along(side));
    let mut output = Map::zeros(Shape::map(down, across, squares.columns(channels)));
    for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
        for position in 0..squares.kernel * squares.kernel {
            let (dy, dx) = (position / squares.kernel, position % squares.kernel);
            let (Some(from_y), Some(from_x)) = (squares.at(y, dy, height), squares.at(x, dx, width)) else { continue };
            for c in 0..channels {
                output.set(y, x, position * channels + c, input.at(from_y, from_x, c));
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.unfold` of 1…9 as a map of 3×3, with its columns as rows.
    #[test]
    fn squares_are_taken_row_by_row_and_filled_with_zeros() {
        let input = Map::new(Shape::map(3, 3, 1), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let squares = Squares { kernel: 3, stride: 2, dilation: 1, padding: [1, 1] };
        let expected = [
            [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0],
            [0.0, 0.0, 0.0, 2.0, 3.0, 0.0, 5.0, 6.0, 0.0],
            [0.0, 4.0, 5.0, 0.0, 7.0, 8.0, 0.0, 0.0, 0.0],
            [5.0, 6.0, 0.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0],
        ];
        let padded = expected.map(|square| [&square[..], &[0.0; 7]].concat());
        assert_eq!(unfold(&input, squares).values, padded.concat());
        let dilated = Squares { kernel: 2, stride: 1, dilation: 2, padding: [1, 1] };
        let expected = [[0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 4.0, 6.0], [0.0, 0.0, 5.0, 0.0]];
        let padded = expected.map(|square| [square, [0.0; 4]].concat());
        assert_eq!(unfold(&input, dilated).values[..24], padded.concat());
    }
}
