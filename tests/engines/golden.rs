//! What timm and transformers compute, from their own pixels (`tests/golden/generate.py`).

use std::path::Path;

use convnext_server::checkpoint;
use safetensors::SafeTensors;

use crate::{engines, relative_error};

/// The golden networks magnify an error of 1e-6 about tenfold. This leaves another factor of ten for the order of sums.
const BOUND: f64 = 1e-4;

/// Runs the pixels of a case on every engine and compares the logits with the library's.
fn agrees_with_its_library(case: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
    let checkpoint = checkpoint::open(&folder).expect("opens");
    let bytes = std::fs::read(folder.join("expected.safetensors")).expect("expected.safetensors");
    let expected = SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensor = |name: String| -> Vec<f32> {
        let data = expected.tensor(&name).expect("a tensor").data();
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
    };
    let images = expected.names().iter().filter(|name| name.starts_with("logits.")).count();
    assert!(images >= 3, "a case has three images");
    for engine in engines() {
        let (name, mut worst) = (engine.name(), 0.0_f64);
        let mut executable = engine.executable(&checkpoint.program, checkpoint.weights.as_ref(), images);
        let batch = (0..images).map(|image| crate::tensor(&tensor(format!("pixels.{image}")))).collect();
        let logits = executable.run(batch).expect("runs");
        for (image, found) in logits.chunks_exact(checkpoint.program.classes()).enumerate() {
            let error = relative_error(found, &tensor(format!("logits.{image}")));
            assert!(error <= BOUND, "{case} on {name}, image {image}: relative error {error:.1e}");
            worst = worst.max(error);
        }
        // shown with --nocapture
        eprintln!("{case} on {name}: worst relative error {worst:.1e}");
    }
}

#[test]
fn timm_convnext() {
    agrees_with_its_library("timm-convnext");
}

#[test]
fn timm_convnext_of_unusual_widths_and_convolutions_for_linears() {
    agrees_with_its_library("timm-convnext-wide-norm");
}

#[test]
fn timm_convnextv2() {
    agrees_with_its_library("timm-convnextv2");
}

#[test]
fn transformers_convnext() {
    agrees_with_its_library("transformers-convnext");
}

#[test]
fn transformers_convnextv2() {
    agrees_with_its_library("transformers-convnextv2");
}

#[test]
fn timm_swin() {
    agrees_with_its_library("timm-swin");
}

#[test]
fn timm_swin_of_windows_no_smaller_than_the_last_map() {
    agrees_with_its_library("timm-swin-window4");
}

#[test]
fn timm_swin_whose_maps_are_padded_after_the_roll() {
    agrees_with_its_library("timm-swin-padded");
}

#[test]
fn transformers_swin() {
    agrees_with_its_library("transformers-swin");
}

#[test]
fn transformers_swin_whose_maps_are_padded_before_the_roll() {
    agrees_with_its_library("transformers-swin-padded");
}
