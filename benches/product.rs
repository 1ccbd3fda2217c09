//! Our matrix product against the `gemm` crate's, on the shapes of a network and on one thread.
//!
//!     cargo bench --bench product -- --model convnext_tiny
//!
//! Ours is measured in the network, by the engine's profile: with its epilogue (bias, GELU, scale, residual), and with rows that other
//! operations have just written. gemm gets operands that nothing else touches, and no epilogue. Both take turns in one run.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever builds the engine")]

use std::collections::BTreeMap;
use std::time::Instant;

use clap::Parser;
use convnext_server::engine::{Batch, DeviceId, Engine, Image, Options, PixelFormat, Precision, cpu::Cpu};
use convnext_server::model::Spec;
use convnext_server::program::{InputSpec, Op, Program, RandomWeights};

const SIDE: usize = 224;
const GREY: &[u8] = &[128; SIDE * SIDE * 3];

#[derive(Parser)]
struct Args {
    /// An architecture, with random weights
    #[arg(long, default_value = "convnext_tiny")]
    model: String,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows, depth, columns.
type Shape = [usize; 3];

fn main() {
    let args = Args::parse();
    let program = Spec::published(&args.model).unwrap().program(InputSpec::imagenet(SIDE)).unwrap();
    let shapes = shapes(&program, args.batch);
    let options = Options { precision: Precision::F32, max_batch: args.batch, threads: 1, profile: true };
    let loaded = Cpu::default().load(DeviceId(0), &program, &RandomWeights::new(&program, 0), &options).unwrap();
    let mut engine = loaded.instantiate().unwrap();
    let batch = || -> Batch { (0..args.batch).map(|_| Image::new(PixelFormat::Rgb8, GREY)).collect() };
    let mut speeds: BTreeMap<Shape, Vec<[f64; 2]>> = BTreeMap::new();
    for round in 0..=args.rounds {
        let before = engine.profile();
        for _ in 0..3 {
            engine.run(batch()).unwrap();
        }
        // time and operations of all layers of a shape
        let mut ours: BTreeMap<Shape, (f64, f64)> = BTreeMap::new();
        for (index, op) in engine.profile().iter().enumerate() {
            let Some(shape) = shapes.get(&op.name).filter(|_| op.kind.starts_with("linear")) else { continue };
            let earlier = before.get(index).map_or(0.0, |op| op.busy.as_secs_f64());
            let sums = ours.entry(*shape).or_default();
            sums.0 += op.busy.as_secs_f64() - earlier;
            sums.1 += 3.0 * 2.0 * shape.iter().product::<usize>() as f64;
        }
        for (shape, (seconds, operations)) in ours {
            // the first round is the warm-up
            if round > 0 {
                speeds.entry(shape).or_default().push([operations / seconds, gemm(shape)]);
            }
        }
    }
    println!(
        "rows × depth × columns, GFLOP/s on one thread: ours in the network, gemm alone, ratio (medians of {} rounds)",
        args.rounds
    );
    for ([rows, depth, columns], rounds) in speeds {
        let median = |of: fn(&[f64; 2]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (ours, gemm, ratio) = (median(|[ours, _]| *ours), median(|[_, gemm]| *gemm), median(|[a, b]| a / b));
        println!("{rows:5} × {depth:4} × {columns:4}  {:6.1} {:6.1}  {ratio:.2}", ours / 1e9, gemm / 1e9);
    }
}

/// The shapes of the linear layers inside the blocks, by name.
fn shapes(program: &Program, batch: usize) -> BTreeMap<String, Shape> {
    let linear = program.ops.iter().filter_map(|(name, op)| match op {
        Op::Linear(op) if program.shape(op.input).rows() > 1 => {
            let (input, output) = (program.shape(op.input), program.shape(op.output));
            Some((name.clone(), [batch * input.rows(), input.channels, output.channels]))
        }
        _ => None,
    });
    linear.collect()
}

/// Floating-point operations per second of `gemm`, with row-major matrices. The weight is `[columns, depth]`, as programs declare it.
fn gemm([rows, depth, columns]: Shape) -> f64 {
    let (input, weight) = (vec![0.5_f32; rows * depth], vec![0.25_f32; columns * depth]);
    let mut output = vec![0.0_f32; rows * columns];
    let operations = 2.0 * (rows * depth * columns) as f64;
    let times = (1e9 / operations) as usize + 1;
    let mut run = || {
        #[allow(unsafe_code, reason = "the crate's entry takes pointers")]
        // SAFETY: the strides span exactly the three vectors, of which only the output is written.
        unsafe {
            gemm_f32::gemm::f32::get_gemm_fn()(
                rows,
                columns,
                depth,
                output.as_mut_ptr(),
                1,
                columns as isize,
                false,
                input.as_ptr(),
                1,
                depth as isize,
                weight.as_ptr(),
                depth as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm_common::Parallelism::None,
            );
        }
        std::hint::black_box(&mut output);
    };
    run();
    let began = Instant::now();
    (0..times).for_each(|_| run());
    times as f64 * operations / began.elapsed().as_secs_f64()
}
