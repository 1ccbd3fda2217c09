//! Window attention by its definition, as the libraries do it: the map is rolled, padded, cut into windows and put together again.

use super::map::Map;
use crate::program::{Shape, Windows};

/// Added to scores between pixels that only the roll made neighbours, as in timm and transformers.
const MASKED: f64 = -100.0;

/// `[h, w, 3c] → [h, w, c]`. `table` is `[differences, heads]`, `padding` is `[3c]`: q, k and v of padded pixels.
pub(crate) fn attention(input: &Map, heads: usize, windows: &Windows, table: &[f32], padding: Option<&[f32]>) -> Map {
    let Shape { height, width, channels } = input.shape;
    let [window_height, window_width] = windows.size;
    let padded = [height.next_multiple_of(window_height), width.next_multiple_of(window_width)];
    // for each row or column of the rolled and padded map, the one of the input; None for padding
    let line = |side: usize, padded: usize, shift: usize| -> Vec<Option<usize>> {
        let mut line: Vec<Option<usize>> = (0..side).map(Some).collect();
        if windows.pads_first {
            line.resize(padded, None);
            line.rotate_left(shift);
        } else {
            line.rotate_left(shift);
            line.resize(padded, None);
        }
        line
    };
    let (rows, columns) = (line(height, padded[0], windows.shift[0]), line(width, padded[1], windows.shift[1]));
    // three bands per side. The last two share the last windows, where pixels of one band must not see the other
    let band = |position: usize, side: usize, window: usize, shift: usize| match shift {
        0 => 0,
        _ if position < side - window => 0,
        _ if position < side - shift => 1,
        _ => 2,
    };
    let dim = channels / 3 / heads;
    let mut output = Map::zeros(Shape { channels: channels / 3, ..input.shape });
    for (top, left) in (0..padded[0])
        .step_by(window_height)
        .flat_map(|top| (0..padded[1]).step_by(window_width).map(move |left| (top, left)))
    {
        let inside = (0..window_height).flat_map(|y| (0..window_width).map(move |x| (top + y, left + x)));
        let pixels: Vec<(usize, usize)> = inside.collect();
        let value = |(y, x): (usize, usize), channel: usize| match (rows[y], columns[x]) {
            (Some(y), Some(x)) => input.at(y, x, channel),
            _ => padding.map_or(0.0, |padding| f64::from(padding[channel])),
        };
        let bands = |&(y, x): &(usize, usize)| {
            let down = band(y, padded[0], window_height, windows.shift[0]);
            (down, band(x, padded[1], window_width, windows.shift[1]))
        };
        for head in 0..heads {
            // the head's channels of each pixel
            let [q, k, v] = [0, 1, 2].map(|part| -> Vec<Vec<f64>> {
                let first = part * channels / 3 + head * dim;
                pixels
                    .iter()
                    .map(|pixel| (first..first + dim).map(|channel| value(*pixel, channel)).collect())
                    .collect()
            });
            for (query, pixel) in pixels.iter().enumerate() {
                let (Some(y), Some(x)) = (rows[pixel.0], columns[pixel.1]) else { continue };
                let score = |(key, other): (usize, &(usize, usize))| {
                    let product: f64 = q[query].iter().zip(&k[key]).map(|(q, k)| q * k).sum();
                    let down = pixel.0 + window_height - 1 - other.0;
                    let across = pixel.1 + window_width - 1 - other.1;
                    let bias = table[(down * (2 * window_width - 1) + across) * heads + head];
                    let mask = if bands(pixel) == bands(other) { 0.0 } else { MASKED };
                    product / (dim as f64).sqrt() + f64::from(bias) + mask
                };
                let scores: Vec<f64> = pixels.iter().enumerate().map(score).collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let sum: f64 = powers.iter().sum();
                for d in 0..dim {
                    let weighted: f64 = v.iter().zip(&powers).map(|(v, power)| power * v[d]).sum();
                    output.set(y, x, head * dim + d, weighted / sum);
                }
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    /// q, k and v of one head and one channel.
    fn map(width: usize, triples: &[[f32; 3]]) -> Map {
        Map::new(Shape::map(triples.len() / width, width, 3), triples.as_flattened())
    }

    #[test]
    fn a_pixel_takes_values_by_its_scores_and_biases() {
        let windows = Windows { size: [1, 2], shift: [0, 0], pads_first: false };
        let ln = |x: f32| x.ln();
        let input = map(2, &[[1.0, 0.0, 8.0], [2.0, ln(3.0), 4.0]]);
        // biases of key − query: +1, 0, −1
        let plain = attention(&input, 1, &windows, &[0.0; 3], None);
        // scores 0 and ln 3: (8 + 3·4) / 4; then 0 and 2 ln 3: (8 + 9·4) / 10
        for (found, expected) in plain.values.iter().zip([5.0, 4.4]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
        let biased = attention(&input, 1, &windows, &[ln(5.0), 0.0, 0.0], None);
        assert!((biased.values[0] - (8.0 + 15.0 * 4.0) / 16.0).abs() < 1e-6, "{}", biased.values[0]);
    }

    #[test]
    fn what_the_roll_brought_together_stays_apart_and_padding_is_seen() {
        let windows = |pads_first| Windows { size: [1, 2], shift: [0, 1], pads_first };
        let input = map(3, &[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 4.0]]);
        // rolled to 2 4 1 and padded with 10: 2 and 4 together; 1 and the padding are of different bands
        let rolled = attention(&input, 1, &windows(false), &[0.0; 3], Some(&[0.0, 0.0, 10.0]));
        assert_eq!(rolled.values, [1.0, 3.0, 3.0]);
        // padded to 1 2 4 10 and rolled to 2 4 10 1: the last two are of different bands
        let padded = attention(&input, 1, &windows(true), &[0.0; 3], Some(&[0.0, 0.0, 10.0]));
        assert_eq!(padded.values, [1.0, 3.0, 3.0]);
        let whole = Windows { size: [1, 4], shift: [0, 0], pads_first: false };
        let seen = attention(&input, 1, &whole, &[0.0; 7], Some(&[0.0, 0.0, 9.0]));
        assert_eq!(seen.values, [4.0, 4.0, 4.0]);
    }
}
