//! `ModelStreamInfer`: many requests and their answers over one call. Not here: how one request is answered (`inference`).

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesOrdered, Stream};
use tokio::sync::mpsc::{self, Sender};
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use super::call::Call;
use super::error;
use super::proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use crate::net::Stopping;
use crate::service::{BodyBytes, ServiceError};

/// Requests of one stream that have been read and whose answers are not yet on their way: a few batches. More wait at the client.
const IN_FLIGHT: usize = 64;

type Answer = Result<ModelStreamInferResponse, Status>;

/// The answers in the order of the requests. All is dropped once nobody reads them any more.
///
/// A task of its own works, so that what is in flight goes on, and ends at its deadline, while a client does not read.
pub(super) fn answers<F>(
    requests: Streaming<ModelInferRequest>,
    call: Call,
    stopping: Option<Stopping>,
    infer: impl Fn(ModelInferRequest, BodyBytes) -> F + Send + 'static,
) -> impl Stream<Item = Answer>
where
    F: Future<Output = Result<ModelInferResponse, Status>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(serve(requests, call, stopping, infer, sender).in_current_span());
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

async fn serve<F>(
    mut requests: Streaming<ModelInferRequest>,
    call: Call,
    mut stopping: Option<Stopping>,
    infer: impl Fn(ModelInferRequest, BodyBytes) -> F,
    answers: Sender<Answer>,
) where
    F: Future<Output = Result<ModelInferResponse, Status>>,
{
    let mut running = FuturesOrdered::new();
    let mut done = VecDeque::new();
    // why no more is read
    let mut end: Option<Result<(), Status>> = None;
    loop {
        if running.is_empty() && done.is_empty() {
            match end {
                None => {}
                Some(Ok(())) => return,
                Some(Err(status)) => return drop(answers.send(Err(status)).await),
            }
        }
        tokio::select! {
            // in this order: the stream's deadline before those of its requests, answers before more requests
            biased;
            () = answers.closed() => return,
            late = passed(&call) => {
                drop(running); // its places are free though the client may not read yet
                return drop(answers.send(Err(late)).await);
            }
            () = begun(&mut stopping), if end.is_none() => {
                end = Some(Err(Status::unavailable("this server is about to stop; go on over another connection")));
            }
            Some(result) = running.next() => done.push_back(in_band(result)),
            Ok(free) = answers.reserve(), if !done.is_empty() => {
                if let Some(answer) = done.pop_front() {
                    free.send(Ok(answer));
                }
            }
            request = requests.message(), if end.is_none() && running.len() + done.len() < IN_FLIGHT => match request {
                Ok(Some(request)) => running.push_back(infer(request, call.take_bytes())),
                Ok(None) => end = Some(Ok(())),
                Err(status) => {
                    let code = error::of_unread_message(status.code());
                    end = Some(Err(Status::with_metadata(code, status.message(), status.metadata().clone())));
                }
            },
        }
    }
}

/// An error is an answer: the stream goes on.
fn in_band(result: Result<ModelInferResponse, Status>) -> ModelStreamInferResponse {
    match result {
        Ok(answer) => ModelStreamInferResponse { error_message: String::new(), infer_response: Some(answer) },
        Err(status) => {
            let error_message = format!("[{}] {}", error::name(status.code()), status.message());
            ModelStreamInferResponse { error_message, infer_response: None }
        }
    }
}

/// Ends when the deadline of the whole call has passed.
async fn passed(call: &Call) -> Status {
    match call.deadline() {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending::<()>().await,
    }
    error::status(&ServiceError::DeadlinePassed(call.allowed().unwrap_or_default()))
}

async fn begun(stopping: &mut Option<Stopping>) {
    match stopping {
        Some(stopping) => stopping.begun().await,
        None => std::future::pending().await,
    }
}
