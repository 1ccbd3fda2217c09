//! The options of an answer, `top_k` and `function_to_apply`: one set of rules for the query, parts and JSON.

use super::error::Error;
use crate::service::ScoreFunction;

/// Classes in an answer where the request does not say.
const DEFAULT_TOP_K: i64 = 5;

/// The options that a request sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AnswerOptions {
    pub(super) top_k: Option<i64>,
    pub(super) function: Option<ScoreFunction>,
}

impl AnswerOptions {
    /// These options, and `other`'s where one is not set.
    pub(super) fn or(self, other: Self) -> Self {
        Self { top_k: self.top_k.or(other.top_k), function: self.function.or(other.function) }
    }

    pub(super) fn top_k(self) -> i64 {
        self.top_k.unwrap_or(DEFAULT_TOP_K)
    }
}

/// A `top_k` that is at least 1.
pub(super) fn check_top_k(number: i64) -> Result<i64, Error> {
    if number >= 1 { Ok(number) } else { Err(Error::Malformed(format!("top_k is {number}; it must be at least 1"))) }
}

/// Reads `top_k`.
pub(super) fn parse_top_k(text: &str) -> Result<i64, Error> {
    match text.trim().parse() {
        Ok(number) => check_top_k(number),
        Err(_) => Err(Error::Malformed(format!("top_k is {text:?}; it must be a whole number of at least 1"))),
    }
}

/// Reads `function_to_apply`.
pub(super) fn parse_function(text: &str) -> Result<ScoreFunction, Error> {
    let unknown = |why| Error::Malformed(format!("function_to_apply is {text:?}; {why}"));
    text.trim().parse().map_err(unknown)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn top_k_is_a_whole_number_of_at_least_one() {
        assert_eq!(parse_top_k("3").unwrap(), 3);
        for text in ["0", "-1", "", "five", "2.5", "99999999999999999999"] {
            let error = parse_top_k(text).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
            assert!(error.to_string().starts_with("top_k is "), "{error}");
        }
    }

    #[test]
    fn options_of_the_body_win_over_those_of_the_query() {
        let query = AnswerOptions { top_k: Some(1), function: Some(ScoreFunction::Sigmoid) };
        let body = AnswerOptions { top_k: Some(2), function: None };
        assert_eq!(body.or(query), AnswerOptions { top_k: Some(2), function: Some(ScoreFunction::Sigmoid) });
        assert_eq!(AnswerOptions::default().top_k(), 5);
    }
}
