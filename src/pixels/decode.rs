//! Bytes to RGB: which format it is, whether it is small enough, and the decoder that reads it.
//!
//! Not here: what is particular to a format (`jpeg`, `gif`, `tiff`, `raster`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::ImageFormat::{self, Bmp, Gif, Jpeg, Png, Tiff, WebP};

use super::header::{Header, named};
use super::{Part, Rgb, Transform, gif, jpeg, raster, tiff};

/// An image cannot be had of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Not one of the formats that are served.
    #[error("not an image of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF)")]
    UnknownFormat,
    /// Of a format that is known but not served.
    #[error("it seems to be {0}; possible are JPEG, PNG, WebP, GIF, BMP, TIFF")]
    NotServed(&'static str),
    /// Larger than is allowed.
    #[error("{width}×{height} pixels are more than the {limit} that are allowed")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Pixels allowed.
        limit: u64,
    },
    /// Broken or truncated.
    #[error("the {format} does not decode: {why}")]
    Undecodable {
        /// The format.
        format: &'static str,
        /// What the decoder says.
        why: String,
    },
}

/// Pixels of one edge, at most: as many as a JPEG or a GIF can have. Resizing keeps weights for every pixel of an edge, so that a line
/// of 64 million, a file of a few kB, would take GBs.
const MAX_EDGE: u32 = 65_535;

/// Reads the head of the file, and allocates nothing for its pixels.
///
/// # Errors
/// [`ImageError::UnknownFormat`], [`ImageError::NotServed`], [`ImageError::Undecodable`] for a broken head, [`ImageError::TooLarge`] over `max_pixels`.
pub fn probe(bytes: &[u8], max_pixels: u64) -> Result<Header, ImageError> {
    let format = if is_big_tiff(bytes) {
        Tiff // which the crate does not know
    } else {
        image::guess_format(bytes).map_err(|_| unknown(bytes))?
    };
    if !matches!(format, Bmp | Gif | Jpeg | Png | Tiff | WebP) {
        return Err(unknown(bytes));
    }
    let size = || match format {
        Jpeg => jpeg::size(bytes),
        Gif => gif::size(bytes),
        Tiff => tiff::size(bytes),
        _ => raster::size(bytes, format),
    };
    let (width, height) = guarded(size).map_err(|why| undecodable(format, why))?;
    let header = Header { width, height, format };
    if header.pixels() == 0 {
        return Err(undecodable(format, format!("it has {width}×{height} pixels")));
    }
    if width.max(height) > MAX_EDGE {
        return Err(undecodable(format, format!("it has {width}×{height} pixels, and no edge may be over {MAX_EDGE}")));
    }
    if header.pixels() > max_pixels {
        return Err(ImageError::TooLarge { width, height, limit: max_pixels });
    }
    Ok(header)
}

/// Decodes as Pillow's `ImageOps.exif_transpose(image).convert("RGB")`: of an animation the first frame, alpha dropped.
///
/// Memory is bounded by what [`probe`] admitted: `header` must be what it said of the same bytes.
///
/// # Errors
/// [`ImageError::Undecodable`] for what is broken or truncated.
pub fn decode(bytes: &[u8], header: &Header) -> Result<Rgb, ImageError> {
    let decode = || match header.format {
        Jpeg => jpeg::decode(bytes, header),
        Gif => gif::decode(bytes, header),
        Tiff => tiff::decode(bytes, header),
        Png | WebP | Bmp => raster::decode(bytes, header),
        _ => Err("its format is not served".to_owned()),
    };
    guarded(decode).map_err(|why| undecodable(header.format, why))
}

/// Decodes what a transform makes its pixels of, which may be less than the whole and of fewer pixels; as the whole to within
/// [`Transform::apply_part_into`]'s bounds.
///
/// # Errors
/// As [`decode`]: nothing is forgiven because it is not asked for.
pub fn decode_for(bytes: &[u8], header: &Header, transform: &Transform) -> Result<Part, ImageError> {
    match header.format {
        Jpeg => guarded(|| jpeg::decode_for(bytes, header, transform)).map_err(|why| undecodable(header.format, why)),
        _ => decode(bytes, header).map(Part::from),
    }
}

/// What a decoder says, whose panic is a fault of the file's like any other. What it asserted is logged where it panicked, and is nothing
/// for whoever sent the file.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("its decoder failed; save the image anew".to_owned()))
}

fn is_big_tiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II+\0\x08\0\0\0") || bytes.starts_with(b"MM\0+\0\x08\0\0")
}

fn unknown(bytes: &[u8]) -> ImageError {
    named(bytes).map_or(ImageError::UnknownFormat, ImageError::NotServed)
}

fn undecodable(format: ImageFormat, why: String) -> ImageError {
    let format = match format {
        Jpeg => "JPEG",
        Png => "PNG",
        WebP => "WebP",
        Gif => "GIF",
        Bmp => "BMP",
        Tiff => "TIFF",
        _ => "image",
    };
    ImageError::Undecodable { format, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_an_error_without_its_words() {
        let error = guarded(|| -> Result<(), String> { panic!("assertion failed: buf.len() >= 4") }).unwrap_err();
        assert!(!error.contains("assertion") && error.contains("failed"), "{error}");
        assert_eq!(guarded(|| Ok(7)), Ok(7));
    }
}
