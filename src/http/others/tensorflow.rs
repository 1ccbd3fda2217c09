//! TensorFlow Serving's REST: `POST /v1/models/NAME[/versions/V|/labels/L]:predict`, and `GET` of the same without `:predict` or with `/metadata`.
//!
//! `instances` (rows) or `inputs` (columns) are image files in base64, or normalised images `[3, h, w]` as numbers. The answer has the
//! model's logits.

use std::fmt;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::ArrayBuilder;

use crate::http::access::meter;
use crate::http::coding::Coding;
use crate::http::contents::{Append, Data};
use crate::http::counted::{Counted, plain};
use crate::http::docs::schemas;
use crate::http::json_object::Object;
use crate::http::model_path::ModelPath;
use crate::http::panics::catch_panic;
use crate::http::parse::{charge_decoded, parse_json};
use crate::http::{AppState, Error, admitted, body};
use crate::oip::{self, Contents};
use crate::service::{
    self, Admission, Classified, Images, ModelState, ModelStatus, Scores, ServiceError, Tensor, TensorType, Ticket,
    Wanted,
};

/// The name of the one signature of every model.
const SIGNATURE: &str = "serving_default";

/// Images, each `{"b64": base64}` or numbers `[3, h, w]`, by the name of the one input or without it.
#[derive(Deserialize, ToSchema)]
#[schema(as = PredictRequest)]
pub(super) struct Body {
    /// Rows: a list of images.
    #[schema(schema_with = images_of_json)]
    instances: Option<Rows>,
    /// Columns: the one input, of one image or a list of them.
    #[schema(schema_with = schemas::anything)]
    inputs: Option<Rows>,
}

fn images_of_json() -> ArrayBuilder {
    ArrayBuilder::new().items(schemas::anything())
}

/// How the versions of a model stand.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelVersionStatuses)]
pub(super) struct Status {
    model_version_status: Vec<OfVersion>,
}

/// How a version stands.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelVersionStatus)]
struct OfVersion {
    /// Empty where none is known.
    version: String,
    /// `AVAILABLE`, `LOADING` or `END`.
    state: &'static str,
    status: ErrorStatus,
}

/// Why it does not serve.
#[derive(Serialize, ToSchema)]
struct ErrorStatus {
    /// `OK` or `UNKNOWN`.
    error_code: &'static str,
    error_message: String,
}

/// The images of a request.
struct Rows {
    data: Data,
    count: usize,
}

/// How the answer is to be shaped, and its images.
struct Asked {
    /// `outputs` instead of `predictions`.
    columns: bool,
    rows: Rows,
}

/// Answers how the versions of a model stand.
pub(super) async fn status(State(state): State<AppState>, path: ModelPath) -> Result<Json<Status>, Error> {
    let mut all = state.classifier.models();
    all.retain(|status| status.name == path.model);
    if all.is_empty() {
        // says which there are
        state.classifier.serving(&path.model, None)?;
    }
    if !path.version.is_empty() {
        all.retain(|status| status.version.as_ref() == Some(&path.version) || status.labels.contains(&path.version));
        if all.is_empty() {
            state.classifier.serving(&path.model, Some(&path.version))?;
        }
    }
    Ok(Json(Status { model_version_status: all.into_iter().map(of_version).collect() }))
}

fn of_version(status: ModelStatus) -> OfVersion {
    let state = match status.state {
        ModelState::Ready => "AVAILABLE",
        ModelState::Loading => "LOADING",
        ModelState::Failed | ModelState::Unloaded => "END",
    };
    let status_of = match (status.error, status.state) {
        (Some(why), ModelState::Failed) => ErrorStatus { error_code: "UNKNOWN", error_message: why },
        _ => ErrorStatus { error_code: "OK", error_message: String::new() },
    };
    OfVersion { version: status.version.unwrap_or_default(), state, status: status_of }
}

