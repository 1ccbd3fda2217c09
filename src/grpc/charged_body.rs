//! The body of a call whose bytes are charged to their budget as they come, before anything is made of them, and that is waited for
//! only so long. Not here: the framing and the messages, which are tonic's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;

use super::call::Call;
use super::error;
use crate::service::ServiceError;

/// A body, and the call that it is of.
pub(super) struct ChargedBody {
    body: Body,
    call: Call,
    /// For a whole body; None of a stream, which may be silent.
    timeout: Option<(Pin<Box<Sleep>>, Status)>,
}

impl ChargedBody {
    /// The body of a call of one message, which must be here in time.
    pub(super) fn of_message(body: Body, call: Call, patience: Duration) -> Self {
        let (within, late) = match call.allowed() {
            Some(allowed) if allowed <= patience => (allowed, error::status(&ServiceError::DeadlinePassed(allowed))),
            _ => {
                let text = format!("the message did not arrive within {} ms", patience.as_millis());
                (patience, Status::deadline_exceeded(text))
            }
        };
        Self { body, call, timeout: Some((Box::pin(tokio::time::sleep(within)), late)) }
    }

    /// The body of a call of many messages.
    pub(super) fn of_stream(body: Body, call: Call) -> Self {
        Self { body, call, timeout: None }
    }
}

impl HttpBody for ChargedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                let charged = self.call.bytes_came(bytes).map_err(|error| error::status(&error));
                Poll::Ready(Some(charged.map(|()| frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Status::cancelled("the call broke off")))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let Some((sleep, late)) = &mut self.timeout else { return Poll::Pending };
                ready!(sleep.as_mut().poll(cx));
                let late = late.clone();
                self.timeout = None;
                Poll::Ready(Some(Err(late)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
