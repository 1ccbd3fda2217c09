//! The accept loop, its cap on connections, and the drain at the end.
//!
//! Ours, because `axum::serve` has no timeouts, no cap and no drain. What happens on a connection is `connection`'s; which
//! signal means the end is the command line's.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::routes::{App, router};
use super::{Options, connection};
use crate::metrics::{Metrics, Rejection};
use crate::service::Classifier;

/// After an error that the next call would meet again, such as no file descriptors left.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Connections that are being told that there are too many; beyond it they are closed without a word.
const MAX_TURNED_AWAY: usize = 256;
const TURN_AWAY_WITHIN: Duration = Duration::from_secs(1);
const TURNED_AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 32\r\n\r\n\
    {\"error\":\"too many connections\"}";

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

/// Serves until `shutdown`, then drains: readiness is off from the first moment and answers close their connections, but for
/// `drain_delay` requests are taken as before, since load balancers learn only bit by bit; then the listener
/// closes, and what runs is finished. Returns after `drain_timeout` at the latest.
pub async fn serve(
    listener: TcpListener,
    classifier: Classifier,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let app = App { classifier: classifier.clone(), body_timeout: options.body_timeout };
    let mut connections = Connections::new(router(app), options);
    connections.accept(&listener, classifier.metrics(), shutdown).await;

    let deadline = Instant::now() + options.drain_timeout;
    tracing::info!(connections = connections.len(), "draining");
    classifier.begin_drain();
    let delay = tokio::time::sleep(options.drain_delay.min(options.drain_timeout));
    connections.accept(&listener, classifier.metrics(), delay).await;
    drop(listener);
    connections.finish(deadline).await
}

/// The open connections.
struct Connections {
    router: Router,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    options: Options,
    open: JoinSet<()>,
    turned_away: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Connections {
    fn new(router: Router, options: Options) -> Self {
        Self {
            router,
            protocol: Arc::new(connection::protocol()),
            options,
            open: JoinSet::new(),
            turned_away: JoinSet::new(),
            stop: watch::Sender::new(false),
        }
    }

    fn len(&mut self) -> usize {
        while self.open.try_join_next().is_some() {}
        self.open.len()
    }

    async fn accept(&mut self, listener: &TcpListener, metrics: &Metrics, until: impl Future<Output = ()>) {
        let mut until = pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if self.len() < self.options.max_connections => self.open(stream),
                    Ok((stream, _)) => {
                        metrics.rejected(Rejection::Connections);
                        self.turn_away(stream);
                    }
                    Err(error) => wait_after(&error).await,
                },
            }
        }
    }

    fn open(&mut self, stream: TcpStream) {
        // Answers are small and whole: nothing is gained by waiting for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let (protocol, router) = (self.protocol.clone(), self.router.clone());
        let (options, stop) = (self.options, self.stop.subscribe());
        self.open.spawn(async move { connection::serve(stream, &protocol, router, options, stop).await });
    }

    fn turn_away(&mut self, stream: TcpStream) {
        while self.turned_away.try_join_next().is_some() {}
        if self.turned_away.len() < MAX_TURNED_AWAY {
            self.turned_away.spawn(turn_away(stream));
        }
    }

    async fn finish(mut self, deadline: Instant) -> Drained {
        let _ = self.stop.send(true);
        let finished = async { while self.open.join_next().await.is_some() {} };
        let _ = tokio::time::timeout_at(deadline, finished).await;
        let cut_off = self.len();
        self.open.shutdown().await;
        match cut_off {
            0 => tracing::info!("drained"),
            _ => tracing::warn!(cut_off, "the drain took too long; connections were cut off"),
        }
        Drained { cut_off }
    }
}

/// A client that gives up before it is accepted is its own affair; all else, as a lack of descriptors, is met again at once.
async fn wait_after(error: &io::Error) {
    let kind = error.kind();
    if !matches!(kind, io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted) {
        tracing::error!(%error, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
    }
}

/// Answers without reading a request, then reads a little so that the close does not reset the answer away.
async fn turn_away(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(TURNED_AWAY.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(TURN_AWAY_WITHIN, answer).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_the_loop_rests_but_not_for_clients_that_gave_up() {
        let began = Instant::now();
        wait_after(&io::ErrorKind::ConnectionAborted.into()).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        wait_after(&io::Error::from_raw_os_error(24)).await; // EMFILE
        assert_eq!(began.elapsed(), ACCEPT_AGAIN_AFTER);
    }
}
