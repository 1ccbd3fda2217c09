//! What the document says of the calls of other servers. Not here: their routes (`mod`), what they do.

use serde_json::json;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{Content, Required, Schema, Type};

use super::tensorflow;
use crate::http::docs::{OF_IMAGES, Operation, coded, forms, schemas};

pub(super) const TAG: &str = "as other servers";
const MODEL: &str = "convnext_atto";

/// What a path of TensorFlow Serving is of.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Model,
    Version,
    Label,
}

/// TorchServe's predictions.
pub(super) fn predictions(id: &str) -> Operation {
    let operation = Operation::new(id, TAG, "TorchServe: scores by label").path("model", "Its name.", MODEL);
    let scores = schemas::numbers_by_name();
    let several = Schema::from(ArrayBuilder::new().items(scores.clone()));
    forms(operation)
        .answers(
            "Of one image an object from label to score, of a list a list of them.",
            [("application/json", Operation::any_of([scores, several.into()]))],
        )
        .with("warning", "What of the form was not known, and so ignored.", Type::String)
        .refuses_as_torchserve(OF_IMAGES)
}

/// The same of a version.
pub(super) fn predictions_of_version(id: &str) -> Operation {
    let text = "A version, whose `.0` at the end is left out, or a label of one.";
    predictions(&format!("{id}OfVersion")).path("version", text, "1.0")
}

/// TensorFlow Serving's status.
pub(super) fn status(of: Of) -> Operation {
    with_version(of, of_tensorflow("status", of, "how versions of a model stand").path("model", "Its name.", MODEL))
        .json::<tensorflow::Status>("How they stand.")
        .refuses(&[404, 503])
}

/// TensorFlow Serving's metadata.
pub(super) fn metadata(of: Of) -> Operation {
    with_version(of, of_tensorflow("metadata", of, "what a model takes and gives").path("model", "Its name.", MODEL))
        .answers("The one signature.", [("application/json", schemas::any_object())])
        .refuses(&[404, 503])
}

/// TensorFlow Serving's predict. Its path is a template of ours with the method at the end of the last part.
pub(super) fn predict(of: Of) -> Operation {
    let operation = of_tensorflow("predict", of, "logits of images");
    let with_method = |name: &str, example: &str| {
        let schema = schemas::text().pattern(Some("^[^/]+:predict$"));
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        parameter
            .description(Some("Its name, and behind it `:predict`."))
            .schema(Some(schema))
            .example(Some(example.into()))
    };
    let mut operation = match of {
        Of::Model => operation.parameter(with_method("model", "convnext_atto:predict")),
        Of::Version => operation.path("model", "Its name.", MODEL).parameter(with_method("version", "1:predict")),
        Of::Label => operation.path("model", "Its name.", MODEL).parameter(with_method("version", "stable:predict")),
    };
    let mut body = Content::new(Some(operation.of::<tensorflow::Body>()));
    body.example = Some(json!({ "instances": [{ "b64": schemas::sample() }] }));
    let logits =
        || ArrayBuilder::new().items(ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Number)));
    let of_name = |name: &str| Schema::from(ObjectBuilder::new().property(name, logits()).required(name)).into();
    coded(operation)
        .body_of(true, "Images, as rows (`instances`) or columns (`inputs`).", vec![("application/json", body)])
        .answers(
            "Logits: `predictions` of rows, `outputs` of columns.",
            [("application/json", Operation::any_of([of_name("predictions"), of_name("outputs")]))],
        )
        .refuses(OF_IMAGES)
}

fn of_tensorflow(id: &str, of: Of, what: &str) -> Operation {
    let id = match of {
        Of::Model => id.to_owned(),
        Of::Version => format!("{id}OfVersion"),
        Of::Label => format!("{id}OfLabel"),
    };
    Operation::new(
        &format!("tensorFlow{}{}", id[..1].to_uppercase(), &id[1..]),
        TAG,
        &format!("TensorFlow Serving: {what}"),
    )
}

fn with_version(of: Of, operation: Operation) -> Operation {
    match of {
        Of::Model => operation,
        Of::Version => operation.path("version", "A version.", "1"),
        Of::Label => operation.path("version", "A label of a version.", "stable"),
    }
}
