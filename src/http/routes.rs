//! The routes of HTTP, and what the document says of `/classify`. What every port has beside its own routes stands in `shared`.

use axum::{Json, Router};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa::openapi::Type;
use utoipa::openapi::schema::ArrayBuilder;

use super::access::Audience;
use super::answer::{Detailed, Label};
use super::classify::classify;
use super::docs::{self, Operation, Port, Routes, get, images, post, put, schemas, ui};
use super::shared::with_shared;
use super::state::{AppState, Options};
use super::stats::{Stats, stats};
use super::{others, page, v2};
use crate::service::Classifier;

/// What the document says of the port.
const PORT: Port = Port {
    title: "convnext-server",
    description: "Image classification. Errors are `{\"error\": …}`, with the status that the tables say; an unknown path is \
        404, a method that a path does not take 405 with `Allow`. A slash at the end of a path changes nothing. Unknown \
        parameters of the query are ignored, and the header `Warning` says so. Every answer has the request's id, \
        `x-request-id`. What no route can answer, a head that is no HTTP, is refused before all of this with 400, 414 or 431.",
    audience: Audience::Clients,
    tags: &[
        ("classify", "Images in, labels out."),
        ("models", "What is served, and how it stands."),
        ("open inference protocol", "As clients of Triton and KServe speak it: tensors or image files in, logits out."),
        (
            "as other servers",
            "The simplest calls of TorchServe, TensorFlow Serving and SageMaker, in their own shapes.",
        ),
        (
            "not served",
            "What clients of Triton may ask for and this server does not have, said in a shape that they read.",
        ),
        ("health", "For load balancers and platforms."),
        ("about", "The server itself."),
    ],
};

/// All routes, under the layer that every request goes through.
pub fn router(classifier: Classifier, options: Options) -> Router {
    let routes = page::with_routes(Routes::default());
    let routes = routes.at("/classify", post(classify, labels("classify")).and(put(classify, labels("classifyPut"))));
    // `curl -T photo.jpg …/classify/` adds the file's name
    let of_file = labels("classifyFile").path("file", "The file's name, which changes nothing.", "photo.jpg");
    let routes = routes.exactly("/classify/{file}", put(classify, of_file));
    let of_stats = Operation::new("getStats", "about", "What the page at / reads: models, measurements and metrics")
        .text("All numbers only grow, or stand; whoever asks twice makes rates of them.")
        .json::<Stats>("All of it.");
    let routes = routes.at("/stats", get(stats, of_stats));
    let routes = ui::with_routes(others::with_routes(v2::with_routes(routes)));
    with_shared(routes, PORT, AppState { classifier, options: options.into(), audience: PORT.audience })
}

/// What the document says of a route that gives labels.
pub(super) fn labels(id: &str) -> Operation {
    let operation = Operation::new(id, "classify", "The labels of images")
        .text("One image is answered by its labels, a list by a list of them.")
        .query("model", "Its name; the default model if it is left out.", schemas::text())
        .query(
            "version",
            "A version or a label of one; the one that the model serves if it is left out.",
            schemas::text(),
        )
        .query(
            "top_k",
            "Classes in the answer.",
            schemas::whole(1).maximum(Some(i64::MAX as usize)).default(Some(5.into())),
        )
        .query("function_to_apply", "How logits become scores; the model's own if it is left out.", images::functions())
        .query("detail", "Whether device, batch and timings are told.", schemas::flag())
        .query("deadline_ms", "Milliseconds within which the answer is wanted; over it 504.", schemas::whole(1));
    let mut operation = docs::forms(operation);
    let (label, detailed) = (operation.of::<Label<'_>>(), operation.of::<Detailed<'_>>());
    let labels = || ArrayBuilder::new().items(label.clone());
    let details = ArrayBuilder::new().items(detailed.clone());
    let lists = [labels(), ArrayBuilder::new().items(labels()), details].map(|list| Schema::from(list).into());
    let answer = Operation::any_of(lists.into_iter().chain([detailed]));
    operation
        .answers(
            "Labels by falling score, of one image or of each; with `detail=1` objects that have them.",
            [("application/json", answer)],
        )
        .with("warning", "What of the query or the form was not known, and so ignored.", Type::String)
        .refuses(docs::OF_IMAGES)
}

/// What `/` tells of a port.
#[derive(ToSchema)]
#[schema(as = Index)]
#[allow(dead_code, reason = "for its schema")]
pub(crate) struct Index {
    name: String,
    version: String,
    /// What each route is for.
    #[schema(schema_with = schemas::texts_by_name)]
    routes: Value,
}

/// What `/` answers to whoever is no browser.
pub(super) fn index() -> Json<Value> {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "routes": {
            "POST /classify?model=&version=&top_k=5&function_to_apply=softmax&detail=0&deadline_ms=":
                "labels of an image: its bytes, multipart/form-data (image or file, or images), or JSON {\"inputs\": base64}",
            "GET /v2, POST /v2/models/NAME/infer, …": "the Open Inference Protocol; NAME takes tensors, NAME_image image files",
            "POST /predictions/NAME, /v1/models/NAME:predict, /invocations": "as TorchServe, TensorFlow Serving and SageMaker have them",
            "GET /models": "the models, their versions and how they stand",
            "GET /metrics": "for Prometheus",
            "GET /stats": "what the page reads, which a browser gets at /",
            "GET /docs, /openapi.json": "every route, what it takes and answers: as a page to try, and as OpenAPI",
            "PUT /classify, /classify/FILE": "the same, for curl -T",
            "GET /livez, /v2/health/live": "200 while the process answers",
            "GET /readyz, /health, /healthz, /ping, /v2/health/ready": "200 when every required model is ready and no drain has begun",
        },
    }))
}
