//! Amounts and durations as people write them: `16MiB`, `64M`, `500ms`, `5s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes, pixels or images: digits with k, M, G (thousands) or KiB, MiB, GiB (of 1,024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u64);

/// A length of time: digits with ms, s, m or h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

const AMOUNTS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("", 1),
];
const SPANS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// `12MiB` by its table of units.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that divides it.
fn print(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = units.iter().filter(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = fits.max_by_key(|(_, factor)| *factor).unwrap_or(&units[units.len() - 1]);
    write!(f, "{}{unit}", value / factor)
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, AMOUNTS).map(Self).ok_or_else(|| format!("{text:?} is no amount such as 500, 64M or 16MiB"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = parse(text, SPANS).ok_or_else(|| format!("{text:?} is no duration such as 500ms, 5s or 1m"))?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0, AMOUNTS)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 { f.write_str("0s") } else { print(f, millis, SPANS) }
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

/// In a file an amount may be a bare number too.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number, or a string such as \"16MiB\"")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_and_without_units() {
        for (text, value) in [("0", 0), ("512", 512), ("64M", 64_000_000), ("16MiB", 16 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Amount(value)), "{text}");
        }
        for wrong in ["", "M", "-1", "1.5M", "1X", "99999999999999999999", "99999999999GiB", "1 s"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_need_their_unit() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("5s", 5_000), ("1m", 60_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))), "{text}");
        }
        for wrong in ["", "5", "s", "-1s", "1.5s", "5 min"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for value in [0, 1, 512, 1000, 1024, 64_000_000, 16 << 20, (16 << 20) + 1] {
            let amount = Amount(value);
            assert_eq!(amount.to_string().parse(), Ok(amount));
            let span = Span(Duration::from_millis(value));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
