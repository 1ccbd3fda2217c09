//! The chunks of PNG and WebP beside the pixels: EXIF, XMP, and what their decoders need mended.
//!
//! Not here: what EXIF and XMP say (`orientation`).

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// EXIF and XMP of a file, as Pillow finds them.
#[derive(Debug, Default)]
pub(super) struct Metadata<'a> {
    pub(super) exif: Option<Cow<'a, [u8]>>,
    pub(super) xmp: Option<Cow<'a, [u8]>>,
}

const PNG_SIGNATURE: usize = 8;
/// Length, name, and behind the content a checksum.
const PNG_AROUND: usize = 12;
/// An empty IEND.
const PNG_END: [u8; PNG_AROUND] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];

/// The whole chunks of a PNG, each with its name, its content and where it ends.
fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], usize)> {
    let mut at = PNG_SIGNATURE;
    std::iter::from_fn(move || {
        let (&length, rest) = bytes.get(at..)?.split_first_chunk()?;
        let (&name, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(length) as usize;
        let content = rest.get(..length.checked_add(4)?)?.get(..length)?;
        at += PNG_AROUND + length;
        Some((name, content, at))
    })
}

/// A PNG that ends behind its pixels and a whole chunk, without its last one, gets that: neither Pillow nor browsers miss it.
pub(super) fn png_with_end(bytes: &[u8]) -> Cow<'_, [u8]> {
    /// Bytes that are no head of a chunk.
    const STRAY: usize = 8;
    let (mut kept, mut has_pixels) = (0, false);
    for (name, _, end) in png_chunks(bytes) {
        if &name == b"IEND" {
            return Cow::Borrowed(bytes);
        }
        has_pixels |= &name == b"IDAT";
        kept = end;
    }
    let is_whole = has_pixels && bytes.len() - kept < STRAY;
    if is_whole { Cow::Owned([&bytes[..kept], &PNG_END].concat()) } else { Cow::Borrowed(bytes) }
}

/// EXIF and XMP of a PNG: of chunks before and behind the pixels, or in text as ImageMagick and exiftool write them. The last counts.
pub(super) fn of_png(bytes: &[u8]) -> Metadata<'_> {
    let mut found = Metadata::default();
    let (mut profile, mut xmp) = (None, None);
    let (mut is_animated, mut has_pixels) = (false, false);
    for (name, content, _) in png_chunks(bytes) {
        match &name {
            b"IEND" => break,
            b"fcTL" if is_animated && has_pixels => break, // the next frame's
            b"acTL" => is_animated = true,
            b"IDAT" => has_pixels = true,
            b"eXIf" => found.exif = Some(Cow::Borrowed(content)),
            b"tEXt" | b"zTXt" | b"iTXt" => {
                let keyword = content.split(|&byte| byte == 0).next().unwrap_or_default();
                match keyword {
                    b"Raw profile type exif" => profile = Some((name, content)),
                    b"XML:com.adobe.xmp" => xmp = Some((name, content)),
                    b"exif" if &name == b"tEXt" => found.exif = content.get(keyword.len() + 1..).map(Cow::Borrowed),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let raw = || profile.and_then(|(name, content)| text(name, content)).and_then(|text| raw_profile(&text));
    found.exif = found.exif.or_else(|| raw().map(Cow::Owned));
    found.xmp = xmp.and_then(|(name, content)| text(name, content));
    found
}

/// The text of a chunk; None for one that is broken, or longer than Pillow takes.
fn text(name: [u8; 4], content: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (_, rest) = split_at_zero(content)?;
    match &name {
        b"tEXt" => Some(Cow::Borrowed(rest)),
        b"zTXt" => rest.strip_prefix(&[0]).and_then(inflate),
        _ => {
            let (&[compressed, method], rest) = rest.split_first_chunk()?;
            let (_, rest) = split_at_zero(rest)?;
            let (_, text) = split_at_zero(rest)?;
            match (compressed, method) {
                (0, _) => Some(Cow::Borrowed(text)),
                (_, 0) => inflate(text),
                _ => None,
            }
        }
    }
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn inflate(compressed: &[u8]) -> Option<Cow<'static, [u8]>> {
    /// Pillow's `MAX_TEXT_CHUNK`.
    const MOST: u64 = 1 << 20;
    let mut text = Vec::new();
    ZlibDecoder::new(compressed).take(MOST + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= MOST).then_some(Cow::Owned(text))
}

/// The bytes of a profile in hexadecimal digits, behind an empty line, its name and its length.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.split(|&byte| byte == b'\n').skip(3).flatten().filter(|byte| !byte.is_ascii_whitespace());
    let digits: Vec<u8> =
        digits.map(|&digit| char::from(digit).to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|&[high, low]| high << 4 | low).collect())
}

/// Flags of a WebP's first chunk (RFC 9649, 2.7.1).
mod webp_flag {
    pub(super) const XMP: u8 = 0x04;
    pub(super) const EXIF: u8 = 0x08;
    pub(super) const ALPHA: u8 = 0x10;
    /// Of a frame of an animation.
    pub(super) const NOT_BLENDED: u8 = 0x02;
}

const WEBP_HEAD: usize = 12;
/// The flags of a WebP that has them: behind its head, and the name and the length of the first chunk.
const WEBP_FLAGS_AT: usize = WEBP_HEAD + 8;

/// The flags of a frame: behind its place, its size and its time.
const FRAME_FLAGS_AT: usize = 15;

/// Whether a WebP is as long as it says. What lies behind its pixels would else be lost without a word.
pub(super) fn webp_is_whole(bytes: &[u8]) -> bool {
    /// The name and the length of the whole, which the length leaves out.
    const LEFT_OUT: usize = 8;
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk()).map(|&length| u32::from_le_bytes(length) as usize);
    length.is_some_and(|length| length.saturating_add(LEFT_OUT) <= bytes.len())
}

