//! What is left of a body when the answer is known before its end, as with every 413 and 429.
//!
//! A connection that is closed over unread bytes is reset, and a reset overtakes the answer: the client, still sending,
//! sees a broken pipe and no 429. So more is read, and thrown away, while the answer goes out; then it is closed.

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

/// Thrown away at most, in bytes and in time: as much as a body may have by default, for clients that send all of it before
/// they read. More is not worth a politer close.
const DRAINED_BYTES: usize = 16 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// Watches what is read of a request's body.
#[derive(Clone, Debug)]
pub(super) struct Unread(Arc<State>);

#[derive(Debug)]
struct State {
    /// HTTP/1 only: a stream of HTTP/2 ends alone, and its reader need not be polite.
    closes: bool,
    /// The client waits for 100 before it sends: hyper says that when the body is first polled.
    waits: bool,
    bytes: AtomicU64,
    polled: AtomicBool,
    rest: Mutex<Option<Body>>,
}

impl Unread {
    /// Takes the place of the request's body.
    pub(super) fn of(request: Request) -> (Request, Self) {
        let state = Arc::new(State {
            closes: request.version() <= Version::HTTP_11,
            waits: request.headers().contains_key(header::EXPECT),
            bytes: AtomicU64::new(0),
            polled: AtomicBool::new(false),
            rest: Mutex::new(None),
        });
        let watched = request.map(|body| Body::new(Watched { body: Some(body), state: state.clone() }));
        (watched, Self(state))
    }

    /// Bytes of the body that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Call with the answer in hand: says whether there is more body, so that the connection must close, and
    /// begins to throw that away. A client that waits for 100 has sent nothing, and is not asked to.
    pub(super) fn drain(&self) -> bool {
        let rest = self.0.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(rest) = rest.filter(|_| self.0.closes) else { return false };
        if self.0.polled.load(Ordering::Relaxed) || !self.0.waits {
            tokio::spawn(discard(rest));
        }
        true
    }
}

async fn discard(mut body: Body) {
    let mut left = DRAINED_BYTES;
    let drain = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAINED_FOR, drain).await;
}

/// A body that, dropped before its end, leaves the rest where [`Unread`] finds it.
struct Watched {
    body: Option<Body>,
    state: Arc<State>,
}

impl HttpBody for Watched {
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

impl Drop for Watched {
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

    fn request(body: Body) -> (Request, Unread) {
        Unread::of(Request::new(body))
    }

    #[tokio::test]
    async fn a_body_that_was_read_to_its_end_leaves_nothing() {
        let (request, unread) = request(Body::from("abc"));
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(unread.bytes(), 3);
        assert!(!unread.drain());
    }

    #[tokio::test]
    async fn a_request_without_a_body_leaves_nothing() {
        let (request, unread) = request(Body::empty());
        drop(request);
        assert!(!unread.drain());
    }

    #[tokio::test]
    async fn a_body_that_was_dropped_closes_the_connection() {
        let (request, unread) = request(Body::from("abc"));
        assert_eq!(request.body().size_hint().exact(), Some(3));
        drop(request);
        assert!(unread.drain());
    }

    #[tokio::test]
    async fn a_stream_of_http2_closes_alone() {
        let mut http2 = Request::new(Body::from("abc"));
        *http2.version_mut() = Version::HTTP_2;
        let (http2, unread) = Unread::of(http2);
        drop(http2);
        assert!(!unread.drain());
    }
}
