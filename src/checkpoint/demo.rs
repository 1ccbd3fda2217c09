//! The models that are built into the binary, so that it serves something without a download; `models/` describes them.
//! They are opened by the same code as a folder is.

use super::files::Files;
use super::{Checkpoint, CheckpointError, Source};

const NAMES: &[&str] = &["convnext_atto", "swin_atto"];

const CONVNEXT_ATTO: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../../models/convnext_atto/config.json")),
    ("model.safetensors", include_bytes!("../../models/convnext_atto/model.safetensors")),
];

const SWIN_ATTO: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../../models/swin_atto/config.json")),
    ("model.safetensors", include_bytes!("../../models/swin_atto/model.safetensors")),
];

/// The names of the models that are built into the binary; the first is served by default.
#[must_use]
pub fn demo_names() -> &'static [&'static str] {
    NAMES
}

/// A model that is built into the binary.
///
/// # Errors
/// [`CheckpointError::UnknownDemo`], which lists the names there are.
pub fn demo(name: &str) -> Result<Checkpoint, CheckpointError> {
    let known = NAMES.iter().find(|known| **known == name).ok_or_else(|| unknown(name))?;
    Source::BuiltIn(known).open()
}

/// The files of a model that is built in.
pub(super) fn files(name: &str) -> Result<Files<'static>, CheckpointError> {
    match name {
        "convnext_atto" => Ok(Files::BuiltIn("convnext_atto", CONVNEXT_ATTO)),
        "swin_atto" => Ok(Files::BuiltIn("swin_atto", SWIN_ATTO)),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> CheckpointError {
    CheckpointError::UnknownDemo { name: name.to_owned(), known: NAMES }
}
