//! Attention in windows against its naive twin. Not here: the products that it is made of (`against_reference`).

use super::*;

/// Compares attention with its twin, in floats and in pairs. Outputs are averages of values of at most one, so that errors come from the rounding of scores; those of
/// pairs from that of queries, keys, exponentials and values, each within 1/256.
fn check_attention(images: usize, (height, width): (usize, usize), (heads, dim): (usize, usize), windows: Windows) {
    let map = Shape::map(height, width, heads * dim);
    let table = numbers(windows.differences() * heads, 2);
    let padding = if windows.pads(map) { numbers(3 * map.channels, 3) } else { Vec::new() };
    let fast = |precision: Precision, context: Context<'_>, input: &[f32], out: &mut [f32]| {
        let geometry = Arc::new(Geometry::new(context.instructions, map, &windows).unwrap());
        let of = (map.channels, heads);
        let compiled = compiled(context.instructions, precision);
        Attention::new(compiled, geometry, of, &table, padding.clone()).unwrap().run(context, input, out);
    };
    let twin = |_, input: &Map| {
        reference::attention(input, heads, &windows, &table, Some(&padding[..]).filter(|padding| !padding.is_empty()))
    };
    let input = Shape { channels: 3 * map.channels, ..map };
    for (precision, bound) in [(Precision::F32, 5e-6), (Precision::Bf16, 2e-2)] {
        let what = format!("{windows:?} on {images} of {map}, {heads} heads, {precision:?}");
        let fast = |context: Context<'_>, input: &[f32], out: &mut [f32]| fast(precision, context, input, out);
        compare(&what, (images, input), bound, fast, twin);
    }
}

/// An instruction set and the numbers of attention's products in a precision.
fn compiled(instructions: Instructions, precision: Precision) -> (Instructions, Numbers) {
    (instructions, Numbers::of(instructions, precision).of_attention(instructions))
}

#[test]
fn attention() {
    let square = |size: usize, shift: usize, pads_first| Windows { size: [size; 2], shift: [shift; 2], pads_first };
    check_attention(2, (14, 14), (3, 32), square(7, 3, false));
    check_attention(1, (7, 7), (5, 32), square(7, 0, false));
    check_attention(1, (10, 9), (2, 16), square(4, 2, true));
    check_attention(1, (10, 9), (2, 16), square(4, 2, false));
    check_attention(1, (12, 24), (1, 24), square(12, 6, false));
    check_attention(3, (5, 3), (2, 5), Windows { size: [5, 2], shift: [0, 1], pads_first: false });
    check_attention(1, (1, 1), (1, 1), square(1, 0, false));
}

#[test]
fn attention_hides_nothing_that_is_not_finite() {
    let (map, windows) = (Shape::map(4, 4, 8), Windows { size: [4, 4], shift: [0, 0], pads_first: false });
    let output = |(instructions, precision): (Instructions, Precision), values: &[f32], table: &[f32]| {
        let (threads, mut out) = (Threads::new(1, THREAD_MEMORY).unwrap(), vec![0.0; map.len()]);
        let geometry = Arc::new(Geometry::new(instructions, map, &windows).unwrap());
        let context = Context { instructions, threads: &threads, clock: Clock(None) };
        let compiled = compiled(instructions, precision);
        Attention::new(compiled, geometry, (8, 2), table, Vec::new()).unwrap().run(context, values, &mut out);
        out
    };
    let (values, table) = (numbers(3 * map.len(), 1), numbers(49 * 2, 2));
    let sets = Instructions::available().into_iter();
    for set in sets.flat_map(|set| [(set, Precision::F32), (set, Precision::Bf16)]) {
        assert!(output(set, &values, &table).iter().all(|x| x.is_finite()), "{set:?}");
        // a query, a key and a value of the first pixel and head; a product that overflows; below, a bias
        for (index, wrong) in [(0, f32::NAN), (8, f32::NAN), (16, f32::NAN), (0, f32::INFINITY), (8, 1e38)] {
            let mut values = values.clone();
            values[index] = wrong;
            if wrong == 1e38 {
                values[0] = 1e38;
            }
            let out = output(set, &values, &table);
            assert!(!out[0].is_finite(), "{set:?}, {wrong} at {index}: {out:?}");
        }
        let mut table = table.clone();
        table[24 * 2] = f32::NAN; // of a pixel and itself
        assert!(output(set, &values, &table)[0].is_nan(), "{set:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn attention_of_any_size(
        (images, height, width, heads, dim) in (1usize..=3, 1usize..=12, 1usize..=12, 1usize..=3, 1usize..=40),
        (down, across, shift_down, shift_across, pads_first) in (1usize..=8, 1usize..=8, 0usize..8, 0usize..8, any::<bool>()),
    ) {
        let size = [down.min(height), across.min(width)];
        let shift = [shift_down % size[0], shift_across % size[1]];
        check_attention(images, (height, width), (heads, dim), Windows { size, shift, pads_first });
    }
}
