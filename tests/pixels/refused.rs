//! What is not decoded is refused with the cause and with what to do, and never with what a decoder asserted.

use convnext_server::pixels::{ImageError, decode, probe};

use crate::images;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(images().join("formats").join(name)).unwrap()
}

/// The error of bytes that are of a known format.
fn error(bytes: &[u8]) -> String {
    let error = probe(bytes, 1 << 20).and_then(|header| decode(bytes, &header)).unwrap_err();
    assert!(matches!(error, ImageError::Undecodable { .. }), "{error:?}");
    error.to_string()
}

/// With `new` where `old` first stands.
fn patched(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn jpegs_of_other_coding_are_named() {
    let jpeg = file("jpeg-segments-wide-steps.jpg");
    for (marker, cause, remedy) in [
        (0xC3, "lossless", "PNG"),
        (0xC5, "hierarchical", "ordinary JPEG"),
        (0xC9, "arithmetic", "Huffman"),
        (0xCA, "arithmetic", "Huffman"),
    ] {
        let error = error(&patched(&jpeg, &[0xFF, 0xC0], &[0xFF, marker]));
        assert!(error.contains(cause) && error.contains(remedy), "{error}");
    }
}

#[test]
fn jpegs_of_other_bits_heights_and_components_are_named() {
    let jpeg = file("jpeg-segments-wide-steps.jpg");
    let frame = [0xFF, 0xC0, 0, 17, 8, 0, 13, 0, 19, 3];
    for (at, value, cause) in [(4, 12, "12 bits"), (6, 0, "DNL")] {
        let mut other = frame;
        other[at] = value;
        let error = error(&patched(&jpeg, &frame, &other));
        assert!(error.contains(cause) && error.contains("save it"), "{error}");
    }
    let two = error(&patched(&jpeg, &frame, &[0xFF, 0xC0, 0, 14, 8, 0, 13, 0, 19, 2]));
    assert!(two.contains("2 components") && two.contains("save it as RGB"), "{two}");
}

/// 3:2, of which libjpeg knows no enlarging either.
#[test]
fn jpegs_of_no_whole_ratio_are_named() {
    let jpeg = file("jpeg-sampling-311.jpg");
    let error = error(&patched(&jpeg, &[1, 0x31, 0, 2, 0x11], &[1, 0x31, 0, 2, 0x21]));
    assert!(error.contains("no whole ratio") && error.contains("4:2:0"), "{error}");
}

/// Without its last scan libjpeg guesses coefficients from the blocks around.
#[test]
fn progressive_jpegs_without_all_scans_are_named() {
    let jpeg = file("jpeg-apart-progressive.jpg");
    let mut scans = jpeg.windows(2).enumerate().filter(|(_, marker)| *marker == [0xFF, 0xDA]).map(|(at, _)| at);
    let fourth = scans.nth(3).unwrap();
    let error = error(&[&jpeg[..fourth], &[0xFF, 0xD9]].concat());
    assert!(error.contains("scans are missing"), "{error}");
}

#[test]
fn tiffs_of_other_compressions_and_colours_are_named() {
    let tiff = file("tiff-alpha-unsaid.tif");
    let compression = |number: u16| [&[3, 1, 3, 0, 1, 0, 0, 0], &number.to_le_bytes()[..]].concat();
    for (number, name) in [
        (6, "JPEG of the old kind"),
        (34_925, "LZMA"),
        (50_000, "Zstandard"),
        (50_001, "WebP"),
        (32_809, "ThunderScan"),
        (9, "9"),
    ] {
        let error = error(&patched(&tiff, &compression(1), &compression(number)));
        assert!(error.contains(name) && error.contains("save it with LZW"), "{error}");
    }
    let photometric = |number: u8| [6, 1, 3, 0, 1, 0, 0, 0, number];
    let lab = error(&patched(&tiff, &photometric(2), &photometric(8)));
    assert!(lab.contains("L*a*b*") && lab.contains("save it as RGB"), "{lab}");
}

/// 64 × 48 pixels in one tile that says 65,536 × 65,536: 4 GB of what decompresses to nothing.
#[test]
fn tiles_far_larger_than_the_image_take_no_memory() {
    let tiff = file("tiff-tiled-large.tif");
    let edge = |tag: u16, edge: u16| {
        let head = [&tag.to_le_bytes()[..], &[3, 0, 1, 0, 0, 0], &edge.to_le_bytes()].concat();
        (head.clone(), [&head[..8], &65_535_u16.to_le_bytes()].concat())
    };
    let ((width, wide), (height, high)) = (edge(322, 64), edge(323, 48));
    let error = error(&patched(&patched(&tiff, &width, &wide), &height, &high));
    assert!(error.contains("far larger"), "{error}");
}

/// 16,000 MB of text in a PNG of 16 MB: what is not asked for is not inflated.
#[test]
fn texts_of_a_png_are_inflated_once_and_to_a_limit() {
    let png = file("png-profile-ztxt.png");
    let at = png.windows(4).position(|window| window == b"zTXt").unwrap() - 4;
    let length = u32::from_be_bytes(*png[at..].first_chunk().unwrap()) as usize + 12;
    let texts = png[at..at + length].repeat(20_000);
    let many = [&png[..at], &texts, &png[at + length..]].concat();
    let header = probe(&many, 1 << 20).unwrap();
    let image = decode(&many, &header).unwrap();
    assert_eq!((image.width(), image.height()), (header.height, header.width), "turned once");
}
