//! REST.
mod options;
pub use options::Options;
