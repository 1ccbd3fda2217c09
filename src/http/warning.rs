//! The header `Warning` of an answer: what of the request was not understood and so ignored. Not here: what is known (`query`,
//! `multipart`).

use std::fmt::Write as _;

use axum::http::HeaderValue;

/// Names that a header tells; further ones are counted.
const MAX_NAMES: usize = 8;
/// Characters of a name that it tells.
const MAX_LENGTH: usize = 48;

/// The header, or None where nothing was ignored. What the client sent is escaped: it stands in a quoted string of a header.
pub(super) fn of(ignored: &[String]) -> Option<HeaderValue> {
    let (first, more) = ignored.split_first()?;
    let mut text = format!("199 - \"unknown {}", escaped(first));
    for name in more.iter().take(MAX_NAMES - 1) {
        let _ = write!(text, ", {}", escaped(name));
    }
    if ignored.len() > MAX_NAMES {
        let _ = write!(text, " and {} more", ignored.len() - MAX_NAMES);
    }
    text.push('"');
    HeaderValue::try_from(text).ok()
}

fn escaped(name: &str) -> String {
    let short: String = name.chars().take(MAX_LENGTH).collect();
    short.escape_default().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        of(&names).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_was_ignored_is_named() {
        assert_eq!(of(&[]), None);
        assert_eq!(header(&["query parameter topk"]), r#"199 - "unknown query parameter topk""#);
        assert_eq!(header(&["query parameter a", "part b"]), r#"199 - "unknown query parameter a, part b""#);
    }

    #[test]
    fn what_a_client_sends_cannot_end_the_header_or_its_string() {
        assert_eq!(header(&["part a\"\r\nx: y\u{e9}\u{0}"]), r#"199 - "unknown part a\"\r\nx: y\u{e9}\u{0}""#);
        let long = header(&["x".repeat(1000).as_str(); 500]);
        assert!(long.ends_with(" and 492 more\"") && long.len() < 1000, "{long}");
    }
}
