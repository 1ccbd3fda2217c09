//! Tracks what is read of a request's body, and discards the rest of one that is refused early, as with every 413 and 429.
//!
//! A close over unread bytes resets the connection, and the reset overtakes the answer: the client, still sending, sees a broken
//! pipe and no 429. So the rest is read and discarded while the answer goes out, and then the connection closes. A stream of HTTP/2
//! that ends over unread bytes is reset in the same way, and many clients then forget the answer that they have.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Version, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

/// Discarded at most, in time; for clients that send all of a body before they read.
const DISCARDED_FOR: Duration = Duration::from_secs(5);

/// Discarded at most, in bytes: more than the largest body that is allowed, for what is refused is often what was a bit larger.
fn most_discarded(max_body: u64) -> u64 {
    max_body.saturating_mul(2).saturating_add(1 << 20)
}

/// Knows how much of a request's body was read; clones share it.
#[derive(Clone, Debug)]
pub(super) struct BodyTracker(Arc<State>);

#[derive(Debug)]
struct State {
    /// HTTP/1 closes the connection over an unread body. HTTP/2 resets only the stream.
    http1: bool,
    /// Discarded at most.
    most: u64,
    /// The client sends nothing before it gets a 100, which hyper sends when the body is first polled.
    expects_100: bool,
    bytes: AtomicU64,
    polled: AtomicBool,
    rest: Mutex<Option<Body>>,
}

impl BodyTracker {
    /// Wraps the request's body in one that is tracked. `max_body`: the largest that is not refused.
    pub(super) fn attach(request: Request, max_body: u64) -> (Request, Self) {
        let state = Arc::new(State {
            http1: request.version() <= Version::HTTP_11,
            most: most_discarded(max_body),
            expects_100: request.headers().contains_key(header::EXPECT),
            bytes: AtomicU64::new(0),
            polled: AtomicBool::new(false),
            rest: Mutex::new(None),
        });
        let watched = request.map(|body| Body::new(TrackedBody { body: Some(body), state: state.clone() }));
        (watched, Self(state))
    }

    /// Bytes of the body that were read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// To be called when the answer is ready. Returns whether the connection must close, because some of the body was not read;
    /// this is then discarded in the background. A client that still waits for a 100 sends nothing, so nothing is read.
    pub(super) fn discard_rest(&self) -> bool {
        let rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rest) = rest else { return false };
        if self.0.polled.load(Ordering::Relaxed) || !self.0.expects_100 {
            tokio::spawn(discard(rest, self.0.most));
        }
        self.0.http1
    }
}

async fn discard(mut body: Body, most: u64) {
    let mut left = most;
    let drain = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |bytes| bytes.len() as u64));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARDED_FOR, drain).await;
}

/// The body that handlers read. Dropped before its end, it leaves the rest to its [`BodyTracker`].
struct TrackedBody {
    body: Option<Body>,
    state: Arc<State>,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.state.polled.store(true, Ordering::Relaxed);
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.state.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Some(Err(_)) | None => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.state.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn request(body: Body) -> (Request, BodyTracker) {
        BodyTracker::attach(Request::new(body), 0)
    }

    #[tokio::test]
    async fn a_body_that_was_read_to_its_end_leaves_nothing() {
        let (request, tracker) = request(Body::from("abc"));
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(tracker.bytes_read(), 3);
        assert!(!tracker.discard_rest());
    }

    #[tokio::test]
    async fn a_request_without_a_body_leaves_nothing() {
        let (request, tracker) = request(Body::empty());
        drop(request);
        assert!(!tracker.discard_rest());
    }

    #[tokio::test]
    async fn a_body_that_was_dropped_closes_the_connection() {
        let (request, tracker) = request(Body::from("abc"));
        assert_eq!(request.body().size_hint().exact(), Some(3));
        drop(request);
        assert!(tracker.discard_rest());
    }

    #[tokio::test]
    async fn an_unread_stream_of_http2_leaves_its_connection_open() {
        let mut http2 = Request::new(Body::from("abc"));
        *http2.version_mut() = Version::HTTP_2;
        let (http2, tracker) = BodyTracker::attach(http2, 0);
        drop(http2);
        assert!(!tracker.discard_rest());
    }
}
