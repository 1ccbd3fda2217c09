//! The mean over all pixels. Not here: speed.

use super::map::Map;
use crate::program::Shape;

/// `[h, w, c] → [c]`.
pub(crate) fn pool(input: &Map) -> Map {
    let Shape { channels, .. } = input.shape;
    let mean = |c: usize| input.pixels().map(|pixel| pixel[c]).sum::<f64>() / input.shape.rows() as f64;
    Map { shape: Shape::vector(channels), values: (0..channels).map(mean).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_mean_of_each_channel() {
        let input = Map::new(Shape::map(2, 2, 2), &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 6.0, 60.0]);
        assert_eq!(pool(&input), Map { shape: Shape::vector(2), values: vec![3.0, 30.0] });
    }
}
