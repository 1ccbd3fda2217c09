//! Lines of the log on their way to standard error: written by a thread of its own, so that no request waits for whoever reads them, or fails with them. What
//! cannot be written is counted. Not here: what a line says.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const WAITING: usize = 4096;
/// How long the first line waits for others. Under load the thread then wakes and writes once for many lines, and not for each.
const GATHER: Duration = Duration::from_millis(2);

static DROPPED: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    let help = "Lines of the log that could not be written, or that nobody took in time.";
    IntCounter::new("convnext_log_lines_dropped_total", help).ok()
});

/// How many lines were dropped in this process, for a registry.
pub(crate) fn dropped() -> Option<IntCounter> {
    DROPPED.clone()
}

fn drop_lines(count: usize) {
    if let Some(dropped) = &*DROPPED {
        dropped.inc_by(count as u64);
    }
}

/// Where lines are handed in. Never blocks, never fails. The thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<End>);

/// The end of the thread where lines are handed in.
#[derive(Debug)]
struct End(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// For the thread.
    news: Condvar,
    /// For those who wait until all is written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines that the thread has not taken yet, and their number.
    text: Vec<u8>,
    lines: usize,
    /// Lines that are being written.
    writing: usize,
    /// The thread has nothing to write and is to be woken.
    rests: bool,
    /// So many wait until all is written.
    flushing: usize,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // no statement that can panic leaves it half changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Lines that go to `sink`, those that wait in one write.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let end = End(Arc::clone(&shared));
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&shared, sink))?;
        Ok(Self(Arc::new(end)))
    }

    /// Waits until all is written, at most so long: a pipe may be full for ever.
    pub(super) fn flush(&self, at_most: Duration) {
        let Shared { news, written, .. } = &*self.0.0;
        let until = Instant::now() + at_most;
        let mut state = self.0.0.lock();
        state.flushing += 1;
        news.notify_one();
        while state.lines + state.writing > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
            state = written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushing -= 1;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.news.notify_one();
    }
}

/// Writes what is handed in until nobody can hand in more.
fn write(shared: &Shared, mut sink: impl Write) {
    let mut text = Vec::new();
    loop {
        let mut state = shared.lock();
        while state.lines == 0 {
            if state.ended {
                return;
            }
            state.rests = true;
            state = shared.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.rests = false;
        let gathers = |state: &mut State| !state.ended && state.flushing == 0 && state.lines < WAITING / 2;
        let gathered = shared.news.wait_timeout_while(state, GATHER, gathers);
        state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut text, &mut state.text);
        let lines = std::mem::take(&mut state.lines);
        state.writing = lines;
        drop(state);
        if sink.write_all(&text).and_then(|()| sink.flush()).is_err() {
            drop_lines(lines);
        }
        text.clear();
        let mut state = shared.lock();
        state.writing = 0;
        if state.flushing > 0 {
            shared.written.notify_all();
        }
    }
}

/// A line is one write: the subscriber formats it before.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shared = &*self.0.0;
        let mut state = shared.lock();
        if state.lines + state.writing >= WAITING {
            drop(state);
            drop_lines(1);
            return Ok(line.len());
        }
        state.text.extend_from_slice(line);
        state.lines += 1;
        let wakes = std::mem::take(&mut state.rests) || state.lines == WAITING / 2;
        drop(state);
        if wakes {
            shared.news.notify_one();
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
    use std::sync::mpsc::{Receiver, sync_channel};

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
        assert_eq!(dropped().unwrap().get() - before, 100);
        Lines::flush(&lines, Duration::from_millis(1));
        drop(release);
        Lines::flush(&lines, SOON);
        let state = lines.0.0.lock();
        assert_eq!(state.lines + state.writing, 0);
    }
}
