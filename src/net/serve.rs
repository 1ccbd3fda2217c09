//! Serves all ports until the signal to stop, then drains them together.
//!
//! Ours, because `axum::serve` has no timeouts, no limit of connections and no drain.

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use super::options::Options;
use super::port::{Acceptor, Port, Remaining};
use crate::metrics::Metrics;

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off because `drain_timeout` was over; 0 of a clean drain.
    pub cut_off: usize,
}

impl Drained {
    /// Whether everything that ran was finished.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self.cut_off == 0
    }
}

/// Serves the ports until `shutdown`, then drains them.
///
/// The drain begins with a call of `begin_drain`, which turns readiness off. For `drain_delay` every port accepts as before,
/// since load balancers learn of the drain only bit by bit. Then all listeners close, and the requests that run are finished.
/// Returns after `drain_timeout` at the latest.
pub async fn serve(
    ports: Vec<Port>,
    options: Options,
    metrics: &Metrics,
    begin_drain: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let stop = watch::Sender::new(false);
    let mut acceptors: Vec<_> =
        ports.into_iter().map(|port| Acceptor::new(port, options, stop.subscribe(), metrics.tls())).collect();
    accept_until(&mut acceptors, metrics, shutdown).await;

    let deadline = Instant::now() + options.drain_timeout;
    let connections: usize = acceptors.iter_mut().map(Acceptor::connections).sum();
    tracing::info!(connections, "draining");
    begin_drain();
    let delay = tokio::time::sleep(options.drain_delay.min(options.drain_timeout));
    accept_until(&mut acceptors, metrics, delay).await;

    let remaining: Vec<Remaining> = acceptors.into_iter().map(Acceptor::close).collect();
    stop.send_replace(true);
    let cut_off = join_all(remaining.into_iter().map(|port| port.finish(deadline))).await.into_iter().sum();
    tracing::info!(cut_off, "drained");
    Drained { cut_off }
}

async fn accept_until(acceptors: &mut [Acceptor], metrics: &Metrics, end: impl Future<Output = ()>) {
    let accept = join_all(acceptors.iter_mut().map(|acceptor| acceptor.accept(metrics)));
    tokio::select! {
        () = end => {}
        // A server without ports waits for the end too.
        Some(never) = async { accept.await.into_iter().next() } => match never {},
    }
}

#[cfg(test)]
mod tests;
