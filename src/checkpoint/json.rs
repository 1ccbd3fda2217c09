//! JSON as Python writes and reads it: with a byte order mark, and with NaN and infinities, which JSON does not have. Not here: what it says.

use std::borrow::Cow;

use serde_json::Value;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The value of a text; what is no number of JSON's is null.
///
/// # Errors
/// What the parser says.
pub(super) fn read(text: &[u8]) -> Result<Value, String> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    serde_json::from_slice(text).or_else(|error| {
        let plain = without_non_numbers(text);
        serde_json::from_slice(&plain).map_err(|_| error.to_string())
    })
}

/// The text with `null` for `NaN`, `Infinity` and `-Infinity` outside strings.
fn without_non_numbers(text: &[u8]) -> Cow<'_, [u8]> {
    let mut plain = Vec::with_capacity(text.len());
    let (mut at, mut within, mut changed) = (0, false, false);
    while at < text.len() {
        let rest = &text[at..];
        let word = ["-Infinity", "Infinity", "NaN"].iter().find(|word| !within && rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            plain.extend(b"null");
            at += word.len();
            changed = true;
            continue;
        }
        match text[at] {
            b'"' => within = !within,
            b'\\' if within && at + 1 < text.len() => {
                plain.push(text[at]);
                at += 1;
            }
            _ => {}
        }
        plain.push(text[at]);
        at += 1;
    }
    if changed { Cow::Owned(plain) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let text = "\u{feff}{\"loss\": NaN, \"best\": -Infinity, \"most\": [Infinity, 1], \"NaN\": \"a \\\" NaN\"}";
        assert_eq!(
            read(text.as_bytes()).unwrap(),
            json!({"loss": null, "best": null, "most": [null, 1], "NaN": "a \" NaN"})
        );
    }

    #[test]
    fn what_is_no_json_stays_an_error_of_its_place() {
        assert!(read(b"{\"a\": NaN, }").unwrap_err().contains("line 1 column"));
        assert!(read(b"").is_err());
        assert!(read(b"\"\\").is_err());
    }
}
