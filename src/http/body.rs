//! Reads a body. The bytes are counted as they arrive, before they are kept, and a slow client is waited for only so long.
//!
//! Not here: what the bytes mean (`parse`).

use std::error::Error as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::coding::Coding;
use super::error::Error;
use crate::service::ServiceError;

/// Small photos fit; larger ones are copied a few times as the buffer doubles.
const FIRST_BUFFER: usize = 64 << 10;

/// A body that comes in one piece of at least so many bytes is not copied. A smaller one is: it would hold the buffer of its connection,
/// which is up to four times this.
const KEPT: usize = 16 << 10;

/// How long reading a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadTimeouts {
    /// When both begin to count.
    pub(super) started: Instant,
    /// For the body; over it 408.
    pub(super) body: Duration,
    /// For the whole request; over it 504.
    pub(super) deadline: Duration,
}

/// The length that the head declares: 0 of a request without a body, None of a body whose length is not known yet.
pub(super) fn declared_length(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}

/// Reads the whole body. `received` is called with each new total of bytes before they are kept, and may refuse them.
///
/// # Errors
/// What `received` returns; [`Error::BodyTimeout`], `DeadlinePassed`; [`Error::BodyBrokeOff`] when the client is gone,
/// [`Error::Malformed`] when the chunks are not valid HTTP.
pub(super) async fn read(
    mut body: Body,
    timeouts: ReadTimeouts,
    mut received: impl FnMut(u64) -> Result<(), ServiceError>,
) -> Result<Bytes, Error> {
    let declared = declared_length(&body).map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
    let (mut whole, mut buffer) = (Bytes::new(), Vec::new());
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|error| read_error(&error))?.into_data() else { continue };
            let total = buffer.len() + chunk.len();
            received(total as u64)?;
            if total == declared && chunk.len() == total && total >= KEPT {
                whole = chunk;
                continue;
            }
            grow(&mut buffer, total, declared);
            buffer.extend_from_slice(&chunk);
        }
        Ok(())
    };
    with_timeouts(timeouts, all).await?;
    Ok(if whole.is_empty() { buffer.into() } else { whole })
}

/// Reads the whole body and decodes what was sent compressed. `received` is called for the bytes of either, as [`read`] does.
///
/// # Errors
/// Those of [`read`] and of [`Coding::decode`].
pub(super) async fn read_decoded(
    body: Body,
    coding: Option<Coding>,
    timeouts: ReadTimeouts,
    mut received: impl FnMut(u64) -> Result<(), ServiceError>,
) -> Result<Bytes, Error> {
    let bytes = read(body, timeouts, &mut received).await?;
    let Some(coding) = coding else { return Ok(bytes) };
    let sent = bytes.len() as u64;
    coding.decode(bytes, |total| received(total.max(sent))).await
}

/// Makes room for `total` bytes. Memory follows what has come, not what was declared: a client that declares much and sends
/// nothing holds next to nothing. It starts at [`FIRST_BUFFER`] and doubles, but is never larger than the declared length.
fn grow(buffer: &mut Vec<u8>, total: usize, declared: usize) {
    if total > buffer.capacity() {
        let capacity = buffer.capacity().saturating_mul(2).max(FIRST_BUFFER).min(declared).max(total);
        buffer.reserve_exact(capacity - buffer.len());
    }
}

async fn with_timeouts(timeouts: ReadTimeouts, read: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let ReadTimeouts { started, body, deadline } = timeouts;
    let late = if deadline <= body { ServiceError::DeadlinePassed(deadline).into() } else { Error::BodyTimeout(body) };
    tokio::time::timeout_at(started + body.min(deadline), read).await.unwrap_or(Err(late))
}

/// hyper reports chunks that are not valid HTTP as `InvalidData` or `InvalidInput`. Any other error is a broken connection.
fn read_error(error: &axum::Error) -> Error {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        {
            return Error::Malformed(format!("the body is not valid HTTP: {error}"));
        }
        cause = error.source();
    }
    Error::BodyBrokeOff
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::stream;

    use super::*;

    fn timeouts() -> ReadTimeouts {
        ReadTimeouts { started: Instant::now(), body: Duration::from_secs(30), deadline: Duration::from_secs(60) }
    }

    fn chunked(chunks: &[&'static str]) -> Body {
        Body::from_stream(stream::iter(chunks.iter().map(|&chunk| Ok::<_, io::Error>(chunk)).collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn each_total_is_told_before_the_bytes_are_kept() {
        let mut told = Vec::new();
        let body = chunked(&["ab", "c", "def"]);
        assert_eq!(declared_length(&body), None);
        let bytes = read(body, timeouts(), |total| {
            told.push(total);
            Ok(())
        });
        assert_eq!(bytes.await.unwrap(), "abcdef");
        assert_eq!(told, [2, 3, 6]);
    }

    #[tokio::test]
    async fn reading_ends_at_the_chunk_that_is_refused() {
        let mut told = 0;
        let refuse = |total| {
            told += 1;
            if total > 4 { Err(ServiceError::TooLarge("over 4 bytes".into())) } else { Ok(()) }
        };
        let error = read(chunked(&["abc", "def", "ghi"]), timeouts(), refuse).await.unwrap_err();
        assert_eq!(error.status(), 413);
        assert_eq!(told, 2);
    }

    #[tokio::test]
    async fn a_large_body_in_one_piece_is_not_copied() {
        for (size, kept) in [(KEPT - 1, false), (KEPT, true)] {
            let sent = Bytes::from(vec![7; size]);
            let came = read(Body::from(sent.clone()), timeouts(), |_| Ok(())).await.unwrap();
            assert_eq!(came, sent);
            assert_eq!(came.as_ptr() == sent.as_ptr(), kept);
        }
    }

    #[test]
    fn the_buffer_doubles_up_to_the_declared_length() {
        let capacities = |totals: &[usize], declared| {
            let mut buffer = Vec::new();
            let grown = totals.iter().map(|&total| {
                grow(&mut buffer, total, declared);
                buffer.resize(total, 0);
                buffer.capacity()
            });
            grown.collect::<Vec<_>>()
        };
        const KIB: usize = 1 << 10;
        assert_eq!(capacities(&[10, 65 * KIB, 300 * KIB], usize::MAX), [64 * KIB, 128 * KIB, 300 * KIB]);
        assert_eq!(capacities(&[10, 65 * KIB, 100 * KIB], 100 * KIB), [64 * KIB, 100 * KIB, 100 * KIB]);
        assert_eq!(capacities(&[10, 1000], 1000), [1000, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_408_and_one_slower_than_its_deadline_504() {
        let never = || Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        let error = read(never(), timeouts(), |_| Ok(())).await.unwrap_err();
        assert_eq!(error.status(), 408);
        let short = ReadTimeouts { deadline: Duration::from_millis(100), ..timeouts() };
        let error = read(never(), short, |_| Ok(())).await.unwrap_err();
        assert_eq!(error, ServiceError::DeadlinePassed(Duration::from_millis(100)).into());
    }

    #[tokio::test]
    async fn a_broken_connection_is_told_from_broken_chunks() {
        for (kind, status) in [(io::ErrorKind::UnexpectedEof, None), (io::ErrorKind::InvalidInput, Some("valid HTTP"))]
        {
            let body = Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::new(kind, "x"))]));
            let error = read(body, timeouts(), |_| Ok(())).await.unwrap_err();
            match status {
                None => assert_eq!(error, Error::BodyBrokeOff),
                Some(text) => assert!(error.to_string().contains(text), "{error}"),
            }
        }
    }
}
