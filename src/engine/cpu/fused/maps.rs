//! What a step reads: a map of each image of the group. Not here: where it lies (`arena`).

/// One map for each image that is computed, one after another.
#[derive(Clone, Copy)]
pub(crate) struct Maps<'a> {
    values: &'a [f32],
    /// Numbers of a map.
    len: usize,
}

impl<'a> Maps<'a> {
    /// Maps of this length.
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
