//! One connection, HTTP/1.1 or HTTP/2 without TLS ("prior knowledge"), from its first byte to its close.
//!
//! Its timeouts are ours. hyper has one timer for HTTP/1, `header_read_timeout`, and it runs between requests too, so
//! that a short one for heads would close connections that only rest; it has none until the first byte tells HTTP/1 from
//! HTTP/2; and it waits for ever for a client that does not read. Here a watch sees what passes and when.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::Options;

/// For a connection that should close to do so; a client that does not read would never let it.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// At a drain, for a connection that has just been made to send the request that it was made for.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// Of a head in HTTP/1, and of what hyper reads of a body at a time: 400 KB by default, times 4,096 connections.
const MAX_BUFFER: usize = 64 << 10;
/// Requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 pings, which find clients that vanished without a word.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The protocol with its limits; made once, for all connections.
pub(super) fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Without half_close the end of what a client sends is taken for its leaving, which cancels its request. The price
    // is the odd client that shuts down its side of the connection and still waits for an answer.
    builder.http1().half_close(false).header_read_timeout(None).max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Serves a connection until it closes, times out, or `stop` is told: then what runs is finished, and no more begun.
pub(super) async fn serve<S>(
    stream: S,
    protocol: &auto::Builder<TokioExecutor>,
    router: Router,
    options: Options,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Watch::begin();
    let mut activity = watch.0.subscribe();
    let io = TokioIo::new(Watched { stream, watch: watch.clone() });
    let service = service_fn(move |request: Request<Incoming>| answer(watch.clone(), router.clone(), request));
    let mut connection = pin!(protocol.serve_connection(io, service));

    tokio::select! {
        closed = connection.as_mut() => return log(closed),
        phase = overdue(activity.clone(), options) => {
            // hyper would wait for the rest of a head; an idle HTTP/2 client is told not to come back
            if phase == Phase::Idle {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(CLOSE_WITHIN, connection).await;
            }
            return;
        }
        () = stopped(&mut stop) => {}
    }
    tokio::select! {
        closed = connection.as_mut() => return log(closed),
        begun = first_request(&mut activity) => if !begun { return },
    }
    connection.as_mut().graceful_shutdown();
    log(connection.await);
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn first_request(activity: &mut watch::Receiver<Activity>) -> bool {
    let begun = activity.wait_for(|now| now.phase != Phase::Head);
    tokio::time::timeout(FIRST_REQUEST_WITHIN, begun).await.is_ok()
}

async fn answer(watch: Watch, router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let _busy = watch.request(request.version());
    router.oneshot(request.map(Body::new)).await
}

fn log(closed: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = closed {
        tracing::debug!(error, "a connection broke");
    }
}

/// What a connection does, and since when.
#[derive(Clone, Copy, Debug)]
struct Activity {
    phase: Phase,
    since: Instant,
    /// Bytes between its requests are pings and windows, and no head begins with them.
    http2: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is awaited: the first of the connection, or one whose first byte is here.
    Head,
    /// So many requests are being answered.
    Busy(usize),
    /// Between requests.
    Idle,
}

/// Told by the socket and by the service; all that waits for a change sees it.
#[derive(Clone)]
struct Watch(watch::Sender<Activity>);

impl Watch {
    fn begin() -> Self {
        Self(watch::Sender::new(Activity { phase: Phase::Head, since: Instant::now(), http2: false }))
    }

    fn bytes(&self) {
        self.0.send_if_modified(|now| {
            let begins = now.phase == Phase::Idle && !now.http2;
            if begins {
                now.phase = Phase::Head;
                now.since = Instant::now();
            }
            begins
        });
    }

    fn request(&self, version: Version) -> Busy<'_> {
        self.0.send_modify(|now| {
            now.http2 = version == Version::HTTP_2;
            now.phase = if let Phase::Busy(requests) = now.phase { Phase::Busy(requests + 1) } else { Phase::Busy(1) };
        });
        Busy(self)
    }
}

/// A request that is being answered.
struct Busy<'a>(&'a Watch);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|now| {
            now.since = Instant::now();
            now.phase = match now.phase {
                Phase::Busy(requests) if requests > 1 => Phase::Busy(requests - 1),
                _ => Phase::Idle,
            };
        });
    }
}

/// Ends when a head or the next request has been awaited for too long, and says which. A request that is answered has timeouts of its own.
async fn overdue(mut activity: watch::Receiver<Activity>, options: Options) -> Phase {
    loop {
        let Activity { phase, since, .. } = *activity.borrow_and_update();
        let limit = match phase {
            Phase::Head => Some(options.header_timeout),
            Phase::Busy(_) => None,
            Phase::Idle => Some(options.idle_timeout),
        };
        let expired = async {
            match limit {
                Some(limit) => tokio::time::sleep_until(since + limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expired => return phase,
            changed = activity.changed() => if changed.is_err() { return phase },
        }
    }
}

/// A socket that tells of the bytes that come in.
struct Watched<S> {
    stream: S,
    watch: Watch,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.watch.bytes();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
