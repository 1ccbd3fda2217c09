//! The budgets of admission that all models share. Not here: those of one model (`options`).

/// What is taken at most; over it a request is shed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all bodies that have come and are held.
    pub body_bytes: u64,
    /// Decoded pixels of all images that are held.
    pub decoded_pixels: u64,
    /// Bytes of one body.
    pub max_body_bytes: u64,
    /// Pixels of one image.
    pub max_image_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 << 20,
            decoded_pixels: 256_000_000,
            max_body_bytes: 16 << 20,
            max_image_pixels: 64_000_000,
        }
    }
}
