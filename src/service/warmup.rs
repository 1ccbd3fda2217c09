//! Warm-up: the first runs of an executable, which also find the batch to run and what an image costs.

use std::time::{Duration, Instant};

use crate::engine::{Batch, Buckets, Executable, Image, PixelFormat, RunError};
use crate::program::InputSpec;

/// What warm-up found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Warmth {
    /// The smallest batch whose images cost at most 5 % more than the best's, or a larger one that is over as soon as [`SHORT`].
    pub(super) batch: usize,
    /// Device time of an image in it.
    pub(super) image_time: Duration,
}

/// Larger batches are tried until this much time is gone; batch 1 always is. A demo model must be ready in 300 ms.
const TIME: Duration = Duration::from_millis(100);
/// How much more than the best an image may cost, for the sake of a smaller batch and so of latency.
const SLACK: f64 = 1.05;
/// A batch as short as this makes nobody wait long, and under load a larger one is better than it measures here: on a CPU
/// decoders take cores from the engine, and its threads wait for each other once a layer, not once an image and layer.
const SHORT: Duration = Duration::from_millis(30);

/// Runs rising batches of grey images.
pub(super) fn warm(executable: &mut dyn Executable, input: &InputSpec) -> Result<Warmth, RunError> {
    let grey = vec![128; input.height * input.width * 3];
    let began = Instant::now();
    let mut costs: Vec<(usize, f64)> = Vec::new();
    for batch in sizes(executable.buckets()) {
        let image_time = measure(executable, &grey, batch)?;
        costs.push((batch, image_time));
        // twice the images, twice the runs: stop before one that would go far beyond the time
        if began.elapsed() > TIME / 2 {
            break;
        }
    }
    Ok(choose(&costs))
}

/// 1, 2, 4 … and the largest; or the buckets there are.
fn sizes(buckets: &Buckets) -> Vec<usize> {
    match buckets {
        Buckets::Fixed(sizes) => sizes.clone(),
        Buckets::Any(max) => {
            let doubling = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| n < max);
            doubling.chain([*max.max(&1)]).collect()
        }
    }
}

/// Seconds an image in a batch: the better of two runs, of which the first touches all memory.
fn measure(executable: &mut dyn Executable, image: &[u8], batch: usize) -> Result<f64, RunError> {
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let began = Instant::now();
        let images: Batch = (0..batch).map(|_| Image::new(PixelFormat::Rgb8, image.to_vec())).collect();
        executable.run(images)?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok(best / batch as f64)
}

fn choose(costs: &[(usize, f64)]) -> Warmth {
    let best = costs.iter().map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
    let cheap = costs.iter().find(|(_, cost)| *cost <= best * SLACK);
    let short =
        costs.iter().rfind(|(batch, cost)| *cost * *batch as f64 <= SHORT.as_secs_f64() && *cost <= best * SLACK);
    let (batch, seconds) = short.or(cheap).copied().unwrap_or((1, best));
    Warmth { batch, image_time: Duration::from_secs_f64(if seconds.is_finite() { seconds } else { 0.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_up_to_the_largest_batch() {
        assert_eq!(sizes(&Buckets::Any(1)), [1]);
        assert_eq!(sizes(&Buckets::Any(8)), [1, 2, 4, 8]);
        assert_eq!(sizes(&Buckets::Any(12)), [1, 2, 4, 8, 12]);
        assert_eq!(sizes(&Buckets::Fixed(vec![1, 3, 9])), [1, 3, 9]);
    }

    #[test]
    fn the_smallest_batch_within_five_per_cent_of_the_best_is_chosen() {
        assert_eq!(choose(&[(1, 2.0), (2, 1.04), (4, 1.0), (8, 1.5)]).batch, 2);
        assert_eq!(choose(&[(1, 2.0), (2, 1.06), (4, 1.0)]).batch, 4);
        let ms = |cost: f64| cost / 1e3;
        assert_eq!(choose(&[(1, ms(7.4)), (2, ms(7.3)), (4, ms(7.4)), (8, ms(7.3))]).batch, 4, "29.6 ms are short");
        assert_eq!(choose(&[(1, ms(7.4)), (2, ms(9.0)), (4, ms(9.0))]).batch, 1, "a larger one costs more");
        assert_eq!(choose(&[(1, 1.0)]), Warmth { batch: 1, image_time: Duration::from_secs(1) });
    }
}