/// The flags of an extended WebP.
fn webp_flags(bytes: &[u8]) -> Option<u8> {
    bytes.get(WEBP_HEAD..).filter(|chunks| chunks.starts_with(b"VP8X"))?;
    bytes.get(WEBP_FLAGS_AT).copied()
}

/// The first chunk of a name.
fn webp_chunk<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let (at, size) = webp_chunk_at(bytes, name)?;
    bytes.get(at..)?.get(..size)
}

/// Where the content of the first chunk of a name begins, and how long it says that it is.
fn webp_chunk_at(bytes: &[u8], name: &[u8; 4]) -> Option<(usize, usize)> {
    let mut at = WEBP_HEAD;
    loop {
        let &[n, a, m, e, size @ ..] = bytes.get(at..)?.first_chunk::<8>()?;
        let size = u32::from_le_bytes(size) as usize;
        if &[n, a, m, e] == name {
            return Some((at + 8, size));
        }
        at = at.checked_add(8 + size)?.checked_add(size % 2)?;
    }
}

/// EXIF and XMP of a WebP: chunks for which there is a flag.
pub(super) fn of_webp(bytes: &[u8]) -> Metadata<'_> {
    let flags = webp_flags(bytes).unwrap_or(0);
    let chunk = |flag, name| webp_chunk(bytes, name).filter(|_| flags & flag != 0).map(Cow::Borrowed);
    Metadata { exif: chunk(webp_flag::EXIF, b"EXIF"), xmp: chunk(webp_flag::XMP, b"XMP ") }
}

/// A WebP without flags for EXIF, XMP and alpha that it lacks, which its decoder asks for and nobody else does; the first frame of an animation
/// is not blended with what is not there yet, as to libwebp.
pub(super) fn webp_mended(bytes: &[u8]) -> Cow<'_, [u8]> {
    let flags = webp_flags(bytes).unwrap_or(0);
    let empty = |flag, name| if flags & flag != 0 && webp_chunk(bytes, name).is_none() { flag } else { 0 };
    let is_opaque = webp_chunk(bytes, b"VP8 ").is_some(); // a lossless image has its alpha within
    let alpha = if is_opaque { empty(webp_flag::ALPHA, b"ALPH") } else { 0 };
    let empty = empty(webp_flag::EXIF, b"EXIF") | empty(webp_flag::XMP, b"XMP ") | alpha;
    let frame_flags_at =
        webp_chunk_at(bytes, b"ANMF").map(|(at, _)| at + FRAME_FLAGS_AT).filter(|&at| at < bytes.len());
    if empty == 0 && frame_flags_at.is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut mended = bytes.to_vec();
    if let Some(flags) = mended.get_mut(WEBP_FLAGS_AT) {
        *flags &= !empty;
    }
    if let Some(at) = frame_flags_at {
        mended[at] |= webp_flag::NOT_BLENDED;
    }
    Cow::Owned(mended)
}
