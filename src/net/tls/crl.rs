//! Lists of revoked client certificates (CRLs, RFC 5280) in PEM. Not here: who is held against them, which is rustls' (`pem`).

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use webpki::OwnedCertRevocationList;

/// The lists of a file. An expired one tells nothing of who was revoked since.
///
/// # Errors
/// In words, for a file without a list, a list that cannot be read, and one whose next update is due.
pub(super) fn lists(pem: &[u8], now: SystemTime) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| "the file is no valid PEM".to_owned())?;
    if found.is_empty() {
        return Err("the file has no BEGIN X509 CRL".to_owned());
    }
    for list in &found {
        OwnedCertRevocationList::from_der(list).map_err(|error| format!("a list cannot be read: {error}"))?;
        let due = next_update(list).ok_or("a list does not tell when its next update is due")?;
        if due <= now {
            let ago = now.duration_since(due).unwrap_or_default().as_secs() / 3600;
            return Err(format!("a list has expired, {ago} hours ago; its authority has a newer one"));
        }
    }
    Ok(found)
}

/// When the next list is due. webpki holds lists to it and tells it to nobody.
///
/// `SEQUENCE { SEQUENCE { version, signature, issuer, thisUpdate, nextUpdate, … }, … }`: RFC 5280, section 5.1.
fn next_update(list: &[u8]) -> Option<SystemTime> {
    let mut rest = element(element(list)?.1)?.1;
    for _ in ["version", "signature", "issuer", "thisUpdate"] {
        rest = element(rest)?.2;
    }
    let (tag, time, _) = element(rest)?;
    time_of(tag, std::str::from_utf8(time).ok()?)
}

/// The first element of DER: its tag, its contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = match usize::from(*length) {
        short @ ..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

/// UTCTime `YYMMDDHHMMSSZ`, of 1950 to 2049, or GeneralizedTime `YYYYMMDDHHMMSSZ`.
fn time_of(tag: u8, text: &str) -> Option<SystemTime> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC, 12) => {
            let year: u64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let number = |index: usize| rest[2 * index..2 * index + 2].parse::<u64>().ok();
    let (month, day) = (number(0)?, number(1)?);
    // days before a month, March being the first: so a leap day is a year's last (Howard Hinnant, days_from_civil)
    let years = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = (365 * years + years / 4 - years / 100 + years / 400 + of_year).checked_sub(719_468)?;
    let seconds = ((days * 24 + number(2)?) * 60 + number(3)?) * 60 + number(4)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn times_of_either_form_are_seconds() {
        for (tag, text, seconds) in [
            (0x17, "700101000000Z", 0),
            (0x17, "240229235959Z", 1_709_251_199),
            (0x17, "240301000000Z", 1_709_251_200),
            (0x17, "491231235959Z", 2_524_607_999),
            (0x18, "20500101000000Z", 2_524_608_000),
            (0x18, "21000301000000Z", 4_107_542_400),
        ] {
            let since = time_of(tag, text).unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), seconds, "{text}");
        }
        for (tag, text) in
            [(0x17, "20500101000000Z"), (0x18, "500101000000Z"), (0x17, "2402292359Z"), (0x17, "24022923595éZ")]
        {
            assert_eq!(time_of(tag, text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 0x82, 1],
            &[0x30, 5, 0x30],
            &[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x30, 2, 0x30, 0],
        ] {
            assert_eq!(next_update(der), None, "{der:?}");
        }
    }
}
