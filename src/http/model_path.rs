//! The model of a path, and its version where the path has one. Not here: whether there is such a model (`service`).

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;

use super::error::Error;

/// A name, and a version that is empty where the server is to choose.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ModelPath {
    pub(super) model: String,
    #[serde(default)]
    pub(super) version: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ModelPath {
    type Rejection = Error;

    /// What is no text is refused as every other failure is.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<Self>::from_request_parts(parts, state).await;
        path.map(|Path(path)| path).map_err(|error| Error::Malformed(error.body_text()))
    }
}
