//! Recipes of weights on small tensors.

use super::*;

/// Tensors by name.
struct Tensors(&'static [(&'static str, &'static [f32])]);

impl WeightSource for Tensors {
    fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError> {
        let missing = || WeightError::Missing { source_name: "the test".into(), tensor: name.into() };
        let (_, values) = self.0.iter().find(|(known, _)| *known == name).ok_or_else(missing)?;
        into.copy_from_slice(values);
        Ok(())
    }
}

fn stored(name: &str, shape: &[usize], order: Order) -> Box<Recipe> {
    Box::new(Recipe::Stored { name: name.into(), shape: shape.to_vec(), order })
}

#[test]
fn channels_last_moves_the_input_channels_behind_the_places() {
    // [o = 2, i = 2, h = 1, w = 2], named by o, i and w
    let source = Tensors(&[("w", &[000., 001., 010., 011., 100., 101., 110., 111.])]);
    let made = stored("w", &[2, 2, 1, 2], Order::ChannelsLast).materialise(&source).unwrap();
    assert_eq!(made, [000., 010., 001., 011., 100., 110., 101., 111.]);
}

#[test]
fn taps_first_moves_the_channels_of_a_depthwise_kernel_behind_its_taps() {
    // [c = 3, 1, h = 2, w = 2], named by c, h and w
    let source = Tensors(&[("w", &[000., 001., 010., 011., 100., 101., 110., 111., 200., 201., 210., 211.])]);
    let made = stored("w", &[3, 1, 2, 2], Order::TapsFirst).materialise(&source).unwrap();
    assert_eq!(made, [000., 100., 200., 001., 101., 201., 010., 110., 210., 011., 111., 211.]);
}

#[test]
fn the_weight_of_unfolded_squares_is_a_row_an_output() {
    // [o = 1, i = 2, h = 2, w = 1], named by i and h
    let source = Tensors(&[("w", &[00., 01., 10., 11.])]);
    let weight = stored("w", &[1, 2, 2, 1], Order::Unfolded);
    assert_eq!(weight.shape(), Ok(vec![1, 4]));
    assert_eq!(weight.materialise(&source).unwrap(), [00., 10., 01., 11.]);
}

#[test]
fn taps_that_are_spread_have_zeros_between_them() {
    let source = Tensors(&[("w", &[1., 2., 3., 4., 10., 20., 30., 40.])]);
    let weight = stored("w", &[2, 1, 2, 2], Order::TapsFirst);
    let spread = Recipe::Spread { weight, step: 2 };
    assert_eq!(spread.shape(), Ok(vec![3, 3, 2]));
    let rows = [[1., 10., 0., 0., 2., 20.], [0.; 6], [3., 30., 0., 0., 4., 40.]];
    assert_eq!(spread.materialise(&source).unwrap(), rows.concat());
    let decl = WeightDecl { name: "w".into(), shape: vec![3, 3, 2], recipe: spread };
    assert_eq!((decl.parameters(), decl.len()), (8, 18));
}

#[test]
fn rows_are_padded_with_zeros() {
    let source = Tensors(&[("w", &[1., 2., 3., 4.])]);
    let padded = Recipe::Padded { weight: stored("w", &[2, 2], Order::Same), columns: 3 };
    assert_eq!(padded.shape(), Ok(vec![2, 3]));
    assert_eq!(padded.materialise(&source).unwrap(), [1., 2., 0., 3., 4., 0.]);
    assert!(Recipe::Padded { weight: stored("w", &[2, 2], Order::Same), columns: 1 }.shape().is_err());
}

#[test]
fn a_stem_of_one_channel_reads_the_first_of_three() {
    let source = Tensors(&[("w", &[1., 2., 3., 4.])]);
    let stem = Recipe::OneChannel(stored("w", &[2, 1, 1, 2], Order::ChannelsLast));
    assert_eq!(stem.shape(), Ok(vec![2, 1, 2, 3]));
    assert_eq!(stem.materialise(&source).unwrap(), [1., 0., 0., 2., 0., 0., 3., 0., 0., 4., 0., 0.]);
}

#[test]
fn a_folded_scale_is_repeated_for_each_place_of_a_patch() {
    // two outputs of a patch of two positions with two channels; stored [o, i, h, w]
    let source = Tensors(&[("w", &[1., 2., 3., 4., 5., 6., 7., 8.]), ("s", &[10., 100.])]);
    let (weight, scale) = (stored("w", &[2, 2, 1, 2], Order::ChannelsLast), stored("s", &[2], Order::Same));
    let made = Recipe::ScaleColumns { weight, scale }.materialise(&source).unwrap();
    assert_eq!(made, [10., 300., 20., 400., 50., 700., 60., 800.]);
}

#[test]
fn a_folded_shift_adds_its_product_to_the_bias() {
    let source = Tensors(&[("w", &[1., 2., 3., 4., 5., 6., 7., 8.]), ("t", &[10., 100.]), ("b", &[0.5, 0.25])]);
    let weight = stored("w", &[2, 2, 1, 2], Order::ChannelsLast);
    let (bias, shift) = (stored("b", &[2], Order::Same), stored("t", &[2], Order::Same));
    let made = Recipe::AddProduct { bias, weight, shift }.materialise(&source).unwrap();
    // positions (1, 3) and (2, 4) of the first output, (5, 7) and (6, 8) of the second
    assert_eq!(made, [0.5 + 10. * 3. + 100. * 7., 0.25 + 10. * 11. + 100. * 15.]);
}

#[test]
fn a_tensor_that_is_missing_deep_in_a_recipe_is_named() {
    let source = Tensors(&[("w", &[1., 2.]), ("b", &[0.])]);
    let [weight, bias, shift] =
        [("w", vec![1, 2]), ("b", vec![1]), ("t", vec![2])].map(|(n, s)| stored(n, &s, Order::Same));
    let error = Recipe::AddProduct { bias, weight, shift }.materialise(&source).unwrap_err();
    assert_eq!(error.to_string(), "the test has no tensor t");
}

#[test]
fn random_weights_are_the_same_for_the_same_seed_and_name_only() {
    let mut program = Program::new("a", "a", crate::program::InputSpec::imagenet(8));
    for name in ["x.weight", "y.weight", "y.scale", "y.bias"] {
        let recipe = *stored(name, &[64, 48], Order::Same);
        program.declare(WeightDecl { name: name.into(), shape: vec![64, 48], recipe });
    }
    let read = |seed, name| {
        let mut values = vec![0.0; 64 * 48];
        RandomWeights::new(&program, seed).read(name, &mut values).map(|()| values)
    };
    let x = read(1, "x.weight").unwrap();
    assert_eq!(x, read(1, "x.weight").unwrap());
    assert_ne!(x, read(2, "x.weight").unwrap());
    assert_ne!(x, read(1, "y.weight").unwrap());
    // a sum over the fan-in of 48 has a variance of one; scales stand about one
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let squares: Vec<f32> = x.iter().map(|w| w * w * 48.0).collect();
    assert!(mean(&x).abs() < 0.01 && (mean(&squares) - 1.0).abs() < 0.05, "{} {}", mean(&x), mean(&squares));
    assert!((mean(&read(1, "y.scale").unwrap()) - 1.0).abs() < 0.01);
    assert!(matches!(read(1, "z"), Err(WeightError::Missing { tensor, .. }) if tensor == "z"));
}
