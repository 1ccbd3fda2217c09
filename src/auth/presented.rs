//! The key of a request: `X-API-Key: KEY` or `Authorization: Bearer KEY`. Not here: whether it is one (`access`).

use axum::http::{HeaderMap, HeaderName, header};

/// The header that has nothing but a key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const BEARER: &[u8] = b"bearer";

/// The key that a request shows. Where it shows two, that of `X-API-Key`: some clients put a token of their own into the other header.
pub(super) fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = match headers.get(API_KEY) {
        Some(key) => key.as_bytes(),
        None => bearer(headers.get(header::AUTHORIZATION)?.as_bytes())?,
    };
    Some(shown.trim_ascii()).filter(|key| !key.is_empty())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(BEARER.len())?;
    (scheme.eq_ignore_ascii_case(BEARER) && rest.starts_with(b" ")).then_some(rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shown(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        key(&headers).map(|key| String::from_utf8(key.to_vec()).unwrap())
    }

    #[test]
    fn a_key_stands_in_either_header() {
        for (headers, found) in [
            (&[("x-api-key", "abc")][..], Some("abc")),
            (&[("authorization", "Bearer abc")], Some("abc")),
            (&[("authorization", "bearer  abc ")], Some("abc")),
            (&[("authorization", "Bearer hf_token"), ("x-api-key", "abc")], Some("abc")),
            (&[("authorization", "Basic YTpi"), ("x-api-key", "abc")], Some("abc")),
            (&[("authorization", "Basic YTpi")], None),
            (&[("authorization", "Bearer")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("authorization", "Bearerabc")], None),
            (&[("authorization", "")], None),
            (&[("x-api-key", "")], None),
            (&[], None),
        ] {
            assert_eq!(shown(headers).as_deref(), found, "{headers:?}");
        }
    }
}
