//! The one table from error to gRPC's code. Not here: what errors there are (`service`, `oip`).

use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Status};

use crate::oip;
use crate::service::{ModelError, ServiceError};

/// Characters of an error: it may quote what the client sent.
const MAX_TEXT: usize = 512;
/// In milliseconds, when another try may succeed. gRPC's retries heed it.
const RETRY_AFTER: &str = "grpc-retry-pushback-ms";

/// The code of each error. What is too large is so for ever and INVALID_ARGUMENT, where RESOURCE_EXHAUSTED may be tried again.
fn code(error: &ServiceError) -> Code {
    match error {
        ServiceError::Invalid(_) | ServiceError::TooLarge(_) | ServiceError::Image { .. } => Code::InvalidArgument,
        ServiceError::UnknownModel { .. } | ServiceError::UnknownVersion { .. } => Code::NotFound,
        ServiceError::Overloaded { .. } => Code::ResourceExhausted,
        ServiceError::NotReady(_) => Code::Unavailable,
        ServiceError::DeadlinePassed(_) => Code::DeadlineExceeded,
        ServiceError::Internal(_) => Code::Internal,
    }
}

/// A request's error.
pub(super) fn status(error: &ServiceError) -> Status {
    let code = code(error);
    if code == Code::Internal {
        tracing::error!(%error, "a call met a fault of ours");
    }
    let mut status = Status::new(code, shortened(&error.to_string()));
    let retry_after = match error {
        ServiceError::Overloaded { retry_after, .. } => Some(*retry_after),
        ServiceError::NotReady(_) => Some(Duration::from_secs(1)),
        _ => None,
    };
    if let Some(after) = retry_after {
        let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(RETRY_AFTER, AsciiMetadataValue::from(ms));
    }
    status
}

/// An error of the protocol.
pub(super) fn of_oip(error: &oip::Error) -> Status {
    let code = match error {
        oip::Error::Service(error) => return status(error),
        oip::Error::Model(error) => return of_command(error),
        oip::Error::Invalid(_) => Code::InvalidArgument,
        oip::Error::Forbidden(_) => Code::PermissionDenied,
        oip::Error::Unsupported(_) => Code::Unimplemented,
    };
    Status::new(code, shortened(&error.to_string()))
}

/// The error of a command about a model.
fn of_command(error: &ModelError) -> Status {
    let code = match error {
        ModelError::Unknown(_) => Code::NotFound,
        ModelError::Failed { .. } => Code::FailedPrecondition,
        ModelError::Busy => Code::ResourceExhausted,
        ModelError::Stopping => Code::Unavailable,
    };
    Status::new(code, shortened(&error.to_string()))
}

/// What tonic says of a message that it cannot read, in the words of this table: no fault of ours, as it would have it.
pub(super) fn of_unread_message(code: Code) -> Code {
    match code {
        Code::Internal | Code::OutOfRange | Code::Unknown => Code::InvalidArgument,
        code => code,
    }
}

/// The name of a code, as the specification writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The text of an error, cut where it is long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Rejection;
    use crate::pixels::ImageError;

    fn overloaded(retry_after: Duration) -> ServiceError {
        ServiceError::Overloaded { what: "the queue is full".into(), reason: Rejection::Queue, retry_after }
    }

    #[test]
    fn each_error_has_the_code_of_the_table() {
        let table = [
            (Code::InvalidArgument, ServiceError::Invalid("no images".into())),
            (Code::InvalidArgument, ServiceError::TooLarge("body".into())),
            (Code::InvalidArgument, ServiceError::Image { index: 2, cause: ImageError::UnknownFormat }),
            (Code::NotFound, ServiceError::UnknownModel { name: "swin".into(), known: Vec::new() }),
            (
                Code::NotFound,
                ServiceError::UnknownVersion { model: "a".into(), version: "7".into(), known: Vec::new() },
            ),
            (Code::ResourceExhausted, overloaded(Duration::from_secs(2))),
            (Code::Unavailable, ServiceError::NotReady("loading".into())),
            (Code::DeadlineExceeded, ServiceError::DeadlinePassed(Duration::from_secs(30))),
            (Code::Internal, ServiceError::Internal("the engine panicked".into())),
        ];
        for (code, error) in table {
            assert_eq!(status(&error).code(), code, "{error}");
        }
    }

    #[test]
    fn who_may_try_again_learns_when() {
        let status = status(&overloaded(Duration::from_millis(1500)));
        assert_eq!(status.metadata().get(RETRY_AFTER).unwrap(), "1500");
    }

    #[test]
    fn a_long_error_is_cut() {
        assert_eq!(shortened(&"é".repeat(MAX_TEXT)), "é".repeat(MAX_TEXT));
        assert_eq!(shortened(&"é".repeat(MAX_TEXT + 1)), format!("{}…", "é".repeat(MAX_TEXT)));
    }
}
