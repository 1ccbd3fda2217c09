//! Resize and centre crop do what Pillow's resize does with torchvision's geometry (`tests/images/generate.py`).

use convnext_server::pixels::{CropRounding, Filter, Fit, Pixels, Rgb, Transform, WrongLength, decode, probe};
use serde::Deserialize;

use crate::images;

/// fast_image_resize has 15 bits of each weight where Pillow has 22.
const LARGEST: u8 = 1;

#[derive(Debug, Deserialize)]
struct Case {
    height: usize,
    width: usize,
    fit: CaseFit,
    rounding: String,
    filter: String,
    fill: Option<[u8; 3]>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CaseFit {
    ShortestEdge(usize),
    Exact(usize, usize),
    Around { around: (usize, usize) },
    Within { within: (usize, usize) },
    Keep(String),
}

impl Case {
    fn transform(&self) -> Transform {
        Transform {
            height: self.height,
            width: self.width,
            fit: match self.fit {
                CaseFit::ShortestEdge(edge) => Fit::ShortestEdge(edge),
                CaseFit::Exact(height, width) => Fit::Exact(height, width),
                CaseFit::Around { around: (rows, columns) } => Fit::Around(rows, columns),
                CaseFit::Within { within: (rows, columns) } => Fit::Within(rows, columns),
                CaseFit::Keep(ref word) => {
                    assert_eq!(word, "keep");
                    Fit::Keep
                }
            },
            rounding: match self.rounding.as_str() {
                "half_to_even" => CropRounding::HalfToEven,
                "down" => CropRounding::Down,
                other => panic!("rounding {other}"),
            },
            filter: match self.filter.as_str() {
                "nearest" => Filter::Nearest,
                "box" => Filter::Box,
                "bilinear" => Filter::Bilinear,
                "hamming" => Filter::Hamming,
                "bicubic" => Filter::Bicubic,
                "lanczos" => Filter::Lanczos,
                other => panic!("filter {other}"),
            },
            fill: self.fill.unwrap_or_default(),
            grey: false,
        }
    }
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
        fill: [0; 3],
        grey: false,
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

fn bilinear(height: usize, width: usize, fit: Fit) -> Transform {
    Transform { height, width, fit, rounding: CropRounding::Down, filter: Filter::Bilinear, fill: [0; 3], grey: false }
}

#[test]
fn pixels_written_into_memory_cover_what_was_there_and_are_those_of_apply() {
    let image = Rgb::new(5, 4, (0..60).map(|value| value * 4).collect()).unwrap();
    // whole, smaller than the input in both directions, in one, and larger in the other
    for fit in [Fit::ShortestEdge(12), Fit::Exact(2, 3), Fit::Exact(8, 3), Fit::Exact(3, 9), Fit::Exact(20, 3)] {
        let transform = bilinear(8, 7, fit);
        let mut bytes = vec![99; transform.bytes()];
        transform.apply_into(&image, &mut bytes).unwrap();
        assert_eq!(bytes, transform.apply(&image).bytes(), "{fit:?}");
    }
}

#[test]
fn an_image_smaller_than_the_input_is_centred_on_black() {
    let white = Rgb::new(2, 2, vec![255; 12]).unwrap();
    let transform = bilinear(5, 6, Fit::Exact(2, 3));
    let mut bytes = vec![99; transform.bytes()];
    transform.apply_into(&white, &mut bytes).unwrap();
    let expected = ["......", ".###..", ".###..", "......", "......"];
    let drawn = |row: &[u8]| row.chunks(3).map(|pixel| if pixel == [255; 3] { '#' } else { '.' }).collect::<String>();
    assert_eq!(bytes.chunks(18).map(drawn).collect::<Vec<_>>(), expected);
    assert!(bytes.iter().all(|&value| value == 0 || value == 255));
}

#[test]
fn memory_of_another_length_is_an_error_and_left_as_it_was() {
    let image = Rgb::new(2, 2, vec![255; 12]).unwrap();
    let transform = bilinear(3, 4, Fit::ShortestEdge(4));
    for given in [0, 35, 37] {
        let mut bytes = vec![99; given];
        assert_eq!(transform.apply_into(&image, &mut bytes), Err(WrongLength { given, height: 3, width: 4 }));
        assert_eq!(bytes, vec![99; given]);
    }
}
