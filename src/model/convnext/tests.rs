//! The published sizes have the published costs, and a ConvNeXt is what its papers and timm say.

use super::*;
use crate::model;
use crate::program::{Activation, Op, fold};

fn published(name: &str, side: usize) -> Program {
    model::Spec::published(name).unwrap().program(InputSpec::imagenet(side)).unwrap()
}

/// Millions of parameters, to the digits that are published.
fn millions(name: &str) -> String {
    format!("{:.2}", published(name, 224).parameters() as f64 / 1e6)
}

#[test]
fn parameters_are_those_of_the_papers_and_of_timm() {
    for (name, expected) in [
        ("convnext_atto", "3.70"),
        ("convnext_femto", "5.22"),
        ("convnext_pico", "9.05"),
        ("convnext_nano", "15.59"),
        ("convnext_tiny", "28.59"),
        ("convnext_small", "50.22"),
        ("convnext_base", "88.59"),
        ("convnext_large", "197.77"),
        ("convnext_xlarge", "350.20"),
        ("convnextv2_atto", "3.71"),
        ("convnextv2_femto", "5.23"),
        ("convnextv2_pico", "9.07"),
        ("convnextv2_nano", "15.62"),
        ("convnextv2_tiny", "28.64"),
        ("convnextv2_base", "88.72"),
        ("convnextv2_large", "197.96"),
        ("convnextv2_huge", "660.29"),
    ] {
        assert_eq!(millions(name), expected, "{name}");
    }
}

#[test]
fn multiply_adds_are_those_of_the_paper() {
    // table 1 of "A ConvNet for the 2020s" has 4.5, 8.7, 15.4, 34.4, 60.9 and 13.1 G; here with all of their digits
    for (name, side, expected) in [
        ("convnext_tiny", 224, "4.456"),
        ("convnext_small", 224, "8.684"),
        ("convnext_base", 224, "15.355"),
        ("convnext_large", 224, "34.361"),
        ("convnext_xlarge", 224, "60.921"),
        ("convnext_tiny", 384, "13.092"),
    ] {
        let found = format!("{:.3}", published(name, side).cost().macs as f64 / 1e9);
        assert_eq!(found, expected, "{name} at {side}");
    }
}

#[test]
fn every_published_name_makes_a_program_for_odd_inputs_too() {
    for name in PUBLISHED.iter().map(|size| size.name) {
        for side in [32, 63, 224, 384] {
            let program = published(name, side);
            assert_eq!(program.classes(), 1000, "{name} at {side}");
            assert_eq!(fold(&program).check(), Ok(()), "{name} at {side}");
        }
    }
}

/// The kinds of operations whose layer starts with a prefix, in running order.
fn kinds(program: &Program, prefix: &str) -> Vec<&'static str> {
    program.ops.iter().filter(|(layer, _)| layer.starts_with(prefix)).map(|(_, op)| op.kind()).collect()
}

#[test]
fn the_operations_stand_in_timms_order() {
    let program = published("convnext_atto", 64);
    assert_eq!(kinds(&program, "stem"), ["patchify", "norm"]);
    assert_eq!(kinds(&program, "stages.0.downsample"), [""; 0]);
    assert_eq!(kinds(&program, "stages.1.downsample"), ["norm", "patchify"]);
    assert_eq!(kinds(&program, "stages.1.blocks.0"), ["depthwise", "norm", "linear", "linear"]);
    assert_eq!(kinds(&program, "head"), ["pool", "norm", "linear"]);
    let v2 = published("convnextv2_atto", 64);
    assert_eq!(kinds(&v2, "stages.1.blocks.0"), ["depthwise", "norm", "linear", "grn", "linear"]);
    let spec = Spec { head_norm_first: true, ..Spec::published("convnext_atto").unwrap() };
    assert_eq!(kinds(&super::program(&spec, InputSpec::imagenet(64)).unwrap(), "head"), ["norm", "pool", "linear"]);
}

