//! Resize and centre crop do what Pillow's resize does with torchvision's geometry (`tests/images/generate.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use convnext_server::pixels::{CropRounding, Filter, Fit, Pixels, Rgb, Transform, decode, probe};
use serde::Deserialize;

/// fast_image_resize has 15 bits of each weight where Pillow has 22.
const LARGEST: u8 = 1;

#[derive(Debug, Deserialize)]
struct Case {
    height: usize,
    width: usize,
    fit: CaseFit,
    rounding: String,
    filter: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CaseFit {
    ShortestEdge(usize),
    Exact(usize, usize),
}

impl Case {
    fn transform(&self) -> Transform {
        Transform {
            height: self.height,
            width: self.width,
            fit: match self.fit {
                CaseFit::ShortestEdge(edge) => Fit::ShortestEdge(edge),
                CaseFit::Exact(height, width) => Fit::Exact(height, width),
            },
            rounding: match self.rounding.as_str() {
                "half_to_even" => CropRounding::HalfToEven,
                "down" => CropRounding::Down,
                other => panic!("rounding {other}"),
            },
            filter: match self.filter.as_str() {
                "bilinear" => Filter::Bilinear,
                "bicubic" => Filter::Bicubic,
                other => panic!("filter {other}"),
            },
        }
    }
}

fn images() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "images"].iter().collect()
}

#[test]
fn transforms_are_pillows_to_within_one() {
    let bytes = std::fs::read(images().join("formats/png-rgb-8.png")).unwrap();
    let image = decode(&bytes, &probe(&bytes, 1 << 20).unwrap()).unwrap();
    let list = std::fs::read(images().join("transforms/expected.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&list).unwrap();
    assert!(!cases.is_empty());
    for (number, case) in cases.iter().enumerate() {
        let pillow = std::fs::read(images().join(format!("transforms/{number}.rgb"))).unwrap();
        let pixels = case.transform().apply(&image);
        assert_eq!(pixels.bytes().len(), pillow.len(), "{number}: {case:?}");
        let off = pixels.bytes().iter().zip(&pillow).map(|(ours, theirs)| ours.abs_diff(*theirs)).max().unwrap();
        assert!(off <= LARGEST, "{number}: {case:?}: off by {off}");
    }
}

/// A line whose shorter edge is enlarged 224-fold would take 44 GB if the whole of it were resized.
#[test]
fn of_a_long_line_only_the_crop_is_computed() {
    let transform = Transform {
        height: 224,
        width: 224,
        fit: Fit::ShortestEdge(256),
        rounding: CropRounding::HalfToEven,
        filter: Filter::Bicubic,
    };
    for (width, height) in [(1, 65_535), (65_535, 1)] {
        let line = Rgb::new(width, height, vec![77; 65_535 * 3]).unwrap();
        assert!(transform.apply(&line).bytes().iter().all(|&value| value == 77));
    }
}

#[test]
fn pixels_and_images_have_the_bytes_that_their_size_says() {
    assert!(Pixels::from_bytes(2, 3, vec![0; 18]).is_some());
    assert!(Pixels::from_bytes(2, 3, vec![0; 17]).is_none());
    assert!(Pixels::from_bytes(usize::MAX, 3, vec![0; 17]).is_none());
    assert_eq!(Pixels::grey(2, 3).bytes().len(), 18);
    assert!(Rgb::new(2, 3, vec![0; 18]).is_some());
    assert!(Rgb::new(3, 3, vec![0; 18]).is_none());
    assert!(Rgb::new(0, 3, vec![]).is_none());
}
