//! The admin port over a socket, beside HTTP, before a mock engine: commands, log level, statuses, and who is refused.
//! Not here: what commands do (`lifecycle`), the routes that every port has (`http`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod bench;
mod commands;
mod log_level;
mod openapi;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use convnext_server::auth::{Access, Keys, Policy};
use convnext_server::net::{self, Port};
use convnext_server::service::{Classifier, NamedModel, Settings};
use convnext_server::telemetry::{self, LogFormat, LogLevel};
use convnext_server::{admin, http};
use support::http::{Answer, Client, keys, request};
use support::mock::{Conductor, MockEngine, broken, checkpoint, model, model_from};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The log level, which the process has once.
fn log_level() -> LogLevel {
    static LEVEL: OnceLock<LogLevel> = OnceLock::new();
    LEVEL.get_or_init(|| telemetry::init(LogFormat::Json, "off").unwrap().0).clone()
}

/// A server of the models `m` and `other` with both of its ports.
struct Server {
    classifier: Classifier,
    engine: Conductor,
    http: SocketAddr,
    admin: SocketAddr,
    /// Why `m` does not load, if it does not.
    broken: Arc<Mutex<Option<&'static str>>>,
    /// Dropping it stops the server.
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with_connections(Port::DEFAULT_MAX_CONNECTIONS).await
    }

    /// With so many connections of HTTP at most.
    async fn with_connections(max_connections: usize) -> Self {
        Self::with(max_connections, None).await
    }

    /// With keys on the admin port.
    async fn with_keys(entries: &[(&str, &str, &str)]) -> Self {
        Self::with(Port::DEFAULT_MAX_CONNECTIONS, Some(keys(entries))).await
    }

    async fn with(max_connections: usize, keys: Option<Keys>) -> Self {
        let (engine, is_broken) = (Conductor::default(), Arc::new(Mutex::new(None)));
        let opened = Arc::clone(&is_broken);
        let source = move || match *opened.lock().unwrap() {
            Some(why) => Err(broken(why)),
            None => Ok(checkpoint("m")),
        };
        let models = vec![
            NamedModel { baseline: Some("other".to_owned()), ..model_from("m", Arc::new(source)) },
            model("other", "other"),
        ];
        let settings = Settings { decode_threads: 1, ..Settings::default() };
        let (classifier, loading) = Classifier::start(Arc::new(MockEngine::new(&engine)), models, settings).unwrap();
        loading.done().await.unwrap();
        engine.forget();

        let (listener, admin_listener) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (http, admin) = (listener.local_addr().unwrap(), admin_listener.local_addr().unwrap());
        let router = http::router(classifier.clone(), http::Options::default());
        let access = keys.map(|keys| Access::new(Some(&keys), Policy::default(), classifier.metrics().access()));
        let admin_router = admin::router(classifier.clone(), log_level(), http::MetricsCompat::None, access);
        let ports = vec![
            Port { name: "http", listener, router, max_connections, tls: None },
            Port { name: "admin", listener: admin_listener, router: admin_router, max_connections: 8, tls: None },
        ];
        let (stop, stopped) = oneshot::channel::<()>();
        let served = classifier.clone();
        tokio::spawn(async move {
            let begin_drain = || served.begin_drain();
            net::serve(ports, net::Options::default(), served.metrics(), begin_drain, async { drop(stopped.await) })
                .await
        });
        Self { classifier, engine, http, admin, broken: is_broken, _stop: stop }
    }

    /// One request to the admin port; `head` is the method, the path and further headers.
    async fn ask(&self, head: &str, body: impl AsRef<[u8]>) -> Answer {
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let separator = if headers.is_empty() { "" } else { "\r\n" };
        let mut client = Client::to(self.admin).await;
        client.send(request(&format!("{line} HTTP/1.1{separator}{headers}"), body)).await;
        client.answer().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.engine.release();
        self.engine.release_loads();
    }
}
