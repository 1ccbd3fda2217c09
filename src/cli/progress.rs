//! What a command that takes long shows meanwhile: bars on a terminal, lines in a log, nothing elsewhere. Not here: what is done; the library knows no
//! terminals.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::hub::{Event, Observer, Reference};

/// How often a log is told how far a download is.
const LOGGED: Duration = Duration::from_secs(10);
/// How often a bar moves of which nothing is known but that it goes on.
const TICK: Duration = Duration::from_millis(120);

/// Who is told of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// The log of a server.
    Log,
    /// A person: a bar on a terminal. Elsewhere nothing.
    Person,
    /// The same, and a line a file where standard error is no terminal.
    Lines,
}

impl Telling {
    /// Downloads, and tells of it.
    pub(super) fn of<T>(self, model: &Reference, download: impl FnOnce(Observer<'_>) -> T) -> T {
        let shown = Mutex::new(Shown::new(self, model));
        let observer = |event: Event<'_>| shown.lock().unwrap_or_else(PoisonError::into_inner).tell(event);
        download(&observer)
    }
}

/// A download as it was told so far.
struct Shown {
    telling: Telling,
    /// What it is of, for the log.
    model: String,
    /// Of the file that began last; hidden where there is no terminal.
    bar: ProgressBar,
    file: String,
    size: Option<u64>,
    reached: u64,
    logged: Instant,
}

impl Shown {
    fn new(telling: Telling, model: &Reference) -> Self {
        let telling = match telling {
            Telling::Lines if std::io::stderr().is_terminal() => Telling::Person,
            other => other,
        };
        let (bar, logged) = (ProgressBar::hidden(), Instant::now());
        Self { telling, model: model.to_string(), bar, file: String::new(), size: None, reached: 0, logged }
    }

    fn tell(&mut self, event: Event<'_>) {
        match event {
            Event::Begins { file, size } => {
                (self.file, self.size, self.reached, self.logged) = (file.to_owned(), size, 0, Instant::now());
                match self.telling {
                    Telling::Log => tracing::info!(hub = self.model, file, size, "downloading"),
                    Telling::Person => self.bar = bytes(file, size),
                    Telling::Lines => {}
                }
            }
            Event::Reached(bytes) => {
                self.reached = bytes;
                self.bar.set_position(bytes);
                if self.telling == Telling::Log && self.logged.elapsed() >= LOGGED {
                    self.logged = Instant::now();
                    tracing::info!(hub = self.model, file = self.file, bytes, size = self.size, "downloading");
                }
            }
            Event::Ends => {
                self.bar.finish();
                match self.telling {
                    Telling::Log => {
                        tracing::info!(hub = self.model, file = self.file, bytes = self.reached, "downloaded")
                    }
                    Telling::Person => {}
                    Telling::Lines => line(&format!("{}: {} bytes", self.file, self.reached)),
                }
            }
            Event::Waits { why, pause } => {
                let seconds = pause.map(|pause| pause.as_secs_f64());
                if self.telling == Telling::Log {
                    tracing::warn!(hub = self.model, seconds, "waiting: {why}");
                    return;
                }
                let time = seconds.map(|seconds| format!(" for {seconds:.1} s")).unwrap_or_default();
                self.bar.suspend(|| line(&format!("waiting{time}: {why}")));
            }
        }
    }
}

/// Writes a line to standard error, which nobody may read.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A bar of bytes.
fn bytes(what: &str, size: Option<u64>) -> ProgressBar {
    let rest = if size.is_some() {
        "[{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{bytes} {bytes_per_sec}"
    };
    drawn(what.to_owned(), size, rest)
}

/// The stages of what takes long: a bar on a terminal, which is gone in the end.
pub(super) struct Stages {
    bar: ProgressBar,
    /// Whether stages become lines where standard error is no terminal.
    lines: bool,
}

impl Stages {
    /// With a line a stage where there is no terminal, if `lines` says so.
    pub(super) fn new(lines: bool) -> Self {
        Self { bar: drawn(String::new(), None, "{elapsed}"), lines: lines && !std::io::stderr().is_terminal() }
    }

    /// A stage of which nothing is known but that it goes on.
    pub(super) fn begin(&self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        if self.lines {
            line(&what);
        }
        self.bar.set_style(style("{elapsed}"));
        self.bar.unset_length();
        self.bar.set_message(what);
        self.bar.enable_steady_tick(TICK);
    }

    /// A stage, of which so many parts of `count` are done. The bar stands still until the next call, so that it disturbs no measurement.
    pub(super) fn reach(&self, what: &'static str, done: u64, count: u64) {
        if self.lines {
            line(&format!("{what} {} of {count}", done + 1));
        }
        self.bar.disable_steady_tick();
        self.bar.set_length(count);
        self.bar.set_position(done);
        self.bar.set_message(what);
        self.bar.set_style(style("[{bar:30}] {pos}/{len} {elapsed}"));
        self.bar.tick();
    }

    /// Writes a line that stays, terminal or not.
    pub(super) fn line(&self, text: &str) {
        self.bar.suspend(|| line(text));
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// On standard error, hidden where that is no terminal.
fn drawn(what: String, length: Option<u64>, rest: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_message(what).with_style(style(rest))
}

fn style(rest: &str) -> ProgressStyle {
    // a template of ours is one
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{msg}} {rest}"));
    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).progress_chars("=> ")
}
