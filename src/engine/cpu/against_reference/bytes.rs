//! Products of bytes against the same sums of the same bytes in f64. Not here: products of other numbers (`against_reference`).

use super::*;

/// What a product of bytes reads of rows of floats, by the product's own quantisation: each byte times its step, and the step.
fn quantized(context: Context<'_>, linear: &Linear, rows: &[f32]) -> Vec<(f64, f64)> {
    let layout = linear.weight.layout;
    let mut matrix = rows.to_vec();
    linear.weight.numbers.round_all(context, layout.depth, &mut matrix);
    let mut read = Vec::with_capacity(rows.len());
    for row in matrix.chunks_exact(layout.depth) {
        for depths in (0..layout.blocks()).map(|block| layout.depths(block)) {
            let piece = &row[layout.floats(depths.start)..];
            let (step, offset) = (f64::from(piece[0]), f64::from(piece[1]));
            let bytes = piece[layout.head..].iter().flat_map(|float| float.to_bits().to_le_bytes());
            read.extend(bytes.take(depths.len()).map(|byte| (step * f64::from(byte) + offset, step)));
        }
    }
    read
}

/// A weight as a product of bytes reads it.
fn bytes_of(weight: &[f32], depth: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let step = int8::step(row);
        row.iter().map(|x| f32::from(int8::byte(*x, step)) * step).collect::<Vec<f32>>()
    };
    weight.chunks_exact(depth).flat_map(row).collect()
}

/// Compares a product of bytes with the same sums in f64 of the same bytes: it may differ as a product of floats does, for its sums are exact. And each
/// byte stands for its number within half a step.
pub(super) fn check_bytes((rows, depth, out): (usize, usize, usize), bound: f64) {
    let (input, weight, bias) = (numbers(rows * depth, 1), numbers(out * depth, 2), numbers(out, 3));
    let (scale, residual) = (numbers(out, 4), numbers(rows * out, 5));
    let gelu = Some(Activation::Gelu);
    for (instructions, count) in Instructions::available().into_iter().flat_map(|set| [(set, 1), (set, 2)]) {
        let threads = Threads::new(count, THREAD_MEMORY).unwrap();
        let context = Context { instructions, threads: &threads, clock: Clock(None) };
        let linear = linear_of((instructions, Precision::Int8), &weight, &bias, gelu, Some(&scale));
        let what = format!("{rows} rows of {depth} to {out}, {instructions}, {count} threads");
        let read = quantized(context, &linear, &input);
        for (x, (found, step)) in input.iter().zip(&read) {
            assert!((f64::from(*x) - found).abs() <= 0.5001 * step, "{what}: {x} as {found}, in steps of {step}");
        }
        let map =
            Map { values: read.into_iter().map(|(x, _)| x).collect(), ..Map::new(Shape::map(1, rows, depth), &input) };
        let added = Map::new(Shape::map(1, rows, out), &residual);
        let expected = reference::linear(&map, &bytes_of(&weight, depth), &bias, gelu, Some(&scale), Some(&added));
        let mut shared = Aligned::zeros(linear.shared_memory(count)).unwrap();
        let mut found = vec![f32::NAN; rows * out];
        linear.run(context, 0, &input, Some(&residual), &mut shared, &mut found);
        for (index, (found, expected)) in found.iter().zip(&expected.values).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error <= bound, "{what}: element {index} is {found} where its twin gives {expected}");
        }
    }
}

#[test]
fn products_of_bytes() {
    for (rows, depth, out) in [
        (1, 16, 1),
        (50, 40, 160),
        (49, 96, 33),
        (143, 48, 200),
        (5, 801, 37),
        (6, 1600, 70),
        (1, 768, 1000),
        (33, 100, 16),
    ] {
        check_bytes((rows, depth, out), if depth > 96 { 4e-5 } else { 1e-5 });
    }
}

#[test]
fn products_of_bytes_hide_nothing_that_is_not_finite() {
    let (weight, bias) = (numbers(20 * 900, 2), numbers(20, 3));
    for instructions in Instructions::available() {
        let threads = Threads::new(1, THREAD_MEMORY).unwrap();
        let context = Context { instructions, threads: &threads, clock: Clock(None) };
        let run = |weight: &[f32], input: &[f32]| {
            let linear = linear_of((instructions, Precision::Int8), weight, &bias, None, None);
            let mut shared = Aligned::zeros(linear.shared_memory(1)).unwrap();
            let mut out = vec![0.0; input.len() / 900 * 20];
            linear.run(context, 0, input, None, &mut shared, &mut out);
            out
        };
        for (index, wrong) in [(0, f32::NAN), (700, f32::INFINITY), (899, f32::NEG_INFINITY)] {
            let (mut input, mut broken) = (numbers(2 * 900, 1), weight.clone());
            input[index] = wrong;
            let out = run(&weight, &input);
            assert!(out[..20].iter().all(|x| !x.is_finite()), "{instructions}: {wrong} at {index}: {out:?}");
            assert!(out[20..].iter().all(|x| x.is_finite()), "{instructions}: the row beside it");
            broken[index] = wrong;
            let out = run(&broken, &numbers(900, 1));
            assert!(!out[0].is_finite() && out[1].is_finite(), "{instructions}: {wrong} in the weight: {out:?}");
        }
        // a row of zeros has no range
        assert_eq!(run(&weight, &[0.0; 900]), bias, "{instructions}");
    }
}
