//! The elements of a tensor in JSON: numbers or strings, in one list or in lists of lists. It is read straight into what the tensor has, so that
//! a hostile body makes no tree of many times its size.
//!
//! An element of BYTES is base64, or `{"b64": base64}`: an image file is no text.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::json::image;
use crate::oip::{Contents, MAX_ELEMENTS};

/// What was read of `data`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Data {
    numbers: Vec<f32>,
    elements: Vec<Bytes>,
}

/// No more bytes than this are taken by the elements of all tensors in so much JSON, beside the JSON itself. A number takes 4, and as many again while
/// its list grows; before each stands a comma or a bracket. What base64 decodes to is shorter than the text.
pub(super) fn most_bytes(json: &[u8]) -> u64 {
    let (mut numbers, mut text) = (0_u64, 0_u64);
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b',' | b'[' => numbers += 1,
            b'"' => text += string(&mut rest),
            _ => {}
        }
    }
    8 * numbers + text
}

/// The length of a string up to its closing quote, which is passed.
fn string<'a>(rest: &mut impl Iterator<Item = &'a u8>) -> u64 {
    let mut length = 0;
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => drop(rest.next()),
            _ => {}
        }
        length += 1;
    }
    length
}

impl Data {
    /// As the protocol's core takes it; what has nothing at all is numbers or elements alike.
    pub(super) fn contents(self, datatype: &str) -> Contents {
        if self.elements.is_empty() && (datatype != "BYTES" || !self.numbers.is_empty()) {
            Contents::Floats(self.numbers)
        } else {
            Contents::Elements(self.elements)
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        Append::new(&mut data).deserialize(deserializer)?;
        Ok(data)
    }
}

/// Adds what is read, to any depth that the parser allows.
pub(super) struct Append<'a> {
    data: &'a mut Data,
    /// An object may name what it holds, once.
    named: bool,
}

impl<'a> Append<'a> {
    pub(super) fn new(data: &'a mut Data) -> Self {
        Self { data, named: false }
    }

    /// The same of `{"name": …}`.
    pub(super) fn named(data: &'a mut Data) -> Self {
        Self { data, named: true }
    }
}

impl Append<'_> {
    fn number<E: serde::de::Error>(self, number: f32) -> Result<(), E> {
        if !self.data.elements.is_empty() {
            return Err(E::custom("`data` has text and numbers"));
        }
        self.data.numbers.push(number);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`data` to be numbers, or base64 strings, in lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Append::new(self.data))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f32)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Data { numbers, elements } = self.data;
        if !numbers.is_empty() {
            return Err(E::custom("`data` has text and numbers"));
        }
        if elements.len() == MAX_ELEMENTS {
            return Err(E::custom(format_args!("`data` has more than {MAX_ELEMENTS} elements")));
        }
        let field = format!("data[{}]", elements.len());
        elements.push(image(text, &field).map_err(E::custom)?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let wrong = "an element that is an object must be {\"b64\": base64}";
        match map.next_key::<std::borrow::Cow<'_, str>>()? {
            Some(key) if key == "b64" || self.named => map.next_value_seed(Append::new(self.data))?,
            _ => return Err(A::Error::custom(wrong)),
        }
        match map.next_key::<std::borrow::Cow<'_, str>>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom(wrong)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(json: &str, datatype: &str) -> Result<Contents, String> {
        serde_json::from_str::<Data>(json).map(|data| data.contents(datatype)).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_of_lists_are_read_row_by_row() {
        let flat = Contents::Floats(vec![1.0, -2.5, 3e-7, 4.0]);
        for json in ["[1, -2.5, 3e-7, 4]", "[[1, -2.5], [3e-7, 4]]", "[[[1], [-2.5]], [[3e-7], [4]]]"] {
            assert_eq!(read(json, "FP32"), Ok(flat.clone()), "{json}");
        }
        let elements = Contents::Elements(vec!["hi".into(), "a".into()]);
        for json in [r#"["aGk=", "YQ=="]"#, r#"[["aGk="], ["YQ"]]"#, r#"[{"b64": "aGk="}, {"b64": "YQ=="}]"#] {
            assert_eq!(read(json, "BYTES"), Ok(elements.clone()), "{json}");
        }
        assert_eq!(read("[]", "FP32"), Ok(Contents::Floats(Vec::new())));
        assert_eq!(read("[]", "BYTES"), Ok(Contents::Elements(Vec::new())));
    }

    #[test]
    fn what_a_tensor_takes_is_known_before_it_is_read() {
        assert_eq!(most_bytes(b"[1,2,[3,4]]"), 8 * 5);
        assert_eq!(most_bytes(br#"{"data": ["aGk=", {"b64": "YQ==\\"}]}"#), 4 + 8 * 2 + 4 + 3 + 5);
        assert_eq!(most_bytes(br#"["\\", 1]"#), 8 * 2 + 1, "an escaped backslash does not hide the quote");
        assert_eq!(most_bytes(br#"["no end, "#), 8 + 8);
        let many = format!("[{}9]", "9,".repeat(100_000));
        let data: Data = serde_json::from_str(&many).unwrap();
        assert!(4 * data.numbers.capacity() as u64 <= most_bytes(many.as_bytes()));
        for bytes in [1, 1000, 100_000] {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
            assert!(bytes as u64 <= most_bytes(format!("\"{text}\"").as_bytes()));
        }
    }

    #[test]
    fn every_number_of_f32_is_read_as_it_is_written() {
        for bits in (0..u32::MAX).step_by(4_000_037) {
            let number = f32::from_bits(bits);
            if number.is_finite() {
                for text in [format!("[{number:e}]"), format!("[{}]", f64::from(number))] {
                    assert_eq!(read(&text, "FP32"), Ok(Contents::Floats(vec![number])), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (json, words) in [
            (r#"[1, "aGk="]"#, "text and numbers"),
            (r#"["aGk=", 1]"#, "text and numbers"),
            ("[true]", "numbers, or base64"),
            ("[null]", "numbers, or base64"),
            (r#"["häh"]"#, "data[0] is not base64"),
            (r#"["http://a/b.jpg"]"#, "not fetched"),
            (r#"[{"url": "x"}]"#, "b64"),
            (r#"[{"b64": "aGk=", "x": 1}]"#, "b64"),
            (&format!("{}1{}", "[".repeat(200), "]".repeat(200)), "recursion"),
        ] {
            let error = read(json, "BYTES").unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
