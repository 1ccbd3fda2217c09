//! Agreement with the reference on networks and inputs that nobody publishes, with random weights.

use convnext_server::engine::reference::Reference;
use convnext_server::model::convnext::{Spec, Stem};
use convnext_server::model::swin;
use convnext_server::program::{Function, InputSpec, NormKind, Program, RandomWeights, fold};
use proptest::prelude::*;

use crate::{Subject, engines, pixels, program, relative_error, run, small_spec, small_swin, swin_program};

/// The relative error of an engine's logits of one program against the reference's of another program of the same network.
fn error(engine: &Subject, found: &Program, expected: &Program, seed: u64) -> f64 {
    let weights = RandomWeights::new(expected, seed);
    let logits = |engine: &Subject, program: &Program| {
        let mut executable = engine.executable(program, &weights, 1);
        run(executable.as_mut(), &[pixels(program, seed as usize % 1000)])
    };
    relative_error(&logits(engine, found), &logits(&Subject::new(Reference::default(), 0.0), expected))
}

/// Compares every engine with the reference.
fn agrees(what: &str, spec: &Spec, height: usize, width: usize) {
    let program = program(spec, height, width);
    for engine in engines() {
        let error = error(&engine, &program, &program, 7);
        assert!(error <= 1e-5, "{what} on {}: {error:.1e}", engine.name());
    }
}

#[test]
fn a_folded_program_gives_the_logits_of_the_unfolded() {
    for grn in [false, true] {
        let program = program(&Spec { grn, ..small_spec() }, 44, 40);
        let folded = fold(&program);
        assert_ne!(folded, program, "something folds");
        folded.check().expect("holds together");
        for engine in engines() {
            let error = error(&engine, &folded, &program, 3);
            assert!(error <= 1e-5, "{}: {error:.1e}", engine.name());
        }
    }
}

#[test]
fn maps_of_one_pixel() {
    agrees("8×8", &small_spec(), 8, 8);
}

#[test]
fn maps_of_one_row_or_one_column() {
    agrees("8×72", &small_spec(), 8, 72);
    agrees("72×8", &small_spec(), 72, 8);
}

#[test]
fn rows_and_columns_beyond_a_multiple_of_the_patch_are_not_read() {
    let spec = small_spec();
    let (whole, cut) = (program(&spec, 47, 43), program(&spec, 44, 40));
    let weights = RandomWeights::new(&whole, 1);
    let large = pixels(&whole, 0);
    let small: Vec<u8> = large.chunks_exact(43 * 3).take(44).flat_map(|row| row[..40 * 3].to_vec()).collect();
    for engine in engines() {
        let logits = |program: &Program, image: &[u8]| {
            let mut executable = engine.executable(program, &weights, 1);
            run(executable.as_mut(), &[image.to_vec()])
        };
        assert_eq!(logits(&whole, &large), logits(&cut, &small), "{}", engine.name());
    }
}

#[test]
fn widths_that_are_not_a_multiple_of_any_vector() {
    agrees("widths 5, 19", &Spec { widths: vec![5, 19], ..small_spec() }, 36, 36);
    agrees("widths 1, 2", &Spec { widths: vec![1, 3], ..small_spec() }, 36, 36);
}

#[test]
fn three_stages_with_kernels_of_3_5_and_7() {
    let spec = Spec { depths: vec![1, 2, 1], widths: vec![12, 20, 36], kernels: vec![3, 5, 7], ..small_spec() };
    agrees("three stages", &spec, 50, 34);
}

#[test]
fn a_kernel_larger_than_its_map() {
    agrees("kernel 13", &Spec { kernels: vec![13, 11], ..small_spec() }, 16, 24);
}

#[test]
fn the_heads_norm_before_the_pooling() {
    agrees("head norm first", &Spec { head_norm_first: true, ..small_spec() }, 36, 36);
}

#[test]
fn a_stage_without_blocks() {
    agrees("depths 0, 1", &Spec { depths: vec![0, 1], ..small_spec() }, 36, 36);
}

#[test]
fn a_hidden_layer_narrower_than_its_block() {
    agrees("expansion 0.5", &Spec { expansion: 0.5, ..small_spec() }, 36, 36);
}

#[test]
fn version_2_with_its_response_normalisation() {
    agrees("V2", &Spec { grn: true, layer_scale: false, ..small_spec() }, 70, 33);
}

#[test]
fn norms_that_leave_the_mean_in_and_a_head_with_a_hidden_layer() {
    agrees("RMS", &Spec { norm: NormKind::Rms, head_hidden: Some(20), ..small_spec() }, 20, 28);
    let norm = NormKind::Simple;
    let spec = Spec { norm, head_norm_first: true, function: Some(Function::Relu), grn: true, ..small_spec() };
    agrees("simple, and ReLU", &Spec { widths: vec![19, 24], ..spec }, 20, 36);
}

#[test]
fn stems_of_overlapping_convolutions_and_activations_beside_gelu() {
    let tiered = Stem::Overlapping { tiered: true, activated: false };
    let spec = Spec { stem: tiered, one_channel: true, function: Some(Function::GeluTanh), ..small_spec() };
    agrees("tiered, one channel, GELU by tanh", &spec, 19, 26);
    let activated = Stem::Overlapping { tiered: false, activated: true };
    for (function, height) in [(Some(Function::Silu), 20), (None, 13)] {
        agrees(&format!("activated, {function:?}"), &Spec { stem: activated, function, ..small_spec() }, height, 20);
    }
}

