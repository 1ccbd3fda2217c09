//! What the emulator found wrong with its client, on stderr: `cuda-emulator: …` a line. Not here: errors, which calls answer.
//!
//! Findings are counted, and the count is said when the process ends. With `CUDA_EMULATOR_STRICT=1` a process that had any ends with status 86,
//! whatever its client thinks of itself.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The status of a process with findings, where it was asked to be strict.
pub(super) const STRICT_STATUS: i32 = 86;

/// Says a thing that is no fault of the client's.
pub(super) fn say(message: impl Display) {
    // To a closed stderr nothing can be said, and a driver must not panic for that.
    let _ = writeln!(std::io::stderr().lock(), "cuda-emulator: {message}");
}

/// Says what the client did wrong, and counts it.
pub(super) fn report(message: impl Display) {
    COUNT.fetch_add(1, Relaxed);
    say(message);
}

/// How many were reported so far in this process.
pub fn count() -> usize {
    COUNT.load(Relaxed)
}

/// The last word. Whether the process must fail for its findings.
pub(super) fn summarise() -> bool {
    let count = count();
    if count > 0 {
        say(format_args!("{count} finding{}", if count == 1 { "" } else { "s" }));
    }
    count > 0 && std::env::var("CUDA_EMULATOR_STRICT").is_ok_and(|strict| strict == "1")
}
