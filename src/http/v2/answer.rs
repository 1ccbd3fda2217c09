//! The answer to a request for inference: JSON, and behind it the outputs that are wanted as bytes.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{RefOr, Schema, Type};

use super::HEADER_LENGTH;
use crate::http::Error;
use crate::http::compressed::{self, Wanted};
use crate::http::docs::Operation;
use crate::oip::{InferAnswer, Output, OutputContents};

/// The answer to a request for inference.
#[derive(Serialize, ToSchema)]
#[schema(as = InferAnswer)]
pub(super) struct Json<'a> {
    model_name: &'a str,
    model_version: &'a str,
    /// The request's; absent where it had none.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(required = false)]
    id: &'a str,
    /// One.
    outputs: Vec<JsonOutput<'a>>,
}

/// A tensor, its elements in `data` or behind the JSON.
#[derive(Serialize, ToSchema)]
#[schema(as = InferOutput)]
struct JsonOutput<'a> {
    name: &'a str,
    /// `[images, classes]`, or of the best classes `[images, k]`.
    shape: [usize; 2],
    /// `FP32`, or `BYTES` of the best classes.
    datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    /// Logits, or `score:class:label` by falling score.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = elements)]
    data: Option<Data<'a>>,
}

/// Where an output is bytes behind the JSON: how many.
#[derive(Serialize, ToSchema)]
#[schema(as = BinaryDataSize)]
struct Size {
    binary_data_size: usize,
}

fn elements() -> RefOr<Schema> {
    let list = |kind| Schema::from(ArrayBuilder::new().items(ObjectBuilder::new().schema_type(kind))).into();
    Operation::any_of([list(Type::Number), list(Type::String)])
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(&'a [f32]),
    Texts(&'a [String]),
}

/// The response to a request; `binary` wants its outputs as bytes.
///
/// # Errors
/// [`Error::Internal`] when it cannot be written.
pub(super) async fn response(answer: &InferAnswer, binary: bool, coding: Option<Wanted>) -> Result<Response, Error> {
    let (bytes, json) = write(answer, binary)?;
    let mut response = compressed::response(bytes, coding).await?;
    let kind = if binary { "application/octet-stream" } else { "application/json" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if binary {
        response.headers_mut().insert(HEADER_LENGTH, HeaderValue::from(json));
    }
    Ok(response)
}

/// The body, and how many bytes of it are JSON.
fn write(answer: &InferAnswer, binary: bool) -> Result<(Vec<u8>, usize), Error> {
    let mut tail = Vec::new();
    let mut output = |output: &Output| {
        let before = tail.len();
        if binary {
            tail.extend_from_slice(&output.raw());
        }
        tail.len() - before
    };
    let sizes: Vec<usize> = answer.outputs.iter().map(&mut output).collect();
    let outputs = answer.outputs.iter().zip(sizes).map(|(output, binary_data_size)| JsonOutput {
        name: output.name,
        shape: output.shape,
        datatype: output.datatype().name(),
        parameters: binary.then_some(Size { binary_data_size }),
        data: (!binary).then_some(match &output.contents {
            OutputContents::Floats(numbers) => Data::Numbers(numbers),
            OutputContents::Texts(texts) => Data::Texts(texts),
        }),
    });
    let json = Json {
        model_name: &answer.model_name,
        model_version: &answer.model_version,
        id: &answer.id,
        outputs: outputs.collect(),
    };
    let mut body = serde_json::to_vec(&json).map_err(|error| {
        tracing::error!(%error, "the answer cannot be written as JSON");
        Error::Internal
    })?;
    let length = body.len();
    body.append(&mut tail);
    Ok((body, length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(id: &str) -> InferAnswer {
        let contents = OutputContents::Floats(vec![0.1, -3.0]);
        InferAnswer {
            model_name: "m".into(),
            model_version: "1".into(),
            id: id.into(),
            outputs: vec![Output { name: "logits", shape: [1, 2], contents }],
        }
    }

    #[test]
    fn an_output_is_numbers_in_json_or_bytes_behind_it() {
        let (body, length) = write(&answer("i"), false).unwrap();
        assert_eq!(body.len(), length);
        let output = json!({"name": "logits", "shape": [1, 2], "datatype": "FP32", "data": [0.1, -3.0]});
        let expected = json!({"model_name": "m", "model_version": "1", "id": "i", "outputs": [output]});
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);

        let (body, length) = write(&answer(""), true).unwrap();
        let json: Value = serde_json::from_slice(&body[..length]).unwrap();
        assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 8}));
        assert!(json.get("id").is_none() && json["outputs"][0].get("data").is_none(), "{json}");
        assert_eq!(body[length..], [0.1_f32.to_le_bytes(), (-3.0_f32).to_le_bytes()].concat());
    }
}
