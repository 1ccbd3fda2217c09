//! The files of a checkpoint, in a folder or built into the binary, read at positions: never mapped, for a file that
//! shrinks under a map kills the process, and never read whole. Not here: what is in them.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CheckpointError, json, misplaced};

/// Largest JSON file that is read, in bytes; ImageNet-22k's names, twice over with their glosses, are 3 MB.
const JSON_LIMIT: u64 = 8 << 20;

/// Where the files of a checkpoint are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Files<'a> {
    /// A folder.
    Folder(&'a Path),
    /// The binary itself: the model's name, and its files by name.
    BuiltIn(&'static str, &'static [(&'static str, &'static [u8])]),
}

impl Files<'_> {
    /// The path of a file, for messages; it need not exist.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(name),
            Self::BuiltIn(model, _) => ["built-in", model, name].iter().collect(),
        }
    }

    /// The names of all files, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let mut names: Vec<String> = match self {
            Self::Folder(folder) => {
                let io = |cause| CheckpointError::Io { path: folder.to_path_buf(), cause };
                let entries = folder.read_dir().map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
                entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Self::BuiltIn(_, files) => files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        names.sort();
        Ok(names)
    }

    /// Opens a file; `None` if there is none of that name.
    pub(super) fn open(&self, name: &str) -> Result<Option<File>, CheckpointError> {
        let path = self.path(name);
        match self {
            Self::Folder(_) => match std::fs::File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((len, file)) => Ok(Some(File { path, len, bytes: Box::new(file) })),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(CheckpointError::Io { path, cause }),
            },
            Self::BuiltIn(_, files) => {
                let bytes = files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| *bytes);
                Ok(bytes.map(|bytes| File { path, len: bytes.len() as u64, bytes: Box::new(bytes) }))
            }
        }
    }

    /// Reads a JSON file; `None` if there is none of that name.
    pub(super) fn json(&self, name: &str) -> Result<Option<Value>, CheckpointError> {
        let Some(file) = self.open(name)? else { return Ok(None) };
        let invalid = |why: String| CheckpointError::Json { path: file.path.clone(), why };
        if file.len > JSON_LIMIT {
            return Err(invalid(format!("it has {} bytes, more than the {JSON_LIMIT} allowed", file.len)));
        }
        let text = file.bytes(0, file.len as usize)?;
        json::read(&text).map(Some).map_err(|why| invalid(misplaced::what(&text).map_or(why, str::to_owned)))
    }
}

/// Bytes that can be read at any position.
pub(super) trait ReadAt: Send + Sync {
    /// Fills `into` with the bytes from `offset` on.
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, into, offset)
    }
}

impl ReadAt for &'static [u8] {
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)?.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An open file.
pub(super) struct File {
    /// For messages.
    pub(super) path: PathBuf,
    /// Bytes when it was opened.
    pub(super) len: u64,
    bytes: Box<dyn ReadAt>,
}

impl File {
    /// Fills `into` with the bytes from `offset` on.
    pub(super) fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.read_exact_at(into, offset)
    }

    /// The `len` bytes from `offset` on. The caller has held `len` against the file's own.
    pub(super) fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, CheckpointError> {
        let mut bytes = vec![0; len];
        let read = self.read_exact_at(&mut bytes, offset);
        read.map(|()| bytes).map_err(|cause| CheckpointError::Io { path: self.path.clone(), cause })
    }

    #[cfg(test)]
    pub(super) fn of(bytes: impl ReadAt + 'static, len: u64) -> Self {
        Self { path: PathBuf::from("test.safetensors"), len, bytes: Box::new(bytes) }
    }
}
