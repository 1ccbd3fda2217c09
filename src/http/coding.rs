//! `Content-Encoding`: a body that is sent compressed is decoded piece by piece, each counted before it is kept.
//!
//! Not here: the limit (`received` of [`Coding::decode`]), and what the bytes mean (`parse`).

use std::io::Read;

use axum::http::{HeaderMap, header};
use bytes::{Buf as _, Bytes};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::error::Error;
use crate::service::ServiceError;

/// What is decoded on the async thread: about a millisecond. The rest is decoded on tokio's blocking threads.
const INLINE: usize = 256 << 10;
/// Decoded at a time on a blocking thread, and so never counted too late by more than this.
const PIECE: usize = 1 << 20;

/// The names of all codings.
pub(super) const NAMES: &[&str] = &["gzip", "x-gzip", "deflate"];
/// Those that `Accept-Encoding` tells.
pub(super) const POSSIBLE: &str = "gzip, deflate";

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// The zlib format by the standard; what some clients send is bare deflate.
    Deflate,
}

type Decoder = Box<dyn Read + Send>;

impl Coding {
    /// The coding that the head declares; None of a body that is sent as it is.
    ///
    /// # Errors
    /// [`Error::UnknownCoding`], also for several, one on top of the other.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let mut found = Vec::new();
        for value in headers.get_all(header::CONTENT_ENCODING) {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            let names = text.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "identity"));
            found.extend(names.map(str::to_owned));
        }
        match found.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Ok(None),
            ["gzip" | "x-gzip"] => Ok(Some(Self::Gzip)),
            ["deflate"] => Ok(Some(Self::Deflate)),
            ref names => Err(Error::UnknownCoding(names.join(", "))),
        }
    }

    /// Decodes a body. `received` is called with each new total of decoded bytes before they are kept, and may refuse them.
    ///
    /// # Errors
    /// What `received` returns; [`Error::Malformed`] for what is not of this coding or breaks off.
    pub(super) async fn decode(
        self,
        body: Bytes,
        mut received: impl FnMut(u64) -> Result<(), ServiceError>,
    ) -> Result<Bytes, Error> {
        let (mut inline, mut decoder) = (body.len() <= INLINE, self.decoder(body));
        let mut whole = Vec::new();
        loop {
            let (piece, limit) = if inline {
                (pull(&mut decoder, INLINE), INLINE)
            } else {
                let (back, piece) = on_a_blocking_thread(decoder).await?;
                decoder = back;
                (piece, PIECE)
            };
            inline = false;
            let piece =
                piece.map_err(|error| Error::Malformed(format!("the body is not valid {}: {error}", self.name())))?;
            received((whole.len() + piece.len()) as u64)?;
            whole.extend_from_slice(&piece);
            if piece.len() < limit {
                return Ok(whole.into());
            }
        }
    }

    fn decoder(self, body: Bytes) -> Decoder {
        // the two bytes of a zlib header: method 8, and a multiple of 31
        let zlib = matches!(body[..], [first, second, ..]
            if first & 15 == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(body.reader())),
            Self::Deflate if zlib => Box::new(ZlibDecoder::new(body.reader())),
            Self::Deflate => Box::new(DeflateDecoder::new(body.reader())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// The next bytes; fewer than `limit` are the last.
fn pull(decoder: &mut Decoder, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    decoder.take(limit as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

async fn on_a_blocking_thread(mut decoder: Decoder) -> Result<(Decoder, std::io::Result<Vec<u8>>), Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "one for each body that is held, and the budget of bodies bounds those"
    )]
    let work = tokio::task::spawn_blocking(move || {
        let piece = pull(&mut decoder, PIECE);
        (decoder, piece)
    });
    work.await.map_err(|fault| {
        tracing::error!(%fault, "decoding a body failed");
        Error::Internal
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write as _;

    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn of(values: &[&'static str]) -> Result<Option<Coding>, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Coding::of(&headers)
    }

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn the_head_says_how_a_body_is_compressed() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["x-gzip, identity"]), Ok(Some(Coding::Gzip)));
        assert_eq!(of(&["deflate"]), Ok(Some(Coding::Deflate)));
        for unknown in [&["br"][..], &["gzip, gzip"], &["gzip", "deflate"], &["utf-8"]] {
            let error = of(unknown).unwrap_err();
            assert_eq!(error.status(), 415);
            assert!(error.to_string().contains("gzip and deflate"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_was_compressed_comes_out_as_it_went_in() {
        for length in [0, 1, INLINE - 1, INLINE, INLINE + 1, INLINE + PIECE, 3 * PIECE + 5] {
            let bytes: Vec<u8> = (0..length as u64).map(|i| (i * i / 7) as u8).collect();
            let mut totals = Vec::new();
            let decoded = Coding::Gzip.decode(gzip(&bytes), |total| {
                totals.push(total);
                Ok(())
            });
            assert!(decoded.await.unwrap() == bytes, "{length} bytes");
            assert_eq!(totals.last(), Some(&(length as u64)));
            assert!(totals.windows(2).all(|pair| pair[1] - pair[0] <= PIECE as u64), "{totals:?}");
        }
    }

    #[tokio::test]
    async fn deflate_is_read_with_and_without_the_header_of_zlib() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(b"hello, hello").unwrap();
        bare.write_all(b"hello, hello").unwrap();
        for body in [zlib.finish().unwrap(), bare.finish().unwrap()] {
            assert_eq!(Coding::Deflate.decode(body.into(), |_| Ok(())).await.unwrap(), "hello, hello");
        }
    }

    #[tokio::test]
    async fn two_gzip_members_are_one_body() {
        let body = [gzip(b"one, "), gzip(b"two")].concat();
        assert_eq!(Coding::Gzip.decode(body.into(), |_| Ok(())).await.unwrap(), "one, two");
    }

    #[tokio::test]
    async fn a_bomb_is_refused_at_the_first_piece_over_the_limit() {
        let bomb = gzip(&vec![0; 64 << 20]);
        let mut asked = 0;
        let decoded = Coding::Gzip.decode(bomb, |total| {
            asked += 1;
            if total > 100 { Err(ServiceError::TooLarge("over 100".into())) } else { Ok(()) }
        });
        assert_eq!(decoded.await.unwrap_err().status(), 413);
        assert_eq!(asked, 1);
    }

    #[tokio::test]
    async fn what_is_broken_or_not_compressed_is_malformed() {
        let whole = gzip(&[7; 1000]);
        let cut = whole.slice(..whole.len() - 4);
        for (coding, body) in
            [(Coding::Gzip, cut), (Coding::Gzip, "\u{7f}ELF".into()), (Coding::Deflate, "hello".into())]
        {
            let error = coding.decode(body, |_| Ok(())).await.unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.to_string().contains(coding.name()), "{error}");
        }
    }
}
