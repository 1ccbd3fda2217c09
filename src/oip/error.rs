//! Why a call gets no answer. The mapping to a status stands once in each protocol.

use crate::service::{ModelError, ServiceError};

/// A call got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request makes no sense: a name, a shape, a type, a count.
    #[error("{0}")]
    Invalid(String),
    /// The operator does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// The protocol has it and this server does not.
    #[error("{0}")]
    Unsupported(String),
    /// A command about a model was not carried out.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The service refused the request, or failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// [`Error::Invalid`].
pub(super) fn invalid<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid(why.into()))
}
