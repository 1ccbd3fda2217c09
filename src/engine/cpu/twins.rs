//! Each fast kernel against its naive twin in `engine/reference`, on shapes that end inside vectors, tiles and maps.

use super::depthwise::Depthwise;
use super::grn::Grn;
use super::linear::Linear;
use super::maps::Maps;
use super::norm::Norm;
use super::patchify::Gather;
use super::pool;
use super::threads::Threads;
use crate::engine::reference::{self, Map};
use crate::program::{Activation, Shape};

const IMAGES: usize = 2;

/// Numbers of about one, the same for the same seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

/// Runs a kernel on two images and holds each output against the twin's: every element within `bound` of it.
fn compare(
    what: &str,
    input: Shape,
    bound: f64,
    kernel: impl Fn(&Threads, Maps<'_>, &mut [f32]),
    twin: impl Fn(usize, &Map) -> Map,
) {
    let values = numbers(IMAGES * input.len(), 1);
    let image = |image: usize| Map::new(input, &values[image * input.len()..][..input.len()]);
    let expected: Vec<f64> = (0..IMAGES).flat_map(|i| twin(i, &image(i)).values).collect();
    for threads in [Threads::Caller, Threads::new(2).unwrap()] {
        let mut output = vec![f32::NAN; expected.len()];
        kernel(&threads, Maps::Buffer(&values, input.len()), &mut output);
        for (index, (found, expected)) in output.iter().zip(&expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= bound, "{what}: element {index} is {found} where its twin gives {expected}");
        }
    }
}

#[test]
fn depthwise() {
    for (shape, kernel) in [
        (Shape::map(9, 8, 40), 7),
        (Shape::map(5, 40, 31), 3),
        (Shape::map(3, 2, 5), 7),
        (Shape::map(1, 1, 17), 5),
        (Shape::map(4, 3, 1), 1),
    ] {
        let channels = shape.channels;
        let (weight, bias) = (numbers(kernel * kernel * channels, 2), numbers(channels, 3));
        let plain = Depthwise::new(shape, kernel, &weight, bias.clone(), None);
        let what = format!("{kernel}×{kernel} on {shape}");
        let twin = |_, input: &Map| reference::depthwise(input, kernel, &weight, &bias);
        compare(&what, shape, 1e-5, |threads, input, out| plain.run(threads, IMAGES, input, out), twin);
        if channels > 2 {
            let normed = Depthwise::new(shape, kernel, &weight, bias.clone(), Some(Norm::new(1e-6, None)));
            let twin = |image, input: &Map| reference::norm(&twin(image, input), None, 1e-6);
            compare(&what, shape, 2e-5, |threads, input, out| normed.run(threads, IMAGES, input, out), twin);
        }
    }
}

#[test]
fn norm() {
    for shape in [Shape::map(13, 11, 40), Shape::map(2, 3, 7), Shape::vector(768), Shape::map(1, 2, 2816)] {
        let (rows, channels) = (shape.rows(), shape.channels);
        let (scale, shift) = (numbers(channels, 2), numbers(channels, 3));
        for affine in [false, true] {
            let kernel = Norm::new(1e-6, affine.then(|| (scale.clone(), shift.clone())));
            let twin = |_, input: &Map| reference::norm(input, affine.then_some((&scale[..], &shift[..])), 1e-6);
            let run = |threads: &Threads, input: Maps<'_>, out: &mut [f32]| {
                kernel.run(threads, (IMAGES, rows, channels), input, out);
            };
            compare(&format!("norm of {shape}"), shape, 5e-6, run, twin);
        }
    }
}

