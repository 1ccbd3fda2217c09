//! Bytes of an image to the pixels of a model's input, as Pillow and torchvision do it. Knows no model.
//!
//! Not here: mean and standard deviation, which the engine applies, and budgets across images, which the service keeps.

mod bmp;
mod chunks;
mod decode;
mod directory;
mod gif;
mod header;
mod input;
mod jpeg;
mod orientation;
mod part;
mod raster;
mod resize;
mod rgb;
mod samples;
mod tiff;
mod transform;

pub use decode::{ImageError, decode, decode_for, probe};
pub use header::Header;
pub use input::Pixels;
pub use part::Part;
pub use resize::Filter;
pub use rgb::Rgb;
pub use transform::{CropRounding, Fit, Transform, WrongLength};
