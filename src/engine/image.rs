//! Images and batches, as an executable takes them: bytes in some memory, and the format of the bytes.
//!
//! Not here: the memory of a device (`lease`), decoding (`pixels`).

use std::fmt;

/// The format of the bytes of an [`Image`]. Numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Pixels `[h, w, 3]` of 0 to 255, which the engine normalises by the program's [`InputSpec`](crate::program::InputSpec).
    Rgb8,
    /// A normalised image `[3, h, w]` in f32, as tensor protocols send it.
    F32,
    /// A normalised image `[3, h, w]` in half precision.
    F16,
}

impl PixelFormat {
    /// Bytes per pixel and channel.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Rgb8 => 1,
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// One image, in a [`Lease`](super::Lease), where the device reads it, or in any other memory.
pub struct Image {
    format: PixelFormat,
    memory: Box<dyn AsRef<[u8]> + Send + Sync>,
}

impl Image {
    /// An image in `memory`, which is held until the image is dropped.
    #[must_use]
    pub fn new(format: PixelFormat, memory: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { format, memory: Box::new(memory) }
    }

    /// The format of its bytes.
    #[must_use]
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        (*self.memory).as_ref()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("format", &self.format).field("bytes", &self.bytes().len()).finish()
    }
}

/// Images that run together. Logits come in the same order.
#[derive(Debug, Default)]
pub struct Batch {
    images: Vec<Image>,
}

impl Batch {
    /// A batch of these images.
    #[must_use]
    pub fn new(images: Vec<Image>) -> Self {
        Self { images }
    }

    /// Its images.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether it has no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

impl FromIterator<Image> for Batch {
    fn from_iter<I: IntoIterator<Item = Image>>(images: I) -> Self {
        Self::new(images.into_iter().collect())
    }
}
