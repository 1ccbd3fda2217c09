//! A client that cancels: its place is free at once.

use std::time::{Duration, Instant};

use convnext_server::service::Limits;
use tonic::Request;

use super::client::*;
use super::support::http::{Server, bounded};
use super::support::mock::{account, becomes, waiting};

/// The promise.
const WITHIN: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_call_that_its_client_cancels_frees_its_place_within_100_ms() {
    bounded(async {
        let server = Server::with_queue(2, Limits::default()).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[1]).await;
        server.engine.hold();
        let send = |mut client: Client, request| tokio::spawn(async move { client.model_infer(request).await });
        let runs = send(client.clone(), request.clone());
        server.runs().await;
        for _ in 0..5 {
            let waits = send(client.clone(), request.clone());
            becomes("it waits", || waiting(&server.classifier, "first") == 1).await;
            let began = Instant::now();
            waits.abort();
            // the place is free when another finds it so
            while super::support::mock::admit(&server.classifier, "first").is_err() {
                assert!(began.elapsed() < WITHIN, "the place is still taken after {:?}", began.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        server.engine.release();
        runs.await.unwrap().unwrap();
        let series = "convnext_requests_total{code=\"cancelled\",model=\"first\",protocol=\"grpc\"}";
        server.metric_becomes(series, 5.0).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_gives_up_at_its_deadline_or_vanishes_leaves_nothing_behind() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let message = raw(&mut client, "first", &[1]).await;
        server.engine.hold();
        let mut request = Request::new(message.clone());
        request.set_timeout(Duration::from_millis(40));
        client.model_infer(request).await.unwrap_err();
        let mut other = super::client::client(&server).await;
        let gone = tokio::spawn(async move { other.model_infer(message).await });
        becomes("it is there", || account(&server.classifier)[0] == 2).await;
        gone.abort();
        becomes("both have ended", || {
            let [received, _, failed, _, cancelled] = account(&server.classifier);
            received == failed + cancelled
        })
        .await;
        server.engine.release();
    })
    .await;
}
