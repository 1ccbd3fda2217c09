//! How many files this process may open: a connection is one of them. Not here: how many connections there may be (`port`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: checkpoints, the device, logs, the runtime's own, and images of a command.
const BESIDE: u64 = 128;

/// Raises the soft limit of open files where so many connections need more, up to the hard limit. What is missing then is a warning:
/// the connections that find no descriptor wait to be accepted.
pub fn make_room(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let needed = connections as u64 + BESIDE;
    let Some(soft) = raised(limit, needed) else { return };
    if limit.current != Some(soft) {
        let wanted = Rlimit { current: Some(soft), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => tracing::debug!(was = limit.current, now = soft, "raised the limit of open files"),
            Err(error) => {
                return tracing::warn!(%error, needed, limit = limit.current, "the limit of open files cannot be raised; {HELP}");
            }
        }
    }
    if soft < needed {
        tracing::warn!(needed, limit = soft, "fewer files may be open than connections need; {HELP}");
    }
}

/// What an operator can do.
const HELP: &str = "raise ulimit -n (LimitNOFILE= of systemd, --ulimit nofile= of docker), or lower --max-connections";

/// The soft limit to have; None where the one that there is will do.
fn raised(limit: Rlimit, needed: u64) -> Option<u64> {
    let soft = limit.current.filter(|&soft| soft < needed)?;
    Some(limit.maximum.map_or(needed, |hard| needed.min(hard)).max(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_what_is_needed_or_what_is_possible() {
        let raised = |current, maximum| raised(Rlimit { current, maximum }, 4000);
        assert_eq!(raised(Some(1024), Some(1 << 20)), Some(4000));
        assert_eq!(raised(Some(1024), None), Some(4000));
        assert_eq!(raised(Some(1024), Some(2048)), Some(2048));
        assert_eq!(raised(Some(1024), Some(1024)), Some(1024), "too few, and a warning");
        assert_eq!(raised(Some(4000), Some(4000)), None);
        assert_eq!(raised(None, None), None);
    }
}
