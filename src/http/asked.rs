//! What is asked of the images: `top_k` and `function_to_apply`, by one set of rules for query, parts and JSON.

use super::error::Error;
use crate::service::ScoreFunction;

/// Classes in an answer where nobody says how many.
const TOP_K: i64 = 5;

/// What was asked, where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) top_k: Option<i64>,
    pub(super) function: Option<ScoreFunction>,
}

impl Asked {
    /// These wishes, and where there are none those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self { top_k: self.top_k.or(other.top_k), function: self.function.or(other.function) }
    }

    pub(super) fn top_k(self) -> i64 {
        self.top_k.unwrap_or(TOP_K)
    }

    pub(super) fn function(self) -> ScoreFunction {
        self.function.unwrap_or_default()
    }
}

/// `top_k` of a number: at least one class.
pub(super) fn top_k(number: i64) -> Result<i64, Error> {
    if number >= 1 { Ok(number) } else { Err(Error::Malformed(format!("top_k is {number}; it must be at least 1"))) }
}

/// `top_k` of text.
pub(super) fn top_k_of(text: &str) -> Result<i64, Error> {
    match text.trim().parse() {
        Ok(number) => top_k(number),
        Err(_) => Err(Error::Malformed(format!("top_k is {text:?}; it must be a whole number of at least 1"))),
    }
}

/// `function_to_apply` of text.
pub(super) fn function_of(text: &str) -> Result<ScoreFunction, Error> {
    match text.trim() {
        "softmax" => Ok(ScoreFunction::Softmax),
        "sigmoid" => Ok(ScoreFunction::Sigmoid),
        "none" => Ok(ScoreFunction::None),
        _ => Err(Error::Malformed(format!("function_to_apply is {text:?}; it must be softmax, sigmoid or none"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn top_k_is_a_whole_number_of_at_least_one() {
        assert_eq!(top_k_of("3").unwrap(), 3);
        for text in ["0", "-1", "", "five", "2.5", "99999999999999999999"] {
            let error = top_k_of(text).unwrap_err();
            assert_eq!(error.status(), 400, "{text}");
            assert!(error.to_string().starts_with("top_k is "), "{error}");
        }
    }

    #[test]
    fn wishes_of_the_body_win_over_those_of_the_query() {
        let query = Asked { top_k: Some(1), function: Some(ScoreFunction::Sigmoid) };
        let body = Asked { top_k: Some(2), function: None };
        assert_eq!(body.or(query), Asked { top_k: Some(2), function: Some(ScoreFunction::Sigmoid) });
        assert_eq!(Asked::default().top_k(), 5);
        assert_eq!(Asked::default().function(), ScoreFunction::Softmax);
    }
}
