//! What is told of the server and its models: metadata, configurations, counts. Not here: what there is to tell (`oip`), and its JSON (`told`).

use axum::Json;
use axum::extract::State;

use super::told::{Config, Metadata, Ready, Server, Statistics};
use crate::http::model_path::ModelPath;
use crate::http::{AppState, Error};
use crate::oip::{self, Served};

pub(super) async fn server(State(state): State<AppState>) -> Json<Server> {
    Json(oip::server(state.options.allow_model_control).into())
}

pub(super) async fn metadata(State(state): State<AppState>, path: ModelPath) -> Result<Json<Metadata>, Error> {
    let served = Served::find(&state.classifier, &path.model, &path.version)?;
    Ok(Json(served.metadata().into()))
}

pub(super) async fn ready(State(state): State<AppState>, path: ModelPath) -> Result<Json<Ready>, Error> {
    Served::find(&state.classifier, &path.model, &path.version)?;
    Ok(Json(Ready { name: path.model, ready: true }))
}

pub(super) async fn config(State(state): State<AppState>, path: ModelPath) -> Result<Json<Config>, Error> {
    let served = Served::find(&state.classifier, &path.model, &path.version)?;
    Ok(Json(served.config().into()))
}

pub(super) async fn stats(State(state): State<AppState>, path: ModelPath) -> Result<Json<Statistics>, Error> {
    Ok(Json(oip::statistics(&state.classifier, &path.model, &path.version)?.into()))
}

pub(super) async fn all_stats(State(state): State<AppState>) -> Result<Json<Statistics>, Error> {
    Ok(Json(oip::statistics(&state.classifier, "", "")?.into()))
}
