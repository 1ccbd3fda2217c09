//! What a connection does now and since when, and whether that has taken too long.
//!
//! Told by its socket (`socket`) and by the requests that it answers (`connection`).

use axum::http::Version;
use tokio::sync::watch;
use tokio::time::Instant;

use super::options::Options;

/// What a connection does, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    pub(super) phase: Phase,
    since: Instant,
    /// Of the last request. Between its requests HTTP/2 sends pings and window updates: bytes that begin no head.
    pub(super) version: Version,
    /// Whether the body of a running request of HTTP/1 has not come to its end.
    pub(super) body_comes: bool,
    /// Somebody waits for the next request. Otherwise nobody is woken by what is recorded, which is several times a request.
    awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A head is awaited: the first of the connection, or one whose first byte has come.
    Head,
    /// So many requests are being answered.
    Busy(usize),
    /// Between requests.
    Idle,
}

/// Records the activity of one connection; clones record the same one.
#[derive(Clone)]
pub(super) struct Recorder(watch::Sender<Activity>);

impl Recorder {
    pub(super) fn new() -> Self {
        let (phase, since) = (Phase::Head, Instant::now());
        Self(watch::Sender::new(Activity {
            phase,
            since,
            version: Version::HTTP_11,
            body_comes: false,
            awaited: false,
        }))
    }

    /// What the connection does now.
    pub(super) fn now(&self) -> Activity {
        *self.0.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Activity> {
        self.0.subscribe()
    }

    /// Bytes have come in.
    pub(super) fn bytes(&self) {
        self.0.send_if_modified(|now| {
            let begins = now.phase == Phase::Idle && now.version != Version::HTTP_2;
            if begins {
                now.phase = Phase::Head;
                now.since = Instant::now();
            }
            false
        });
    }

    /// The client speaks HTTP/2. It may connect before it has anything to ask, as gRPC's do.
    pub(super) fn http2(&self) {
        self.0.send_if_modified(|now| {
            now.version = Version::HTTP_2;
            if now.phase == Phase::Head {
                *now = Activity { phase: Phase::Idle, since: Instant::now(), ..*now };
            }
            now.awaited
        });
    }

    /// A request is answered, until what this returns is dropped. `body_comes`: it has a body.
    pub(super) fn request(&self, version: Version, body_comes: bool) -> RunningRequest {
        self.0.send_if_modified(|now| {
            now.version = version;
            now.body_comes = body_comes;
            now.phase = if let Phase::Busy(requests) = now.phase { Phase::Busy(requests + 1) } else { Phase::Busy(1) };
            now.awaited
        });
        RunningRequest(self.clone())
    }

    /// The body of the running request has come to its end.
    pub(super) fn body_has_come(&self) {
        self.0.send_if_modified(|now| {
            now.body_comes = false;
            false // changes no timeout
        });
    }

    /// From now on those who wait for the next request are woken by it.
    pub(super) fn await_request(&self) {
        self.0.send_if_modified(|now| {
            now.awaited = true;
            false
        });
    }
}

/// A request that is being answered.
pub(super) struct RunningRequest(Recorder);

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|now| {
            now.since = Instant::now();
            now.phase = match now.phase {
                Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
                _ => Phase::Idle,
            };
            false
        });
    }
}

/// Ends when a head or the next request has been awaited for too long, and says which of the two. A request that is being
/// answered is not timed here: its handler has timeouts of its own.
///
/// Nothing wakes it but its own timer, which is set for the soonest that anything can be due. What begins while it sleeps is due no
/// sooner than a timeout after that, and so is never late.
pub(super) async fn overdue(activity: watch::Receiver<Activity>, options: Options) -> Phase {
    let soonest = options.header_timeout.min(options.idle_timeout);
    loop {
        let (now, Activity { phase, since, .. }) = (Instant::now(), *activity.borrow());
        let due = match phase {
            Phase::Head => Some(since + options.header_timeout),
            Phase::Busy(_) => None,
            Phase::Idle => Some(since + options.idle_timeout),
        };
        if due.is_some_and(|due| due <= now) {
            return phase;
        }
        let look = now + soonest;
        tokio::time::sleep_until(due.map_or(look, |due| due.min(look))).await;
    }
}
