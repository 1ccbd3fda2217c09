//! Limits: of a message, of all that is held, of places, and of time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use convnext_server::grpc::proto::inference::ModelInferRequest;
use convnext_server::grpc::proto::inference::infer_parameter::ParameterChoice;
use convnext_server::http;
use convnext_server::service::Limits;
use futures_util::{StreamExt as _, stream};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

use super::client::*;
use super::support::http::{Options, Server, bounded, head_of};
use super::support::mock::{account, becomes};

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_serves_on() {
    bounded(async {
        let limits = Limits { max_body_bytes: 2000, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = client(&server).await;
        let small = raw(&mut client, "first", &[3]).await;
        for bytes in [3000, 3 << 20] {
            let request = ModelInferRequest { raw_input_contents: vec![vec![0; bytes].into()], ..small.clone() };
            is(client.model_infer(request).await, Code::InvalidArgument, "2000");
        }
        assert_eq!(answered(&client.model_infer(small).await.unwrap().into_inner()), logits(&[3]));
    })
    .await;
}

#[tokio::test]
async fn bytes_that_no_budget_is_left_for_are_an_overload() {
    bounded(async {
        // of two requests the second finds the budget taken by the first, which runs
        let limits = Limits { body_bytes: 400, max_body_bytes: 400, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[1]).await;
        server.engine.hold();
        let first = tokio::spawn({
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.model_infer(request).await }
        });
        server.runs().await;
        let error = client.model_infer(request.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.metadata().contains_key("grpc-retry-pushback-ms"));
        server.engine.release();
        first.await.unwrap().unwrap();
        client.model_infer(request).await.unwrap();
        assert_eq!(account(&server.classifier), [3, 2, 0, 1, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_an_overload_at_once() {
    bounded(async {
        let server = Server::with_queue(1, Limits::default()).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[1]).await;
        server.engine.hold();
        let first = tokio::spawn({
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.model_infer(request).await }
        });
        server.runs().await;
        is(client.model_infer(request).await, Code::ResourceExhausted, "overloaded");
        server.engine.release();
        first.await.unwrap().unwrap();
        let series = "convnext_requests_total{code=\"RESOURCE_EXHAUSTED\",model=\"\",protocol=\"grpc\"}";
        assert_eq!(server.metric(series), 1.0);
    })
    .await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded_by_the_servers_own_word() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let inference = raw(&mut client, "first", &[1]).await;
        // tonic's own channel gives up by itself
        let mut client = patient_client(&server).await;
        server.engine.hold();
        let mut request = Request::new(inference.clone());
        request.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
        is(client.model_infer(request).await, Code::DeadlineExceeded, "deadline");
        let mut request = inference.clone();
        let timeout = parameter(ParameterChoice::Int64Param(40_000));
        request.parameters.insert("timeout".into(), timeout);
        is(client.model_infer(request).await, Code::DeadlineExceeded, "deadline");
        server.engine.release();
        let mut request = Request::new(inference);
        request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
        is(client.model_infer(request).await, Code::InvalidArgument, "grpc-timeout");
        let series = "convnext_requests_total{code=\"DEADLINE_EXCEEDED\",model=\"first\",protocol=\"grpc\"}";
        assert_eq!(server.metric(series), 2.0);
        becomes("all has ended", || account(&server.classifier)[2] == 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_message_that_does_not_come_is_waited_for_only_so_long() {
    bounded(async {
        let http = http::Options { body_timeout: Duration::from_millis(100), ..http::Options::default() };
        let server = Server::start_with(Options { http, ..Options::default() }).await;
        // all that comes is a head, which declares a long message
        let head = Ok::<_, std::io::Error>(Bytes::from_static(&[0, 0, 0xff, 0, 0]));
        let body = Body::from_stream(stream::iter([head]).chain(stream::pending()));
        let uri = format!("http://{}/inference.GRPCInferenceService/ModelInfer", server.grpc);
        let request = axum::http::Request::post(uri).header("content-type", "application/grpc").body(body).unwrap();
        let answer = sender(&server).await.send_request(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED: {answer:?}");
        let message = answer.headers()["grpc-message"].to_str().unwrap();
        assert!(message.contains("did%20not%20arrive%20within%20100"), "{message}");
        assert_eq!(account(&server.classifier), [0; 5], "it never asked for admission");
    })
    .await;
}

#[tokio::test]
async fn what_is_no_message_is_an_invalid_argument_and_what_is_no_call_unimplemented() {
    bounded(async {
        let server = Server::start().await;
        let mut grpc = tonic::client::Grpc::new(channel(&server).await);
        grpc.ready().await.unwrap();
        // a tensor's field where its number says that a text is
        let wrong = convnext_server::grpc::proto::inference::StatisticDuration { count: 7, ns: 7 };
        let path = "/inference.GRPCInferenceService/ModelInfer".parse().unwrap();
        let codec =
            || tonic_prost::ProstCodec::<_, convnext_server::grpc::proto::inference::ModelInferResponse>::default();
        is(grpc.unary(Request::new(wrong), path, codec()).await, Code::InvalidArgument, "");
        grpc.ready().await.unwrap();
        let path = "/inference.GRPCInferenceService/TraceSetting".parse().unwrap();
        is(grpc.unary(Request::new(wrong), path, codec()).await, Code::Unimplemented, "");
        grpc.ready().await.unwrap();
        is(
            grpc.unary(Request::new(wrong), "/other.Service/Call".parse().unwrap(), codec()).await,
            Code::Unimplemented,
            "",
        );
    })
    .await;
}

#[tokio::test]
async fn a_compressed_message_is_read_and_limited_by_what_it_becomes() {
    bounded(async {
        let limits = Limits { max_body_bytes: 20_000, ..Limits::default() };
        let server = Server::with_limits(limits).await;
        let mut client = client(&server).await.send_compressed(CompressionEncoding::Gzip);
        let request = raw(&mut client, "first", &[3]).await;
        assert_eq!(answered(&client.model_infer(request.clone()).await.unwrap().into_inner()), logits(&[3]));
        let bomb = ModelInferRequest { raw_input_contents: vec![vec![0; 1 << 20].into()], ..request.clone() };
        let error = client.model_infer(bomb).await.unwrap_err();
        assert!(matches!(error.code(), Code::InvalidArgument | Code::ResourceExhausted), "{error:?}");
        assert_eq!(answered(&client.model_infer(request).await.unwrap().into_inner()), logits(&[3]));
    })
    .await;
}

#[tokio::test]
async fn whoever_speaks_no_grpc_is_told_so() {
    bounded(async {
        let server = Server::start().await;
        let mut client = super::support::http::Client::to(server.grpc).await;
        client.send(super::support::http::request("GET / HTTP/1.1", "")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 415);
        assert!(String::from_utf8(answer.body).unwrap().contains("gRPC"));
    })
    .await;
}

#[tokio::test]
async fn metadata_below_16_kib_are_read_and_one_byte_more_is_refused_without_harm_to_the_connection() {
    bounded(async {
        const MOST: usize = 16 << 10;
        let server = Server::start().await;
        let mut sender = sender(&server).await;
        let uri = format!("http://{}/inference.GRPCInferenceService/ServerLive", server.grpc);
        for (size, status) in [(MOST - 1, 200), (MOST, 431), (MOST - 1, 200)] {
            // an empty message
            let body = Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(&[0; 5]))]));
            let headers = [("content-type", "application/grpc"), ("te", "trailers")];
            let answer = sender.send_request(head_of(size, ("POST", &uri), &headers, body)).await.unwrap();
            assert_eq!(answer.status(), status, "{size}: {answer:?}");
            assert!(answer.headers().get("grpc-status").is_none_or(|code| code == "0"), "{size}: {answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_may_have_as_many_bytes_as_the_limit_with_its_head_and_not_one_more() {
    bounded(async {
        let open = Server::start().await;
        let request = raw(&mut client(&open).await, "first", &[3]).await;
        let bytes = 5 + prost::Message::encoded_len(&request) as u64; // five before the message are its length
        for (limit, passes) in [(bytes, true), (bytes - 1, false)] {
            let server = Server::with_limits(Limits { max_body_bytes: limit, ..Limits::default() }).await;
            let answer = client(&server).await.model_infer(request.clone()).await;
            assert_eq!(
                answer.as_ref().err().map(tonic::Status::code),
                (!passes).then_some(Code::InvalidArgument),
                "{limit}"
            );
        }
    })
    .await;
}
