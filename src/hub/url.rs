//! The little of URLs that the hub needs: parts that are escaped, where a redirect leads, and whose host it is. Not here: requests.

use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};

/// A part of a path, with all escaped that could mean something there.
pub(super) fn escaped(part: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    part.bytes().map(escape).collect()
}

/// Where a redirect from `base` leads. `None` where it leads nowhere, or from an encrypted connection to a plain one.
pub(super) fn joined(base: &str, location: &str) -> Option<String> {
    let location = location.split('#').next()?;
    let from: Uri = base.parse().ok()?;
    let (scheme, authority) = (from.scheme()?, from.authority()?);
    let url = if location.starts_with("https://") || location.starts_with("http://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = url.parse().ok()?;
    let is_downgrade = *scheme == Scheme::HTTPS && to.scheme() != Some(&Scheme::HTTPS);
    (!is_downgrade).then_some(url)
}

/// Whether two URLs are of the same scheme, host and port: one that may be told what the other is told.
pub(super) fn same_host(a: &str, b: &str) -> bool {
    let host = |text: &str| {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme()?.clone();
        let port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let authority: &Authority = uri.authority()?;
        Some((scheme, authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(port)))
    };
    host(a).is_some_and(|a| host(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say_but_not_out_of_an_encrypted_connection() {
        let joined = |location| joined("https://hub.co/a/resolve/main/x", location);
        assert_eq!(joined("/api/y?z=1").unwrap(), "https://hub.co/api/y?z=1");
        assert_eq!(joined("y").unwrap(), "https://hub.co/a/resolve/main/y");
        assert_eq!(joined("//cdn.co/y").unwrap(), "https://cdn.co/y");
        assert_eq!(joined("https://cdn.co/y#part").unwrap(), "https://cdn.co/y");
        assert_eq!(joined("http://cdn.co/y"), None);
        assert_eq!(joined("https://"), None);
        assert_eq!(super::joined("http://a/x", "http://b/y").unwrap(), "http://b/y");
    }

    #[test]
    fn a_host_is_a_scheme_a_name_and_a_port() {
        assert!(same_host("https://hub.co", "https://HUB.co:443/x"));
        let others = ["http://hub.co", "https://hub.co:444", "https://hub.co.evil", "https://cdn.hub.co", "hub.co", ""];
        for other in others {
            assert!(!same_host("https://hub.co", other), "{other}");
        }
        assert!(!same_host("https://hub.co", "https://hub.co@evil.co/"));
    }

    #[test]
    fn a_revision_is_one_part_of_a_path() {
        assert_eq!(escaped("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escaped("v1.0_a-b~"), "v1.0_a-b~");
        assert_eq!(escaped("ü #"), "%C3%BC%20%23");
    }
}
