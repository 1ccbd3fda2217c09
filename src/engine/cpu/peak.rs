//! The machine's peak: the engine's own product on operands that stay in the cache, and a copy of memory that does not.

use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use super::epilogue::Epilogue;
use super::instructions::Instructions;
use super::linear::Linear;
use super::matrix::Matrix;
use super::product::Rows;
use super::threads::Threads;
use super::tile::Tile;
use crate::engine::Peak;

/// Rows, depth and columns of the product: 0.6 MB of operands, with a depth of one block.
const ROWS: usize = 96;
const DEPTH: usize = 256;
const COLUMNS: usize = 384;
/// Numbers that a thread copies: more than any cache keeps.
const COPY: usize = 16 << 20;
/// How often each is measured; the best counts, for a peak is what nothing disturbed.
const ROUNDS: usize = 5;
/// Time of a round.
const ROUND: Duration = Duration::from_millis(30);

/// Measures with so many threads; None where there is no memory to do it in.
pub(super) fn measure(instructions: Instructions, threads: usize) -> Option<Peak> {
    let product = Threads::new(threads, ROWS * (DEPTH + COLUMNS)).ok()?;
    let numbers = vec![0.5; COLUMNS * DEPTH];
    let weight = Matrix::pack(instructions, &numbers, DEPTH).ok()?;
    let linear = Linear { weight, epilogue: Epilogue { bias: vec![0.0; COLUMNS], activation: None, scale: None } };
    let flops = (2 * ROWS * DEPTH * COLUMNS) as f64;
    let flops = best(&product, flops, |memory| {
        let (rows, out) = memory.split_at_mut(ROWS * DEPTH);
        instructions.run(Kernel {
            linear: &linear,
            rows: Rows::new(rows, DEPTH),
            tile: Tile::over(out, 0..ROWS, 0..COLUMNS, COLUMNS),
        });
    });
    drop(product);
    let copy = Threads::new(threads, 2 * COPY).ok()?;
    let bytes = best(&copy, (2 * COPY * size_of::<f32>()) as f64, |memory| {
        let (from, to) = memory.split_at_mut(COPY);
        to.copy_from_slice(from);
    });
    Some(Peak { flops, bytes })
}

/// The best rate of some work, of which all threads do so much at a time.
fn best(threads: &Threads, amount: f64, work: impl Fn(&mut [f32]) + Sync) -> f64 {
    let round = || {
        let began = Instant::now();
        let mut times = 0;
        while times == 0 || began.elapsed() < ROUND {
            // each thread gets one task: it is busy until all have begun theirs
            threads.broadcast(|worker| worker.with_memory(&work));
            times += 1;
        }
        f64::from(times) * amount * threads.count() as f64 / began.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| round()).fold(0.0, f64::max)
}

/// The product alone.
struct Kernel<'a> {
    linear: &'a Linear,
    rows: Rows<'a>,
    tile: Tile<'a>,
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        self.linear.tile(simd, self.rows, None, &mut self.tile);
    }
}
