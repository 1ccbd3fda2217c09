//! TorchServe's `POST|PUT /predictions/NAME[/VERSION]`: an image's bytes or a form in, an object from label to score out, as its
//! `image_classifier` answers.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::http::access::meter;
use crate::http::coding::Coding;
use crate::http::counted::Counted;
use crate::http::error::shortened;
use crate::http::form::Shape;
use crate::http::model_path::ModelPath;
use crate::http::panics::catch_panic;
use crate::http::parse::parse;
use crate::http::{AppState, Error, admitted, body};
use crate::service::{self, Admission, Classified, Images, ServiceError, Wanted};

/// Classes of an answer, as `image_classifier` has them.
const TOP_K: i64 = 5;

/// Answers with scores by label or with an error of TorchServe's shape, and counts the request.
pub(super) async fn predictions(
    State(state): State<AppState>,
    path: Result<ModelPath, Error>,
    request: Request,
) -> Response {
    let path = match path {
        Ok(path) => path,
        Err(error) => return error_response(error),
    };
    let mut counted = Counted::begin(&state.classifier, request.headers());
    let outcome = catch_panic(scores(&state, &path, request, &mut counted)).await.flatten();
    let answer =
        outcome.map(|scores| ([(header::CONTENT_TYPE, "application/json")], scores.to_string()).into_response());
    counted.end(answer, error_response)
}

async fn scores(
    state: &AppState,
    path: &ModelPath,
    request: Request,
    counted: &mut Counted<'_>,
) -> Result<Value, Error> {
    let (head, body) = request.into_parts();
    let declared = body::declared_length(&body);
    if declared == Some(0) {
        return Err(Error::Malformed("the body is empty; it must be an image".into()));
    }
    let coding = Coding::of(&head.headers)?;
    let admission = Admission {
        model: Some(&path.model),
        version: version(&path.version),
        body_bytes: declared,
        meter: meter(&head.extensions),
        ..Admission::default()
    };
    let (mut ticket, timeouts) = admitted::admit(state, counted, admission)?;
    let form = async {
        let bytes = body::read_decoded(body, coding, timeouts, |total| ticket.body_is(total)).await?;
        parse(bytes, head.headers.get(header::CONTENT_TYPE)).await
    };
    let read = form.await;
    let (ticket, form) = admitted::unless_refused(ticket, read)?;
    let wanted = Wanted::Labels { top_k: form.options.top_k.unwrap_or(TOP_K), function: form.options.function };
    let answer = ticket.classify(service::Request { images: Images::Files(form.images), wanted }).await?;
    let mut images: Vec<Value> = answer.images.iter().map(by_label).collect();
    Ok(if form.shape == Shape::One { images.pop().unwrap_or_default() } else { images.into() })
}

/// TorchServe's versions are `1.0`, the service's whole numbers or labels.
fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then(|| text.strip_suffix(".0").unwrap_or(text))
}

/// Of two classes of one name the better one is told.
fn by_label(image: &Classified) -> Value {
    let mut scores = Map::new();
    for prediction in image.predictions() {
        scores.entry(&*prediction.label).or_insert_with(|| json!(prediction.score));
    }
    scores.into()
}

/// `{"code", "type", "message"}`, with the status and the headers that the error has on every route.
pub(in crate::http) fn error_response(error: Error) -> Response {
    let status = error.status();
    let kind = match (&error, status) {
        (Error::Service(ServiceError::UnknownModel { .. }), _) => "ModelNotFoundException",
        (Error::Service(ServiceError::UnknownVersion { .. }), _) => "ModelVersionNotFoundException",
        (Error::Access(_), _) => "InvalidKeyException",
        (_, StatusCode::INTERNAL_SERVER_ERROR) => "InternalServerException",
        (_, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
            "ServiceUnavailableException"
        }
        _ => "BadRequestException",
    };
    let text = shortened(&error.to_string()).into_owned();
    let json = json!({ "code": status.as_u16(), "type": kind, "message": text }).to_string();
    let mut response = error.into_response();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_or_labels_whatever_their_point() {
        assert_eq!(version(""), None);
        assert_eq!(version("1.0"), Some("1"));
        assert_eq!(version("12"), Some("12"));
        assert_eq!(version("stable"), Some("stable"));
    }
}
