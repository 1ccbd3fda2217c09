//! The query of `POST /classify`. A repeated parameter is an error. An unknown one is not, for proxies and clients add their own; the
//! answer says that it was ignored, so that a typo does not pass unnoticed.

use std::time::Duration;

use axum::extract::Query as Pairs;
use axum::http::Uri;

use super::answer_options::{AnswerOptions, parse_function, parse_top_k};
use super::error::Error;

/// The parameters of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// None: the default model.
    pub(super) model: Option<String>,
    /// A number or a label; None: the one that the model serves.
    pub(super) version: Option<String>,
    pub(super) options: AnswerOptions,
    pub(super) detail: bool,
    pub(super) deadline: Option<Duration>,
    /// Names of parameters that are not known, as they came.
    pub(super) unknown: Vec<String>,
}

/// The parameters that are known.
pub(super) const KNOWN: [&str; 6] = ["model", "version", "top_k", "function_to_apply", "detail", "deadline_ms"];

impl Query {
    /// Reads the query.
    ///
    /// # Errors
    /// [`Error::Malformed`], which names the parameter.
    pub(super) fn from_uri(uri: &Uri) -> Result<Self, Error> {
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|rejection| Error::Malformed(rejection.body_text()))?;
        let mut query = Self::default();
        for (index, (name, value)) in pairs.iter().enumerate() {
            let again = pairs[..index].iter().any(|(earlier, _)| earlier == name);
            match name.as_str() {
                known if again && KNOWN.contains(&known) => {
                    return Err(Error::Malformed(format!("the query has {name} twice")));
                }
                "model" => query.model = (!value.is_empty()).then(|| value.clone()),
                "version" => query.version = (!value.is_empty()).then(|| value.clone()),
                "top_k" => query.options.top_k = Some(parse_top_k(value)?),
                "function_to_apply" => query.options.function = Some(parse_function(value)?),
                "detail" => query.detail = flag("detail", value)?,
                "deadline_ms" => query.deadline = Some(deadline(value)?),
                _ if again => {}
                _ => query.unknown.push(name.clone()),
            }
        }
        Ok(query)
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Error::Malformed(format!("{name} is {value:?}; it must be 0 or 1"))),
    }
}

fn deadline(value: &str) -> Result<Duration, Error> {
    match value.parse() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Error::Malformed(format!("deadline_ms is {value:?}; it must be a whole number of at least 1"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::service::ScoreFunction;

    fn read(query: &str) -> Result<Query, Error> {
        Query::from_uri(&format!("/classify?{query}").parse().unwrap())
    }

    #[test]
    fn every_parameter_is_read() {
        let query =
            read("model=convnext%20atto&version=stable&top_k=3&function_to_apply=sigmoid&detail=1&deadline_ms=250")
                .unwrap();
        assert_eq!(query.model.as_deref(), Some("convnext atto"));
        assert_eq!(query.version.as_deref(), Some("stable"));
        assert_eq!(query.options, AnswerOptions { top_k: Some(3), function: Some(ScoreFunction::Sigmoid) });
        assert!(query.detail);
        assert_eq!(query.deadline, Some(Duration::from_millis(250)));
    }

    #[test]
    fn without_a_query_the_defaults_hold() {
        assert_eq!(Query::from_uri(&"/classify".parse().unwrap()).unwrap(), Query::default());
        assert_eq!(read("model=&version=").unwrap(), Query::default(), "an empty name is none");
    }

    #[test]
    fn what_is_not_known_is_ignored_and_named_once() {
        let query = read("topk=3&detail=1&utm_source=a&topk=4").unwrap();
        assert_eq!((query.detail, query.options), (true, AnswerOptions::default()));
        assert_eq!(query.unknown, ["topk", "utm_source"]);
        for known in KNOWN {
            let error = read(&format!("{known}=1&{known}=1")).unwrap_err().to_string();
            assert!(error.contains(known), "{error}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (query, named) in [
            ("top_k=0", "top_k"),
            ("top_k=all", "top_k"),
            ("function_to_apply=relu", "function_to_apply"),
            ("detail=yes", "detail"),
            ("deadline_ms=0", "deadline_ms"),
            ("deadline_ms=-5", "deadline_ms"),
            ("top_k=1&top_k=2", "top_k twice"),
        ] {
            let error = read(query).unwrap_err();
            assert_eq!(error.status(), 400, "{query}");
            assert!(error.to_string().contains(named), "{query}: {error}");
        }
    }
}
