//! No file makes the decoders panic, or allocate beyond what was admitted, or pass a part of an image for the whole.

use std::sync::LazyLock;

use convnext_server::pixels::{CropRounding, Filter, Fit, ImageError, Rgb, Transform, decode, decode_for, probe};
use proptest::prelude::*;

const MAX_PIXELS: u64 = 1 << 20;

/// All files of every format, with their names.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let paths = std::fs::read_dir(crate::images().join("formats")).unwrap().map(|entry| entry.unwrap().path());
    let images =
        paths.filter(|path| path.extension().is_some_and(|extension| extension != "rgb" && extension != "json"));
    let mut files: Vec<_> = images
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
});

/// To a part of the image, and reduced.
const SMALL: Transform = Transform {
    height: 3,
    width: 3,
    fit: Fit::ShortestEdge(4),
    rounding: CropRounding::Down,
    filter: Filter::Bilinear,
    fill: [0; 3],
    grey: false,
};

fn image(bytes: &[u8]) -> Result<Rgb, ImageError> {
    let image = probe(bytes, MAX_PIXELS).and_then(|header| {
        let image = decode(bytes, &header);
        // what is decoded of it for a transform, a part or less, has the same errors
        assert_eq!(decode_for(bytes, &header, &SMALL).err(), image.as_ref().err().cloned());
        let image = image?;
        assert_eq!(image.bytes().len() as u64, header.pixels() * 3);
        Ok(image)
    });
    // a panic is caught, and is still none that may be
    if let Err(error) = &image {
        assert!(!error.to_string().contains("its decoder failed"), "a panic");
    }
    image
}

#[test]
fn a_truncated_file_is_an_error_or_still_whole() {
    // a PNG may end behind its pixels, and with it goes what says how it is turned
    for (name, bytes) in FILES.iter().filter(|(name, _)| !name.contains("-behind") && !name.contains("-no-end-exif")) {
        let whole = image(bytes).unwrap();
        for length in 0..bytes.len() {
            if let Ok(part) = image(&bytes[..length]) {
                assert_eq!(part, whole, "{name}, cut to {length} of {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn a_jpeg_without_its_last_byte_is_truncated() {
    for (name, bytes) in FILES.iter().filter(|(name, _)| name.ends_with(".jpg") && !name.contains("trailing")) {
        let header = probe(bytes, MAX_PIXELS).unwrap();
        let error = decode(&bytes[..bytes.len() - 1], &header).unwrap_err();
        assert!(matches!(error, ImageError::Undecodable { format: "JPEG", .. }), "{name}: {error}");
    }
}

/// Of an animation the first frame may lie in the first half.
#[test]
fn half_a_file_is_undecodable() {
    for (name, bytes) in FILES.iter().filter(|(name, _)| !name.contains("animated")) {
        let error = image(&bytes[..bytes.len() / 2]).map(|_| name).unwrap_err();
        assert!(matches!(error, ImageError::Undecodable { .. }), "{name}: {error}");
    }
}

#[test]
fn pixels_are_limited_by_the_head_alone() {
    for (name, bytes) in FILES.iter() {
        let header = probe(bytes, MAX_PIXELS).unwrap();
        assert_eq!(probe(bytes, header.pixels()), Ok(header), "{name}");
        let too_large = probe(bytes, header.pixels() - 1).unwrap_err();
        assert!(matches!(too_large, ImageError::TooLarge { .. }), "{name}: {too_large}");
    }
}

/// A PNG that promises 50,000 × 50,000 pixels and has none.
#[test]
fn a_promise_of_many_pixels_is_too_large_and_of_none_undecodable() {
    let (_, png) = FILES.iter().find(|(name, _)| name == "png-rgb-8.png").unwrap();
    let of_size = |width: u32, height: u32| {
        let mut bytes = png.clone();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        bytes
    };
    let many = probe(&of_size(50_000, 50_000), 64_000_000).unwrap_err();
    assert_eq!(many, ImageError::TooLarge { width: 50_000, height: 50_000, limit: 64_000_000 });
    assert!(matches!(probe(&of_size(0, 10), 64_000_000), Err(ImageError::Undecodable { .. })));
    assert!(matches!(probe(&of_size(1, 64_000_000), u64::MAX), Err(ImageError::Undecodable { .. })));
}

/// A canvas of 31 × 21 around a frame that says 16,383 × 16,383: 268 million pixels that `probe` has not seen.
#[test]
fn a_webp_frame_larger_than_its_canvas_is_undecodable() {
    for name in ["webp-lossy-alpha.webp", "webp-animated-lossy.webp"] {
        let (_, webp) = FILES.iter().find(|(file, _)| file == name).unwrap();
        let mut bytes = webp.clone();
        let frame = bytes.windows(4).position(|window| window == b"VP8 ").unwrap();
        bytes[frame + 14..frame + 18].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
        let header = probe(&bytes, MAX_PIXELS).unwrap();
        let error = decode(&bytes, &header).unwrap_err();
        assert!(error.to_string().contains("larger than its canvas"), "{name}: {error}");
    }
}

/// CRC-32 of PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn what_is_no_image_is_of_unknown_format() {
    for bytes in [&b""[..], b"\xFF", b"{\"inputs\": 1}"] {
        assert_eq!(probe(bytes, MAX_PIXELS), Err(ImageError::UnknownFormat));
    }
    for (bytes, name) in [(&b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"[..], "SVG"), (b"%PDF-1.7", "PDF")] {
        assert_eq!(probe(bytes, MAX_PIXELS), Err(ImageError::NotServed(name)));
    }
}

/// Of one file, the head of another.
#[test]
fn a_header_of_other_bytes_is_an_error() {
    let (_, upright) = FILES.iter().find(|(name, _)| name == "gif.gif").unwrap();
    let (_, screen) = FILES.iter().find(|(name, _)| name == "gif-offset.gif").unwrap();
    let header = probe(screen, MAX_PIXELS).unwrap();
    assert!(matches!(decode(upright, &header), Err(ImageError::Undecodable { .. })));
}

/// Bytes to be written over a file, at positions that are shares of its length.
fn damage() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0, any::<u8>()), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_never_panics(file in 0..FILES.len(), damage in damage(), kept in 0.2..1.2) {
        let mut bytes = FILES[file].1.clone();
        for (share, value) in damage {
            let at = (share * bytes.len() as f64) as usize;
            bytes[at] = value;
        }
        bytes.truncate((kept * bytes.len() as f64) as usize);
        let _ = image(&bytes);
    }

    #[test]
    fn a_file_with_a_damaged_head_never_panics(file in 0..FILES.len(), at in 0_usize..200, value: u8) {
        let mut bytes = FILES[file].1.clone();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = image(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_signature_never_panic(file in 0..FILES.len(), kept in 2_usize..64, noise: Vec<u8>) {
        let bytes = &FILES[file].1;
        let bytes = [&bytes[..kept.min(bytes.len())], &noise].concat();
        let _ = image(&bytes);
    }
}
