//! An image of exactly a model's size. Not here: bringing it to that size (`transform`), an image of any size (`rgb`).

/// Pixels `[height, width, 3]` of exactly a model's input, 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels(pub(super) Vec<u8>);

impl Pixels {
    /// Pixels of these bytes; None unless there are `height · width · 3` of them.
    #[must_use]
    pub fn from_bytes(height: usize, width: usize, bytes: Vec<u8>) -> Option<Self> {
        let length = height.checked_mul(width)?.checked_mul(3)?;
        (bytes.len() == length).then_some(Self(bytes))
    }

    /// Middle grey, as for a warm-up.
    #[must_use]
    pub fn grey(height: usize, width: usize) -> Self {
        Self(vec![128; height * width * 3])
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
