//! Lines of the log on their way to standard error: written by a thread of its own, so that no request waits for whoever reads them, or fails with them. What
//! cannot be written is counted. Not here: what a line says.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const WAITING: usize = 4096;

static DROPPED: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    let help = "Lines of the log that could not be written, or that nobody took in time.";
    IntCounter::new("convnext_log_lines_dropped_total", help).ok()
});

/// How many lines were dropped in this process, for a registry.
pub(crate) fn dropped() -> Option<IntCounter> {
    DROPPED.clone()
}

fn drop_line() {
    if let Some(dropped) = &*DROPPED {
        dropped.inc();
    }
}

/// Where lines are handed in. Never blocks, never fails.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: SyncSender<Vec<u8>>,
    waiting: Arc<Waiting>,
}

/// How many lines are not yet written.
#[derive(Debug, Default)]
struct Waiting {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Waiting {
    fn add(&self, change: isize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_add_signed(change);
        self.changed.notify_all();
    }
}

impl Lines {
    /// Lines that go to `sink`, one write each.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let waiting = Arc::<Waiting>::default();
        let writes = Arc::clone(&waiting);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&receiver, sink, &writes))?;
        Ok(Self { sender, waiting })
    }

    /// Waits until all is written, at most so long: a pipe may be full for ever.
    pub(super) fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut count = self.waiting.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            count = self.waiting.changed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn write(receiver: &Receiver<Vec<u8>>, mut sink: impl Write, waiting: &Waiting) {
    for line in receiver {
        if sink.write_all(&line).and_then(|()| sink.flush()).is_err() {
            drop_line();
        }
        waiting.add(-1);
    }
}

/// A line is one write: the subscriber formats it before.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.waiting.add(1);
        if self.sender.try_send(line.to_vec()).is_err() {
            self.waiting.add(-1);
            drop_line();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe that nobody reads.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Tests of a process share the counter.
    static COUNTING: Mutex<()> = Mutex::new(());

    #[test]
    fn lines_arrive_in_their_order() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        Lines::flush(&lines, SOON);
        drop(lines);
        assert_eq!(io::read_to_string(reader).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let _alone = COUNTING.lock().unwrap();
        let before = dropped().unwrap().get();
        let mut lines = Lines::to(Full).unwrap();
        for _ in 0..7 {
            lines.write_all(b"a line\n").unwrap();
        }
        Lines::flush(&lines, SOON);
        assert_eq!(dropped().unwrap().get() - before, 7);
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody() {
        let _alone = COUNTING.lock().unwrap();
        let before = dropped().unwrap().get();
        let (release, stuck) = sync_channel(0);
        let mut lines = Lines::to(Stuck(stuck)).unwrap();
        for _ in 0..WAITING + 100 {
            lines.write_all(b"a line\n").unwrap();
        }
        // one is with the writer, perhaps
        let lost = dropped().unwrap().get() - before;
        assert!((99..=100).contains(&lost), "{lost}");
        Lines::flush(&lines, Duration::from_millis(1));
        drop(release);
        Lines::flush(&lines, SOON);
        assert_eq!(*lines.waiting.count.lock().unwrap(), 0);
    }
}
