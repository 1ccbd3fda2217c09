//! Each fast kernel against its naive twin in `engine/reference`: with every instruction set of this machine, and on shapes that end
//! inside vectors, panels, tiles and maps. Not here: whole networks (`tests/engines`).

mod attention;
mod bytes;

use std::sync::Arc;

use proptest::prelude::*;

use crate::engine::Precision;
use crate::engine::cpu::fused::block::Block;
use crate::engine::cpu::fused::maps::Maps;
use crate::engine::cpu::fused::projection::Projection;
use crate::engine::cpu::fused::source::{Merge, Patches, Source, Unfold};
use crate::engine::cpu::operations::attention::{Attention, Geometry};
use crate::engine::cpu::operations::depthwise::Depthwise;
use crate::engine::cpu::operations::grn::Grn;
use crate::engine::cpu::operations::linear::Linear;
use crate::engine::cpu::operations::norm::Norm;
use crate::engine::cpu::operations::pointwise::Pointwise;
use crate::engine::cpu::operations::pool;
use crate::engine::cpu::parallel::clock::Clock;
use crate::engine::cpu::parallel::context::Context;
use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::product::epilogue::Epilogue;
use crate::engine::cpu::product::numbers::Numbers;
use crate::engine::cpu::product::packed::PackedWeight;
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::cpu::simd::bf16::rounded;
use crate::engine::cpu::simd::instructions::Instructions;
use crate::engine::reference::{self, Map};
use crate::program::{Activation, Function, NormKind, Shape, Squares, Windows, int8};

/// Floats of memory per thread: enough for a strip of any kernel of these tests.
const THREAD_MEMORY: usize = 1 << 20;

/// Numbers from −1 to 1, the same for the same seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

/// Compares a kernel with its twin on `images` images: each element must be within `bound` of the twin's.
fn compare(
    what: &str,
    (images, input): (usize, Shape),
    bound: f64,
    kernel: impl Fn(Context<'_>, &[f32], &mut [f32]),
    twin: impl Fn(usize, &Map) -> Map,
) {
    let values = numbers(images * input.len(), 1);
    let image = |image: usize| Map::new(input, &values[image * input.len()..][..input.len()]);
    let expected: Vec<f64> = (0..images).flat_map(|i| twin(i, &image(i)).values).collect();
    for instructions in Instructions::available() {
        for count in [1, 2] {
            let threads = Threads::new(count, THREAD_MEMORY).unwrap();
            let mut output = vec![f32::NAN; expected.len()];
            kernel(Context { instructions, threads: &threads, clock: Clock(None) }, &values, &mut output);
            for (index, (found, expected)) in output.iter().zip(&expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(
                    error <= bound,
                    "{what}, {instructions}, {count} threads: element {index} is {found} where its twin gives {expected}"
                );
            }
        }
    }
}

/// Both precisions of products.
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Numbers as products take them.
fn taken(precision: Precision, numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|x| if precision == Precision::F32 { *x } else { rounded(*x) }).collect()
}

/// A map as products take it. Its elements must be f32.
fn taken_map(precision: Precision, map: &Map) -> Map {
    let values: Vec<f32> = map.values.iter().map(|x| *x as f32).collect();
    Map { values: taken(precision, &values).into_iter().map(f64::from).collect(), ..map.clone() }
}

fn linear_of(
    (instructions, precision): (Instructions, Precision),
    weight: &[f32],
    bias: &[f32],
    activation: Option<Activation>,
    scale: Option<&[f32]>,
) -> Linear {
    let depth = weight.len() / bias.len();
    let scale = scale.map(<[f32]>::to_vec);
    let epilogue = Epilogue { bias: bias.to_vec(), activation, scale };
    let numbers = Numbers::of(instructions, precision);
    Linear { weight: PackedWeight::pack(instructions, numbers, weight, depth).unwrap(), epilogue }
}

