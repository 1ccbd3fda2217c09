//! Why a request gets no labels, and the one table from error to status.
//!
//! Every answer is `{"error": "…"}`. Only what hyper cannot parse as HTTP is not answered here.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::coding;
use crate::auth::Refused;
use crate::oip;
use crate::pixels::ImageError;
use crate::service::{BenchError, ModelError, ServiceError};

/// Characters of an error: it may quote what the client sent.
const MAX_TEXT: usize = 512;

/// Why a request gets no labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The query, the form of the body or a value in them is invalid.
    #[error("{0}")]
    Malformed(String),
    /// The client left, or its connection broke, before the whole body had arrived. Its answer is seldom seen.
    #[error("the body broke off before its end")]
    BodyBrokeOff,
    /// No such path.
    #[error("no route {path}; GET / lists the routes")]
    NoRoute {
        /// The path asked for.
        path: String,
    },
    /// The path does not take this method. The header `Allow` names those that it takes.
    #[error("{path} does not take {method}")]
    NoMethod {
        /// The path asked for.
        path: String,
        /// The method asked for.
        method: String,
    },
    /// The body is compressed in a way that is not known.
    #[error("Content-Encoding {0:?} is not known; gzip and deflate are, one of them")]
    UnknownCoding(String),
    /// The body came too slowly.
    #[error("the body did not arrive within {} ms", .0.as_millis())]
    BodyTimeout(Duration),
    /// Not for whoever asks.
    #[error("{0}")]
    Forbidden(String),
    /// Whoever asks may not, or does not say who it is.
    #[error(transparent)]
    Access(#[from] Refused),
    /// A command about a model was not carried out.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nothing was measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The service refused the request, or failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A fault of ours. The log says what it is.
    #[error("internal error; the log has more under this request's x-request-id")]
    Internal,
}

impl From<oip::Error> for Error {
    fn from(error: oip::Error) -> Self {
        match error {
            // what a protocol has and this server does not is 400 in Triton too
            oip::Error::Invalid(why) | oip::Error::Unsupported(why) => Self::Malformed(why),
            oip::Error::Forbidden(why) => Self::Forbidden(why),
            oip::Error::Model(error) => error.into(),
            oip::Error::Service(error) => error.into(),
        }
    }
}

impl Error {
    /// The status of each error.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BodyBrokeOff => StatusCode::BAD_REQUEST,
            Self::NoRoute { .. } => StatusCode::NOT_FOUND,
            Self::NoMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownCoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Access(refused) if refused.is_known() => StatusCode::FORBIDDEN,
            Self::Access(_) => StatusCode::UNAUTHORIZED,
            Self::Model(error) => match error {
                ModelError::Unknown(_) => StatusCode::NOT_FOUND,
                ModelError::Failed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                ModelError::Busy => StatusCode::TOO_MANY_REQUESTS,
                ModelError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Bench(error) => match error {
                BenchError::Nothing(_) => StatusCode::NOT_FOUND,
                BenchError::Invalid(_) => StatusCode::BAD_REQUEST,
                BenchError::Busy => StatusCode::TOO_MANY_REQUESTS,
                BenchError::Traffic(_) | BenchError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Service(error) => match error {
                ServiceError::Invalid(_) => StatusCode::BAD_REQUEST,
                ServiceError::UnknownModel { .. } | ServiceError::UnknownVersion { .. } => StatusCode::NOT_FOUND,
                ServiceError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                ServiceError::Image { cause, .. } => match cause {
                    ImageError::UnknownFormat | ImageError::NotServed(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    ImageError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                    ImageError::Undecodable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                },
                ServiceError::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
                ServiceError::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
                ServiceError::DeadlinePassed(_) => StatusCode::GATEWAY_TIMEOUT,
                ServiceError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// Seconds until another try may succeed, where one may.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Service(ServiceError::Overloaded { retry_after, .. }) => {
                Some(retry_after.as_millis().div_ceil(1000).clamp(1, u128::from(u32::MAX)) as u64)
            }
            Self::Service(ServiceError::NotReady(_)) => Some(1),
            _ => None,
        }
    }
}

/// `{"error": text}` with its status.
fn json(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "error": shortened(text) }))).into_response()
}

/// At most [`MAX_TEXT`] characters of it.
pub(super) fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "a request met a fault of ours");
        }
        let mut response = json(status, &self.to_string());
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::UnknownCoding(_) = self {
            response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding::POSSIBLE));
        }
        if let Self::Access(refused) = &self {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge(refused)));
        }
        response
    }
}

/// How to ask better, as RFC 6750 has it.
fn challenge(refused: &Refused) -> &'static str {
    match refused {
        Refused::NoKey | Refused::NoCertificate => "Bearer",
        Refused::UnknownKey => "Bearer error=\"invalid_token\"",
        Refused::Scope { .. } => "Bearer error=\"insufficient_scope\"",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::auth::Scope;
    use crate::metrics::Rejection;

    fn image(cause: ImageError) -> Error {
        ServiceError::Image { index: 2, cause }.into()
    }

    fn overloaded(retry_after: Duration) -> Error {
        ServiceError::Overloaded { what: "the queue is full".into(), reason: Rejection::Queue, retry_after }.into()
    }

    #[test]
    fn each_error_has_the_status_of_the_table() {
        let table: [(u16, Error); 22] = [
            (400, Error::Malformed("top_k".into())),
            (400, Error::BodyBrokeOff),
            (400, ServiceError::Invalid("no images".into()).into()),
            (404, ServiceError::UnknownModel { name: "swin".into(), known: vec!["atto".into()] }.into()),
            (401, Refused::NoKey.into()),
            (401, Refused::UnknownKey.into()),
            (403, Refused::Scope { name: "shop".into(), scope: Scope::Admin }.into()),
            (404, Error::NoRoute { path: "/nope".into() }),
            (405, Error::NoMethod { path: "/classify".into(), method: "GET".into() }),
            (408, Error::BodyTimeout(Duration::from_secs(30))),
            (413, ServiceError::TooLarge("body".into()).into()),
            (413, image(ImageError::TooLarge { width: 9, height: 9, limit: 1 })),
            (415, image(ImageError::UnknownFormat)),
            (415, image(ImageError::NotServed("PDF"))),
            (415, Error::UnknownCoding("br".into())),
            (422, image(ImageError::Undecodable { format: "JPEG", why: "it ends early".into() })),
            (429, overloaded(Duration::from_secs(2))),
            (500, ServiceError::Internal("the engine panicked".into()).into()),
            (500, Error::Internal),
            (503, ServiceError::NotReady("loading".into()).into()),
            (504, ServiceError::DeadlinePassed(Duration::from_secs(30)).into()),
            (404, ServiceError::UnknownModel { name: String::new(), known: Vec::new() }.into()),
        ];
        for (status, error) in table {
            assert_eq!(error.status().as_u16(), status, "{error}");
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_at_least_one() {
        for (wait, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (7200, "8")] {
            let response = overloaded(Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], header, "{wait} ms");
        }
        let not_ready = Error::from(ServiceError::NotReady("loading".into())).into_response();
        assert_eq!(not_ready.headers()[header::RETRY_AFTER], "1");
        assert!(!Error::Internal.into_response().headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn a_long_error_is_cut() {
        let short = shortened(&"é".repeat(MAX_TEXT)).into_owned();
        assert_eq!(short, "é".repeat(MAX_TEXT));
        assert_eq!(shortened(&"é".repeat(MAX_TEXT + 1)), format!("{short}…"));
    }
}
