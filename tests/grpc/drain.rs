//! The drain: calls in flight are finished, under load too, and none fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use convnext_server::net;
use futures_util::stream;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::Code;

use super::client::*;
use super::support::http::{Server, bounded};

#[tokio::test]
async fn a_call_in_flight_is_answered_after_the_listener_is_closed() {
    bounded(async {
        let mut server = Server::with_net(net::Options { drain_delay: Duration::ZERO, ..Default::default() }).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[5]).await;
        server.engine.hold();
        let runs = tokio::spawn({
            let mut client = client.clone();
            async move { client.model_infer(request).await }
        });
        server.runs().await;
        server.shut_down();
        while TcpStream::connect(server.grpc).await.is_ok() {}
        server.engine.release();
        assert_eq!(answered(&runs.await.unwrap().unwrap().into_inner()), logits(&[5]));
        assert!(server.drained().await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn under_load_no_call_fails_that_was_sent_while_the_port_was_open() {
    bounded(async {
        let drain_delay = Duration::from_millis(300);
        let mut server = Server::with_net(net::Options { drain_delay, ..Default::default() }).await;
        let stop = Arc::new(AtomicBool::new(false));
        let answered_calls = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        for index in 0..8 {
            let mut client = client(&server).await;
            let request = raw(&mut client, "first", &[index % 6]).await;
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answered_calls));
            // as behind a load balancer: clients learn that the server is not ready, and stay away from then on
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let answer = client.model_infer(request.clone()).await.expect("no call fails");
                    assert_eq!(answered(&answer.into_inner()), logits(&[index % 6]));
                    answers.fetch_add(1, Ordering::AcqRel);
                }
            }));
        }
        while answered_calls.load(Ordering::Acquire) < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.shut_down();
        while !server.classifier.draining() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = answered_calls.load(Ordering::Acquire);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(answered_calls.load(Ordering::Acquire) > before, "the drain's delay serves on");
        stop.store(true, Ordering::Release);
        for client in clients {
            client.await.unwrap();
        }
        assert!(server.drained().await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn clients_that_do_not_stop_get_a_goaway_and_lose_no_call_in_flight() {
    bounded(async {
        let mut server = Server::with_net(net::Options { drain_delay: Duration::ZERO, ..Default::default() }).await;
        let mut clients = Vec::new();
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let mut client = client(&server).await;
            let request = raw(&mut client, "first", &[4]).await;
            let begun = Arc::clone(&begun);
            // on and on, until the port is closed
            clients.push(tokio::spawn(async move {
                loop {
                    begun.fetch_add(1, Ordering::AcqRel);
                    match client.model_infer(request.clone()).await {
                        Ok(answer) => assert_eq!(answered(&answer.into_inner()), logits(&[4])),
                        // what could not be sent any more was refused before it began: another server may be asked
                        Err(status) => return status,
                    }
                }
            }));
        }
        while begun.load(Ordering::Acquire) < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.shut_down();
        for client in clients {
            let status = client.await.unwrap();
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
        assert!(server.drained().await.is_clean());
        let [received, succeeded, failed, rejected, cancelled] = super::support::mock::account(&server.classifier);
        assert_eq!((received, failed, rejected, cancelled), (succeeded, 0, 0, 0), "what was begun was answered");
    })
    .await;
}

#[tokio::test]
async fn a_stream_gets_the_answers_of_what_it_has_sent_and_is_told_to_go_elsewhere() {
    bounded(async {
        let mut server = Server::with_net(net::Options { drain_delay: Duration::ZERO, ..Default::default() }).await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "first", &[2]).await;
        let (sender, receiver) = mpsc::channel(4);
        let requests =
            stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| Some((receiver.recv().await?, receiver)));
        let mut answers = client.model_stream_infer(requests).await.unwrap().into_inner();
        server.engine.hold();
        sender.send(request).await.unwrap();
        server.runs().await;
        server.shut_down();
        while TcpStream::connect(server.grpc).await.is_ok() {}
        server.engine.release();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answered(&answer.infer_response.unwrap()), logits(&[2]));
        is(answers.message().await, Code::Unavailable, "stop");
        assert!(server.drained().await.is_clean(), "a stream that stays open holds up no drain");
        drop(sender);
    })
    .await;
}