/// Compares a depthwise convolution, alone and with its norm, with its twin.
fn check_depthwise(images: usize, shape: Shape, kernel: usize, normed_bound: f64) {
    let channels = shape.channels;
    let (weight, bias) = (numbers(kernel * kernel * channels, 2), numbers(channels, 3));
    let what = format!("{kernel}×{kernel} on {images} of {shape}");
    let twin = |input: &Map| reference::depthwise(input, kernel, &weight, &bias);
    let fast = |context: Context<'_>, norm, input: &[f32], out: &mut [f32]| {
        let depthwise = Depthwise::new(context.instructions, (shape, kernel), &weight, &bias, norm).unwrap();
        Source::Depthwise(depthwise).run(context, Numbers::F32, Maps::new(input, shape.len()), out);
    };
    compare(
        &what,
        (images, shape),
        1e-5,
        |context, input, out| fast(context, None, input, out),
        |_, input| twin(input),
    );
    if channels > 2 {
        let norm = || Some(Norm::new(NormKind::Layer, 1e-6, None));
        let normed = |input: &Map| reference::norm(&twin(input), NormKind::Layer, None, 1e-6);
        compare(
            &what,
            (images, shape),
            normed_bound,
            |context, input, out| fast(context, norm(), input, out),
            |_, input| normed(input),
        );
    }
}

/// Compares a whole block with its twins.
fn check_block(images: usize, shape: Shape, hidden: usize) {
    let channels = shape.channels;
    let (taps, taps_bias) = (numbers(49 * channels, 2), numbers(channels, 3));
    let (first, first_bias) = (numbers(hidden * channels, 4), numbers(hidden, 5));
    let (second, second_bias, scale) = (numbers(hidden * channels, 6), numbers(channels, 7), numbers(channels, 8));
    let gelu = Some(Activation::Gelu);
    let fast = |precision: Precision, context: Context<'_>, input: &[f32], out: &mut [f32]| {
        let norm = Some(Norm::new(NormKind::Layer, 1e-6, None));
        let block = Block {
            source: Source::Depthwise(
                Depthwise::new(context.instructions, (shape, 7), &taps, &taps_bias, norm).unwrap(),
            ),
            expand: linear_of((context.instructions, precision), &first, &first_bias, gelu, None),
            project: linear_of((context.instructions, precision), &second, &second_bias, None, Some(&scale)),
        };
        let mut shared = Aligned::zeros(block.shared_memory(context.threads.count())).unwrap();
        block.run(context, Maps::new(input, shape.len()), &mut shared, out);
    };
    let twin = |_, input: &Map| {
        let normed = reference::norm(&reference::depthwise(input, 7, &taps, &taps_bias), NormKind::Layer, None, 1e-6);
        let expanded = reference::linear(&normed, &first, &first_bias, gelu, None, None);
        reference::linear(&expanded, &second, &second_bias, None, Some(&scale), Some(input))
    };
    // sums of `hidden` products of about one, whose errors the norm may have magnified
    let bound = 2e-5 * (hidden as f64 * channels as f64).sqrt().max(10.0);
    let what = format!("block of {hidden} on {images} of {shape}");
    compare(&what, (images, shape), bound, |context, input, out| fast(Precision::F32, context, input, out), twin);

    // in bf16 the rows and the weight of each product are rounded, each number by at most half a unit: 2⁻⁸ of itself
    let allowed = 4.0_f64.sqrt() * 2.0_f64.powi(-8);
    let input = numbers(images * shape.len(), 1);
    let image = |image: usize| Map::new(shape, &input[image * shape.len()..][..shape.len()]);
    let expected: Vec<f64> = (0..images).flat_map(|i| twin(i, &image(i)).values).collect();
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let made = norm(&mut expected.iter().zip(&input).map(|(y, x)| y - f64::from(*x)));
    // in int8 each of the four has an error of at most half a step, evenly distributed: 1/√12 of a step. A step is a 127th of the range, where a row has 7 bits, and
    // the range of numbers that are normed is eight deviations at most
    let allowed_in_bytes = 4.0_f64.sqrt() * 8.0 / 127.0 / 12.0_f64.sqrt();
    for (instructions, count) in Instructions::available().into_iter().flat_map(|set| [(set, 1), (set, 2)]) {
        for (precision, allowed) in [(Precision::Bf16, allowed), (Precision::Int8, allowed_in_bytes)] {
            let (threads, mut output) = (Threads::new(count, THREAD_MEMORY).unwrap(), vec![f32::NAN; expected.len()]);
            fast(precision, Context { instructions, threads: &threads, clock: Clock(None) }, &input, &mut output);
            let error = norm(&mut output.iter().zip(&expected).map(|(found, y)| f64::from(*found) - y)) / made;
            assert!(error <= allowed, "{what}, {precision}, {instructions}, {count} threads: {error:.1e}");
        }
    }
}

#[test]
fn depthwise() {
    for (shape, kernel) in [
        (Shape::map(9, 8, 40), 7),
        (Shape::map(14, 14, 33), 7),
        (Shape::map(5, 40, 31), 3),
        (Shape::map(3, 2, 5), 7),
        (Shape::map(1, 1, 17), 5),
        (Shape::map(4, 3, 1), 1),
    ] {
        check_depthwise(2, shape, kernel, 2e-5);
    }
}