/// Answers what the one signature takes and gives. Images as numbers are taken too, but a signature's inputs are all needed, and it has room for no choice.
pub(super) async fn metadata(State(state): State<AppState>, path: ModelPath) -> Result<Json<Value>, Error> {
    let version = (!path.version.is_empty()).then_some(&*path.version);
    let (status, _) = state.classifier.serving(&path.model, version)?;
    let tensor = |name: &str, dtype: &str, sizes: &[i64]| {
        let dim = |size: &i64| json!({ "size": size.to_string(), "name": "" });
        let shape = json!({ "dim": sizes.iter().map(dim).collect::<Vec<_>>(), "unknown_rank": false });
        json!({ name: { "dtype": dtype, "tensor_shape": shape, "name": format!("{name}:0") } })
    };
    let signature = json!({
        "inputs": tensor("image", "DT_STRING", &[-1]),
        "outputs": tensor("logits", "DT_FLOAT", &[-1, status.classes as i64]),
        "method_name": "tensorflow/serving/predict",
    });
    Ok(Json(json!({
        "model_spec": { "name": status.name, "signature_name": "", "version": status.version },
        "metadata": { "signature_def": { "signature_def": { SIGNATURE: signature } } },
    })))
}

/// Answers with logits or with an error, and counts the request.
pub(super) async fn predict(State(state): State<AppState>, path: ModelPath, request: Request) -> Response {
    let mut counted = Counted::begin(&state.classifier, request.headers());
    let outcome = catch_panic(predictions(&state, path, request, &mut counted)).await.flatten();
    let answer = outcome.map(|json| ([(header::CONTENT_TYPE, "application/json")], json).into_response());
    counted.end(answer, plain)
}

async fn predictions(
    state: &AppState,
    path: ModelPath,
    request: Request,
    counted: &mut Counted<'_>,
) -> Result<String, Error> {
    let (head, body) = request.into_parts();
    let ModelPath { model, version } = method(path)?;
    let coding = Coding::of(&head.headers)?;
    let admission = Admission {
        model: Some(&model),
        version: (!version.is_empty()).then_some(&version),
        body_bytes: body::declared_length(&body),
        meter: meter(&head.extensions),
        ..Admission::default()
    };
    let (mut ticket, timeouts) = admitted::admit(state, counted, admission)?;
    let asked = async {
        let bytes = body::read_decoded(body, coding, timeouts, |total| ticket.body_is(total)).await?;
        charge_decoded(&bytes, |more| ticket.grows_by(more)).await?;
        let Asked { columns, rows } = parse_json(bytes.len(), move || parse(&bytes)).await?;
        Ok((columns, images(&ticket, rows)?))
    };
    let read = asked.await;
    let (ticket, (columns, images)) = admitted::unless_refused(ticket, read)?;
    let answer = ticket.classify(service::Request { images, wanted: Wanted::Logits }).await?;
    let logits: Vec<&[f32]> = answer.images.iter().map(logits).collect();
    let name = if columns { "outputs" } else { "predictions" };
    let logits = serde_json::to_string(&logits).map_err(|error| {
        tracing::error!(%error, "the answer cannot be written as JSON");
        Error::Internal
    })?;
    Ok(format!("{{\"{name}\":{logits}}}"))
}

fn logits(image: &Classified) -> &[f32] {
    match &image.scores {
        Scores::Logits(logits) => logits,
        Scores::Labels(_) => &[],
    }
}

/// The model and version of a path whose last part ends with `:predict`.
fn method(ModelPath { model, version }: ModelPath) -> Result<ModelPath, Error> {
    let last = if version.is_empty() { &model } else { &version };
    let Some((name, method)) = last.rsplit_once(':') else {
        return Err(Error::Malformed("the path names no method; :predict is served".to_owned()));
    };
    let name = name.to_owned();
    let found = if version.is_empty() {
        ModelPath { model: name, version: String::new() }
    } else {
        ModelPath { model: model.clone(), version: name }
    };
    if method != "predict" {
        return Err(Error::Malformed(format!(
            "method {method:?} is not served; :predict gives logits, and POST /classify?model={} labels",
            found.model
        )));
    }
    Ok(found)
}

fn parse(body: &[u8]) -> Result<Asked, Error> {
    let Object(body): Object<Body> = serde_json::from_slice(body)
        .map_err(|error| Error::Malformed(format!("the JSON is not understood: {error}")))?;
    match (body.instances, body.inputs) {
        (Some(rows), None) => Ok(Asked { columns: false, rows }),
        (None, Some(rows)) => Ok(Asked { columns: true, rows }),
        _ => Err(Error::Malformed("the JSON must have one of instances and inputs".to_owned())),
    }
}

