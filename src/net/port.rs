//! One port: its listener, its limit of connections, and the connections that it has accepted.
//!
//! Not here: when accepting ends (`serve`), and what happens on a connection (`connection`).

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection;
use super::options::Options;
use super::refusal::Refusals;
use super::tls::Tls;
use crate::metrics::{Metrics, Rejection, TlsCounts};

/// The pause after an error that the next accept would meet again, such as no file descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A bound port and what it serves.
#[derive(Debug)]
pub struct Port {
    /// Its name in logs.
    pub name: &'static str,
    /// Bound already.
    pub listener: TcpListener,
    /// What answers its requests.
    pub router: Router,
    /// Connections at a time, of this port alone: a port that is full leaves the others reachable. Over it a connection is
    /// answered 503 and closed.
    pub max_connections: usize,
    /// What it shows to clients; None: it speaks without TLS.
    pub tls: Option<Tls>,
}

impl Port {
    /// The limit where the configuration has none.
    pub const DEFAULT_MAX_CONNECTIONS: usize = 4096;
}

/// A port that accepts.
pub(super) struct Acceptor {
    port: Port,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    options: Options,
    stop: watch::Receiver<bool>,
    connections: JoinSet<()>,
    refusals: Refusals,
    counts: TlsCounts,
}

impl Acceptor {
    /// `stop` turns true when connections should finish what runs and close.
    pub(super) fn new(port: Port, options: Options, stop: watch::Receiver<bool>, counts: TlsCounts) -> Self {
        let protocol = Arc::new(connection::protocol());
        Self { port, protocol, options, stop, connections: JoinSet::new(), refusals: Refusals::default(), counts }
    }

    /// Connections that are open.
    pub(super) fn connections(&mut self) -> usize {
        while self.connections.try_join_next().is_some() {}
        self.connections.len()
    }

    /// Accepts for ever. The future may be dropped at any time, and another takes up where it was.
    pub(super) async fn accept(&mut self, metrics: &Metrics) -> Infallible {
        loop {
            match self.port.listener.accept().await {
                Ok((stream, _)) if self.connections() < self.port.max_connections => self.serve(stream),
                Ok((stream, _)) => {
                    metrics.rejected(Rejection::Connections);
                    self.refusals.refuse(stream, self.port.tls.clone());
                }
                Err(error) => pause_after(&error, self.port.name).await,
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        // Answers are small and whole: nothing is gained by waiting for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let (protocol, router) = (Arc::clone(&self.protocol), self.port.router.clone());
        let (options, stop) = (self.options, self.stop.clone());
        let Some(tls) = self.port.tls.clone() else {
            self.connections
                .spawn(async move { connection::serve(stream, &protocol, router, options, stop, None).await });
            return;
        };
        let counts = self.counts.clone();
        // the handshake is the connection's own work: it holds up neither the port nor others
        self.connections.spawn(async move {
            let accepted = tokio::select! {
                accepted = tls.accept(stream, options.header_timeout) => accepted,
                () = connection::too_late(stop.clone()) => return,
            };
            match accepted {
                Ok((stream, peer)) => connection::serve(stream, &protocol, router, options, stop, Some(peer)).await,
                Err(failed) => {
                    counts.failed(failed.reason());
                    tracing::debug!(%failed, "a handshake failed");
                }
            }
        });
    }

    /// Closes the listener. The connections stay.
    pub(super) fn close(self) -> Remaining {
        Remaining { name: self.port.name, connections: self.connections, _refusals: self.refusals }
    }
}

/// The connections of a port whose listener is closed.
pub(super) struct Remaining {
    name: &'static str,
    connections: JoinSet<()>,
    _refusals: Refusals,
}

impl Remaining {
    /// Waits until all connections are closed, and cuts off those that are open at the deadline. Returns how many.
    pub(super) async fn finish(mut self, deadline: Instant) -> usize {
        let closed = async { while self.connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout_at(deadline, closed).await;
        while self.connections.try_join_next().is_some() {}
        let cut_off = self.connections.len();
        if cut_off > 0 {
            tracing::warn!(port = self.name, cut_off, "the drain took too long; connections were cut off");
        }
        self.connections.shutdown().await;
        cut_off
    }
}

/// A client that gave up before it was accepted costs no pause. Any other error would be met again at once.
async fn pause_after(error: &io::Error, port: &str) {
    let kind = error.kind();
    if !matches!(kind, io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted) {
        tracing::error!(%error, port, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_the_loop_rests_but_not_for_clients_that_gave_up() {
        let began = Instant::now();
        pause_after(&io::ErrorKind::ConnectionAborted.into(), "http").await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        pause_after(&io::Error::from_raw_os_error(24), "http").await; // EMFILE
        assert_eq!(began.elapsed(), ACCEPT_AGAIN_AFTER);
    }
}
