//! Which web pages of other origins may use the port from a browser: none, unless an operator names their origins.
//!
//! Not here: what a request of a page gets (the routes). The admin port takes none.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::v2::HEADER_LENGTH;
use crate::net::request_id;

/// How long a browser may go by a preflight.
const PREFLIGHT_HOLDS: Duration = Duration::from_secs(3600);
/// Headers of answers, beside those that pages see anyway, that they may read.
const EXPOSED: [HeaderName; 4] = [request_id::HEADER, header::RETRY_AFTER, header::WARNING, HEADER_LENGTH];

/// A browser sends these with what a page asks for, and nobody else does.
const OF_A_PAGE: [HeaderName; 2] = [header::ORIGIN, HeaderName::from_static("sec-fetch-site")];

/// Whether a web page asks. A page in an operator's browser can send requests to loopback too, and needs nobody's leave for that.
pub(crate) fn is_of_a_page(headers: &HeaderMap) -> bool {
    OF_A_PAGE.iter().any(|name| headers.contains_key(name))
}

/// The origin of web pages, as `https://app.example.com`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    /// Reads an origin as browsers send it: scheme, host, and the port where it is not the scheme's own.
    fn from_str(text: &str) -> Result<Self, String> {
        let origin = text.trim().to_ascii_lowercase();
        if origin == "*" {
            return Ok(Self(origin));
        }
        let wrong = || {
            format!(
                "{text:?} is no origin; possible are * for all, and scheme, host and port without a path, as https://app.example.com"
            )
        };
        let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
        let host = match scheme {
            "http" => host.strip_suffix(":80").unwrap_or(host),
            "https" => host.strip_suffix(":443").unwrap_or(host),
            _ => host,
        };
        let of_a_host =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if scheme.is_empty() || host.is_empty() || !scheme.bytes().chain(host.bytes()).all(of_a_host) {
            return Err(wrong());
        }
        Ok(Self(format!("{scheme}://{host}")))
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What answers preflights and adds the headers, or None without an origin.
pub(super) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let all = origins.iter().any(|Origin(origin)| origin == "*");
    let allowed = if all {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|Origin(origin)| HeaderValue::from_str(origin).ok()))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT_HOLDS);
    Some(layer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for (written, sent) in [
            ("*", "*"),
            ("https://App.example.com", "https://app.example.com"),
            ("https://a.example:443", "https://a.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(written.parse::<Origin>().unwrap().to_string(), sent);
        }
    }

    #[test]
    fn what_no_browser_would_send_is_refused() {
        for text in
            ["", "example.com", "https://", "https://a.example/", "https://*.a.example", "https://ä.example", "://a"]
        {
            let error = text.parse::<Origin>().unwrap_err();
            assert!(error.contains("https://app.example.com"), "{text}: {error}");
        }
    }
}