#[test]
fn stages_that_are_dilated_instead_of_halved() {
    let four = Spec { depths: vec![1; 4], widths: vec![8, 12, 16, 24], kernels: vec![3, 3, 7, 5], ..small_spec() };
    for (patch, output_stride) in [(2, 32), (4, 8)] {
        let spec = Spec { patch, output_stride: Some(output_stride), ..four.clone() };
        agrees(&format!("patches of {patch}, stride {output_stride}"), &spec, 9 * patch + 14, 32);
    }
}

prop_compose! {
    fn specs()(
        stages in 1usize..4,
    )(
        depths in prop::collection::vec(0usize..3, stages),
        widths in prop::collection::vec(1usize..40, stages),
        kernels in prop::collection::vec((0usize..4).prop_map(|half| 2 * half + 1), stages),
        classes in 4usize..20,
        patch in 1usize..5,
        expansion in 0.3f32..4.5,
        (grn, layer_scale, head_norm_first) in any::<(bool, bool, bool)>(),
    ) -> Spec {
        Spec { depths, widths, kernels, classes, patch, expansion, grn, layer_scale, head_norm_first, ..small_spec() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    // Widths start at 3: a norm over two channels gives a sign, and magnifies earlier errors without bound. Classes start at 4:
    // two logits may both be nearly zero. Of thousands of such networks the worst had an error of 2e-5.
    #[test]
    fn any_network_on_any_input(spec in specs(), height in 16usize..48, width in 16usize..48, seed in any::<u64>()) {
        let spec = Spec { widths: spec.widths.iter().map(|w| w + 2).collect(), ..spec };
        let program = program(&spec, height, width);
        for engine in engines() {
            let error = error(&engine, &program, &program, seed);
            prop_assert!(error <= 1e-4, "{}: {error:.1e} of {spec:?} on {height}×{width}", engine.name());
        }
    }
}

/// Compares every engine with the reference.
fn swin_agrees(what: &str, spec: &swin::Spec, height: usize, width: usize) {
    let program = swin_program(spec, height, width);
    for engine in engines() {
        let error = error(&engine, &program, &program, 7);
        assert!(error <= 1e-5, "{what} on {}: {error:.1e}", engine.name());
    }
}

#[test]
fn swins_of_either_library_on_maps_that_windows_do_not_divide() {
    swin_agrees("timm, 44×40", &small_swin(), 44, 40);
    swin_agrees("timm, a side of one window", &small_swin(), 12, 60);
    swin_agrees("timm, one pixel", &small_swin(), 4, 4);
    let transformers = swin::Spec { dialect: swin::Dialect::Transformers, ..small_swin() };
    swin_agrees("transformers, 44×40", &transformers, 44, 40);
    swin_agrees("transformers, 24×60", &transformers, 24, 60);
    swin_agrees("without a bias of qkv", &swin::Spec { qkv_bias: false, ..small_swin() }, 44, 40);
}

#[test]
fn a_swin_with_embeddings_of_positions_or_of_an_image_that_is_filled_up() {
    let spec = swin::Spec { positions: true, one_channel: true, patch: 3, ..small_swin() };
    swin_agrees("positions of patches of 3, one channel", &spec, 24, 18);
    let transformers = swin::Spec { dialect: swin::Dialect::Transformers, ..small_swin() };
    swin_agrees("filled up to whole patches", &transformers, 31, 26);
}

#[test]
fn a_folded_swin_gives_the_logits_of_the_unfolded() {
    // windows that divide the first stage's map only: norms before attention fold there and not in the second
    let program = swin_program(&small_swin(), 64, 64);
    let folded = fold(&program);
    assert_ne!(folded, program, "something folds");
    for engine in engines() {
        let error = error(&engine, &folded, &program, 3);
        assert!(error <= 1e-5, "{}: {error:.1e}", engine.name());
    }
}

prop_compose! {
    fn swins()(
        stages in 1usize..4,
    )(
        depths in prop::collection::vec(0usize..3, stages),
        heads in prop::collection::vec(1usize..4, stages),
        dims in prop::collection::vec(3usize..20, stages),
        windows in prop::collection::vec([1usize..6, 1usize..6], stages),
        classes in 4usize..20,
        patch in 1usize..5,
        expansion in 0.3f64..4.5,
        qkv_bias in any::<bool>(),
    ) -> swin::Spec {
        let widths = heads.iter().zip(&dims).map(|(heads, dim)| heads * dim).collect();
        swin::Spec { depths, widths, heads, windows, classes, patch, expansion, qkv_bias, ..small_swin() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_swin_on_any_input(
        spec in swins(),
        (height, width) in (1usize..10, 1usize..10),
        transformers in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let dialect = if transformers { swin::Dialect::Transformers } else { swin::Dialect::Timm };
        // transformers' windows are square, and no larger than a map
        let windows = spec.windows.iter().map(|[side, _]| [*side, *side]).collect();
        let spec = if transformers { swin::Spec { windows, dialect, ..spec } } else { spec };
        let input = InputSpec { height: height * spec.patch, width: width * spec.patch, ..InputSpec::imagenet(0) };
        let Ok(program) = swin::program(&spec, input) else {
            prop_assert!(transformers, "timm's windows fit every map");
            return Ok(());
        };
        prop_assert_eq!(program.check(), Ok(()));
        for engine in engines() {
            let error = error(&engine, &program, &program, seed);
            prop_assert!(error <= 1e-4, "{}: {error:.1e} of {spec:?} on {height}×{width}", engine.name());
        }
    }
}
