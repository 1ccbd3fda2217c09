//! The models that there are, and the commands about them: as on the admin port, but only where the operator allows it. Not here:
//! what the commands do (`service`).

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::ToSchema;

use super::request::{Named, parameters};
use super::told::Entry;
use crate::http::cors::is_of_a_page;
use crate::http::json_object::Object;
use crate::http::model_path::ModelPath;
use crate::http::{AppState, Error};
use crate::oip::{self, Parameters};

/// Bytes of a body here, which has at most a few words.
const MAX_BODY: usize = 64 << 10;

/// Which models are told.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RepositoryIndexRequest)]
pub(super) struct IndexRequest {
    /// Only those that serve.
    #[serde(default)]
    ready: bool,
}

/// How a model is to be loaded.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RepositoryLoadRequest)]
pub(super) struct LoadRequest {
    /// `config` and `file:…` are refused: models come from the server's own folders only.
    #[serde(default)]
    #[schema(schema_with = parameters)]
    parameters: Named,
}

pub(super) async fn index(State(state): State<AppState>, request: Request) -> Result<Json<Vec<Entry>>, Error> {
    let IndexRequest { ready } = read(&state, request.into_body()).await?;
    Ok(Json(oip::index(&state.classifier, ready).into_iter().map(Entry::from).collect()))
}

pub(super) async fn load(State(state): State<AppState>, path: ModelPath, request: Request) -> Result<(), Error> {
    let (allowed, classifier) = (state.options.allow_model_control, &state.classifier);
    let parameters = if allowed {
        refuse_pages(request.headers())?;
        let LoadRequest { parameters: Named(parameters) } = read(&state, request.into_body()).await?;
        parameters
    } else {
        Parameters::default()
    };
    Ok(oip::load(classifier, allowed, &path.model, &parameters).await?)
}

pub(super) async fn unload(State(state): State<AppState>, path: ModelPath, headers: HeaderMap) -> Result<(), Error> {
    refuse_pages(&headers)?;
    Ok(oip::unload(&state.classifier, state.options.allow_model_control, &path.model).await?)
}

fn refuse_pages(headers: &HeaderMap) -> Result<(), Error> {
    if is_of_a_page(headers) {
        return Err(Error::Forbidden("web pages may not load or unload models".to_owned()));
    }
    Ok(())
}

/// The JSON of a body; what an empty body means is the default.
async fn read<T: Default + for<'de> Deserialize<'de>>(state: &AppState, body: Body) -> Result<T, Error> {
    let (body, patience) = (axum::body::to_bytes(body, MAX_BODY), state.options.body_timeout);
    let body = tokio::time::timeout(patience, body).await.map_err(|_| Error::BodyTimeout(patience))?;
    let body: Bytes = body.map_err(|error| Error::Malformed(format!("the body: {error}")))?;
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    let read: Result<Object<T>, _> = serde_json::from_slice(&body);
    read.map(|Object(said)| said).map_err(|error| Error::Malformed(format!("the JSON is not understood: {error}")))
}
