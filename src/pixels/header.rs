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
