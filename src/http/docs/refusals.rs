//! What the document says of errors, once for all routes: each status, why it comes, its headers and its body. Not here: which error has which status
//! (`error`).

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::{Content, Object, Ref, RefOr, Response, Type};
use utoipa::{PartialSchema as _, ToSchema};

/// Statuses of what takes images.
pub(crate) const OF_IMAGES: &[u16] = &[400, 404, 408, 413, 415, 422, 429, 503, 504];

/// Every status of an error, and why it comes.
const STATUSES: [(u16, &str); 12] = [
    (
        400,
        "Something of the request is not understood: its path, its query, a header, the form of its body or a value in it.",
    ),
    (401, "The server asks for an API key or a client certificate, and there is none or not one that it knows."),
    (403, "Not for whoever asks: the key is for something else, or the call is not allowed."),
    (404, "No such model, or no such version of it."),
    (408, "The body came too slowly."),
    (413, "The body, an image or the number of images is over a limit."),
    (415, "An image is of a format that is not served, or the body is compressed in a way that is not known."),
    (422, "An image does not decode; of a command, the model could not be loaded."),
    (429, "A queue or a budget is full, the queue is longer than the deadline, or the key has had its rate of images."),
    (500, "A fault of the server, whose log says more under the request's x-request-id."),
    (503, "Not ready: models load, the server drains, or a device has failed."),
    (504, "The deadline passed before the answer was there."),
];

/// How an error is written.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Plain,
    TorchServe,
}

/// An error as most routes answer it.
#[derive(ToSchema)]
#[schema(as = Error)]
#[allow(dead_code, reason = "for its schema")]
struct Plain {
    /// A sentence that says what to do.
    error: String,
}

/// An error in TorchServe's shape.
#[derive(ToSchema)]
#[schema(as = TorchServeError)]
#[allow(dead_code, reason = "for its schema")]
struct TorchServe {
    /// The status.
    code: u16,
    /// The exception that TorchServe would name.
    r#type: String,
    /// A sentence that says what to do.
    message: String,
}

/// Under which name the document has an error.
pub(super) fn name(shape: Shape, status: u16) -> String {
    match shape {
        Shape::Plain => format!("Error{status}"),
        Shape::TorchServe => format!("TorchServeError{status}"),
    }
}

/// All errors.
pub(super) fn components(mut all: ComponentsBuilder) -> ComponentsBuilder {
    all = all.schema(Plain::name(), Plain::schema()).schema(TorchServe::name(), TorchServe::schema());
    for (status, why) in STATUSES {
        for (shape, schema) in [(Shape::Plain, Plain::name()), (Shape::TorchServe, TorchServe::name())] {
            all = all.response(name(shape, status), response(status, why, &schema));
        }
    }
    all.header("RequestId", header("The request's id, the client's own where it sent one that is valid.", Type::String))
}

/// The header that every answer has.
pub(super) fn request_id() -> RefOr<Header> {
    RefOr::Ref(Ref::new("#/components/headers/RequestId"))
}

fn response(status: u16, why: &str, schema: &str) -> Response {
    let mut response = Response::new(why);
    response.content.insert("application/json".to_owned(), Content::new(Some(Ref::from_schema_name(schema))).into());
    response.headers.insert("x-request-id".to_owned(), request_id());
    let (name, description, kind) = match status {
        429 | 503 => ("retry-after", "Seconds until another try may succeed.", Type::Integer),
        401 => ("www-authenticate", "How to ask better.", Type::String),
        415 => ("accept-encoding", "How a body may be compressed.", Type::String),
        _ => return response,
    };
    response.headers.insert(name.to_owned(), header(description, kind).into());
    response
}

fn header(description: &str, kind: Type) -> Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(Object::with_type(kind))).build()
}
