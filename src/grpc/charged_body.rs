//! The body of a call: its bytes are charged to their budget as they come, its messages handed on when they are whole, and they are
//! waited for only so long. Not here: what messages are, which is tonic's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Frame;
use tonic::Status;

use super::call::Call;
use super::error;
use super::framing::Framing;
use crate::net::Stopping;
use crate::service::ServiceError;

/// A body, and the call that it is of.
pub(super) struct ChargedBody {
    body: Body,
    call: Call,
    framing: Framing,
    /// Why the end of the body is not awaited any longer.
    ends: BoxFuture<'static, Result<(), Status>>,
    /// Nothing more is read.
    ended: bool,
    trailers: Option<Frame<Bytes>>,
}

impl ChargedBody {
    fn new(
        body: Body,
        call: Call,
        limit: u64,
        ends: impl Future<Output = Result<(), Status>> + Send + 'static,
    ) -> Self {
        let framing = Framing::new(usize::try_from(limit).unwrap_or(usize::MAX));
        Self { body, call, framing, ends: ends.boxed(), ended: false, trailers: None }
    }

    /// The body of a call of one message, which must be here in time.
    pub(super) fn of_message(body: Body, call: Call, limit: u64, patience: Duration) -> Self {
        let (within, late) = match call.allowed() {
            Some(allowed) if allowed <= patience => (allowed, error::status(&ServiceError::DeadlinePassed(allowed))),
            _ => {
                let text = format!("the message did not arrive within {} ms", patience.as_millis());
                (patience, Status::deadline_exceeded(text))
            }
        };
        let sleep = tokio::time::sleep(within);
        Self::new(body, call, limit, sleep.map(|()| Err(late)))
    }

    /// The body of a call of many messages, which may be silent. Where `stopping` is given it ends when the connection is to close.
    pub(super) fn of_stream(body: Body, call: Call, limit: u64, stopping: Option<Stopping>) -> Self {
        let ends = async {
            match stopping {
                Some(mut stopping) => stopping.begun().await,
                None => std::future::pending().await,
            }
            Ok(())
        };
        Self::new(body, call, limit, ends)
    }

    /// Reads on; nothing more comes after true.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Status>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return Poll::Ready(ready!(self.ends.poll_unpin(cx)).map(|()| true));
        };
        match frame {
            None => Poll::Ready(Ok(true)),
            Some(Err(_)) => Poll::Ready(Err(Status::cancelled("the call broke off"))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    self.call.bytes_came(bytes.len() as u64).map_err(|error| error::status(&error))?;
                    self.framing.push(bytes);
                    Poll::Ready(Ok(false))
                }
                Err(trailers) => {
                    self.trailers = Some(trailers);
                    Poll::Ready(Ok(true))
                }
            },
        }
    }
}

impl HttpBody for ChargedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(bytes) = self.framing.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.ended {
                return Poll::Ready(self.trailers.take().map(Ok));
            }
            match ready!(self.poll_read(cx)) {
                Ok(false) => {}
                Ok(true) => {
                    self.ended = true;
                    self.framing.finish();
                }
                Err(status) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(status)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.framing.is_empty() && self.trailers.is_none() && (self.ended || self.body.is_end_stream())
    }
}
