//! The service's own threads: how many run, so that whoever ends them can wait until they have let go of their devices.
//!
//! Not here: what they do (`device`, `lifecycle`).

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long an end waits for threads: a batch that runs, and no more. A device that hangs must not keep the process.
const PATIENCE: Duration = Duration::from_secs(2);

thread_local! {
    /// Whether this thread is one of them: it cannot wait for itself.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Threads that run.
#[derive(Debug, Default)]
pub(super) struct Threads {
    running: Mutex<usize>,
    ended: Condvar,
}

impl Threads {
    /// Starts a thread of the service.
    pub(super) fn spawn(self: &Arc<Self>, name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let ending = Ending(Arc::clone(self));
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            // dropped last, also after a panic and where no thread could be started
            let _ending = ending;
            OURS.set(true);
            run();
        });
        spawned.map(drop)
    }

    /// Waits until all have ended, which somebody has told them to; not for ever.
    fn wait(&self) {
        if OURS.get() {
            return;
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.ended.wait_timeout_while(running, PATIENCE, |running| *running > 0));
    }
}

/// Counts a thread out.
struct Ending(Arc<Threads>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.ended.notify_all();
    }
}

/// Waits for the threads when it is dropped: the last field of whoever ends them.
pub(super) struct WaitsFor(pub(super) Arc<Threads>);

impl Drop for WaitsFor {
    fn drop(&mut self) {
        self.0.wait();
    }
}
