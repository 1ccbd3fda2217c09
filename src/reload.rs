//! Files that are read again when they have changed: certificates and keys. A thread looks at them every second.
//!
//! It looks at what they say and not at events of the file system: these are not sent for a Kubernetes Secret, whose files are links into a
//! folder that is swapped behind another link, nor over networks. Not here: what files mean, and models, which are too large to be read
//! every second (`service`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a file at most.
const MOST_BYTES: u64 = 1 << 20;

/// What files say, in their order.
pub type Contents = Vec<Vec<u8>>;

type Digest = [u8; 32];
/// Takes what files say, or why they cannot be read; says why it cannot be used.
type Take = dyn FnMut(Result<Contents, Unreadable>) -> Result<(), String> + Send;

/// Files that belong together.
pub struct Watched {
    /// Their name in logs.
    what: &'static str,
    files: Vec<PathBuf>,
    /// What was taken, or could not be taken, last.
    known: Digest,
    /// What was found at the last look, where that was something else.
    found: Option<Digest>,
    take: Box<Take>,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct Unreadable {
    path: PathBuf,
    why: String,
}

/// Reads files, each of which must be a file and not too long.
///
/// # Errors
/// The first that is none.
pub fn read(files: &[PathBuf]) -> Result<Contents, Unreadable> {
    let read =
        |path: &PathBuf| contents(path).map_err(|error| Unreadable { path: path.clone(), why: error.to_string() });
    files.iter().map(read).collect()
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    // a pipe would be waited for, for ever
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

impl Watched {
    /// Files of which `read` are in use. What they say later, or that they cannot be read, is given to `take`, which says in words why
    /// it cannot be used.
    pub fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        read: &Contents,
        take: impl FnMut(Result<Contents, Unreadable>) -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self { what, files, known: digest(&Ok(read)), found: None, take: Box::new(take) }
    }

    fn look(&mut self) {
        self.see(read(&self.files));
    }

    /// Takes what is new once it was found twice: files that are being written, or of which one is swapped before the other, come to
    /// rest first.
    fn see(&mut self, read: Result<Contents, Unreadable>) {
        let now = digest(&read.as_ref());
        if now == self.known {
            self.found = None;
            return;
        }
        if self.found.replace(now) != Some(now) {
            return;
        }
        (self.known, self.found) = (now, None);
        let what = self.what;
        match (self.take)(read) {
            Ok(()) => tracing::info!("{what} were read again and are in use"),
            Err(error) => {
                tracing::error!(error, "{what} have changed and cannot be used; those from before stay in use")
            }
        }
    }
}

/// Of all contents together, or of the error.
fn digest(read: &Result<&Contents, &Unreadable>) -> Digest {
    let mut all = ring::digest::Context::new(&ring::digest::SHA256);
    match read {
        Ok(contents) => {
            for bytes in *contents {
                all.update(&bytes.len().to_le_bytes());
                all.update(bytes);
            }
        }
        Err(error) => all.update(error.to_string().as_bytes()),
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(all.finish().as_ref());
    digest
}

/// The thread that looks; it ends when this is dropped.
#[derive(Debug)]
pub struct Watching {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to look.
///
/// # Errors
/// When the system has no thread for it.
pub fn watch(mut all: Vec<Watched>) -> io::Result<Watching> {
    let (stop, stopped) = mpsc::sync_channel(1);
    let look = move || {
        while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            all.iter_mut().for_each(Watched::look);
        }
    };
    let thread = thread::Builder::new().name("reload".to_owned()).spawn(look)?;
    Ok(Watching { stop: Some(stop), thread: Some(thread) })
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.stop.take());
        // a panic of it is in the log
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn contents(text: &str) -> Contents {
        vec![text.as_bytes().to_vec()]
    }

    /// Files that say `a`, and what was taken of them; `bad` is never taken.
    fn watched() -> (Watched, Arc<Mutex<Vec<String>>>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&taken);
        let take = move |contents: Result<Contents, Unreadable>| {
            let text = contents.map_or("unreadable".to_owned(), |all| String::from_utf8(all.concat()).unwrap());
            into.lock().unwrap().push(text.clone());
            if text == "bad" { Err("no".to_owned()) } else { Ok(()) }
        };
        (Watched::new("files", Vec::new(), &contents("a"), take), taken)
    }

    #[test]
    fn what_is_new_is_taken_once_after_it_has_come_to_rest() {
        let (mut watched, taken) = watched();
        for text in ["a", "a", "half", "b", "b", "b", "bad", "bad", "bad", "b", "b", "a", "b"] {
            watched.see(Ok(contents(text)));
        }
        assert_eq!(*taken.lock().unwrap(), ["b", "bad", "b"]);
    }

    #[test]
    fn files_that_are_gone_are_told_once_and_again_when_they_are_back() {
        let (mut watched, taken) = watched();
        for _ in 0..3 {
            watched.see(Err(Unreadable { path: "x".into(), why: "gone".to_owned() }));
        }
        assert_eq!(*taken.lock().unwrap(), ["unreadable"]);
        for _ in 0..2 {
            watched.see(Ok(contents("a")));
        }
        assert_eq!(*taken.lock().unwrap(), ["unreadable", "a"], "they are back");
    }

    #[test]
    fn a_swapped_link_is_a_change_and_a_folder_or_a_device_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("key"), text).unwrap();
        }
        // as Kubernetes has it: key -> ..data/key, ..data -> v1
        std::os::unix::fs::symlink("v1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", at("key")).unwrap();
        assert_eq!(read(&[at("key")]).unwrap(), contents("one"));
        std::os::unix::fs::symlink("v2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(read(&[at("key")]).unwrap(), contents("two"));
        for (path, words) in [(at("v1"), "no file"), ("/dev/zero".into(), "no file"), (at("none"), "No such file")] {
            let error = read(&[path]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_file_of_a_mebibyte_is_read_and_a_longer_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(std::slice::from_ref(&path)).unwrap()[0].len(), 1 << 20);
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(read(&[path]).unwrap_err().to_string().contains("longer than 1 MiB"));
    }
}
