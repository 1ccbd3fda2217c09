//! Keys over gRPC, as metadata.

use convnext_server::grpc::proto::health::HealthCheckRequest;
use convnext_server::grpc::proto::inference as pb;
use convnext_server::http;
use futures_util::stream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use super::client::{client, files, health, is, raw};
use super::support::http::{Options, Server, bounded, keys};

const BOTH: &[(&str, &str, &str)] = &[("shop", "'infer'", ""), ("ops", "'admin'", "")];

/// A request with a key in this header.
fn with<T>(header: &'static str, value: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(header, MetadataValue::try_from(value).unwrap());
    request
}

/// A request for images of these classes, made on a server without keys: the models are the same.
async fn infer(classes: &[usize]) -> pb::ModelInferRequest {
    let open = Server::start().await;
    raw(&mut client(&open).await, "first", classes).await
}

#[tokio::test]
async fn without_a_key_only_health_is_told() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let mut client = client(&server).await;
        let infer = infer(&[1]).await;
        is(client.model_infer(infer.clone()).await, Code::Unauthenticated, "an API key is needed");
        is(client.server_metadata(pb::ServerMetadataRequest {}).await, Code::Unauthenticated, "key");
        is(client.repository_index(pb::RepositoryIndexRequest::default()).await, Code::Unauthenticated, "key");
        is(client.model_stream_infer(stream::iter([infer])).await, Code::Unauthenticated, "key");
        assert!(client.server_live(pb::ServerLiveRequest {}).await.unwrap().into_inner().live);
        assert!(client.server_ready(pb::ServerReadyRequest {}).await.unwrap().into_inner().ready);
        health(&server).await.check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(server.metric("convnext_received_total"), 0.0);
        assert_eq!(server.metric("convnext_unauthorized_total{reason=\"no_key\"}"), 4.0);
    })
    .await;
}

#[tokio::test]
async fn a_key_opens_what_it_is_for() {
    bounded(async {
        let http = http::Options { allow_model_control: true, ..http::Options::default() };
        let server = Server::start_with(Options { http, keys: Some(keys(BOTH)), ..Options::default() }).await;
        let mut client = client(&server).await;
        let infer = infer(&[1]).await;
        for (header, value) in [("x-api-key", "shop"), ("authorization", "Bearer shop")] {
            client.model_infer(with(header, value, infer.clone())).await.unwrap();
        }
        let refused = client.model_infer(with("x-api-key", "ops", infer.clone())).await;
        is(refused, Code::PermissionDenied, "key ops has not the scope infer");
        is(client.model_infer(with("x-api-key", "nobody", infer)).await, Code::Unauthenticated, "not known");
        let unload = || pb::RepositoryModelUnloadRequest { model_name: "second".into(), ..Default::default() };
        let refused = client.repository_model_unload(with("x-api-key", "shop", unload())).await;
        is(refused, Code::PermissionDenied, "scope admin");
        client.repository_model_unload(with("x-api-key", "ops", unload())).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_large_message_without_a_key_gets_its_answer_and_the_connection_goes_on() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let mut client = client(&server).await;
        let mut large = infer(&[1]).await;
        large.raw_input_contents = vec![vec![0; 8 << 20].into()];
        for _ in 0..3 {
            is(client.model_infer(large.clone()).await, Code::Unauthenticated, "an API key is needed");
        }
        assert!(client.server_live(pb::ServerLiveRequest {}).await.unwrap().into_inner().live);
    })
    .await;
}

#[tokio::test]
async fn over_its_rate_a_key_is_told_when_to_come_back() {
    bounded(async {
        let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 2")]).await;
        let mut client = client(&server).await;
        let request = infer(&[1, 2, 3]).await;
        client.model_infer(with("x-api-key", "slow", request.clone())).await.unwrap();
        let refused = client.model_infer(with("x-api-key", "slow", request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        // three of two were spent
        let wait: u64 = refused.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        assert!((19_000..=20_000).contains(&wait), "{wait}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_held_to_the_rate_by_each_of_its_requests() {
    bounded(async {
        let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 2")]).await;
        let mut client = client(&server).await;
        let request = infer(&[1]).await;
        let requests = with("x-api-key", "slow", stream::iter(vec![request; 3]));
        let mut answers = client.model_stream_infer(requests).await.unwrap().into_inner();
        for _ in 0..2 {
            assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");
        }
        let refused = answers.message().await.unwrap().unwrap().error_message;
        assert!(refused.starts_with("[RESOURCE_EXHAUSTED] key slow"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_does_not_outlive_its_key() {
    bounded(async {
        let server = Server::with_keys(BOTH).await;
        let mut client = client(&server).await;
        let request = infer(&[1]).await;
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let requests = stream::unfold(receive, async |mut receive| Some((receive.recv().await?, receive)));
        send.send(request.clone()).await.unwrap();
        let answers = client.model_stream_infer(with("x-api-key", "shop", requests)).await;
        let mut answers = answers.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().error_message, "");
        server.access.as_ref().unwrap().replace(&keys(&[("ops", "'admin'", "")]));
        send.send(request).await.unwrap();
        let refused = answers.message().await.unwrap().unwrap().error_message;
        assert!(refused.starts_with("[UNAUTHENTICATED]"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn files_count_as_tensors_do() {
    bounded(async {
        let open = Server::start().await;
        let request = files(&mut client(&open).await, "first_image", &[1, 2]).await;
        let server = Server::with_keys(&[("slow", "'infer'", "rate = 0.1\nburst = 2")]).await;
        let mut client = client(&server).await;
        client.model_infer(with("x-api-key", "slow", request.clone())).await.unwrap();
        is(client.model_infer(with("x-api-key", "slow", request)).await, Code::ResourceExhausted, "key slow");
    })
    .await;
}
