//! Functions of each number, and a weight that is added to every image's map. Not here: GELU, which is a part of products.

use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::tile::Grid;
use crate::program::Function;

/// Numbers of a task.
const TASK: usize = 1 << 14;

/// What becomes of each number.
pub(crate) enum Pointwise {
    Activate(Function),
    /// With what is added to each map.
    Offset(Vec<f32>),
}

impl Pointwise {
    /// Computes the maps of all images.
    pub(crate) fn run(&self, context: Context<'_>, input: &[f32], output: &mut [f32]) {
        let grid = Grid { rows: 1, columns: output.len(), tile_rows: 1, tile_columns: TASK };
        grid.each(context.threads, output, |mut tile, _| {
            let stopwatch = context.clock.start();
            let range = tile.column_range();
            let numbers = tile.row(0).iter_mut().zip(&input[range.clone()]);
            match self {
                Self::Activate(function) => numbers.for_each(|(y, x)| *y = value(*function, *x)),
                Self::Offset(weight) => {
                    let weight = weight.iter().cycle().skip(range.start % weight.len());
                    numbers.zip(weight).for_each(|((y, x), weight)| *y = x + weight);
                }
            }
            stopwatch.stop(0);
        });
    }
}

/// A function of one number.
fn value(function: Function, x: f32) -> f32 {
    match function {
        Function::GeluTanh => x * logistic(1.595_769 * (x + 0.044_715 * x * x * x)),
        Function::Silu => x * logistic(x),
        Function::Relu if x < 0.0 => 0.0,
        // what is no number stays none
        Function::Relu => x,
    }
}

/// `1 / (1 + e^−x)`
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
