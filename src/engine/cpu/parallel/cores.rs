//! The cores that this process may use, and what keeps it from the others. Not here: what runs on them.
//!
//! How many it may use is the standard library's to say: the affinity mask, and the quotas of the control groups that the process lies in, of
//! version 1 and 2, of all groups above it too. Here is added only why there are no more.

use std::fmt;
use std::fs::read_to_string;

/// Cores as they were when asked: who asks later may get others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// As many threads can compute at a time, at least one. Of a quota that is no whole number the whole part: with a thread more, all would stand still
    /// for a part of each period.
    pub usable: usize,
    /// Those in the affinity mask; None where the system does not tell.
    allowed: Option<usize>,
    /// Those of the machine; None where the system does not tell.
    online: Option<usize>,
}

impl Cores {
    /// Of the calling thread, and of those that it starts.
    #[must_use]
    pub fn available() -> Self {
        let status = read_to_string("/proc/thread-self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let online = read_to_string("/sys/devices/system/cpu/online").ok();
        let count = |list: &str| Some(listed(list.trim())).filter(|count| *count > 0);
        Self {
            usable: std::thread::available_parallelism().map_or(1, usize::from),
            allowed: allowed.and_then(count),
            online: online.as_deref().and_then(count),
        }
    }
}

/// `2`, or `2 of 64: a quota of the control group`.
impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usable, allowed, online } = *self;
        let (allowed, online) = (allowed.unwrap_or(usable), online.or(allowed).unwrap_or(usable));
        // a mask may name cores that the machine does not have
        let bound = allowed < online;
        let why = match (usable < allowed.min(online), bound) {
            (false, false) => return write!(f, "{usable}"),
            (false, true) => "affinity".to_owned(),
            (true, false) => "a quota of the control group".to_owned(),
            (true, true) => format!("affinity leaves {allowed}, a quota of the control group the rest"),
        };
        write!(f, "{usable} of {online}: {why}")
    }
}

/// Processors of a list such as `0-3,8`, as Linux writes it.
pub(crate) fn listed(list: &str) -> usize {
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => part.parse::<usize>().ok().map(|_| 1),
    };
    list.split(',').filter_map(range).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_a_list_are_counted() {
        assert_eq!(["0", "0-3", "0-3,8", "0,4", ""].map(listed), [1, 4, 5, 2, 0]);
    }

    #[test]
    fn what_keeps_a_process_from_cores_is_named() {
        let said = |usable, allowed, online| Cores { usable, allowed, online }.to_string();
        assert_eq!(said(64, Some(64), Some(64)), "64");
        assert_eq!(said(2, Some(2), Some(64)), "2 of 64: affinity");
        assert_eq!(said(2, Some(64), Some(64)), "2 of 64: a quota of the control group");
        let both = "2 of 64: affinity leaves 8, a quota of the control group the rest";
        assert_eq!(said(2, Some(8), Some(64)), both);
        // masks that name cores that are not there, and systems that tell less
        assert_eq!(said(64, Some(128), Some(64)), "64");
        assert_eq!(said(2, Some(8), None), "2 of 8: a quota of the control group");
        assert_eq!((said(4, None, Some(4)), said(3, None, None)), ("4".to_owned(), "3".to_owned()));
    }

    #[test]
    fn this_process_has_a_core_and_no_more_than_there_are() {
        let cores = Cores::available();
        assert!(cores.usable >= 1, "{cores}");
        assert!(cores.online.is_none_or(|online| cores.usable <= online), "{cores:?}");
    }
}
