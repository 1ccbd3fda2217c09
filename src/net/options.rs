//! Timeouts of connections and of the drain; they hold for every port.
//!
//! Not here: how many connections a port takes (`port`), and how long a body may take (`http`).

use std::time::Duration;

/// Timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// For the head of a request, from its first byte. The first request's counts from the start of the connection.
    pub header_timeout: Duration,
    /// Between two requests of a connection. It is longer than the 60 s of the usual load balancers: so the balancer closes
    /// first, and sends no request to a connection that has just been closed.
    pub idle_timeout: Duration,
    /// How old a connection becomes before it is ended, a tenth more or less, so that those that began together do not end together;
    /// zero: as old as it likes. Clients that keep connections for ever would not learn of new servers behind a load balancer.
    pub max_connection_age: Duration,
    /// For the requests that run on a connection of that age. What still runs then is cut off.
    pub max_connection_age_grace: Duration,
    /// How long connections are still accepted after the signal to stop, while load balancers learn of it.
    pub drain_delay: Duration,
    /// For the whole drain, `drain_delay` included. What still runs then is cut off.
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connection_age: Duration::ZERO,
            max_connection_age_grace: Duration::from_secs(30),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(30),
        }
    }
}