#[test]
fn block() {
    for (images, shape, hidden) in [
        (1, Shape::map(1, 1, 8), 32),
        (2, Shape::map(7, 7, 48), 192),
        (1, Shape::map(16, 16, 40), 160),
        (3, Shape::map(5, 9, 33), 70),
        (1, Shape::map(6, 7, 24), 800),
        (1, Shape::map(6, 7, 800), 24),
    ] {
        check_block(images, shape, hidden);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn depthwise_of_any_size(
        (images, height, width, channels, half) in (1usize..=9, 1usize..=9, 1usize..=17, 1usize..=70, 0usize..=4),
    ) {
        // a norm of few, nearly equal channels magnifies the convolution's rounding
        check_depthwise(images, Shape::map(height, width, channels), 2 * half + 1, 1e-4);
    }

    #[test]
    fn linear_of_any_size(
        (rows, depth, out, gelu) in (1usize..=150, 1usize..=1000, 1usize..=80, any::<bool>()),
        precision in prop::sample::select(&PRECISIONS[..]),
    ) {
        let input = Shape::map(1, rows, depth);
        let (weight, bias) = (numbers(out * depth, 2), numbers(out, 3));
        let activation = gelu.then_some(Activation::Gelu);
        let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
            let linear = linear_of((context.instructions, precision), &weight, &bias, activation, None);
            let mut shared = Aligned::zeros(linear.shared_memory(context.threads.count())).unwrap();
            linear.run(context, 0, input, None, &mut shared, out);
        };
        let weight = taken(precision, &weight);
        let twin =
            |_, input: &Map| reference::linear(&taken_map(precision, input), &weight, &bias, activation, None, None);
        // a sum of k products of numbers from -1 to 1 is about sqrt(k) / 3, and here at most three times that. Each addition
        // rounds by 2⁻²⁴ of the sum
        let rounding = 2f64.powi(-24) * 2.0 / 3.0 * (depth as f64).powf(1.5);
        compare(&format!("{rows} rows of {depth} to {out}, {precision}"), (1, input), 2e-6 + rounding, fast, twin);
    }

    #[test]
    fn products_of_bytes_of_any_size((rows, depth, out) in (1usize..=80, 16usize..=1000, 1usize..=80)) {
        bytes::check_bytes((rows, depth, out), 2e-6 + 2f64.powi(-24) * 2.0 / 3.0 * (depth as f64).powf(1.5));
    }

    #[test]
    fn block_of_any_size(
        (images, height, width, channels, hidden) in (1usize..=9, 1usize..=9, 1usize..=9, 3usize..=70, 1usize..=200),
    ) {
        check_block(images, Shape::map(height, width, channels), hidden);
    }
}

#[test]
fn norm() {
    for shape in [Shape::map(13, 11, 40), Shape::map(2, 3, 7), Shape::vector(768), Shape::map(1, 2, 2816)] {
        let channels = shape.channels;
        let (scale, shift) = (numbers(channels, 2), numbers(channels, 3));
        let kinds = [NormKind::Layer, NormKind::Rms, NormKind::Simple];
        for (kind, affine) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let norm = Norm::new(kind, 1e-6, affine.then(|| (scale.clone(), shift.clone())));
            let kernel = Source::Norm(norm, channels);
            let affine = affine.then_some((&scale[..], &shift[..]));
            let twin = |_, input: &Map| reference::norm(input, kind, affine, 1e-6);
            let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
                kernel.run(context, Numbers::F32, Maps::new(input, shape.len()), out);
            };
            compare(&format!("{kind:?} norm of {shape}"), (2, shape), 5e-6, fast, twin);
        }
    }
}