#[test]
fn a_block_activates_in_the_middle_and_scales_before_its_residual() {
    for (name, scaled) in [("convnext_atto", true), ("convnextv2_atto", false)] {
        let program = published(name, 64);
        let find = |layer: &str| &program.ops.iter().find(|(found, _)| found == layer).unwrap().1;
        let (Op::Linear(fc1), Op::Linear(fc2)) = (find("stages.2.blocks.3.fc1"), find("stages.2.blocks.3.fc2")) else {
            unreachable!("both are linear");
        };
        assert_eq!((fc1.activation, fc1.scale, fc1.residual), (Some(Activation::Gelu), None, None));
        // the residual is what the block's depthwise convolution reads
        assert_eq!(fc2.residual, Some(find("stages.2.blocks.3.depthwise").input()));
        assert_eq!((fc2.activation, fc2.scale.is_some()), (None, scaled), "{name}");
    }
}

#[test]
fn all_norms_fold_but_the_stems() {
    for name in ["convnext_atto", "convnextv2_atto"] {
        let folded = fold(&published(name, 64));
        let with_affine = |(layer, op): &(String, Op)| match op {
            Op::Norm(norm) if norm.affine.is_some() => Some(layer.clone()),
            _ => None,
        };
        let norms = folded.ops.iter().filter(|(_, op)| matches!(op, Op::Norm(_))).count();
        assert_eq!(norms, 1 + 12 + 3 + 1, "{name}: stem, blocks, downsamplings, head");
        assert_eq!(folded.ops.iter().filter_map(with_affine).collect::<Vec<_>>(), ["stem.norm"], "{name}");
        assert!(folded.weights.iter().all(|weight| !weight.name.contains("blocks.0.norm")), "{name}");
    }
}

#[test]
fn a_norm_before_the_pooling_keeps_its_scale_and_shift() {
    let spec = Spec { head_norm_first: true, ..Spec::published("convnext_atto").unwrap() };
    let folded = fold(&super::program(&spec, InputSpec::imagenet(64)).unwrap());
    let head = folded.ops.iter().find(|(layer, _)| layer == "head.norm");
    assert!(matches!(head, Some((_, Op::Norm(norm))) if norm.affine.is_some()));
}

/// What timm's constructor computes: of each stage its stride, and the dilations of its first convolution and of its blocks.
#[test]
fn stages_go_as_far_as_the_output_stride_lets_them() {
    let steps = |patch: usize, stem: Stem, output_stride: Option<usize>| {
        let spec = Spec { patch, stem, output_stride, ..Spec::published("convnext_atto").unwrap() };
        let steps = spec.steps().into_iter().map(|step| [step.stride, step.first_dilation, step.dilation]);
        steps.collect::<Vec<_>>()
    };
    let (keeps, halves) = ([1, 1, 1], [2, 1, 1]);
    assert_eq!(steps(4, Stem::Patches, Some(32)), [keeps, halves, halves, halves]);
    assert_eq!(steps(2, Stem::Patches, Some(32)), [halves; 4]);
    assert_eq!(steps(2, Stem::Patches, None), [keeps, halves, halves, halves]);
    assert_eq!(steps(7, Stem::Patches, Some(32)), [keeps, halves, halves, halves]);
    assert_eq!(steps(8, Stem::Patches, Some(32)), [keeps, halves, halves, [1, 1, 2]]);
    assert_eq!(steps(16, Stem::Patches, Some(32)), [keeps, halves, [1, 1, 2], [1, 2, 4]]);
    assert_eq!(steps(64, Stem::Patches, Some(32)), [keeps, [1, 1, 2], [1, 2, 4], [1, 2, 8]]);
    assert_eq!(steps(4, Stem::Patches, Some(8)), [keeps, halves, [1, 1, 2], [1, 2, 4]]);
    let tiered = Stem::Overlapping { tiered: true, activated: false };
    assert_eq!(steps(2, tiered, Some(16)), [keeps, halves, halves, [1, 1, 2]]);
}

#[test]
fn a_simple_norm_of_one_channel_is_refused() {
    let spec =
        Spec { norm: NormKind::Simple, widths: vec![1, 80, 160, 320], ..Spec::published("convnext_atto").unwrap() };
    let error = model::Spec::ConvNext(spec).program(InputSpec::imagenet(64)).unwrap_err();
    assert_eq!(error.to_string(), "convnext_atto: stem.norm: a single channel has no deviation");
}

/// `timm.layers.make_divisible`
#[test]
fn the_first_width_of_a_tiered_stem_is_a_multiple_of_8() {
    let widths = [4, 9, 12, 20, 24, 27, 28, 32].map(divisible_by_8);
    assert_eq!(widths, [8, 16, 16, 24, 24, 32, 32, 32]);
}

