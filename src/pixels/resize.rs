//! Antialiased resize as Pillow's.

/// The interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Cubic convolution with a = −0.5, as Pillow's.
    Bicubic,
}
