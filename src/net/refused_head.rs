//! The answers that hyper gives by itself to a head that it cannot parse: an empty 400, 414 or 431, before any handler is asked. They
//! get the JSON that all other errors have, and a line in the log.
//!
//! Not here: errors of handlers (`http`), and bodies that are not valid HTTP, which handlers see.

/// The text of each status.
const TEXTS: [(&str, &str); 3] = [
    (
        "400 Bad Request",
        "the request is not valid HTTP/1.1; this port speaks HTTP/1.1 and HTTP/2, and TLS only where it was given a certificate",
    ),
    ("414 URI Too Long", "the path with its query is too long; 65534 bytes are possible"),
    (
        "431 Request Header Fields Too Large",
        "the head of the request is too large; 64 KiB and 100 headers are possible",
    ),
];

/// The same refusal in words, where these bytes are one of hyper's: a whole head, that of an empty body.
pub(super) fn in_words(bytes: &[u8]) -> Option<Vec<u8>> {
    let (status, text) = TEXTS.into_iter().find(|(status, _)| {
        let line = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..));
        line.is_some_and(|line| line.starts_with(status.as_bytes()))
    })?;
    let head = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let fields = head.strip_suffix("\r\n\r\n")?;
    if !fields.contains("\r\ncontent-length: 0") || fields.contains("\r\ncontent-type") || fields.contains("\r\n\r\n") {
        return None;
    }
    tracing::info!(status, "a head was refused");
    let body = format!("{{\"error\":\"{text}\"}}");
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    Some(answer.into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_empty_refusal_gets_words() {
        let hypers = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        let ours = String::from_utf8(in_words(hypers).unwrap()).unwrap();
        assert!(ours.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{ours}");
        let (head, body) = ours.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["error"].as_str().unwrap().contains("head"));
    }

    #[test]
    fn every_other_answer_stays_as_it_is() {
        for answer in [
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            "",
        ] {
            assert_eq!(in_words(answer.as_bytes()), None, "{answer}");
        }
    }
}
