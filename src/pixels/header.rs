//! What is known of an image from its head, and what decoders hold themselves to. Not here: which decoder reads it (`decode`).

use image::ImageFormat;

/// What the head of a file says, before anything is allocated for its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns as stored, before orientation.
    pub width: u32,
    /// Rows as stored, before orientation.
    pub height: u32,
    /// The format, found by content.
    pub format: ImageFormat,
}

impl Header {
    /// Pixels that decoding will make.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// A size that is not the header's: the header is of other bytes.
pub(super) fn expect_size(header: &Header, width: u32, height: u32) -> Result<(), String> {
    if (header.width, header.height) == (width, height) {
        return Ok(());
    }
    Err(format!("it has {width}×{height} pixels where its head said {}×{}", header.width, header.height))
}

/// Bytes that decoders may allocate beside the pixels: colour profiles, text, tables.
pub(super) const SIDE_BYTES: u64 = 16 << 20;

/// What bytes of no format that is served seem to be, in words for whoever sent them; None for what nobody knows.
pub(super) fn named(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    // the head of an XML file may be followed by comments: the root is looked for where it can be
    let start = &text[..text.len().min(4096)];
    let is_svg = begins(b"<svg")
        || begins(b"<")
            && start.windows(5).any(|word| matches!(word, b"<svg " | b"<svg>" | b"<svg\n" | b"<svg\r" | b"<svg:"));
    if is_svg && !begins(b"<html") && !begins(b"<!doctype html") {
        return Some("SVG");
    }
    if begins(b"<html") || begins(b"<!doctype html") {
        return Some("a web page (HTML)");
    }
    match bytes {
        [0x1f, 0x8b, 8, ..] if svgz(bytes) => Some("SVG, compressed"),
        [0x1f, 0x8b, ..] => Some("a gzip file"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("PDF"),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => iso(bytes, brand),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', 13, 10, 0x87, 10, ..] => Some("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => Some("JPEG 2000"),
        [b'8', b'B', b'P', b'S', ..] => Some("Photoshop (PSD)"),
        [0, 0, 1, 0, count, 0, ..] if *count > 0 => Some("an icon (ICO)"),
        [b'P', b'K', 3, 4, ..] => Some("a ZIP archive"),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some("a video (Matroska or WebM)"),
        [b'q', b'o', b'i', b'f', ..] => Some("QOI"),
        [0x76, 0x2f, 0x31, 0x01, ..] => Some("OpenEXR"),
        _ => None,
    }
}

/// A gzip file whose header says that it was an SVG.
fn svgz(bytes: &[u8]) -> bool {
    let named = bytes.get(3).is_some_and(|flags| flags & 0x0c == 8); // a name, and no field before it
    let name = bytes.get(10..).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
    named && name.to_ascii_lowercase().ends_with(b".svg")
}

/// A file of boxes, by the brands that its first box names; `brand` begins with the major one.
fn iso(bytes: &[u8], brand: &[u8]) -> Option<&'static str> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let all = brand.get(..length.saturating_sub(8).min(brand.len()))?;
    // the second word is a version, and the compatible brands follow
    let has = |names: &[&[u8; 4]]| {
        let brands = all.chunks_exact(4).enumerate().filter(|(index, _)| *index != 1);
        brands.into_iter().any(|(_, brand)| names.iter().any(|name| brand == name.as_slice()))
    };
    if has(&[b"avif", b"avis"]) {
        Some("AVIF")
    } else if has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"]) {
        Some("HEIC, as iPhones store photos")
    } else if has(&[b"crx "]) {
        Some("a raw photo (CR3)")
    } else {
        Some("a video (MP4 or QuickTime)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(brands: &[&str]) -> Vec<u8> {
        let brands: Vec<u8> =
            [brands[0], "\0\0\0\0"].iter().chain(&brands[1..]).flat_map(|brand| brand.bytes()).collect();
        let length = (brands.len() + 8) as u32;
        [&length.to_be_bytes()[..], b"ftyp", &brands, b"\0\0\0\x08free"].concat()
    }

    #[test]
    fn what_is_not_served_is_named() {
        for (bytes, name) in [
            (&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], "SVG"),
            (b"\xef\xbb\xbf \n<?xml version='1.0'?>\n<!-- drawn --><svg width='1'/>", "SVG"),
            (b"<!DOCTYPE svg PUBLIC '-//W3C'>\n<svg\n/>", "SVG"),
            (b"<!doctype HTML><p><svg >", "a web page (HTML)"),
            (b"%PDF-1.7\n", "PDF"),
            (b"\xff\x0a\x00", "JPEG XL"),
            (b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL"),
            (b"\0\0\0\x0cjP  \x0d\x0a\x87\x0a", "JPEG 2000"),
            (b"8BPS\0\x01", "Photoshop (PSD)"),
            (b"\0\0\x01\0\x01\0", "an icon (ICO)"),
            (b"PK\x03\x04", "a ZIP archive"),
            (b"\x1f\x8b\x08\x08\0\0\0\0\0\x03photo.SVG\0", "SVG, compressed"),
        ] {
            assert_eq!(named(bytes), Some(name), "{bytes:?}");
        }
        for (brands, name) in [
            (&["avif", "mif1", "miaf"][..], "AVIF"),
            (&["mif1", "avif"], "AVIF"),
            (&["heic", "mif1"], "HEIC, as iPhones store photos"),
            (&["mif1", "heic"], "HEIC, as iPhones store photos"),
            (&["isom", "mp41"], "a video (MP4 or QuickTime)"),
        ] {
            assert_eq!(named(&boxed(brands)), Some(name), "{brands:?}");
        }
    }

    #[test]
    fn what_nobody_knows_has_no_name_and_nothing_panics() {
        for bytes in [&b""[..], b"hello", b"<p>", b"\0\0\x01\0", b"\x1f"] {
            assert_eq!(named(bytes), None, "{bytes:?}");
        }
        let whole = boxed(&["avif", "mif1"]);
        for length in 0..whole.len() {
            let cut = named(&whole[..length]);
            assert!(length >= 8 || cut.is_none(), "{length}: {cut:?}");
        }
        named(b"\0\0\0\0ftyp");
        named(b"\xff\xff\xff\xffftypheic");
    }
}
