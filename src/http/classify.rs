//! `POST /classify`, and `PUT` for `curl -T`: admit, read, classify, answer.
//!
//! hyper drops the future when the client leaves. The ticket then gives back what it holds, and the timer counts the request as
//! cancelled.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::access::meter;
use super::coding::Coding;
use super::counted::{Counted, plain};
use super::error::Error;
use super::panics::catch_panic;
use super::parse::parse;
use super::query::Query;
use super::state::AppState;
use super::{admitted, answer, body};
use crate::service::{self, Admission, Images, Wanted};

/// Answers with labels or with an error, and counts the request.
pub(super) async fn classify(State(state): State<AppState>, request: Request) -> Response {
    let mut counted = Counted::begin(&state.classifier, request.headers());
    let outcome = catch_panic(labels(&state, request, &mut counted)).await.flatten();
    let answer = outcome.map(|json| ([(header::CONTENT_TYPE, "application/json")], json).into_response());
    counted.end(answer, plain)
}

async fn labels(state: &AppState, request: Request, counted: &mut Counted<'_>) -> Result<Vec<u8>, Error> {
    let (head, body) = request.into_parts();
    let mut query = Query::from_uri(&head.uri)?;
    counted.ignored.extend(query.unknown.drain(..).map(|name| format!("query parameter {name}")));
    let declared = body::declared_length(&body);
    if declared == Some(0) {
        return Err(Error::Malformed("the body is empty; it must be an image".into()));
    }
    let coding = Coding::of(&head.headers)?;

    let admission = Admission {
        model: query.model.as_deref(),
        version: query.version.as_deref(),
        body_bytes: declared,
        deadline: query.deadline,
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
    counted.ignored.extend(form.ignored);
    let answer_options = form.options.or(query.options);
    let wanted = Wanted::Labels { top_k: answer_options.top_k(), function: answer_options.function };
    let request = service::Request { images: Images::Files(form.images), wanted };
    let answer = ticket.classify(request).await?;

    let began = Instant::now();
    let json = answer::json(&answer, form.shape, query.detail);
    counted.timer.responded(began.elapsed());
    json
}
