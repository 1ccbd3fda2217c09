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
    #[inline(always)]
    pub(super) fn image(self, image: usize) -> &'a [f32] {
        match self {
            Self::Staged(slots, order) => slots.image(order[image]),
            Self::Buffer(values, len) => &values[image * len..][..len],
        }
    }

    /// The maps of all images, one after another. Plans hand staged images only to what reads them one by one.
    pub(super) fn all(self) -> &'a [f32] {
        match self {
            Self::Staged(..) => &[],
            Self::Buffer(values, _) => values,
        }
    }
}
