//! Reads a body under its ticket: each byte is counted before the next is asked for, and a slow client is waited for only so long.
//!
//! What the bytes mean is `form`'s to say.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::error::Error;
use crate::service::ServiceError;

/// How long a body is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When reading began, or the request was admitted.
    pub(super) since: Instant,
    /// For the body: over it 408.
    pub(super) body: Duration,
    /// For the whole request: over it 504.
    pub(super) deadline: Duration,
}

/// The length that the head declares: of a body without any, 0; None where it is to be seen.
pub(super) fn declared(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}

/// Reads the whole body. `total` hears of each new length before its bytes are kept, and may refuse.
///
/// A body of a declared length, which was admitted whole, takes its memory once; others grow.
///
/// # Errors
/// What `total` says; [`Error::BodyTimeout`], `DeadlinePassed`; [`Error::BodyBrokeOff`] when the client is gone,
/// [`Error::Malformed`] when the chunks are not HTTP's.
pub(super) async fn read(
    mut body: Body,
    patience: Patience,
    mut total: impl FnMut(u64) -> Result<(), ServiceError>,
) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::with_capacity(declared(&body).and_then(|length| length.try_into().ok()).unwrap_or(0));
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            total((bytes.len() + chunk.len()) as u64)?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    within(patience, all).await?;
    Ok(bytes.freeze())
}

async fn within(patience: Patience, read: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let Patience { since, body, deadline } = patience;
    let late = if deadline <= body { ServiceError::DeadlinePassed(deadline).into() } else { Error::BodyTimeout(body) };
    tokio::time::timeout_at(since + body.min(deadline), read).await.unwrap_or(Err(late))
}

/// hyper marks with `InvalidData` and `InvalidInput` chunks that are not HTTP's; all else is a broken connection.
fn broken(error: &axum::Error) -> Error {
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

    fn patience() -> Patience {
        Patience { since: Instant::now(), body: Duration::from_secs(30), deadline: Duration::from_secs(60) }
    }

    fn chunked(chunks: &[&'static str]) -> Body {
        Body::from_stream(stream::iter(chunks.iter().map(|&chunk| Ok::<_, io::Error>(chunk)).collect::<Vec<_>>()))
    }

    #[tokio::test]
    async fn each_length_is_told_before_it_is_kept() {
        let mut told = Vec::new();
        let body = chunked(&["ab", "c", "def"]);
        assert_eq!(declared(&body), None);
        let bytes = read(body, patience(), |total| {
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
        let error = read(chunked(&["abc", "def", "ghi"]), patience(), refuse).await.unwrap_err();
        assert_eq!(error.status(), 413);
        assert_eq!(told, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_408_and_one_slower_than_its_deadline_504() {
        let never = || Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        let error = read(never(), patience(), |_| Ok(())).await.unwrap_err();
        assert_eq!(error.status(), 408);
        let hasty = Patience { deadline: Duration::from_millis(100), ..patience() };
        let error = read(never(), hasty, |_| Ok(())).await.unwrap_err();
        assert_eq!(error, ServiceError::DeadlinePassed(Duration::from_millis(100)).into());
    }

    #[tokio::test]
    async fn a_broken_connection_is_told_from_broken_chunks() {
        for (kind, status) in [(io::ErrorKind::UnexpectedEof, None), (io::ErrorKind::InvalidInput, Some("valid HTTP"))]
        {
            let body = Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::new(kind, "x"))]));
            let error = read(body, patience(), |_| Ok(())).await.unwrap_err();
            match status {
                None => assert_eq!(error, Error::BodyBrokeOff),
                Some(text) => assert!(error.to_string().contains(text), "{error}"),
            }
        }
    }
}
