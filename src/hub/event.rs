//! What happens during a pull, told to whoever shows or logs it. Not here: how it is shown.

use std::time::Duration;

/// What happens during a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A file is to be downloaded.
    Begins {
        /// Its name.
        file: &'a str,
        /// Its bytes, where the hub says how many.
        size: Option<u64>,
    },
    /// So many bytes of the file that began last are there. Fewer than before where a download had to start again.
    Reached(u64),
    /// The file that began last is complete and checked.
    Ends,
    /// Nothing happens for a while, or until another process is done.
    Waits {
        /// Why, in words.
        why: &'a str,
        /// How long, where that is known.
        pause: Option<Duration>,
    },
}

/// Who is told. It is called often, and is to return at once.
pub type Observer<'a> = &'a (dyn Fn(Event<'_>) + Sync);
