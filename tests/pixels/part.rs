//! What is decoded for a transform alone, which may be a part of the image or the image reduced: Pillow's pixels of the whole, within the
//! bounds of whole photos (`golden_pixels.rs`), and no error less.

use convnext_server::pixels::{CropRounding, Filter, Fit, Transform, decode, decode_for, probe};
use serde::Deserialize;

use crate::images;

/// Of 255, as for whole photos.
const MEAN: f64 = 0.5;
const FAR: u8 = 2;
const FAR_SHARE: f64 = 0.01;

#[derive(Deserialize)]
struct Expected {
    files: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Clone, Copy, Deserialize)]
struct Case {
    edge: usize,
    side: usize,
}

fn to_square(Case { edge, side }: Case) -> Transform {
    Transform {
        height: side,
        width: side,
        fit: Fit::ShortestEdge(edge),
        rounding: CropRounding::HalfToEven,
        filter: Filter::Bicubic,
        fill: [0; 3],
        grey: false,
    }
}

fn pixels(bytes: &[u8], transform: &Transform) -> Vec<u8> {
    let part = decode_for(bytes, &probe(bytes, 1 << 26).unwrap(), transform).unwrap();
    let mut pixels = vec![0; transform.bytes()];
    transform.apply_part_into(&part, &mut pixels).unwrap();
    pixels
}

/// On average, and the share that is far.
fn off(ours: &[u8], theirs: &[u8]) -> (f64, f64) {
    assert_eq!(ours.len(), theirs.len());
    let off = ours.iter().zip(theirs).map(|(ours, theirs)| ours.abs_diff(*theirs));
    let (sum, far) = off.fold((0.0, 0), |(sum, far), off| (sum + f64::from(off), far + usize::from(off > FAR)));
    (sum / ours.len() as f64, far as f64 / ours.len() as f64)
}

#[test]
fn jpegs_of_all_kinds_and_any_reduction_are_pillows() {
    let folder = images().join("parts");
    let Expected { files, cases } =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    assert!(files.len() >= 20 && cases.len() >= 5);
    let mut bad = Vec::new();
    for file in files {
        let bytes = std::fs::read(folder.join(format!("{file}.jpg"))).unwrap();
        let pillow = std::fs::read(folder.join(format!("{file}.rgb"))).unwrap();
        let mut pillow = &pillow[..];
        for &case in &cases {
            let transform = to_square(case);
            let (theirs, rest) = pillow.split_at(transform.bytes());
            pillow = rest;
            let (mean, far) = off(&pixels(&bytes, &transform), theirs);
            if mean > MEAN || far > FAR_SHARE {
                bad.push(format!("{file} to {}: mean {mean:.3}, {far:.4} beyond {FAR}", case.edge));
            }
        }
        assert!(pillow.is_empty());
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// The orientation is found, the size of the whole decides, and what is not decoded is not missed.
#[test]
fn what_is_decoded_is_as_much_as_the_pixels_are_made_of() {
    let bytes = std::fs::read(images().join("parts/420.jpg")).unwrap();
    let header = probe(&bytes, 1 << 20).unwrap();
    let size = |edge, side| decode_for(&bytes, &header, &to_square(Case { edge, side })).unwrap().size();
    assert_eq!(size(163, 163).1, 163, "all rows");
    assert!(size(163, 163).0 < 205, "and not all columns");
    assert!(size(163, 40).1 < 80, "the middle");
    assert_eq!(size(10, 10).1, 41, "a quarter of the rows, rounded up");
    let nearest = Transform { filter: Filter::Nearest, ..to_square(Case { edge: 7, side: 7 }) };
    assert_eq!(decode_for(&bytes, &header, &nearest).unwrap().size(), (205, 163));
}

/// Whole images of all formats, of which no more is decoded than of a part.
#[test]
fn files_of_every_format_are_those_of_the_whole() {
    let transform = to_square(Case { edge: 14, side: 12 });
    let mut count = 0;
    for entry in std::fs::read_dir(images().join("formats")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rgb" || extension == "json") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let whole = transform.apply(&decode(&bytes, &probe(&bytes, 1 << 20).unwrap()).unwrap());
        let (mean, far) = off(&pixels(&bytes, &transform), whole.bytes());
        assert!(mean <= MEAN && far <= FAR_SHARE, "{}: mean {mean:.3}, {far:.4} beyond {FAR}", path.display());
        count += 1;
    }
    assert!(count > 100, "{count}");
}

/// Wherever a file is cut, it is an error for a part where it is one for the whole: rows below the crop are read to their last bit.
#[test]
fn a_truncated_file_is_an_error_though_its_crop_is_there() {
    for name in ["420.jpg", "420-progressive.jpg", "444-restarts.jpg", "grey.jpg"] {
        let bytes = std::fs::read(images().join("parts").join(name)).unwrap();
        let header = probe(&bytes, 1 << 20).unwrap();
        let transform = to_square(Case { edge: 163, side: 40 });
        assert!(decode_for(&bytes, &header, &transform).is_ok(), "{name}");
        for length in (bytes.len() / 2..bytes.len()).step_by(97).chain(bytes.len() - 40..bytes.len()) {
            let cut = decode_for(&bytes[..length], &header, &transform);
            let whole = decode(&bytes[..length], &header);
            assert_eq!(cut.err(), whole.err(), "{name}, {length} of {} bytes", bytes.len());
        }
    }
}
