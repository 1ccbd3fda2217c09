//! The images of a load: a file, or all of a folder that are images. Not here: what they are sent as (`target`).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;

use crate::pixels;

/// Files, by their names. What is no image in a folder is passed over; only heads are looked at.
///
/// # Errors
/// A folder or file that cannot be read, or without an image.
pub(in crate::cli) fn images(path: &Path) -> anyhow::Result<Vec<Bytes>> {
    let shown = path.display();
    let paths: Vec<PathBuf> = if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("--images {shown}"))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.is_file());
        paths.sort();
        paths
    } else {
        vec![path.to_owned()]
    };
    let mut images = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("--images {}", path.display()))?;
        if pixels::probe(&bytes, u64::MAX).is_ok() {
            images.push(bytes.into());
        }
    }
    if images.is_empty() {
        bail!("--images {shown}: there is no image; JPEG, PNG, WebP, GIF, BMP and TIFF are such");
    }
    Ok(images)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folders_images_are_its_files_that_are_such_by_name() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/images"));
        let all = images(folder).unwrap();
        assert_eq!(all.len(), 10, "ten PNGs, and a script that is none");
        assert_eq!(images(&folder.join("ankle-boot.png")).unwrap(), all[..1]);
        for wrong in [folder.join("extract.py"), folder.join("no-such.png")] {
            assert!(images(&wrong).unwrap_err().to_string().contains("--images"), "{}", wrong.display());
        }
    }
}
