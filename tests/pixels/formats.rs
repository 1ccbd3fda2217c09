//! Files of every format and mode decode to what Pillow decodes of them (`tests/images/generate.py`).

use std::path::{Path, PathBuf};

use convnext_server::pixels::{decode, probe};
use serde::Deserialize;

use crate::images;

/// How far from Pillow's a decoded value may be.
struct Bound {
    mean: f64,
    largest: u8,
}

const EXACT: Bound = Bound { mean: 0.0, largest: 0 };

/// The decoder rounds where Pillow cuts off: five and six bits of a BMP to eight, Y'CbCr with six bits of fraction.
const ROUNDED: Bound = Bound { mean: 0.5, largest: 1 };

fn bound(file: &str) -> Bound {
    match file {
        "bmp-16.bmp" | "bmp-16-fields.bmp" | "tiff-ycbcr-raw.tif" => ROUNDED,
        _ => EXACT,
    }
}

#[derive(Deserialize)]
struct Expected {
    file: String,
    width: u32,
    height: u32,
}

fn formats() -> PathBuf {
    images().join("formats")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file whose name begins so decodes to Pillow's size and, within its bound, to Pillow's values.
#[track_caller]
fn decode_as_pillow(prefix: &str) {
    let expected: Vec<Expected> = serde_json::from_slice(&read(&formats().join("expected.json"))).unwrap();
    let mut count = 0;
    for Expected { file, width, height } in expected.into_iter().filter(|expected| expected.file.starts_with(prefix)) {
        let path = formats().join(&file);
        let bytes = read(&path);
        let header = probe(&bytes, 1 << 20).unwrap_or_else(|error| panic!("{file}: {error}"));
        let image = decode(&bytes, &header).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!((image.width(), image.height()), (width, height), "{file}");
        let pillow = read(&path.with_extension("rgb"));
        let off: Vec<u8> = image.bytes().iter().zip(&pillow).map(|(ours, theirs)| ours.abs_diff(*theirs)).collect();
        let largest = off.iter().copied().max().unwrap();
        let mean = off.iter().copied().map(f64::from).sum::<f64>() / off.len() as f64;
        let bound = bound(&file);
        assert!(
            largest <= bound.largest && mean <= bound.mean,
            "{file}: off by {largest} at most, {mean:.3} on average"
        );
        count += 1;
    }
    assert!(count > 0, "no file begins with {prefix}");
}

#[test]
fn jpegs_decode_as_pillow() {
    decode_as_pillow("jpeg-");
}

#[test]
fn pngs_decode_as_pillow() {
    decode_as_pillow("png-");
}

#[test]
fn webps_decode_as_pillow() {
    decode_as_pillow("webp-");
}

#[test]
fn gifs_decode_as_pillow() {
    decode_as_pillow("gif");
}

#[test]
fn bmps_decode_as_pillow() {
    decode_as_pillow("bmp-");
}

#[test]
fn tiffs_decode_as_pillow() {
    decode_as_pillow("tiff-");
}