fn images(ticket: &Ticket, Rows { data, count }: Rows) -> Result<Images, Error> {
    let wrong = |found: usize, what: &str| {
        Err(ServiceError::Invalid(format!("{found} {what} for {count} images: each is {{\"b64\": …}} or [3, h, w]"))
            .into())
    };
    match data.contents("") {
        Contents::Elements(files) if files.len() == count => Ok(Images::Files(files)),
        Contents::Elements(files) => wrong(files.len(), "files"),
        Contents::Floats(numbers) => {
            let (height, width) = ticket.input();
            if numbers.len() != count.saturating_mul(3 * height * width) {
                return wrong(numbers.len(), "numbers");
            }
            let data = oip::little_endian(numbers);
            Ok(Images::Tensor(Tensor { number: TensorType::F32, shape: [count, 3, height, width], data }))
        }
        Contents::Raw(_) => wrong(0, "bytes"),
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rows = Self { data: Data::default(), count: 0 };
        deserializer.deserialize_any(&mut rows)?;
        Ok(rows)
    }
}

/// A list of images, one image, or either as the one named input.
impl<'de> Visitor<'de> for &mut Rows {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of images, each {\"b64\": base64} or numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Append::named(&mut self.data))?.is_some() {
            self.count += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match map.next_key::<std::borrow::Cow<'_, str>>()? {
            Some(key) if key == "b64" => {
                map.next_value_seed(Append::new(&mut self.data))?;
                self.count = 1;
            }
            Some(_) => *self = map.next_value()?,
            None => {}
        }
        match map.next_key::<serde::de::IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("a model has one input")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(bool, usize, Contents), String> {
        let asked = parse(json.as_bytes()).map_err(|error| error.to_string())?;
        Ok((asked.columns, asked.rows.count, asked.rows.data.contents("")))
    }

    #[test]
    fn rows_and_columns_are_files_or_numbers_with_and_without_a_name() {
        let files = |texts: &[&'static str]| Contents::Elements(texts.iter().map(|text| (*text).into()).collect());
        for (json, expected) in [
            (r#"{"instances": [{"b64": "aGk="}, {"b64": "YQ=="}]}"#, (false, 2, files(&["hi", "a"]))),
            (r#"{"signature_name": "x", "instances": [{"image_bytes": {"b64": "aGk="}}]}"#, (false, 1, files(&["hi"]))),
            (r#"{"instances": [[[1, 2]], [[3, 4]]]}"#, (false, 2, Contents::Floats(vec![1.0, 2.0, 3.0, 4.0]))),
            (r#"{"inputs": {"b64": "aGk="}}"#, (true, 1, files(&["hi"]))),
            (r#"{"inputs": {"image": [{"b64": "aGk="}]}}"#, (true, 1, files(&["hi"]))),
            (r#"{"inputs": {"image": {"b64": "aGk="}}}"#, (true, 1, files(&["hi"]))),
            (r#"{"inputs": {"pixels": [[1], [2]]}}"#, (true, 2, Contents::Floats(vec![1.0, 2.0]))),
        ] {
            assert_eq!(read(json), Ok(expected), "{json}");
        }
        for json in [
            "{}",
            "[]",
            r#"{"instances": [], "inputs": []}"#,
            r#"{"instances": 5}"#,
            r#"{"inputs": {"a": [1], "b": [2]}}"#,
            r#"{"instances": [{"a": {"b": {"b64": "aGk="}}}]}"#,
            r#"{"instances": [{"a": [1], "b": [2]}]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_method_stands_behind_the_model_or_its_version() {
        let method = |model: &str, version: &str| {
            let path = ModelPath { model: model.to_owned(), version: version.to_owned() };
            method(path).map(|ModelPath { model, version }| (model, version)).map_err(|error| error.to_string())
        };
        assert_eq!(method("m:predict", ""), Ok(("m".into(), String::new())));
        assert_eq!(method("m", "3:predict"), Ok(("m".into(), "3".into())));
        assert!(method("m", "").unwrap_err().contains("names no method"));
        for (model, version) in [("m:classify", ""), ("m", "3:classify")] {
            let error = method(model, version).unwrap_err();
            assert!(
                error.contains("\"classify\" is not served") && error.contains("/classify?model=m labels"),
                "{error}"
            );
        }
    }
}
