//! What the document says of a body with images, in whichever of the three forms. Not here: how they are read (`parse`, `json`, `multipart`).

use serde_json::json;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{Content, Schema};

use super::{Operation, schemas};
use crate::http::{coding, json, multipart};

const TEXT: &str = "An image file as it is, whatever its declared type (`curl --data-binary @photo.jpg`); a form \
    (`curl -F image=@photo.jpg`); or JSON as Hugging Face's clients send it. Which it is, is told by the first bytes.";

/// The operation takes images in any of the three forms.
pub(crate) fn forms(mut operation: Operation) -> Operation {
    let body = operation.of::<json::Body<'_>>();
    let mut as_json = Content::new(Some(body));
    as_json.example = Some(json!({ "inputs": schemas::sample(), "parameters": { "top_k": 3 } }));
    let bytes = |kind| (kind, Content::new(Some(Schema::from(schemas::file()))));
    let contents = vec![
        bytes("application/octet-stream"),
        ("multipart/form-data", Content::new(Some(Schema::from(form())))),
        ("application/json", as_json),
        bytes("image/jpeg"),
        bytes("image/png"),
        bytes("image/webp"),
        bytes("image/gif"),
        bytes("image/bmp"),
        bytes("image/tiff"),
    ];
    coded(operation).body_of(true, TEXT, contents)
}

/// The body may be compressed.
pub(crate) fn coded(operation: Operation) -> Operation {
    let codings = schemas::words(&[coding::NAMES, &["identity", ""]].concat());
    operation.header("Content-Encoding", "How the body is compressed; its limits hold for what is decoded.", codings)
}

/// How logits may become scores.
pub(crate) const FUNCTIONS: [&str; 3] = ["softmax", "sigmoid", "none"];

/// `function_to_apply`.
pub(crate) fn functions() -> ObjectBuilder {
    schemas::words(&FUNCTIONS)
}

/// The names that a form has for images here; further ones, which say the same, are told in words.
fn form() -> ObjectBuilder {
    let (one, list) = (multipart::ONE, multipart::LIST);
    let (image, images) = (one[0], list[0]);
    let text = format!("An image file. The part may be called {} as well.", one[1..].join(" or "));
    let texts = format!("Image files, answered by a list. The parts may be called {} as well.", list[1..].join(", "));
    let files = ArrayBuilder::new().items(schemas::file().min_length(Some(1)));
    let form = ObjectBuilder::new()
        .property(image, schemas::file().min_length(Some(1)).description(Some(text)))
        .property(images, files.description(Some(texts)))
        .property("top_k", schemas::whole(1).maximum(Some(i64::MAX as usize)))
        .property("function_to_apply", functions());
    // the head of a part cannot have the rest
    let form = form.property_names(Some(schemas::text().pattern(Some("^[^\\u0000-\\u001f\\u007f]*$"))));
    let at_least_one = json!({ "required": [images], "properties": { images: { "minItems": 1 } } });
    schemas::with_keyword(form, "anyOf", json!([{ "required": [image] }, at_least_one]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::http::{answer_options, query, routes};

    #[test]
    fn parameters_and_their_words_are_those_that_are_read() {
        let told = serde_json::to_value(routes::labels("classify").told()).unwrap();
        let parameters = told["parameters"].as_array().unwrap().iter();
        let of_query = parameters.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap());
        assert_eq!(of_query.collect::<Vec<_>>(), query::KNOWN);
        for name in FUNCTIONS {
            assert!(answer_options::parse_function(name).is_ok(), "{name}");
        }
    }
}
