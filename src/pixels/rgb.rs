//! A decoded image of any size. Not here: decoding it (`decode`), an image of a model's size (`input`).

/// An image `[height, width, 3]`, 0 to 255, of at least one pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Rgb {
    /// An image of these bytes; None unless there are `height · width · 3` of them, and at least one pixel.
    #[must_use]
    pub fn new(width: u32, height: u32, bytes: Vec<u8>) -> Option<Self> {
        let length = u64::from(width) * u64::from(height) * 3;
        (length > 0 && length == bytes.len() as u64).then_some(Self { width, height, bytes })
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `height · width · 3` bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// An image of what a decoder wrote.
pub(super) fn rgb(width: u32, height: u32, bytes: Vec<u8>) -> Result<Rgb, String> {
    let length = bytes.len();
    Rgb::new(width, height, bytes).ok_or_else(|| format!("{length} bytes are no {width}×{height} pixels of RGB"))
}