#[test]
fn a_norm_of_values_far_from_zero_keeps_their_differences() {
    // the mean of squares minus the square of the mean would lose a deviation of 1 from 4096 entirely
    let channels: Vec<f32> = (0..96).map(|i| 4096.0 + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    for instructions in Instructions::available() {
        let (threads, mut out) = (Threads::new(1, 0).unwrap(), vec![0.0; 96]);
        let context = Context { instructions, threads: &threads, clock: Clock(None) };
        Source::Norm(Norm::new(NormKind::Layer, 1e-6, None), 96).run(
            context,
            Numbers::F32,
            Maps::new(&channels, 96),
            &mut out,
        );
        let worst = out.iter().map(|x| (x.abs() - 1.0).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{instructions}: {worst}");
    }
}

#[test]
fn linear() {
    for (height, width, depth, out) in [
        (7, 7, 48, 200),
        (13, 11, 40, 33),
        (1, 1, 96, 1000),
        (2, 2, 3, 1),
        (1, 1, 1, 5),
        (6, 7, 801, 37),
        (2, 3, 513, 70),
    ] {
        let (input, output) = (Shape::map(height, width, depth), Shape::map(height, width, out));
        let (weight, bias, scale) = (numbers(out * depth, 2), numbers(out, 3), numbers(out, 4));
        let residuals = numbers(2 * output.len(), 5);
        for (gelu, scaled, added) in
            [(false, false, false), (true, false, false), (false, true, true), (true, true, true)]
        {
            let activation = gelu.then_some(Activation::Gelu);
            let scale = scaled.then_some(&scale[..]);
            for precision in PRECISIONS {
                let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
                    let linear = linear_of((context.instructions, precision), &weight, &bias, activation, scale);
                    let mut shared = Aligned::zeros(linear.shared_memory(context.threads.count())).unwrap();
                    linear.run(context, 0, input, added.then_some(&residuals[..]), &mut shared, out);
                };
                // products of bf16 are exact in f32: of rounded operands both precisions have the same sums
                let weight = taken(precision, &weight);
                let twin = |image: usize, input: &Map| {
                    let residual = Map::new(output, &residuals[image * output.len()..][..output.len()]);
                    let input = taken_map(precision, input);
                    reference::linear(&input, &weight, &bias, activation, scale, added.then_some(&residual))
                };
                let what = format!("{input} to {out}, {precision}, gelu {gelu}, scaled {scaled}");
                compare(&what, (2, input), if depth > 96 { 4e-5 } else { 1e-5 }, fast, twin);
            }
        }
    }
}

#[test]
fn patchify() {
    for (shape, size, out) in
        [(Shape::map(33, 38, 3), 4, 40), (Shape::map(7, 5, 24), 2, 50), (Shape::map(3, 3, 2), 1, 3)]
    {
        let (weight, bias) = (numbers(out * size * size * shape.channels, 2), numbers(out, 3));
        for (first, last) in [(false, false), (true, false), (false, true)] {
            if first && shape.channels < 3 {
                continue; // a norm of two channels magnifies errors without bound
            }
            let bound = if first || last { 5e-5 } else { 1e-5 };
            // a number that a norm made may lie so near to a tie that its twin rounds to the other side
            for precision in PRECISIONS.into_iter().filter(|precision| *precision == Precision::F32 || !first) {
                let norm = |there: bool| there.then(|| Norm::new(NormKind::Layer, 1e-6, None));
                let fast = |context: Context<'_>, input: &[f32], output: &mut [f32]| {
                    let linear = linear_of((context.instructions, precision), &weight, &bias, None, None);
                    let source = Source::Patches(Patches { input: shape, size, norm: norm(first) });
                    let projection = Projection { source, linear, after: norm(last) };
                    let mut shared = Aligned::zeros(projection.shared_memory(context.threads.count())).unwrap();
                    projection.run(context, Maps::new(input, shape.len()), &mut shared, output);
                };
                let normed = |there: bool, map: Map| {
                    if there { reference::norm(&map, NormKind::Layer, None, 1e-6) } else { map }
                };
                let weight = taken(precision, &weight);
                let twin = |_, input: &Map| {
                    let input = if first {
                        reference::norm(input, NormKind::Layer, None, 1e-6)
                    } else {
                        taken_map(precision, input)
                    };
                    normed(last, reference::patchify(&input, size, &weight, &bias))
                };
                let what = format!("patches of {size} on {shape}, {precision}, norms {first} {last}");
                compare(&what, (2, shape), bound, fast, twin);
            }
        }
    }
}

#[test]
fn grn() {
    for shape in [Shape::map(13, 11, 160), Shape::map(1, 1, 5), Shape::map(2, 3, 65)] {
        let (scale, shift) = (numbers(shape.channels, 2), numbers(shape.channels, 3));
        let kernel = Grn::new(1e-6, scale.clone(), shift.clone());
        let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
            let mut factors = vec![f32::NAN; 2 * shape.channels];
            kernel.run(context, shape.rows(), input, &mut factors, out);
        };
        let twin = |_, input: &Map| reference::grn(input, &scale, &shift, 1e-6);
        compare(&format!("grn of {shape}"), (2, shape), 2e-6, fast, twin);
    }
}

