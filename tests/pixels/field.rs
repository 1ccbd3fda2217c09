//! Files of the kinds that people reported of other decoders (`tests/images/field/README.md`): decoded to Pillow's pixels, or refused with
//! the cause and the remedy.

use convnext_server::pixels::{CropRounding, Filter, Fit, ImageError, Transform, decode, probe};
use serde::Deserialize;

use crate::images;

#[derive(Deserialize)]
struct Expected {
    file: String,
    width: u32,
    height: u32,
    /// Means of 12×12 parts, in hexadecimal digits.
    grid: String,
}

/// What is not decoded, and a word that its error says of the cause and of the remedy.
const REFUSED: [(&str, &str, &str); 1] = [("arith.jpg", "arithmetic", "Huffman")];

#[test]
fn files_from_the_field_decode_as_pillow_or_say_why_not() {
    let grid = Transform {
        height: 12,
        width: 12,
        fit: Fit::Exact(12, 12),
        rounding: CropRounding::Down,
        filter: Filter::Box,
        fill: [0; 3],
        grey: false,
    };
    let folder = images().join("field");
    let expected: Vec<Expected> =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    assert!(expected.len() >= 20, "{}", expected.len());
    for Expected { file, width, height, grid: pillow } in expected {
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        let image = probe(&bytes, 1 << 20).and_then(|header| decode(&bytes, &header));
        if let Some((_, cause, remedy)) = REFUSED.iter().find(|(name, ..)| *name == file) {
            let error = image.unwrap_err();
            assert!(matches!(error, ImageError::Undecodable { .. }), "{file}: {error:?}");
            assert!(error.to_string().contains(cause) && error.to_string().contains(remedy), "{file}: {error}");
            continue;
        }
        let image = image.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!((image.width(), image.height()), (width, height), "{file}");
        let pixels = grid.apply(&image);
        let pillow: Vec<u8> = pillow
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(pixels.bytes().len(), pillow.len(), "{file}");
        let off = pixels.bytes().iter().zip(&pillow).map(|(ours, theirs)| ours.abs_diff(*theirs)).max().unwrap();
        assert!(off <= 1, "{file}: off by {off}");
    }
}
