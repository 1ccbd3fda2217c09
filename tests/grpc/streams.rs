//! `ModelStreamInfer`: answers in order, errors in-band, and the ends of a stream.

use std::time::Duration;

use convnext_server::grpc::proto::inference::{ModelInferRequest, ModelStreamInferResponse};
use convnext_server::service::Limits;
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::{Code, Request, Streaming};

use super::client::*;
use super::support::http::{Server, bounded};
use super::support::mock::{account, becomes, waiting};

/// A stream whose requests a test sends one by one.
async fn open(client: &mut Client) -> (mpsc::Sender<ModelInferRequest>, Streaming<ModelStreamInferResponse>) {
    let (sender, receiver) = mpsc::channel(200);
    let requests =
        stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver)));
    let answers = client.model_stream_infer(requests).await.unwrap().into_inner();
    (sender, answers)
}

fn logits_of(answer: ModelStreamInferResponse) -> Vec<f32> {
    assert_eq!(answer.error_message, "");
    answered(&answer.infer_response.unwrap())
}

#[tokio::test]
async fn an_error_in_the_middle_is_an_answer_and_the_stream_goes_on() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let good = raw(&mut client, "first", &[3]).await;
        let (sender, mut answers) = open(&mut client).await;
        sender.send(good.clone()).await.unwrap();
        sender.send(ModelInferRequest { model_name: "third".into(), ..good.clone() }).await.unwrap();
        sender.send(ModelInferRequest { id: "last".into(), ..good }).await.unwrap();
        drop(sender);
        assert_eq!(logits_of(answers.message().await.unwrap().unwrap()), logits(&[3]));
        let failed = answers.message().await.unwrap().unwrap();
        assert!(failed.error_message.contains("no model third"), "{failed:?}");
        assert!(failed.infer_response.is_none_or(|answer| answer.outputs.is_empty()));
        let last = answers.message().await.unwrap().unwrap();
        assert_eq!(last.infer_response.as_ref().unwrap().id, "last");
        assert_eq!(logits_of(last), logits(&[3]));
        assert!(answers.message().await.unwrap().is_none());
        let ok = "convnext_requests_total{code=\"OK\",model=\"first\",protocol=\"grpc\"}";
        let failed = "convnext_requests_total{code=\"NOT_FOUND\",model=\"\",protocol=\"grpc\"}";
        assert_eq!((server.metric(ok), server.metric(failed)), (2.0, 1.0));
    })
    .await;
}

#[tokio::test]
async fn a_hundred_requests_of_one_stream_share_batches_and_come_back_in_their_order() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let mut requests = Vec::new();
        for index in 0..100 {
            requests.push(raw(&mut client, "first", &[index % 6]).await);
        }
        server.engine.hold();
        let mut answers = client.model_stream_infer(stream::iter(requests)).await.unwrap().into_inner();
        becomes("several wait", || waiting(&server.classifier, "first") > 3).await;
        server.engine.release();
        for index in 0..100 {
            assert_eq!(logits_of(answers.message().await.unwrap().unwrap()), logits(&[index % 6]), "{index}");
        }
        assert!(answers.message().await.unwrap().is_none());
        let batches = server.engine.batches();
        assert!(batches.iter().any(|(_, images)| images.len() > 1), "{batches:?}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_gives_all_back() {
    bounded(async {
        let server = Server::with_queue(8, Limits::default()).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[3]).await;
        server.engine.hold();
        let (sender, answers) = open(&mut client).await;
        for _ in 0..5 {
            sender.send(request.clone()).await.unwrap();
        }
        becomes("all are there", || account(&server.classifier)[0] == 5).await;
        drop((sender, answers));
        becomes("all are cancelled", || account(&server.classifier)[4] == 5).await;
        server.engine.release();
        assert_eq!(answered(&client.model_infer(request).await.unwrap().into_inner()), logits(&[3]));
    })
    .await;
}

#[tokio::test]
async fn the_deadline_of_a_stream_ends_it() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[3]).await;
        server.engine.hold();
        let (sender, receiver) = mpsc::channel(1);
        sender.send(request).await.unwrap();
        let requests =
            stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver)));
        let mut call = Request::new(requests);
        call.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
        let mut answers = client.model_stream_infer(call).await.unwrap().into_inner();
        is(answers.message().await, Code::DeadlineExceeded, "50 ms");
        server.engine.release();
    })
    .await;
}

#[tokio::test]
async fn a_stream_may_be_silent_for_longer_than_a_message_may_take() {
    bounded(async {
        let http = convnext_server::http::Options { body_timeout: Duration::from_millis(50), ..Default::default() };
        let server = Server::start_with(super::support::http::Options { http, ..Default::default() }).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[3]).await;
        let (sender, mut answers) = open(&mut client).await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(120)).await;
            sender.send(request.clone()).await.unwrap();
            assert_eq!(logits_of(answers.message().await.unwrap().unwrap()), logits(&[3]));
        }
    })
    .await;
}

#[tokio::test]
async fn bytes_of_a_stream_are_given_back_with_each_answer() {
    bounded(async {
        // room for two messages, not for the twenty that are sent
        let limits = Limits { body_bytes: 600, max_body_bytes: 600, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[3]).await;
        let (sender, mut answers) = open(&mut client).await;
        for _ in 0..20 {
            sender.send(request.clone()).await.unwrap();
            assert_eq!(logits_of(answers.message().await.unwrap().unwrap()), logits(&[3]));
        }
    })
    .await;
}
