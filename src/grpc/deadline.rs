//! The deadline that a client sends along: `grpc-timeout`, at most eight digits and a unit. Not here: holding to it.

use std::time::Duration;

use axum::http::HeaderMap;
use tonic::Status;

const HEADER: &str = "grpc-timeout";

/// The time that the client allows; None where it says nothing.
///
/// # Errors
/// INVALID_ARGUMENT for what is no timeout.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let duration = value.to_str().ok().and_then(parse);
    duration
        .map(Some)
        .ok_or_else(|| Status::invalid_argument("grpc-timeout is not at most 8 digits and a unit of HMSmun"))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, expected) in [
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("100m", Duration::from_millis(100)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for text in ["", "S", "123456789S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn without_the_header_there_is_none() {
        assert_eq!(of(&HeaderMap::new()).unwrap(), None);
    }
}
