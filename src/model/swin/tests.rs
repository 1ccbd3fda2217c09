//! The published sizes have the published costs, and windows are what each library makes of them.

use super::*;
use crate::model;
use crate::program::{Op, fold};

fn published(name: &str, side: usize) -> Program {
    model::Spec::published(name).unwrap().program(InputSpec::imagenet(side)).unwrap()
}

#[test]
fn parameters_are_those_of_the_paper_and_of_timm() {
    for (name, expected) in
        [("swin_tiny", "28.29"), ("swin_small", "49.61"), ("swin_base", "87.77"), ("swin_large", "196.53")]
    {
        assert_eq!(format!("{:.2}", published(name, 224).parameters() as f64 / 1e6), expected, "{name}");
    }
}

#[test]
fn multiply_adds_are_those_of_the_paper() {
    // the paper's 4.5, 8.7, 15.4 and 34.5 G, here with more digits; its code counts norms too, which makes 4.494 of the first
    for (name, expected) in
        [("swin_tiny", "4.49"), ("swin_small", "8.74"), ("swin_base", "15.43"), ("swin_large", "34.48")]
    {
        assert_eq!(format!("{:.2}", published(name, 224).cost().macs as f64 / 1e9), expected, "{name}");
    }
    // the demo's pair, at its size and with its classes
    let Some(atto) = Spec::published("swin_atto") else { unreachable!("it is published") };
    let atto = program(&Spec { classes: 10, ..atto }, InputSpec::imagenet(64)).unwrap();
    assert_eq!(format!("{:.1}", atto.cost().macs as f64 / 1e6), "40.9");
    assert_eq!(format!("{:.2}", atto.parameters() as f64 / 1e6), "3.07");
}

#[test]
fn every_published_name_makes_a_program_for_images_of_whole_patches() {
    let long = ["swin_tiny_patch4_window7_224", "swin_base_patch4_window12_384"];
    for name in PUBLISHED.iter().chain(SEARCHED).map(|size| size.name).chain(long) {
        for side in [4, 32, 64, 224, 384] {
            let program = published(name, side);
            assert_eq!(program.classes(), 1000, "{name} at {side}");
            assert_eq!(fold(&program).check(), Ok(()), "{name} at {side}");
        }
    }
    for side in [0, 2, 63] {
        let error = model::Spec::published("swin_tiny").unwrap().program(InputSpec::imagenet(side)).unwrap_err();
        let expected = format!("swin_tiny: images of {side}×{side} are no whole number of patches of 4");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn transformers_fills_up_images_to_whole_patches() {
    let spec = Spec { dialect: Dialect::Transformers, ..Spec::published("swin_atto").unwrap() };
    let stem = |height, width| {
        let program = super::program(&spec, InputSpec { height, width, ..InputSpec::imagenet(0) })?;
        let kinds: Vec<&str> = program.ops.iter().take(2).map(|(_, op)| op.kind()).collect();
        Ok::<_, SpecError>((kinds, program.shape(program.ops[1].1.output()).to_string()))
    };
    assert_eq!(stem(125, 128), Ok((vec!["unfold", "linear"], "32×32×32".to_owned())));
    assert_eq!(stem(128, 128), Ok((vec!["patchify", "norm"], "32×32×32".to_owned())));
    assert!(stem(0, 128).is_err());
}

#[test]
fn windows_that_were_searched_for_differ_by_stage() {
    for (name, expected) in [
        ("swin_s3_tiny_224", [7, 7, 14, 7]),
        ("swin_s3_small_224", [14, 14, 14, 7]),
        ("swin_s3_base_224", [7, 7, 14, 7]),
    ] {
        assert_eq!(Spec::published(name).unwrap().windows, expected.map(|side| [side; 2]));
    }
    // timm's count
    for (name, expected) in
        [("swin_s3_tiny_224", 28_328_674), ("swin_s3_small_224", 49_737_298), ("swin_s3_base_224", 71_125_762)]
    {
        assert_eq!(published(name, 224).parameters(), expected, "{name}");
    }
    assert_eq!(Spec::published("swin_s3_tiny_224_patch4_window7_224"), None);
}

/// The windows of a stage's first two blocks.
fn windows(spec: &Spec, stage: usize, height: usize, width: usize) -> [Windows; 2] {
    [0, 1].map(|block| spec.windows(stage, block, Shape::map(height, width, 8)).unwrap())
}

#[test]
fn windows_are_cut_to_small_maps_as_each_library_does() {
    let timm = Spec::published("swin_tiny").unwrap();
    let shapes = |[plain, shifted]: [Windows; 2]| (plain.size, plain.shift, shifted.size, shifted.shift);
    assert_eq!(shapes(windows(&timm, 0, 56, 56)), ([7, 7], [0, 0], [7, 7], [3, 3]));
    assert_eq!(shapes(windows(&timm, 3, 7, 7)), ([7, 7], [0, 0], [7, 7], [0, 0]));
    // each side by itself
    assert_eq!(shapes(windows(&timm, 3, 5, 9)), ([5, 7], [0, 0], [5, 7], [0, 3]));
    let transformers = Spec { dialect: Dialect::Transformers, ..timm };
    assert_eq!(shapes(windows(&transformers, 0, 56, 56)), ([7, 7], [0, 0], [7, 7], [3, 3]));
    // the shorter side decides for both
    assert_eq!(shapes(windows(&transformers, 3, 7, 9)), ([7, 7], [0, 0], [7, 7], [0, 0]));
    let error = transformers.windows(3, 0, Shape::map(5, 9, 8)).unwrap_err();
    assert!(error.to_string().contains("smaller than its windows of 7×7"), "{error}");
}

#[test]
fn a_norm_is_folded_unless_padding_follows_it() {
    let folded = |side: usize| {
        let program = fold(&published("swin_tiny", side));
        let norm = program.ops.iter().find(|(name, _)| name == "stages.0.blocks.0.norm1").unwrap();
        let Op::Norm(norm) = &norm.1 else { unreachable!("it is a norm") };
        norm.affine.is_none()
    };
    assert!(folded(224));
    assert!(!folded(96), "24 positions are no whole number of windows of 7");
}
