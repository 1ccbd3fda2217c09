//! Models from the Hugging Face hub, in the cache that its own library keeps, so that each finds what the other has downloaded.
//!
//! Not here: what the files say. `checkpoint` reads folders and knows no network, which is why this is a module of its own.

mod cache;
mod client;
mod download;
mod error;
mod etag;
mod event;
mod patience;
mod reference;
mod selection;
mod settings;
mod url;

use std::path::{Path, PathBuf};

pub use cache::cached;
pub use error::HubError;
pub use event::{Event, Observer};
pub use reference::Reference;
pub use settings::{Settings, Token};

use cache::Cache;
use client::Client;
use download::Download;
use selection::Files;

/// A revision of a repository in the cache, with all files that serving it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit that the revision is.
    pub commit: String,
    /// The folder with the files, for `checkpoint::open`.
    pub folder: PathBuf,
    /// The files, by name, with what became of each.
    pub files: Vec<File>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name in the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Whether it came now, all or the rest of it; else it was there already.
    pub downloaded: bool,
}

/// Asks the hub for a revision, and downloads what of it is not in the cache. Blocks.
///
/// A commit that is there already needs no network. Offline the cache alone is asked.
///
/// # Errors
/// See [`HubError`]. Parts that came are kept, and the next call goes on with them.
pub fn pull(reference: &Reference, settings: &Settings, observer: Observer<'_>) -> Result<Snapshot, HubError> {
    if settings.offline || reference.commit().is_some() {
        match cached(reference, settings) {
            Some(snapshot) => return Ok(snapshot),
            None if settings.offline => return Err(HubError::offline(reference, &settings.cache)),
            None => {}
        }
    }
    let client = Client::new(reference, settings, observer)?;
    let listing = client.listing()?;
    let cache = Cache::of(reference, &settings.cache);
    let mut pulling = Pulling { client, cache, commit: listing.commit.clone(), files: Vec::new() };
    let files = Files::listed(&listing.files);
    for name in files.descriptions(reference)? {
        pulling.fetch(name)?;
    }
    let folder = pulling.cache.snapshot(&listing.commit);
    for name in files.weights(&folder, reference)? {
        pulling.fetch(&name)?;
    }
    // last, so that the revision that was there before serves on if this one does not come
    pulling.cache.point(&reference.revision, &listing.commit)?;
    Ok(Snapshot { commit: listing.commit, folder, files: pulling.files })
}

/// The snapshot of a revision in the cache, or else from the hub: what is there is served without asking whether there is a newer one.
///
/// # Errors
/// As [`pull`].
pub fn cached_or_pulled(
    reference: &Reference,
    settings: &Settings,
    observer: Observer<'_>,
) -> Result<Snapshot, HubError> {
    cached(reference, settings).map_or_else(|| pull(reference, settings, observer), Ok)
}

/// A pull that is under way.
struct Pulling<'a> {
    client: Client<'a>,
    cache: Cache,
    commit: String,
    files: Vec<File>,
}

impl Pulling<'_> {
    /// Puts a file into the snapshot, unless it is there.
    fn fetch(&mut self, name: &str) -> Result<(), HubError> {
        let pointer = self.cache.pointer(&self.commit, name);
        let (size, downloaded) = match size_of(&pointer) {
            Some(size) => (size, false),
            None => Download { client: &self.client, cache: &self.cache, commit: &self.commit, name }.run()?,
        };
        self.files.push(File { name: name.to_owned(), size, downloaded });
        Ok(())
    }
}

/// The size of a file, through a link; `None` if it is not there.
fn size_of(path: &Path) -> Option<u64> {
    path.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}
