//! What the document says of the protocol's routes. Not here: the routes (`mod`), what they answer (`told`).

use serde_json::json;
use utoipa::openapi::{Content, Schema, Type};

use super::{answer, control, request, told};
use crate::http::docs::{OF_IMAGES, Operation, coded, schemas};

const TAG: &str = "open inference protocol";
/// Statuses of what is asked of a model that may not serve.
const OF_A_MODEL: &[u16] = &[404, 503];

fn new(id: &str, summary: &str) -> Operation {
    Operation::new(id, TAG, summary)
}

/// Of a model by one of its names.
fn of_model(id: &str, summary: &str, example: &str) -> Operation {
    new(id, summary).path("model", "`NAME`, which takes a tensor, or `NAME_image`, which takes image files.", example)
}

pub(super) fn server() -> Operation {
    new("getServerMetadata", "The server's name, version and extensions").json::<told::Server>("What it is.")
}

pub(super) fn metadata() -> Operation {
    of_model("getModelMetadata", "What a model takes and gives", MODEL)
        .json::<told::Metadata>("Its tensors.")
        .refuses(OF_A_MODEL)
}

pub(super) fn ready() -> Operation {
    of_model("isModelReady", "Whether a model serves", MODEL).json::<told::Ready>("It does.").refuses(OF_A_MODEL)
}

pub(super) fn config() -> Operation {
    of_model("getModelConfig", "A model's configuration, as clients of Triton read it", MODEL)
        .json::<told::Config>("As far as one has a meaning here.")
        .refuses(OF_A_MODEL)
}

pub(super) fn statistics() -> Operation {
    of_model("getModelStatistics", "What is counted of a model", MODEL)
        .json::<told::Statistics>(COUNTS)
        .refuses(OF_A_MODEL)
}

pub(super) fn all_statistics() -> Operation {
    new("getStatistics", "What is counted of all models").json::<told::Statistics>(COUNTS)
}

pub(super) fn infer() -> Operation {
    let length = "How many bytes of the body are JSON; what follows them is the tensors. 0: the body is the one input, and nothing else.";
    let mut operation = of_model("infer", "Logits of images", IMAGES);
    let body = operation.of::<request::Json>();
    let mut json = Content::new(Some(body));
    json.example = Some(json!({ "inputs": [
        { "name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [schemas::sample()] }
    ] }));
    let bytes = Content::new(Some(Schema::from(schemas::file())));
    let answer = operation.of::<answer::Json<'_>>();
    coded(operation)
        .text("Requests whose `Accept-Encoding` has gzip or deflate are answered compressed.")
        .header("Inference-Header-Content-Length", length, schemas::whole(0))
        .body_of(
            true,
            "The request, with tensors in the JSON or as bytes behind it.",
            vec![("application/json", json), ("application/octet-stream", bytes)],
        )
        .answers(
            "The outputs, in the JSON or, where the request wants that, as bytes behind it.",
            [("application/json", answer), ("application/octet-stream", Schema::from(schemas::file()).into())],
        )
        .with("inference-header-content-length", "How many bytes of an answer with bytes are JSON.", Type::Integer)
        .with("content-encoding", "How the answer is compressed, where the request accepts that.", Type::String)
        .refuses(OF_IMAGES)
}

pub(super) fn index() -> Operation {
    new("indexRepository", "All versions of all models, ready or not")
        .json_body::<control::IndexRequest>(false, "Which are wanted; all without a body.")
        .list::<told::Entry>("Each under both of its names.")
        .refuses(&[400, 408])
}

pub(super) fn load() -> Operation {
    of_model("loadModel", "Loads what is not loaded of a model", MODEL)
        .text(CONTROL)
        .json_body::<control::LoadRequest>(false, "Parameters, none of which brings a model.")
        .answers::<Schema>("It serves.", [])
        .refuses(OF_CONTROL)
}

pub(super) fn unload() -> Operation {
    of_model("unloadModel", "Stops serving a model, under both of its names", MODEL)
        .text(CONTROL)
        .answers::<Schema>("It serves no more.", [])
        .refuses(OF_CONTROL)
}

/// What Triton has and this server does not.
pub(super) fn unserved(id: &str, summary: &str) -> Operation {
    Operation::new(id, "not served", summary)
}

/// A model and its other name, of those that are built in.
const MODEL: &str = "convnext_atto";
const IMAGES: &str = "convnext_atto_image";

const COUNTS: &str = "Of each version, under each of its names.";
const CONTROL: &str = "Only where `--allow-model-control` allows it, and never to web pages.";
const OF_CONTROL: &[u16] = &[403, 404, 408, 422, 429, 503];
