//! The drain: what a load balancer and the clients of a stopping server see.

use std::time::Duration;

use convnext_server::net;
use tokio::net::TcpStream;

use super::POST;
use super::support::http::{Server, bounded, label, request};
use super::support::mock::image;

#[tokio::test]
async fn a_drain_tells_the_probes_first_serves_on_and_ends_when_all_is_answered() {
    bounded(async {
        let options = net::Options { drain_delay: Duration::from_millis(500), ..net::Options::default() };
        let mut server = Server::with_net(options).await;
        server.engine.hold();
        let mut running = server.connect().await;
        running.send(request(POST, image(5))).await;
        server.runs().await;
        let mut kept = server.connect().await;
        kept.send(request("GET /livez HTTP/1.1", "")).await;
        assert_eq!(kept.answer().await.header("connection"), None);

        server.shut_down();
        while server.get("/readyz").await.status == 200 {}
        let answer = server.get("/readyz").await;
        assert!(answer.error(503).contains("drain"));
        assert_eq!(server.get("/livez").await.status, 200, "live throughout");
        kept.send(request(POST, image(2))).await; // on a connection from before, and while draining
        server.engine.release();
        let answer = kept.answer().await;
        assert_eq!(answer.ok()[0]["label"], label(2));
        assert_eq!(answer.header("connection"), Some("close"));
        kept.closed().await;
        assert_eq!(running.answer().await.ok()[0]["label"], label(5));
        assert!(server.drained().await.is_clean());
        assert!(TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    })
    .await;
}

#[tokio::test]
async fn a_drain_waits_for_what_runs_after_the_listener_is_closed() {
    bounded(async {
        let options = net::Options { drain_delay: Duration::ZERO, ..net::Options::default() };
        let mut server = Server::with_net(options).await;
        server.engine.hold();
        let mut running = server.connect().await;
        running.send(request(POST, image(5))).await;
        server.runs().await;
        server.shut_down();
        while TcpStream::connect(server.address).await.is_ok() {}
        server.engine.release();
        assert_eq!(running.answer().await.ok()[0]["label"], label(5));
        assert!(server.drained().await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_off_what_is_left() {
    bounded(async {
        let (drain_delay, drain_timeout) = (Duration::ZERO, Duration::from_millis(100));
        let options = net::Options { drain_delay, drain_timeout, ..net::Options::default() };
        let mut server = Server::with_net(options).await;
        server.engine.hold();
        let mut running = server.connect().await;
        running.send(request(POST, image(5))).await;
        server.runs().await;
        server.shut_down();
        assert_eq!(server.drained().await.cut_off, 1);
        running.closed().await;
    })
    .await;
}
