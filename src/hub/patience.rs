//! How often the hub is asked again, and how long is waited in between. Not here: what is asked (`client`).

use std::time::Duration;

use ureq::http::HeaderMap;

use super::client::text;
use super::{Event, HubError, Observer};

/// Attempts in a row that bring nothing.
const ATTEMPTS: u32 = 5;
/// How long the first attempt is waited after; each after that doubles it.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The longest wait that a hub may ask for: the window of the hub's own limits.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Why an attempt brought nothing.
pub(super) enum Fault {
    /// The next one may: what went wrong, and how long the hub asks to wait.
    Passing { why: String, wait: Option<Duration> },
    /// None will.
    Final(HubError),
}

impl Fault {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), wait: None }
    }
}

/// Counts attempts, and waits between them.
#[derive(Default)]
pub(super) struct Patience {
    attempts: u32,
}

impl Patience {
    /// An attempt brought something: the count begins again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Waits for the next attempt.
    ///
    /// # Errors
    /// When there is to be none.
    pub(super) fn after(&mut self, fault: Fault, what: &str, observer: Observer<'_>) -> Result<(), HubError> {
        let (why, wait) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Passing { why, wait } => (why, wait),
        };
        self.attempts += 1;
        let wait = wait.unwrap_or(BACK_OFF * 2_u32.pow(self.attempts - 1));
        if self.attempts >= ATTEMPTS || wait > LONGEST_WAIT {
            let asked = if wait > LONGEST_WAIT { format!(", wait {} s", wait.as_secs()) } else { String::new() };
            return Err(HubError::Unreachable { what: what.to_owned(), attempts: self.attempts, why: why + &asked });
        }
        observer(Event::Waits { why: &format!("{what}: {why}"), pause: Some(wait) });
        pause(wait);
        Ok(())
    }
}

/// Waits.
pub(super) fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the hub and other processes tell of nothing that could be waited for"
    )]
    std::thread::sleep(time);
}

/// Attempts until one brings something.
pub(super) fn again_and_again<T>(
    what: &str,
    observer: Observer<'_>,
    mut attempt: impl FnMut() -> Result<T, Fault>,
) -> Result<T, HubError> {
    let mut patience = Patience::default();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(fault) => patience.after(fault, what, observer)?,
        }
    }
}

/// How long the hub asks to wait, by `Retry-After` in seconds or the `t` of `RateLimit`.
pub(super) fn wait(head: &HeaderMap) -> Option<Duration> {
    let of_limit = || text(head, "ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    let seconds = text(head, "retry-after").and_then(|value| value.trim().parse().ok()).or_else(of_limit)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_says_how_long_to_wait_in_either_form() {
        let of = |name: &'static str, value: &str| {
            wait(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(of("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(of("ratelimit", "\"api\";r=0;t=55"), Some(Duration::from_secs(55)));
        assert_eq!(of("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(of("etag", "x"), None);
    }

    #[test]
    fn attempts_end_at_once_where_the_wait_is_too_long() {
        let fault = Fault::Passing { why: "HTTP 429".to_owned(), wait: Some(Duration::from_secs(3600)) };
        let error = Patience::default().after(fault, "x", &|_| {}).unwrap_err();
        assert!(error.to_string().contains("HTTP 429, wait 3600 s"), "{error}");
    }
}
