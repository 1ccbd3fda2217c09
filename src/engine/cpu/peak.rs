//! The machine's peak: multiply-adds that stay in registers, or the engine's own product with operands that stay in the cache, whichever is faster; and a copy of
//! memory that does not.
//!
//! Not here: what a network reaches of it (`cli/bench`).

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use crate::engine::Peak;
use crate::engine::cpu::operations::linear::Linear;
use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::parallel::tile::Tile;
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::factors::{Factors, Floats};
use crate::engine::cpu::product::int8::WithBytes;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::PackedWeight;
use crate::engine::cpu::product::rows::Rows;
use crate::engine::cpu::simd::instructions::Instructions;

/// Sums that registers hold: enough to hide the latency of a multiply-add on every processor, and few enough for 16 registers.
const SUMS: usize = 12;
/// Multiply-adds of each sum between two looks at the clock.
const DEPTH: usize = 4096;
/// Rows, depth and columns of the products, which on some processors beat the loop. The fastest counts; which one that is depends on caches and vectors.
/// Each has one block of depth, and operands that fit the L2 cache.
const SHAPES: [[usize; 3]; 4] = [[96, 256, 384], [48, 256, 128], [96, 384, 192], [108, 192, 96]];
/// Floats that all threads together copy: more than any cache holds.
const COPY_FLOATS: usize = 32 << 20;
/// Floats that each thread copies at least: more than its own caches hold.
const MIN_COPY_FLOATS: usize = 2 << 20;
/// Measurements of each. The best counts, for a peak is what nothing disturbed.
const ROUNDS: usize = 5;
/// Time of a round.
const ROUND: Duration = Duration::from_millis(15);

/// Measures with this number of threads; None where the machine has no memory for it.
pub(crate) fn measure(compiled: (Instructions, Numbers), threads: usize) -> Option<Peak> {
    let products = SHAPES.iter().map(|shape| product(compiled, threads, *shape));
    let flops =
        products.chain([registers(compiled, threads)]).collect::<Option<Vec<f64>>>()?.into_iter().fold(0.0, f64::max);
    Some(Peak { flops, bytes: copy(threads)? })
}

/// Floating-point operations per second of registers alone.
fn registers((instructions, numbers): (Instructions, Numbers), threads: usize) -> Option<f64> {
    let threads = Threads::new(threads, 1).ok()?;
    let work = (2 * SUMS * DEPTH * instructions.lanes() * numbers.per_float()) as f64;
    Some(best(&threads, work, |memory| {
        let scale = memory[0];
        memory[0] = match numbers {
            Numbers::F32 | Numbers::Rounded => instructions.run(Registers { numbers: Floats, scale }),
            Numbers::Pairs(pairs) => pairs.vectorize(Registers { numbers: pairs, scale }),
            Numbers::Bytes(bytes) => bytes.vectorize(instructions, OfBytes { scale }),
        };
    }))
}

/// Floating-point operations per second of a product.
fn product(
    (instructions, numbers): (Instructions, Numbers),
    threads: usize,
    [rows, depth, columns]: [usize; 3],
) -> Option<f64> {
    let threads = Threads::new(threads, rows * (depth + columns)).ok()?;
    let weight = PackedWeight::pack(instructions, numbers, &vec![0.5; columns * depth], depth).ok()?;
    let linear = Linear { weight, epilogue: Epilogue { bias: vec![0.0; columns], activation: None, scale: None } };
    let speed = best(&threads, (2 * rows * depth * columns) as f64, |memory| {
        let (input, output) = memory.split_at_mut(rows * depth);
        instructions.run(Kernel {
            linear: &linear,
            rows: Rows::new(input, depth),
            tile: Tile::over(output, 0..rows, 0..columns, columns),
        });
    });
    Some(speed)
}

/// Bytes per second, read and written, of a copy.
fn copy(threads: usize) -> Option<f64> {
    let floats = (COPY_FLOATS / threads.max(1)).max(MIN_COPY_FLOATS);
    let threads = Threads::new(threads, floats).ok()?;
    let speed = best(&threads, (floats * size_of::<f32>()) as f64, |memory| {
        let (from, to) = memory.split_at_mut(floats / 2);
        to.copy_from_slice(&from[..to.len()]);
    });
    Some(speed)
}

/// The best rate of `work`, per second. Each call does `amount` of it, on each thread.
fn best(threads: &Threads, amount: f64, work: impl Fn(&mut [f32]) + Sync) -> f64 {
    // each thread works many times before it waits for the others: with many threads, a wait takes longer than a product
    let round = |times: u32| {
        let started = Instant::now();
        threads.broadcast(|memory| {
            memory.with(|memory| {
                for _ in 0..times {
                    work(black_box(&mut *memory));
                }
            });
        });
        started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    };
    round(1); // touches the memory
    let times = (ROUND.as_secs_f64() / round(1)).clamp(1.0, 1e6) as u32;
    let total = f64::from(times) * amount * threads.count() as f64;
    (0..ROUNDS).map(|_| total / round(times)).fold(0.0, f64::max)
}

/// Sums that are multiplied and added to, over and over.
struct Registers<F> {
    numbers: F,
    /// Unknown to the compiler, which could otherwise compute the sums itself.
    scale: f32,
}

/// The same of bytes.
struct OfBytes {
    scale: f32,
}

impl WithBytes for OfBytes {
    type Output = f32;

    #[inline(always)]
    fn with_bytes<S: Simd, F: Factors>(self, simd: S, numbers: F) -> f32 {
        Registers { numbers, scale: self.scale }.with_simd(simd)
    }
}

impl<F: Factors> WithSimd for Registers<F> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (scale, shift) = (simd.splat_f32s(self.scale), simd.splat_f32s(0.5));
        let mut sums: [S::f32s; SUMS] = std::array::from_fn(|sum| simd.splat_f32s(sum as f32));
        for _ in 0..DEPTH {
            for sum in &mut sums {
                // the sum is a factor: without a fused instruction, the product of two constants would be computed once
                *sum = self.numbers.multiply_add(simd, *sum, scale, shift);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum::<f32>().min(0.0)
    }
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
        self.linear.tile(simd, self.rows, None, &mut self.tile, &[]);
    }
}