#[test]
fn mean() {
    for shape in [Shape::map(7, 7, 768), Shape::map(1, 1, 3), Shape::map(5, 2, 65)] {
        let (rows, channels) = (shape.rows(), shape.channels);
        let fast =
            |context: Context<'_>, input: &[f32], out: &mut [f32]| pool::mean(context, (rows, channels), input, out);
        compare(&format!("mean of {shape}"), (2, shape), 1e-6, fast, |_, input| reference::pool(input));
    }
}

#[test]
fn merge() {
    for shape in [Shape::map(8, 6, 24), Shape::map(7, 5, 9), Shape::map(1, 1, 3)] {
        let (out, depth) = (shape.channels + 3, 4 * shape.channels);
        let (weight, bias) = (numbers(out * depth, 2), numbers(out, 3));
        let fast = |context: Context<'_>, input: &[f32], output: &mut [f32]| {
            let source = Source::Merge(Merge { input: shape, norm: Some(Norm::new(NormKind::Layer, 1e-5, None)) });
            let projection = Projection {
                source,
                linear: linear_of((context.instructions, Precision::F32), &weight, &bias, None, None),
                after: None,
            };
            let mut shared = Aligned::zeros(projection.shared_memory(context.threads.count())).unwrap();
            projection.run(context, Maps::new(input, shape.len()), &mut shared, output);
        };
        let twin = |_, input: &Map| {
            let normed = reference::norm(&reference::merge(input), NormKind::Layer, None, 1e-5);
            reference::linear(&normed, &weight, &bias, None, None, None)
        };
        compare(&format!("merge of {shape}"), (2, shape), 2e-5, fast, twin);
    }
}

#[test]
fn unfold() {
    for (shape, kernel, stride, dilation, padding) in [
        (Shape::map(15, 12, 3), 3, 2, 1, [1, 1]),
        (Shape::map(7, 9, 17), 3, 1, 1, [1, 1]),
        (Shape::map(5, 4, 8), 2, 1, 2, [1, 1]),
        (Shape::map(9, 14, 5), 7, 2, 1, [3, 3]),
        (Shape::map(6, 5, 4), 2, 1, 1, [0, 1]),
    ] {
        let squares = Squares { kernel, stride, dilation, padding };
        let (out, depth) = (shape.channels + 3, squares.columns(shape.channels));
        let (weight, bias) = (numbers(out * depth, 2), numbers(out, 3));
        let alone = |context: Context<'_>, input: &[f32], output: &mut [f32]| {
            Source::Unfold(Unfold { input: shape, squares }).run(
                context,
                Numbers::F32,
                Maps::new(input, shape.len()),
                output,
            );
        };
        let what = format!("{squares:?} of {shape}");
        compare(&what, (2, shape), 0.0, alone, |_, input| reference::unfold(input, squares));
        let convolved = |context: Context<'_>, input: &[f32], output: &mut [f32]| {
            let source = Source::Unfold(Unfold { input: shape, squares });
            let linear = linear_of((context.instructions, Precision::F32), &weight, &bias, None, None);
            let projection = Projection { source, linear, after: None };
            let mut shared = Aligned::zeros(projection.shared_memory(context.threads.count())).unwrap();
            projection.run(context, Maps::new(input, shape.len()), &mut shared, output);
        };
        let twin =
            |_, input: &Map| reference::linear(&reference::unfold(input, squares), &weight, &bias, None, None, None);
        compare(&what, (2, shape), 2e-5, convolved, twin);
    }
}

#[test]
fn pointwise() {
    for shape in [Shape::map(37, 41, 24), Shape::map(2, 1, 3)] {
        let weight = numbers(shape.len(), 2);
        for function in [Function::GeluTanh, Function::Silu, Function::Relu] {
            let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
                let wide: Vec<f32> = input.iter().map(|x| 8.0 * x).collect();
                Pointwise::Activate(function).run(context, &wide, out);
            };
            let twin = |_, input: &Map| {
                let wide = Map { values: input.values.iter().map(|x| 8.0 * x).collect(), ..input.clone() };
                reference::activate(&wide, function)
            };
            compare(&format!("{function:?} of {shape}"), (2, shape), 4e-6, fast, twin);
        }
        let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| {
            Pointwise::Offset(weight.clone()).run(context, input, out);
        };
        compare(&format!("offset of {shape}"), (2, shape), 1e-7, fast, |_, input| reference::offset(input, &weight));
    }
}
