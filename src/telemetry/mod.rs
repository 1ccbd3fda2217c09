//! Logs: to standard error, for people or as one JSON object per line. What is logged is each module's own affair.
//!
//! A log that cannot be written stops nothing: `lines` says how.

mod lines;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lines::Lines;
pub(crate) use lines::dropped;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colours on a terminal.
    #[default]
    Pretty,
    /// For machines: an object per line, with the request's id under `span.request_id`.
    Json,
}

/// Logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("the log filter {filter:?} is not understood: {why}; write for example info or convnext_server=debug,warn")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no thread for it.
    #[error("no thread for the log: {0}")]
    Thread(#[from] io::Error),
    /// Somebody logs already.
    #[error("logging was begun before: {0}")]
    Twice(#[from] TryInitError),
}

/// How long the end of a process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Logging goes on while this lives. Dropped, it waits for the last lines.
#[derive(Debug)]
#[must_use = "the last lines of the log are lost without it"]
pub struct Logging(Lines);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// What is logged, which may be changed while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogLevel {
    /// The filter as it was given.
    filter: Arc<Mutex<String>>,
    change: Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl LogLevel {
    /// Logs what `filter` lets through from now on.
    ///
    /// # Errors
    /// A filter that is not understood; nothing changes then.
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        let why = |why| TelemetryError::Filter { filter: filter.to_owned(), why };
        (self.change)(parse(filter)?).map_err(why)?;
        filter.clone_into(&mut self.filter.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// The filter as it was given.
    #[must_use]
    pub fn get(&self) -> String {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Begins to log what `filter` lets through, as `info` or `convnext_server=debug,warn`; panics too. Once per process.
///
/// # Errors
/// A filter that is not understood; no thread; a second call.
pub fn init(format: LogFormat, filter: &str) -> Result<(LogLevel, Logging), TelemetryError> {
    let lines = Lines::to(io::stderr())?;
    let (subscriber, level) = subscriber(format, filter, lines.clone())?;
    subscriber.try_init()?;
    // the default writes to standard error itself, where a full pipe would hold up the thread
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "{}", crate::panics::text(panic.payload()));
    }));
    Ok((level, Logging(lines)))
}

type BoxedSubscriber = Box<dyn Subscriber + Send + Sync>;

fn subscriber<W>(format: LogFormat, filter: &str, writer: W) -> Result<(BoxedSubscriber, LogLevel), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = |change| LogLevel { filter: Arc::new(Mutex::new(filter.to_owned())), change };
    let lines =
        tracing_subscriber::fmt().log_internal_errors(false).with_writer(writer).with_env_filter(parse(filter)?);
    Ok(match format {
        LogFormat::Pretty => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = lines.reload_handle();
            let change = Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
            (Box::new(lines.finish()), level(change))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false).with_filter_reloading();
            let handle = lines.reload_handle();
            let change = Arc::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
            (Box::new(lines.finish()), level(change))
        }
    })
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter)
        .map_err(|error| TelemetryError::Filter { filter: filter.to_owned(), why: error.to_string() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a line within a request looks like.
    fn logged(format: LogFormat) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _) = subscriber(format, "warn", move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::error_span!("request", request_id = "abc-1").entered();
            tracing::info!("not let through");
            tracing::warn!(status = 429, "shed");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_has_its_fields_on_top_and_the_id_of_its_request() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!((&line["level"], &line["message"], &line["status"]), (&"WARN".into(), &"shed".into(), &429.into()));
        assert_eq!(line["span"]["request_id"], "abc-1");
    }

    #[test]
    fn a_line_for_people_is_one_line_with_the_id_of_its_request() {
        let line = logged(LogFormat::Pretty);
        assert_eq!(line.lines().count(), 1);
        assert!(line.contains("abc-1") && line.contains("shed"), "{line}");
    }

    #[test]
    fn the_level_may_be_changed_while_the_process_runs() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let lines = Lines::default();
            let writer = lines.clone();
            let (subscriber, level) = subscriber(format, "warn", move || writer.clone()).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!("before");
                level.set("info").unwrap();
                tracing::info!("after");
                assert!(level.set("convnext_server=loud").is_err());
                tracing::info!("still");
            });
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("before") && text.contains("after") && text.contains("still"), "{text}");
            assert_eq!(level.get(), "info");
        }
    }

    #[test]
    fn a_filter_is_read_or_its_fault_told() {
        for filter in ["info", "convnext_server=debug,warn", "off"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        let error = parse("convnext_server=loud").unwrap_err().to_string();
        assert!(error.contains("convnext_server=loud") && error.contains("for example"), "{error}");
    }
}
