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
