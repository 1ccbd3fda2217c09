//! What a step reads: one map per image. Not here: which buffer holds them (`plan`).

/// Maps of the same length, one per image, one after another.
#[derive(Clone, Copy)]
pub(crate) struct Maps<'a> {
    values: &'a [f32],
    /// Elements of a map.
    len: usize,
}

impl<'a> Maps<'a> {
    /// Maps of `len` elements.
    pub(crate) fn new(values: &'a [f32], len: usize) -> Self {
        Self { values, len }
    }

    /// The map of an image, channels last.
    #[inline(always)]
    pub(crate) fn image(self, image: usize) -> &'a [f32] {
        &self.values[image * self.len..][..self.len]
    }

    /// The maps of all images.
    pub(crate) fn all(self) -> &'a [f32] {
        self.values
    }
}
