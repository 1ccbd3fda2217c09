//! The numbers of the HTTP server: caps and timeouts of connections, and how long a drain takes.
//!
//! Not here: the budgets of admission ([`Limits`](crate::service::Limits)).

use std::time::Duration;

/// Caps and timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections at a time; over it a connection is answered 503 and closed.
    pub max_connections: usize,
    /// From the first byte of a request, or from the start of the connection, to the end of its head.
    pub header_timeout: Duration,
    /// Between two requests of a connection. Longer than the 60 s of the usual load balancers, so that it is
    /// they who close and no request runs into a connection that has just gone.
    pub idle_timeout: Duration,
    /// For the whole body of a request; over it 408.
    pub body_timeout: Duration,
    /// How long requests are still taken after the signal to stop, while load balancers learn of it.
    pub drain_delay: Duration,
    /// For the whole drain, `drain_delay` included; what still runs then is cut off.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
