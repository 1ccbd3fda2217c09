//! What a step reads: a map of each image of the group. Not here: where it lies (`arena`).

use crate::engine::slots::Slots;

/// One map for each image that is computed.
#[derive(Clone, Copy)]
pub(super) enum Maps<'a> {
    /// Staged images, by slot.
    Staged(&'a Slots, &'a [usize]),
    /// A buffer that holds maps of this length one after another.
    Buffer(&'a [f32], usize),
}

impl<'a> Maps<'a> {
    /// The map of an image, channels last.
    pub(super) fn image(self, image: usize) -> &'a [f32] {
        match self {
            Self::Staged(slots, order) => slots.image(order[image]),
            Self::Buffer(values, len) => &values[image * len..][..len],
        }
    }
}
