//! Bytes of an image to the pixels of a model's input. Knows no model.

mod decode;
mod resize;
mod transform;

pub use decode::{Header, ImageError, Rgb, decode, probe};
pub use resize::Filter;
pub use transform::{Fit, Pixels, Transform};
