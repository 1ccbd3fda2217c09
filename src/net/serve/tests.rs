//! Two ports under one server: each has its own limit, and they drain together.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::*;

/// Two ports, each with `/` and with `/slow`, which needs a permit to finish.
struct Server {
    addresses: [SocketAddr; 2],
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    started: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    drain_begun: oneshot::Receiver<()>,
    served: JoinHandle<Drained>,
}

impl Server {
    async fn start(max_connections: [usize; 2], options: Options) -> Self {
        let (permits, started) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (mut ports, mut addresses) = (Vec::new(), Vec::new());
        for (name, max_connections) in ["http", "admin"].into_iter().zip(max_connections) {
            let (permits, started) = (Arc::clone(&permits), Arc::clone(&started));
            let slow = move || async move {
                started.add_permits(1);
                permits.acquire().await.map(|_| "done").unwrap_or_default()
            };
            let router = Router::new().route("/", get(async move || name)).route("/slow", get(slow));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            ports.push(Port { name, listener, router, max_connections, tls: None });
        }
        let metrics = Arc::new(Metrics::new().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let (begin_drain, drain_begun) = oneshot::channel();
        let counted = Arc::clone(&metrics);
        let served = tokio::spawn(async move {
            let begin_drain = || begin_drain.send(()).unwrap();
            serve(ports, options, &counted, begin_drain, async { drop(stopped.await) }).await
        });
        let addresses = addresses.try_into().unwrap();
        Self { addresses, metrics, permits, started, stop, drain_begun, served }
    }

    async fn connect(&self, port: usize) -> TcpStream {
        TcpStream::connect(self.addresses[port]).await.unwrap()
    }

    fn refused(&self) -> bool {
        let text = String::from_utf8(self.metrics.encode().unwrap().0).unwrap();
        text.contains("convnext_rejected_total{reason=\"connections\"} 1\n")
    }
}

async fn send(client: &mut TcpStream, path: &str) {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads until the answer ends with these words.
async fn answered(client: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_full_port_refuses_connections_and_leaves_the_other_reachable() {
    let server = Server::start([1, 1], Options::default()).await;
    let mut first = server.connect(0).await;
    send(&mut first, "/").await;
    answered(&mut first, "http").await;
    let mut second = server.connect(0).await;
    let refusal = answered(&mut second, "too many connections\"}").await;
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(server.refused());
    let mut admin = server.connect(1).await;
    send(&mut admin, "/").await;
    answered(&mut admin, "admin").await;
}

#[tokio::test]
async fn at_a_drain_all_listeners_close_and_what_runs_on_each_port_is_finished() {
    let options = Options { drain_delay: Duration::ZERO, ..Options::default() };
    let server = Server::start([10, 10], options).await;
    let mut clients = [server.connect(0).await, server.connect(1).await];
    for client in &mut clients {
        send(client, "/slow").await;
    }
    server.started.acquire_many(2).await.unwrap().forget();
    server.stop.send(()).unwrap();
    server.drain_begun.await.unwrap();
    for address in server.addresses {
        while TcpStream::connect(address).await.is_ok() {}
    }
    server.permits.add_permits(2);
    for client in &mut clients {
        answered(client, "done").await;
    }
    assert!(server.served.await.unwrap().is_clean());
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_off_what_runs_on_every_port() {
    let options = Options { drain_delay: Duration::ZERO, drain_timeout: Duration::ZERO, ..Options::default() };
    let server = Server::start([10, 10], options).await;
    let mut clients = [server.connect(0).await, server.connect(1).await];
    for client in &mut clients {
        send(client, "/slow").await;
    }
    server.started.acquire_many(2).await.unwrap().forget();
    server.stop.send(()).unwrap();
    assert_eq!(server.served.await.unwrap(), Drained { cut_off: 2 });
}

#[tokio::test]
async fn a_server_without_ports_serves_until_it_is_stopped() {
    let metrics = Metrics::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = Options { drain_delay: Duration::ZERO, ..Options::default() };
    let serving = serve(Vec::new(), options, &metrics, || (), async { drop(stopped.await) });
    let mut serving = std::pin::pin!(serving);
    assert_eq!(serving.as_mut().now_or_never(), None);
    drop(stop);
    assert!(serving.await.is_clean());
}
