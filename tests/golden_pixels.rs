//! Whole photos, from file to a model's input, are the pixels that timm and transformers compute (`tests/golden`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/safetensors.rs"]
mod safetensors;

use std::path::PathBuf;

use convnext_server::pixels::{CropRounding, Filter, Fit, Transform, decode, probe};

/// Of 255. What is measured: nothing over 2.
const MEAN: f64 = 0.5;
const FAR: f64 = 2.0;
const FAR_SHARE: f64 = 0.01;
/// Of 255: a float32 normalised and back.
const NOISE: f64 = 1e-3;

const PHOTOS: [&str; 3] = ["cat.jpg", "astronaut.png", "coffee.webp"];
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const STANDARD: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);

/// The photos, fitted and cropped to `side`, are the case's `pixels`, scaled back to 0..255.
#[track_caller]
fn photos_are_those_of(
    case: &str,
    side: usize,
    fit: Fit,
    rounding: CropRounding,
    (mean, deviation): ([f64; 3], [f64; 3]),
) {
    let tests: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests"].iter().collect();
    let expected = safetensors::read(&tests.join("golden").join(case).join("expected.safetensors"));
    let transform =
        Transform { height: side, width: side, fit, rounding, filter: Filter::Bicubic, fill: [0; 3], grey: false };
    for (number, photo) in PHOTOS.iter().enumerate() {
        let bytes = std::fs::read(tests.join("images").join(photo)).unwrap();
        let image = decode(&bytes, &probe(&bytes, 1 << 20).unwrap()).unwrap();
        let pixels = transform.apply(&image);
        let golden = &expected[&format!("pixels.{number}")]; // [3, side, side]
        assert_eq!(golden.len(), pixels.bytes().len());
        let off = |(at, &value): (usize, &f32)| {
            let (channel, pixel) = (at / (side * side), at % (side * side));
            let golden = (f64::from(value) * deviation[channel] + mean[channel]) * 255.0;
            (golden - f64::from(pixels.bytes()[pixel * 3 + channel])).abs()
        };
        let off: Vec<f64> = golden.iter().enumerate().map(off).collect();
        let average = off.iter().sum::<f64>() / off.len() as f64;
        let far = off.iter().filter(|&&off| off > FAR + NOISE).count() as f64 / off.len() as f64;
        assert!(average <= MEAN && far <= FAR_SHARE, "{case}, {photo}: mean {average:.3}, {far:.4} beyond {FAR}");
    }
}

#[test]
fn timm_convnext() {
    photos_are_those_of("timm-convnext", 96, Fit::ShortestEdge(109), CropRounding::HalfToEven, IMAGENET); // ⌊96 / 0.875⌋
}

#[test]
fn timm_convnext_wide_norm() {
    photos_are_those_of("timm-convnext-wide-norm", 64, Fit::ShortestEdge(67), CropRounding::HalfToEven, IMAGENET); // ⌊64 / 0.95⌋
}

#[test]
fn timm_convnextv2() {
    photos_are_those_of("timm-convnextv2", 96, Fit::ShortestEdge(109), CropRounding::HalfToEven, IMAGENET);
}

/// Its crop begins one pixel before timm's for two of the photos.
#[test]
fn transformers_convnext() {
    photos_are_those_of("transformers-convnext", 96, Fit::ShortestEdge(109), CropRounding::Down, STANDARD);
}

#[test]
fn transformers_convnextv2() {
    photos_are_those_of("transformers-convnextv2", 64, Fit::ShortestEdge(73), CropRounding::Down, STANDARD);
}

#[test]
fn timm_swin() {
    photos_are_those_of("timm-swin", 224, Fit::ShortestEdge(248), CropRounding::HalfToEven, IMAGENET); // ⌊224 / 0.9⌋
    photos_are_those_of("timm-swin-window4", 64, Fit::ShortestEdge(71), CropRounding::HalfToEven, IMAGENET);
    photos_are_those_of("timm-swin-padded", 160, Fit::ShortestEdge(177), CropRounding::HalfToEven, IMAGENET);
}

/// ViT's processor warps to the size, whatever the photo's.
#[test]
fn transformers_swin() {
    photos_are_those_of("transformers-swin", 224, Fit::Exact(224, 224), CropRounding::Down, IMAGENET);
    photos_are_those_of("transformers-swin-padded", 160, Fit::Exact(160, 160), CropRounding::Down, IMAGENET);
}