#[test]
fn a_norm_of_numbers_far_from_zero_keeps_their_differences() {
    // a mean of squares less the square of the mean would lose all of a deviation of 1 about 4096
    let mut channels: Vec<f32> = (0..96).map(|i| 4096.0 + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    Norm::new(1e-6, None).place(&mut channels);
    let worst = channels.iter().map(|x| (x.abs() - 1.0).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn linear() {
    for (height, width, depth, out) in [(7, 7, 48, 200), (13, 11, 40, 33), (1, 1, 96, 1000), (2, 2, 3, 1), (1, 1, 1, 5)]
    {
        let (input, output) = (Shape::map(height, width, depth), Shape::map(height, width, out));
        let (weight, bias, scale) = (numbers(out * depth, 2), numbers(out, 3), numbers(out, 4));
        let residuals = numbers(IMAGES * output.len(), 5);
        for (gelu, scaled, added) in
            [(false, false, false), (true, false, false), (false, true, true), (true, true, true)]
        {
            let activation = gelu.then_some(Activation::Gelu);
            let kernel = Linear::new(input.rows(), &weight, bias.clone(), activation, scaled.then(|| scale.clone()));
            let residual = added.then_some(Maps::Buffer(&residuals, output.len()));
            let run = |threads: &Threads, input: Maps<'_>, out: &mut [f32]| {
                kernel.run(threads, IMAGES, input, residual, out);
            };
            let twin = |image: usize, input: &Map| {
                let residual = Map::new(output, &residuals[image * output.len()..][..output.len()]);
                let scale = scaled.then_some(&scale[..]);
                reference::linear(input, &weight, &bias, activation, scale, added.then_some(&residual))
            };
            compare(&format!("{input} to {out}, gelu {gelu}, scale {scaled}"), input, 1e-5, run, twin);
        }
    }
}

#[test]
fn patchify() {
    for (shape, size, out) in
        [(Shape::map(33, 38, 3), 4, 40), (Shape::map(7, 5, 24), 2, 50), (Shape::map(3, 3, 2), 1, 3)]
    {
        let columns = size * size * shape.channels;
        let rows = (shape.height / size) * (shape.width / size);
        let (weight, bias) = (numbers(out * columns, 2), numbers(out, 3));
        let (gather, linear) = (Gather::new(shape, size), Linear::new(rows, &weight, bias.clone(), None, None));
        let run = |threads: &Threads, input: Maps<'_>, out: &mut [f32]| {
            let mut patches = vec![f32::NAN; IMAGES * rows * columns];
            gather.run(threads, IMAGES, input, &mut patches);
            linear.run(threads, IMAGES, Maps::Buffer(&patches, rows * columns), None, out);
        };
        let twin = |_, input: &Map| reference::patchify(input, size, &weight, &bias);
        compare(&format!("patches of {size} on {shape}"), shape, 1e-5, run, twin);
    }
}

#[test]
fn grn() {
    for shape in [Shape::map(13, 11, 160), Shape::map(1, 1, 5), Shape::map(2, 3, 65)] {
        let (scale, shift) = (numbers(shape.channels, 2), numbers(shape.channels, 3));
        let kernel = Grn::new(1e-6, scale.clone(), shift.clone());
        let run = |threads: &Threads, input: Maps<'_>, out: &mut [f32]| {
            let mut factors = vec![f32::NAN; IMAGES * shape.channels];
            kernel.run(threads, (IMAGES, shape.rows()), input, &mut factors, out);
        };
        let twin = |_, input: &Map| reference::grn(input, &scale, &shift, 1e-6);
        compare(&format!("grn of {shape}"), shape, 2e-6, run, twin);
    }
}

#[test]
fn mean() {
    for shape in [Shape::map(7, 7, 768), Shape::map(1, 1, 3), Shape::map(5, 2, 65)] {
        let (rows, channels) = (shape.rows(), shape.channels);
        let run = |threads: &Threads, input: Maps<'_>, out: &mut [f32]| {
            pool::mean(threads, (IMAGES, rows, channels), input, out);
        };
        compare(&format!("mean of {shape}"), shape, 1e-6, run, |_, input| reference::pool(input));
    }
}
