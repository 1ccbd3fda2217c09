//! gRPC's health checking, of the server and of each model.

use convnext_server::grpc::proto::health::HealthCheckRequest;
use convnext_server::grpc::proto::health::health_check_response::ServingStatus;
use tonic::Code;

use super::client::{client, health, is, raw};
use super::support::http::{Server, bounded};
use super::support::mock::{Fault, becomes};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn the_server_and_each_model_by_both_names_serve() {
    bounded(async {
        let server = Server::start().await;
        let mut health = health(&server).await;
        for service in ["", "inference.GRPCInferenceService", "first", "second", "first_image"] {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
        }
        is(health.check(of("third")).await, Code::NotFound, "third");
    })
    .await;
}

#[tokio::test]
async fn a_model_that_is_unloaded_does_not_serve_and_who_watches_learns_of_it() {
    bounded(async {
        let server = Server::start().await;
        let mut health = health(&server).await;
        let mut watch = health.watch(of("second")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let mut nobody = health.watch(of("third")).await.unwrap().into_inner();
        assert_eq!(nobody.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
        server.classifier.unload("second").await.unwrap();
        assert_eq!(health.check(of("second")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(health.check(of("first")).await.unwrap().into_inner().status(), ServingStatus::Serving);
        server.classifier.load("second").await.unwrap();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    })
    .await;
}

#[tokio::test]
async fn when_the_last_device_is_lost_nothing_serves() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let mut health = health(&server).await;
        let request = raw(&mut client, "first", &[1]).await;
        server.engine.fault(Fault::DeviceLost);
        client.model_infer(request.clone()).await.unwrap_err();
        becomes("the device is known to be lost", || server.classifier.ready().is_err()).await;
        for service in ["", "first", "first_image"] {
            let answer = health.check(of(service)).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::NotServing, "{service:?}");
        }
        is(client.model_infer(request).await, Code::Unavailable, "");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drains_does_not_serve_and_a_watch_ends_with_it() {
    bounded(async {
        let mut server = Server::with_net(convnext_server::net::Options {
            drain_delay: std::time::Duration::from_millis(600),
            ..Default::default()
        })
        .await;
        let mut health = health(&server).await;
        let mut watch = health.watch(of("")).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        server.shut_down();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(health.check(of("first")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
        assert!(watch.message().await.unwrap().is_none());
        assert!(server.drained().await.is_clean());
    })
    .await;
}
