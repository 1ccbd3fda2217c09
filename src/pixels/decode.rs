//! Bytes to RGB.

/// What the head of a file says, before anything is allocated for its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Columns as stored, before orientation.
    pub width: u32,
    /// Rows as stored, before orientation.
    pub height: u32,
    /// The format, found by content.
    pub format: image::ImageFormat,
}

impl Header {
    /// Pixels that decoding will make.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// An image `[height, width, 3]`, 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height · width · 3` bytes.
    pub bytes: Vec<u8>,
}

/// An image cannot be had of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Not one of the formats that are served.
    #[error("not an image of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF)")]
    UnknownFormat,
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

/// Reads the head of the file.
///
/// # Errors
/// [`ImageError::UnknownFormat`], [`ImageError::Undecodable`] for a broken head, [`ImageError::TooLarge`] over `max_pixels`.
pub fn probe(_bytes: &[u8], _max_pixels: u64) -> Result<Header, ImageError> {
    todo!()
}

/// Decodes as Pillow's `ImageOps.exif_transpose(image).convert("RGB")`.
///
/// # Errors
/// [`ImageError::Undecodable`] for what is broken or truncated.
pub fn decode(_bytes: &[u8], _header: &Header) -> Result<Rgb, ImageError> {
    todo!()
}
