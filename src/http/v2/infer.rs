//! `POST /v2/models/NAME[/versions/V]/infer`: admit, read, infer, answer.
//!
//! hyper drops the future when the client leaves. The call then gives back what it holds, and the timer counts the request as
//! cancelled.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::request::{self, Parsed};
use super::{HEADER_LENGTH, answer};
use crate::http::access::meter;
use crate::http::body::{self, ReadTimeouts};
use crate::http::coding::Coding;
use crate::http::compressed::Wanted;
use crate::http::counted::{Counted, plain};
use crate::http::model_path::ModelPath;
use crate::http::panics::catch_panic;
use crate::http::parse::{charge_decoded, parse_json};
use crate::http::{AppState, Error};
use crate::oip::{Call, Head};

/// Answers with outputs or with an error, and counts the request.
pub(super) async fn infer(State(state): State<AppState>, path: ModelPath, request: Request) -> Response {
    let mut counted = Counted::begin(&state.classifier, request.headers());
    let outcome = catch_panic(outputs(&state, &path, request, &mut counted)).await.flatten();
    counted.end(outcome, plain)
}

async fn outputs(
    state: &AppState,
    path: &ModelPath,
    request: Request,
    counted: &mut Counted<'_>,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let declared = body::declared_length(&body);
    if declared == Some(0) {
        return Err(Error::Malformed("the body is empty; it must be a request for inference".into()));
    }
    let coding = Coding::of(&head.headers)?;
    let json = json_length(&head.headers)?;
    let mut call = Call::admit(
        &state.classifier,
        Head {
            model: &path.model,
            version: &path.version,
            body_bytes: declared,
            deadline: None,
            meter: meter(&head.extensions),
        },
    )?;
    counted.model = Some(call.model().to_owned());
    counted.timer.model(call.metrics());

    let parsed = match read(state, &mut call, (coding, json), body).await {
        Ok(parsed) => parsed,
        Err(Error::BodyBrokeOff) => return Err(Error::BodyBrokeOff), // a call that is dropped counts as cancelled
        Err(error) => {
            call.refuse();
            return Err(error);
        }
    };
    let answer = call.infer(parsed.request).await?;
    let began = Instant::now();
    let response = answer::response(&answer, parsed.binary, Wanted::of(&head.headers)).await;
    counted.timer.responded(began.elapsed());
    response
}

/// Reads the body under its budget, and what it says.
async fn read(
    state: &AppState,
    call: &mut Call,
    (coding, json): (Option<Coding>, Option<usize>),
    body: axum::body::Body,
) -> Result<Parsed, Error> {
    let started = tokio::time::Instant::now();
    let timeouts = ReadTimeouts { started, body: state.options.body_timeout, deadline: call.allowed() };
    let bytes = body::read_decoded(body, coding, timeouts, |total| call.body_is(total)).await?;
    match json {
        // the body is the one input, and nothing else
        Some(0) => Ok(Parsed { request: call.raw_request(bytes), binary: true }),
        json => {
            let json = json.unwrap_or(bytes.len());
            charge_decoded(&bytes.slice(..json.min(bytes.len())), |more| call.grows_by(more)).await?;
            parse_json(json, move || request::parse(&bytes, json)).await
        }
    }
}

/// How many bytes of the body are JSON; None: all. Always of the body as it is when it is decoded.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(Error::Malformed(format!(
            "inference-header-content-length is {:?}; it must be a number of bytes",
            String::from_utf8_lossy(value.as_bytes())
        ))),
    }
}
