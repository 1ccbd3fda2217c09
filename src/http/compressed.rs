//! `Accept-Encoding`: an answer that its client wants compressed. Not here: bodies that come compressed (`coding`).

use std::io::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::error::Error;

/// What is compressed on the async thread: a few milliseconds. More is compressed on tokio's blocking threads.
const INLINE: usize = 256 << 10;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Gzip,
    /// The zlib format.
    Deflate,
}

impl Wanted {
    /// What the head accepts, the first that is served; None of a head that does not say or says `identity`.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let text = values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",").to_ascii_lowercase();
        text.split(',').find_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let name = parts.next()?;
            let refused = parts.filter_map(|part| part.strip_prefix("q=")?.parse().ok()).any(|q: f32| q == 0.0);
            match name {
                "gzip" | "x-gzip" if !refused => Some(Self::Gzip),
                "deflate" if !refused => Some(Self::Deflate),
                _ => None,
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn compress(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// A response of these bytes, compressed where that is wanted.
///
/// # Errors
/// [`Error::Internal`] when they cannot be compressed.
pub(super) async fn response(bytes: Vec<u8>, wanted: Option<Wanted>) -> Result<Response, Error> {
    let Some(wanted) = wanted else { return Ok(Response::new(bytes.into())) };
    let compressed = if bytes.len() <= INLINE {
        wanted.compress(&bytes)
    } else {
        #[expect(clippy::disallowed_methods, reason = "one for each answer, and the queue bounds those")]
        let work = tokio::task::spawn_blocking(move || wanted.compress(&bytes));
        work.await.unwrap_or_else(|fault| Err(std::io::Error::other(fault)))
    };
    let compressed = compressed.map_err(|fault| {
        tracing::error!(%fault, "an answer cannot be compressed");
        Error::Internal
    })?;
    let mut response = Response::new(compressed.into());
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(wanted.name()));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_served_is_taken() {
        for (text, wanted) in [
            ("gzip", Some(Wanted::Gzip)),
            ("br, Deflate;q=0.5, gzip", Some(Wanted::Deflate)),
            ("gzip;q=0, deflate", Some(Wanted::Deflate)),
            ("identity", None),
            ("br", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            assert_eq!(Wanted::of(&headers), wanted, "{text}");
        }
        assert_eq!(Wanted::of(&HeaderMap::new()), None);
    }
}
