//! When a model repository is to be looked at: some time after it has changed, and now and then anyway.
//! Not here: what is made of it (`thread`).

use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::{Message, Repository};

/// Of a folder that is written to again and again, changes are followed after so many settling times.
const MOST_SETTLING: u32 = 10;
/// A watched repository is looked at anyway this often: file systems of the network tell of no change that another machine made.
const WATCHED: Duration = Duration::from_secs(60);
/// One that cannot be watched, this often.
const UNWATCHED: Duration = Duration::from_secs(5);

/// Knows when to look at a repository.
pub(super) struct RepositoryWatcher {
    settle: Duration,
    changes: Arc<Mutex<Option<Changes>>>,
    /// When it is to be looked at whether it has changed or not.
    anyway: Instant,
    /// Tells of changes as long as it lives; None where the repository cannot be watched.
    watcher: Option<RecommendedWatcher>,
}

/// Changes that were not followed yet.
#[derive(Clone, Copy)]
struct Changes {
    first: Instant,
    last: Instant,
}

impl RepositoryWatcher {
    /// Begins to watch. The repository is due at once.
    pub(super) fn start(repository: Repository, wake: SyncSender<Message>) -> Self {
        let changes: Arc<Mutex<Option<Changes>>> = Arc::default();
        let noticed = Arc::clone(&changes);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // reading a model makes events too
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            let now = Instant::now();
            let mut changes = noticed.lock().unwrap_or_else(PoisonError::into_inner);
            let first = changes.map_or(now, |changes| changes.first);
            let known = changes.replace(Changes { first, last: now });
            drop(changes);
            // One message for many changes: a large copy makes thousands, which would leave no room for commands. Where there is
            // no room, the thread wakes up anyway.
            if known.is_none() {
                let _ = wake.try_send(Message::Wake);
            }
        });
        let folder = &repository.folder;
        let watcher = watcher.and_then(|watcher| watch(watcher, folder));
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(
                folder = %folder.display(),
                %error,
                "the repository cannot be watched; it is looked at every {} s",
                UNWATCHED.as_secs()
            );
        });
        Self { settle: repository.settle, changes, anyway: Instant::now(), watcher: watcher.ok() }
    }

    /// How long until the repository is due.
    pub(super) fn due_in(&self) -> Duration {
        let changes = *self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let settled =
            changes.map(|changes| (changes.last + self.settle).min(changes.first + self.settle * MOST_SETTLING));
        settled.map_or(self.anyway, |settled| settled.min(self.anyway)).saturating_duration_since(Instant::now())
    }

    /// The repository is being looked at now: what changes from here on is to be followed next time.
    pub(super) fn followed(&mut self) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.anyway = Instant::now() + if self.watcher.is_some() { WATCHED } else { UNWATCHED };
    }
}

/// Watches a folder and all below it.
fn watch(mut watcher: RecommendedWatcher, folder: &Path) -> notify::Result<RecommendedWatcher> {
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A watcher that was told of changes so long ago, the first and the last.
    fn told(first: u64, last: u64) -> RepositoryWatcher {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let changes = Changes { first: ago(first), last: ago(last) };
        RepositoryWatcher {
            settle: Duration::from_secs(2),
            changes: Arc::new(Mutex::new(Some(changes))),
            anyway: Instant::now() + WATCHED,
            watcher: None,
        }
    }

    #[test]
    fn a_repository_is_due_once_it_has_rested_and_before_long_even_if_it_never_does() {
        let near = |watcher: &RepositoryWatcher, seconds: f64| {
            let due = watcher.due_in().as_secs_f64();
            assert!((due - seconds).abs() < 0.5, "due in {due} s, not in {seconds}");
        };
        near(&told(1, 0), 2.0);
        near(&told(1, 1), 1.0);
        near(&told(5, 3), 0.0);
        near(&told(19, 0), 1.0);
        near(&told(30, 0), 0.0);
        let mut watcher = told(30, 0);
        watcher.followed();
        near(&watcher, UNWATCHED.as_secs_f64());
    }

    #[test]
    fn a_repository_that_cannot_be_watched_is_due_again_and_again() {
        let (wake, _inbox) = std::sync::mpsc::sync_channel(1);
        let repository = Repository { folder: "/no/such/folder".into(), settle: Duration::from_secs(2) };
        let mut watcher = RepositoryWatcher::start(repository, wake);
        assert_eq!(watcher.due_in(), Duration::ZERO, "at first");
        watcher.followed();
        assert!(watcher.due_in() <= UNWATCHED);
    }
}
