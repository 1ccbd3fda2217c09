//! Connections that become old: clients go on over new ones, and lose no call by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use convnext_server::net;
use tonic::transport::Endpoint;

use super::client::*;
use super::support::http::{self, Server, bounded, label};
use super::support::mock::{account, becomes, image};

/// Connections of both ports are ended at this age.
const AGE: Duration = Duration::from_millis(150);

async fn server() -> Server {
    Server::with_net(net::Options { max_connection_age: AGE, ..net::Options::default() }).await
}

#[tokio::test]
async fn under_load_no_call_fails_where_connections_are_ended_again_and_again() {
    bounded(async {
        let server = server().await;
        let connections = Arc::new(AtomicUsize::new(0));
        let end = Instant::now() + 8 * AGE;
        let mut clients = Vec::new();
        for index in 0..4 {
            let address = server.grpc;
            let counted = Arc::clone(&connections);
            // a channel that connects again by itself, and counts
            let connector = tower::service_fn(move |_| {
                counted.fetch_add(1, Ordering::AcqRel);
                async move { tokio::net::TcpStream::connect(address).await.map(hyper_util::rt::TokioIo::new) }
            });
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let mut client = Client::new(endpoint.connect_with_connector(connector).await.unwrap());
            let request = raw(&mut client, "first", &[index % 6]).await;
            clients.push(tokio::spawn(async move {
                let mut answers = 0;
                while Instant::now() < end {
                    let answer = client.model_infer(request.clone()).await.expect("no call fails");
                    assert_eq!(answered(&answer.into_inner()), logits(&[index % 6]));
                    answers += 1;
                }
                answers
            }));
        }
        for client in clients {
            assert!(client.await.unwrap() > 10);
        }
        let connections = connections.load(Ordering::Acquire);
        assert!(connections >= 3 * 4, "{connections} connections in eight ages of four clients");
    })
    .await;
}

#[tokio::test]
async fn an_old_connection_of_http1_is_closed_behind_an_answer_that_says_so() {
    bounded(async {
        let server = server().await;
        for _ in 0..2 {
            let mut client = server.connect().await;
            let mut answers = 0;
            loop {
                client.send(http::request("POST /classify HTTP/1.1", image(3))).await;
                let answer = client.answer().await;
                assert_eq!(answer.ok()[0]["label"], label(3));
                answers += 1;
                if answer.header("connection") == Some("close") {
                    break;
                }
            }
            client.closed().await;
            assert!(answers > 1);
        }
    })
    .await;
}

#[tokio::test]
async fn what_still_runs_when_the_grace_is_over_is_cut_off_and_gives_all_back() {
    bounded(async {
        let (max_connection_age, max_connection_age_grace) = (AGE, Duration::from_millis(50));
        let options = net::Options { max_connection_age, max_connection_age_grace, ..net::Options::default() };
        let server = Server::with_net(options).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[1]).await;
        server.engine.hold();
        let began = Instant::now();
        client.model_infer(request).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10), "long before the deadline of 30 s");
        becomes("it is cancelled", || account(&server.classifier)[4] == 1).await;
        server.engine.release();
    })
    .await;
}
