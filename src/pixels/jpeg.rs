//! JPEG: baseline and progressive, grey, Y'CbCr, RGB, CMYK and YCCK, by zune-jpeg.
//!
//! Strictly: a file that ends early is an error, as it is to Pillow, and no picture that is grey below.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::header::{Header, expect_size};
use super::orientation;
use super::rgb::{Rgb, rgb};

/// Markers of ITU-T T.81, table B.1.
mod marker {
    pub(super) const STUFFED: u8 = 0x00;
    pub(super) const TEMPORARY: u8 = 0x01;
    pub(super) const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    pub(super) const START_OF_IMAGE: u8 = 0xD8;
    pub(super) const END_OF_IMAGE: u8 = 0xD9;
}

/// Columns and rows, from the head.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), String> {
    dimensions(&open(bytes)?)
}

/// Decodes; CMYK is taken for inverted, Adobe's way, as Pillow takes it.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, String> {
    if !reaches_end_of_image(bytes) {
        return Err("it is truncated".to_owned());
    }
    let mut decoder = open(bytes)?;
    let (width, height) = dimensions(&decoder)?;
    expect_size(header, width, height)?;
    let pixels = decoder.decode().map_err(says)?;
    let image = rgb(width, height, pixels)?;
    match decoder.exif() {
        Some(exif) => orientation::upright(image, orientation::of_exif(exif)),
        None => Ok(image),
    }
}

fn dimensions(decoder: &JpegDecoder<ZCursor<&[u8]>>) -> Result<(u32, u32), String> {
    let (width, height) = decoder.dimensions().ok_or("it has no frame header")?;
    let narrow = |edge: usize| u32::try_from(edge).map_err(|_| "its size is out of range".to_owned());
    Ok((narrow(width)?, narrow(height)?))
}

fn says(error: DecodeErrors) -> String {
    error.to_string()
}

/// A decoder that has read the head.
fn open(bytes: &[u8]) -> Result<JpegDecoder<ZCursor<&[u8]>>, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX) // `probe` limits the pixels
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(says)?;
    Ok(decoder)
}

/// Whether the segments lead to an end-of-image marker. The decoder misses a cut in the last row of blocks, which it fills with zeros.
fn reaches_end_of_image(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xFF) {
        let Some((&code, tail)) = rest[at + 1..].split_first() else { return false };
        rest = match code {
            marker::END_OF_IMAGE => return true,
            0xFF => &rest[at + 1..], // fill bytes may precede a marker
            marker::STUFFED | marker::TEMPORARY | marker::START_OF_IMAGE => tail,
            restart if marker::RESTART.contains(&restart) => tail,
            _ => {
                let Some((length, _)) = tail.split_first_chunk::<2>() else { return false };
                // the thumbnail in a segment has an end of image of its own
                tail.get(usize::from(u16::from_be_bytes(*length))..).unwrap_or_default()
            }
        };
    }
    false
}
