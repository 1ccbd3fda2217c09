//! One connection, HTTP/1.1 or HTTP/2, from its first byte, or the first after TLS was agreed on, to its close.
//!
//! Its timeouts are ours, for hyper lacks three. Its one timer for HTTP/1, `header_read_timeout`, runs between requests too: a
//! short one for heads would close connections that are merely idle. It has none until the first byte tells HTTP/1 from HTTP/2.
//! And it waits for ever for a client that does not read.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::activity::{Activity, Phase, Recorder, RunningRequest, overdue};
use super::options::Options;
use super::request_body::RequestBody;
use super::socket::Socket;
use super::stopping::Stopping;
use super::tls::Peer;

/// For an idle connection to close when it is told to. A client that does not read would keep it open.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// At a drain, for a new connection to send its first request.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// The largest head in HTTP/1, and what hyper reads of a body at a time. hyper's default of 400 KB is much for each of 4,096
/// connections.
const MAX_BUFFER: usize = 64 << 10;
/// The largest head in HTTP/2: its names, its values, and 32 bytes for each pair of them; the list must stay below it. It is hyper's default,
/// written down so that it stays.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// Requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 pings, which find clients that vanished without a close.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The protocol with its limits, made once per port.
pub(super) fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Without half_close hyper reads on while a request is answered, and takes the end for the client's leaving. `Socket` tells it
    // of the end only where that is so.
    builder.http1().half_close(false).header_read_timeout(None).max_buf_size(MAX_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        // a small tensor in one piece, where 16 KiB would be four, each with its own way through hyper
        .max_frame_size(MAX_BUFFER as u32)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

/// Serves a connection until it closes or times out. Once `stop` is true, the requests that run are finished and no more are
/// begun. `peer` is known of the client where there is TLS.
pub(super) async fn serve<S>(
    stream: S,
    protocol: &auto::Builder<TokioExecutor>,
    router: Router,
    options: Options,
    mut stop: watch::Receiver<bool>,
    peer: Option<Peer>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let recorder = Recorder::new();
    let mut activity = recorder.subscribe();
    let of_drain = recorder.clone();
    let io = TokioIo::new(Socket::new(stream, recorder.clone()));
    // recorded here and not in the future: hyper may read on before it polls that
    let ends = watch::Sender::new(false);
    let stopping = Stopping::new(ends.subscribe());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(stopping.clone());
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let running = recorder.request(request.version(), !request.body().is_end_stream());
        answer(running, recorder.clone(), router.clone(), request, stopping.clone())
    });
    let mut connection = pin!(protocol.serve_connection(io, service));

    let mut old = pin!(is_old(options));
    let mut is_told = false;
    loop {
        tokio::select! {
            closed = connection.as_mut() => return log(closed),
            phase = overdue(activity.clone(), options) => {
                // In the middle of a head hyper would wait for its end. Only an idle HTTP/2 client has to be told of the close.
                if phase == Phase::Idle {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(CLOSE_WITHIN, connection).await;
                }
                return;
            }
            () = stopped(&mut stop) => break,
            () = old.as_mut(), if !is_told => {
                is_told = true;
                ends.send_replace(true);
                // A client of HTTP/1 learns of it by its next answer. To close between two requests could cost it one.
                if activity.borrow().version == Version::HTTP_2 {
                    connection.as_mut().graceful_shutdown();
                    let closed = tokio::time::timeout(options.max_connection_age_grace, connection).await;
                    return closed.map_or_else(|_| tracing::info!("an old connection was cut off with requests in flight"), log);
                }
            }
        }
    }
    ends.send_replace(true);
    tokio::select! {
        closed = connection.as_mut() => return log(closed),
        begun = first_request(&of_drain, &mut activity) => if !begun { return },
    }
    connection.as_mut().graceful_shutdown();
    log(connection.await);
}

/// Ends when the connection has reached its age, which is a tenth more or less for each.
async fn is_old(options: Options) {
    if options.max_connection_age.is_zero() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(options.max_connection_age.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
}

/// Ends when a connection that has not agreed on TLS is not waited for any longer, at a drain.
pub(super) async fn too_late(mut stop: watch::Receiver<bool>) {
    stopped(&mut stop).await;
    tokio::time::sleep(FIRST_REQUEST_WITHIN).await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn first_request(recorder: &Recorder, activity: &mut watch::Receiver<Activity>) -> bool {
    recorder.await_request();
    let begun = activity.wait_for(|now| now.phase != Phase::Head);
    tokio::time::timeout(FIRST_REQUEST_WITHIN, begun).await.is_ok()
}

async fn answer(
    _running: RunningRequest,
    recorder: Recorder,
    router: Router,
    request: Request<Incoming>,
    stopping: Stopping,
) -> Result<Response<Body>, Infallible> {
    let http1 = request.version() <= Version::HTTP_11;
    let mut response = router.oneshot(request.map(|body| Body::new(RequestBody::new(body, recorder)))).await?;
    if http1 && stopping.has_begun() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn log(closed: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = closed {
        tracing::debug!(error, "a connection broke");
    }
}

#[cfg(test)]
mod tests;