#[test]
fn variants_have_the_operations_of_timms() {
    let program = |spec: Spec| super::program(&spec, InputSpec::imagenet(64)).unwrap();
    let atto = || Spec::published("convnext_atto").unwrap();
    let stem = Stem::Overlapping { tiered: false, activated: true };
    let activated = program(Spec { stem, function: Some(Function::Silu), ..atto() });
    assert_eq!(kinds(&activated, "stem"), ["unfold", "linear", "activate", "unfold", "linear", "norm"]);
    assert_eq!(kinds(&activated, "stages.1.blocks.0"), ["depthwise", "norm", "linear", "activate", "linear"]);
    let gelu = program(Spec { stem, ..atto() });
    assert_eq!(kinds(&gelu, "stem"), ["unfold", "linear", "unfold", "linear", "norm"]);
    let hidden = program(Spec { head_hidden: Some(24), ..atto() });
    assert_eq!(kinds(&hidden, "head"), ["pool", "norm", "linear", "linear"]);
    let dilated = program(Spec { output_stride: Some(16), ..atto() });
    assert_eq!(kinds(&dilated, "stages.3.downsample"), ["norm", "unfold", "linear"]);
    // 7 taps two apart reach 13
    assert!(
        dilated
            .ops
            .iter()
            .any(|(name, op)| name == "stages.3.blocks.0.depthwise"
                && matches!(op, Op::Depthwise(op) if op.kernel == 13))
    );
    assert_eq!(dilated.parameters(), program(atto()).parameters());
    // a norm of another kind has a scale, and folds as a layer norm does
    let rms = program(Spec { norm: NormKind::Rms, ..atto() });
    assert!(rms.parameters() < program(atto()).parameters());
    let scaled = fold(&rms).ops.into_iter().filter(|(_, op)| matches!(op, Op::Norm(norm) if norm.affine.is_some()));
    assert_eq!(scaled.map(|(name, _)| name).collect::<Vec<_>>(), ["stem.norm"]);
}

#[test]
fn numbers_that_make_no_network_are_refused_with_the_reason() {
    let atto = || Spec::published("convnext_atto").unwrap();
    for (spec, expected) in [
        (Spec { depths: vec![], widths: vec![], kernels: vec![], ..atto() }, "0 depths"),
        (Spec { widths: vec![40, 80, 160], ..atto() }, "4 depths, 3 widths and 4 kernels"),
        (Spec { widths: vec![40, 80, 0, 320], ..atto() }, "a stage has no channels"),
        (Spec { depths: vec![2, 2, usize::MAX, 2], ..atto() }, "a stage has no channels, more than"),
        (Spec { depths: vec![1; 13], widths: vec![8; 13], kernels: vec![7; 13], ..atto() }, "13 stages"),
        (Spec { classes: 0, ..atto() }, "0 classes"),
        (Spec { patch: 0, ..atto() }, "patches must be"),
        (Spec { kernels: vec![7, 7, 6, 7], ..atto() }, "patches must be of 1 to 64 pixels, kernels odd"),
        (Spec { expansion: f32::NAN, ..atto() }, "the hidden layer"),
        (Spec { eps: -1e-6, ..atto() }, "the epsilon"),
        (Spec { head_eps: f32::NAN, ..atto() }, "the epsilon"),
        (Spec { output_stride: Some(0), ..atto() }, "the stride of the output"),
        (Spec { head_hidden: Some(0), ..atto() }, "the head's hidden layer"),
        (Spec { head_hidden: Some(8), head_norm_first: true, ..atto() }, "the head's hidden layer"),
        (Spec { patch: 64, kernels: vec![7, 7, 7, 9], ..atto() }, "kernels of 9 dilated by 8 reach further than 63"),
    ] {
        let error = model::Spec::ConvNext(spec).program(InputSpec::imagenet(64)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("convnext_atto: {expected}")), "{error}");
    }
}

#[test]
fn inputs_too_small_or_absurd_are_refused() {
    for (side, expected) in [(31, "too small"), (0, "sides of 1 to 4096"), (usize::MAX, "sides of 1 to 4096")] {
        let error = model::Spec::published("convnext_atto").unwrap().program(InputSpec::imagenet(side)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = model::Spec::published("convnext_gigantic").unwrap_err().to_string();
    assert!(error.contains("convnext_gigantic") && error.contains("convnext_tiny, convnext_small"), "{error}");
}
