//! The admin port: commands about models, the log level, and what HTTP shows as well (models, metrics, liveness, readiness).
//!
//! Without keys and certificates whoever reaches it may use it: it is then bound to loopback only. Requests of web pages are refused.
//! Not here: what the commands do (`service`).

mod bench;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::auth::Access;
use crate::http::docs::{Operation, Port, Routes, get, post, put, schemas};
use crate::http::{self, AppState, Audience, Error, Index, MetricsCompat, Model, Named};
use crate::service::{Classifier, ModelError};
use crate::telemetry::LogLevel;

/// Longest filter of the log, in bytes.
const MAX_FILTER: usize = 4096;

/// What the document says of the port.
const PORT: Port = Port {
    title: "convnext-server, admin port",
    description: "Commands about models, the log level, and what the public port shows as well. Whoever reaches this port may use it, where neither keys nor certificates are asked for; \
        what a web page sends is refused with 403, but for what only reads. Errors are `{\"error\": …}`; an unknown path is 404, a \
        method that a path does not take 405 with `Allow`.",
    audience: Audience::Operators,
    tags: &[
        ("models", "What is served, and commands about it."),
        ("health", "For platforms."),
        ("about", "The server itself."),
    ],
};

/// All routes; the metrics are those of HTTP. `access`: who may ask; None: everybody.
pub fn router(
    classifier: Classifier,
    log_level: LogLevel,
    metrics_compat: MetricsCompat,
    access: Option<Access>,
) -> Router {
    let of_log_level = || Operation::new("getLogLevel", "about", "What is logged").json::<Filter>("The filter.");
    let set = of_log_level().called("setLogLevel").body(
        true,
        "error, warn, info, debug, trace, off or a filter of `tracing`, as `info,convnext_server=debug`.",
        [("text/plain", schemas::text().min_length(Some(1)).max_length(Some(MAX_FILTER)))],
    );
    let routes = Routes::default()
        .exactly("/", get(index, Operation::new("getIndex", "about", "The list of routes").json::<Index>("The list.")))
        .exactly("/models/{model}/load", post(load, command("loadModel", "Loads what is not loaded of a model")))
        .exactly(
            "/models/{model}/unload",
            post(unload, command("unloadModel", "Stops serving a model; requests that have begun are answered")),
        )
        .exactly(
            "/models/{model}/reload",
            post(reload, command("reloadModel", "Loads a model anew beside the one that serves, then swaps")),
        )
        .exactly("/bench", post(bench::bench, bench::said()))
        .exactly(
            "/log-level",
            get(get_log_level, of_log_level()).and(put(set_log_level, set.refuses(&[400, 403, 408]))),
        )
        .layered(|routes| routes.layer(middleware::from_fn(refuse_pages)).layer(Extension(log_level)));
    let options = http::Options { metrics_compat, access, ..http::Options::default() };
    http::with_shared(routes, PORT, AppState { classifier, options: options.into(), audience: PORT.audience })
}

fn command(id: &str, summary: &str) -> Operation {
    Operation::new(id, "models", summary)
        .path("model", "Its name.", "convnext_atto")
        .list::<Model>("The versions of the model as they are now.")
        .refuses(&[403, 404, 422, 429, 503])
}

/// What is logged.
#[derive(Serialize, ToSchema)]
#[schema(as = LogLevel)]
struct Filter {
    log_level: String,
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
            "GET /openapi.json": "every route of this port, what it takes and answers",
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

async fn load(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Model>>, Error> {
    carried_out(&state, &model, state.classifier.load(&model).await)
}

async fn reload(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Model>>, Error> {
    carried_out(&state, &model, state.classifier.reload(&model).await)
}

async fn unload(State(state): State<AppState>, Named(model): Named) -> Result<Json<Vec<Model>>, Error> {
    carried_out(&state, &model, state.classifier.unload(&model).await)
}

/// The versions of the model as they are now.
fn carried_out(state: &AppState, model: &str, result: Result<(), ModelError>) -> Result<Json<Vec<Model>>, Error> {
    result?;
    let of_it = state.classifier.models().into_iter().filter(|status| status.name == model);
    Ok(Json(of_it.map(Model::from).collect()))
}

async fn get_log_level(Extension(level): Extension<LogLevel>) -> Json<Filter> {
    Json(Filter { log_level: level.get() })
}

async fn set_log_level(
    State(state): State<AppState>,
    Extension(level): Extension<LogLevel>,
    request: Request,
) -> Result<Json<Filter>, Error> {
    let (body, patience) = (axum::body::to_bytes(request.into_body(), MAX_FILTER), state.options.body_timeout);
    let body = tokio::time::timeout(patience, body).await.map_err(|_| Error::BodyTimeout(patience))?;
    let body = body.map_err(|error| Error::Malformed(format!("the body is the filter: {error}")))?;
    let filter = std::str::from_utf8(&body).map_err(|_| Error::Malformed("the filter is not UTF-8".to_owned()))?.trim();
    if filter.is_empty() {
        return Err(Error::Malformed(
            "the body is empty; it is the filter, as info or convnext_server=debug,warn".to_owned(),
        ));
    }
    level.set(filter).map_err(|error| Error::Malformed(error.to_string()))?;
    tracing::info!(filter, "the log level has changed");
    Ok(Json(Filter { log_level: filter.to_owned() }))
}
