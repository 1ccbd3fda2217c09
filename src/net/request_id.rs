//! The id of a request: the client's `x-request-id` where that is valid, otherwise a random one.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header of requests and answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// A longer id is replaced, for the id stands in every log line of its request.
const MAX_LENGTH: usize = 128;

/// The id of a request: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's, or a new one of 128 random bits.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        match headers.get(HEADER) {
            Some(id) if is_valid(id.as_bytes()) => Self(id.clone()),
            _ => Self::random(),
        }
    }

    fn random() -> Self {
        let hex = format!("{:032x}", fastrand::u128(..));
        Self(HeaderValue::from_str(&hex).unwrap_or(HeaderValue::from_static("-")))
    }

    /// As a header's value. HTTP/2 is told not to remember it, for it never comes again: it would push what does out of its table.
    pub(crate) fn header(&self) -> HeaderValue {
        let mut value = self.0.clone();
        value.set_sensitive(true);
        value
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or("-"))
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        RequestId::from_headers(&headers).to_string()
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["a", "0af7651916cd43dd8448eb211c80319c", &"x".repeat(128)] {
            assert_eq!(of(id), id);
        }
    }

    #[test]
    fn an_invalid_id_is_replaced_by_32_hex_digits() {
        for id in ["", "two words", "tab\there", "ümlaut", &"x".repeat(129)] {
            let new = of(id);
            assert_eq!(new.len(), 32, "{id:?} became {new}");
            assert!(new.bytes().all(|byte| byte.is_ascii_hexdigit()), "{new}");
        }
    }

    #[test]
    fn two_requests_without_an_id_get_two() {
        let headers = HeaderMap::new();
        assert_ne!(RequestId::from_headers(&headers), RequestId::from_headers(&headers));
    }
}
