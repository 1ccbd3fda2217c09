//! The admin port: commands about models, the log level, and what HTTP shows as well (models, metrics, liveness, readiness).
//!
//! Without keys and certificates whoever reaches it may use it: it is then bound to loopback only. Requests of web pages are refused.
//! Not here: what the commands do (`service`).

mod bench;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::auth::Access;
use crate::http::{self, AppState, Audience, Error, MetricsCompat};
use crate::service::{Classifier, ModelError};
use crate::telemetry::LogLevel;

/// Longest filter of the log, in bytes.
const MAX_FILTER: usize = 4096;

/// All routes; the metrics are those of HTTP. `access`: who may ask; None: everybody.
pub fn router(
    classifier: Classifier,
    log_level: LogLevel,
    metrics_compat: MetricsCompat,
    access: Option<Access>,
) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .route("/models/{model}/load", post(load))
        .route("/models/{model}/unload", post(unload))
        .route("/models/{model}/reload", post(reload))
        .route("/bench", post(bench::bench))
        .route("/log-level", get(get_log_level).put(set_log_level))
        .layer(middleware::from_fn(refuse_pages))
        .layer(Extension(log_level));
    let options = http::Options { metrics_compat, access, ..http::Options::default() };
    http::with_shared(routes, AppState { classifier, options, audience: Audience::Operators })
}

async fn index() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "routes": {
            "POST /models/NAME/load": "loads what is not loaded of a model",
            "POST /models/NAME/reload": "loads a model anew beside the one that serves, then swaps",
            "POST /models/NAME/unload": "stops serving a model; requests that have begun are answered",
            "POST /bench?model=&batch=1,8&seconds=2": "models beside their baselines, measured while nobody asks for anything else",
            "GET /models": "the models, their versions and how they stand",
            "GET, PUT /log-level": "which logs: error, warn, info, debug or a tracing filter, as the body",
            "GET /metrics, /livez, /readyz": "as over HTTP",
        },
    }))
}

/// A page in an operator's browser can send requests to loopback too; it may not change anything.
async fn refuse_pages(request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !only_reads && http::is_of_a_page(request.headers()) {
        return Error::Forbidden("the admin port takes no requests of web pages".to_owned()).into_response();
    }
    next.run(request).await
}

async fn load(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Value>>, Error> {
    carried_out(&state, &model, state.classifier.load(&model).await)
}

async fn reload(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Value>>, Error> {
    carried_out(&state, &model, state.classifier.reload(&model).await)
}

async fn unload(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Value>>, Error> {
    carried_out(&state, &model, state.classifier.unload(&model).await)
}

/// The model of the path. What is no text is refused as every other failure is.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|error| Error::Malformed(error.body_text()))
    }
}

/// The versions of the model as they are now.
fn carried_out(state: &AppState, model: &str, result: Result<(), ModelError>) -> Result<Json<Vec<Value>>, Error> {
    result?;
    Ok(Json(state.classifier.models().iter().filter(|status| status.name == model).map(http::model).collect()))
}

async fn get_log_level(Extension(level): Extension<LogLevel>) -> Json<Value> {
    Json(json!({ "log_level": level.get() }))
}

async fn set_log_level(
    State(state): State<AppState>,
    Extension(level): Extension<LogLevel>,
    request: Request,
) -> Result<Json<Value>, Error> {
    let (body, patience) = (axum::body::to_bytes(request.into_body(), MAX_FILTER), state.options.body_timeout);
    let body = tokio::time::timeout(patience, body).await.map_err(|_| Error::BodyTimeout(patience))?;
    let body = body.map_err(|error| Error::Malformed(format!("the body is the filter: {error}")))?;
    let filter = std::str::from_utf8(&body).map_err(|_| Error::Malformed("the filter is not UTF-8".to_owned()))?.trim();
    level.set(filter).map_err(|error| Error::Malformed(error.to_string()))?;
    tracing::info!(filter, "the log level has changed");
    Ok(Json(json!({ "log_level": filter })))
}
