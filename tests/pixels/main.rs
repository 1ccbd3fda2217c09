//! Bytes to pixels: against Pillow, and against bytes that mean harm. Whole photos against timm's and transformers' pixels are in
//! `golden_pixels.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod field;
mod formats;
mod hostile;
mod part;
mod refused;
mod transform;

use std::path::PathBuf;

/// The folder of the test images, which `generate.py` there made.
fn images() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "images"].iter().collect()
}
