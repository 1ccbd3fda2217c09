//! The cache of Hugging Face's own library, by its layout: blobs by their hash, snapshots of commits that link to them, revisions that name
//! commits, and locks. Not here: how blobs come (`download`).
//!
//! ```text
//! CACHE/.locks/models--ORGANISATION--NAME/HASH.lock
//! CACHE/models--ORGANISATION--NAME/blobs/HASH, HASH.incomplete
//!                                 /snapshots/COMMIT/FILE -> ../../blobs/HASH
//!                                 /refs/REVISION, which holds COMMIT
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::etag::Etag;
use super::patience::pause;
use super::reference::is_commit;
use super::selection::Files;
use super::{Event, HubError, Observer, Reference, Settings, Snapshot, size_of};

/// How often a lock that another process has is tried.
const RETRY: Duration = Duration::from_millis(100);

/// A repository in the cache.
pub(super) struct Cache {
    repository: PathBuf,
    locks: PathBuf,
}

/// A revision whose files are all there; no network is asked.
#[must_use]
pub fn cached(reference: &Reference, settings: &Settings) -> Option<Snapshot> {
    let cache = Cache::of(reference, &settings.cache);
    let commit = cache.commit_of(reference)?;
    let folder = cache.snapshot(&commit);
    let files = Files::within(&folder).ok().filter(|files| files.are_complete(&folder, reference))?;
    let file = |name: String| {
        let size = size_of(&folder.join(&name)).unwrap_or_default();
        super::File { name, size, downloaded: false }
    };
    let files = files.needed(&folder, reference).ok()?.into_iter().map(file).collect();
    Some(Snapshot { commit, folder, files })
}

impl Cache {
    pub(super) fn of(reference: &Reference, cache: &Path) -> Self {
        let folder = format!("models--{}--{}", reference.organisation, reference.name);
        Self { repository: cache.join(&folder), locks: cache.join(".locks").join(&folder) }
    }

    /// The folder of a commit's files.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository.join("snapshots").join(commit)
    }

    /// Where a commit has a file.
    pub(super) fn pointer(&self, commit: &str, name: &str) -> PathBuf {
        self.snapshot(commit).join(name)
    }

    /// Where content is kept.
    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.repository.join("blobs").join(etag.text())
    }

    /// Where content is kept of which a part is missing.
    pub(super) fn incomplete(&self, etag: &Etag) -> PathBuf {
        self.repository.join("blobs").join(format!("{}.incomplete", etag.text()))
    }

    /// The commit that a revision was when it was last asked for.
    fn commit_of(&self, reference: &Reference) -> Option<String> {
        if let Some(commit) = reference.commit() {
            return Some(commit.to_owned());
        }
        let commit = fs::read_to_string(self.repository.join("refs").join(&reference.revision)).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit that a revision is.
    pub(super) fn point(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.repository.join("refs").join(revision);
        if fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        replace(&path, |beside| fs::write(beside, commit))
    }

    /// Gives a commit's file its content.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &Etag) -> Result<(), HubError> {
        let target: PathBuf = ["..", "..", "blobs", etag.text()].iter().collect();
        replace(&self.pointer(commit, name), |beside| std::os::unix::fs::symlink(&target, beside))
    }

    /// Waits until no other process downloads this content. The lock is given back when it is dropped, or the process ends.
    pub(super) fn lock(&self, etag: &Etag, observer: Observer<'_>) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", etag.text()));
        let error = HubError::cache(&path);
        folder_of(&path)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(&error)?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                // a file system without locks: what is written is checked anyway
                Err(TryLockError::Error(cause)) if cause.kind() == io::ErrorKind::Unsupported => return Ok(file),
                Err(TryLockError::Error(cause)) => return Err(error(cause)),
            }
            if !told {
                observer(Event::Waits { why: "another process downloads it", pause: None });
                told = true;
            }
            pause(RETRY);
        }
    }
}

/// Makes the folder of a file.
pub(super) fn folder_of(path: &Path) -> Result<(), HubError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(HubError::cache(folder))
}

/// Puts what `make` makes in the place of `path`, at once: nobody sees half of it.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), HubError> {
    folder_of(path)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.{:08x}.tmp", std::process::id(), fastrand::u32(..)));
    let beside = PathBuf::from(beside);
    make(&beside).and_then(|()| fs::rename(&beside, path)).map_err(HubError::cache(path))
}
