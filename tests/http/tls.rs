//! TLS on a port: what clients agree on, who is let in, and that connections behave as they do without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use convnext_server::metrics::Metrics;
use convnext_server::net::{self, ClientAuth, Drained, Options, Peer, Pem, Port, Tls, TlsError};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::certificates::{Authority, Identity, connect};
use super::support::http::bounded;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ONE_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A port with TLS, with `/` and with `/slow`, which needs a permit to finish.
struct Server {
    address: SocketAddr,
    tls: Tls,
    metrics: Arc<Metrics>,
    permits: Arc<Semaphore>,
    started: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Drained>,
}

fn pem<'a>(identity: &'a Identity, client_ca: Option<&'a str>) -> Pem<'a> {
    Pem {
        certificate: identity.certificate.as_bytes(),
        key: identity.key.as_bytes(),
        client_ca: client_ca.map(str::as_bytes),
        client_crl: None,
    }
}

impl Server {
    async fn start(identity: &Identity) -> Self {
        let (tls, _) = Tls::new(&pem(identity, None), ClientAuth::Require).unwrap();
        Self::with(tls, 100, Options::default()).await
    }

    async fn with(tls: Tls, max_connections: usize, options: Options) -> Self {
        let (permits, started) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (of_slow, begun) = (Arc::clone(&permits), Arc::clone(&started));
        let slow = move || async move {
            begun.add_permits(1);
            of_slow.acquire().await.map(|_| "done").unwrap_or_default()
        };
        let who = async |peer: Option<Extension<Peer>>| match peer {
            Some(Extension(Peer { certificate: true })) => "known",
            Some(_) => "stranger",
            None => "no TLS",
        };
        let router = Router::new().route("/", get(async || "hello")).route("/slow", get(slow)).route("/who", get(who));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let port = Port { name: "http", listener, router, max_connections, tls: Some(tls.clone()) };
        let metrics = Arc::new(Metrics::new().unwrap());
        let counted = Arc::clone(&metrics);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            net::serve(vec![port], options, &counted, || (), async { drop(stopped.await) }).await
        });
        Self { address, tls, metrics, permits, started, stop: Some(stop), served }
    }

    async fn failed(&self, reason: &str) {
        let line = format!("convnext_tls_handshakes_failed_total{{reason=\"{reason}\"}} 1\n");
        while !String::from_utf8(self.metrics.encode().unwrap().0).unwrap().contains(&line) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// All that comes until the close.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // a close without a word of TLS is one too
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn until(stream: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await.expect("the connection is open"));
    }
    String::from_utf8(text).unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn http_1_and_2_are_agreed_on_and_answered() {
    bounded(async {
        let authority = Authority::new("a");
        let server = Server::start(&authority.identity()).await;
        for protocols in [&["http/1.1"][..], &[]] {
            let mut stream = connect(&authority.client(None, protocols), server.address).await.unwrap();
            stream.write_all(ONE_REQUEST).await.unwrap();
            assert!(rest(&mut stream).await.ends_with("hello"));
        }
        let stream = connect(&authority.client(None, &["h2", "http/1.1"]), server.address).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let request = axum::http::Request::get("https://localhost/").body(axum::body::Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn plain_http_is_told_in_words_and_others_go_on() {
    bounded(async {
        let authority = Authority::new("a");
        let server = Server::start(&authority.identity()).await;
        let mut plain = TcpStream::connect(server.address).await.unwrap();
        plain.write_all(REQUEST).await.unwrap();
        let answer = rest(&mut plain).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("https:// in its URL\"}"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{answer}");
        server.failed("plain_http").await;
        let mut stream = connect(&authority.client(None, &[]), server.address).await.unwrap();
        stream.write_all(ONE_REQUEST).await.unwrap();
        assert!(rest(&mut stream).await.ends_with("hello"));
    })
    .await;
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_dropped_and_holds_up_nobody() {
    bounded(async {
        let authority = Authority::new("a");
        let (tls, _) = Tls::new(&pem(&authority.identity(), None), ClientAuth::Require).unwrap();
        let options = Options { header_timeout: Duration::from_millis(200), ..Options::default() };
        let server = Server::with(tls, 100, options).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(server.address).await.unwrap());
        }
        // the start of a record that never ends
        silent[0].write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        let began = tokio::time::Instant::now();
        let mut stream = connect(&authority.client(None, &[]), server.address).await.unwrap();
        stream.write_all(ONE_REQUEST).await.unwrap();
        assert!(rest(&mut stream).await.ends_with("hello"));
        assert!(began.elapsed() < Duration::from_secs(5));
        for mut stream in silent {
            assert_eq!(rest(&mut stream).await, "");
        }
        drop(TcpStream::connect(server.address).await.unwrap()); // who looks whether a port is open
        server.failed("closed").await;
        let mut nonsense = TcpStream::connect(server.address).await.unwrap();
        nonsense.write_all(&[0x16; 100]).await.unwrap();
        rest(&mut nonsense).await;
        server.failed("broken").await;
        let text = String::from_utf8(server.metrics.encode().unwrap().0).unwrap();
        assert!(text.contains("convnext_tls_handshakes_failed_total{reason=\"timeout\"} 20\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_full_port_refuses_in_tls() {
    bounded(async {
        let authority = Authority::new("a");
        let (tls, _) = Tls::new(&pem(&authority.identity(), None), ClientAuth::Require).unwrap();
        let server = Server::with(tls, 1, Options::default()).await;
        let client = authority.client(None, &[]);
        let mut first = connect(&client, server.address).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        until(&mut first, "hello").await;
        let mut second = connect(&client, server.address).await.unwrap();
        let refusal = rest(&mut second).await;
        assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("too many connections"), "{refusal}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_only_ends_what_it_sends_gets_its_answer() {
    bounded(async {
        let authority = Authority::new("a");
        let server = Server::start(&authority.identity()).await;
        let mut stream = connect(&authority.client(None, &[]), server.address).await.unwrap();
        stream.write_all(SLOW).await.unwrap();
        server.started.acquire().await.unwrap().forget();
        stream.shutdown().await.unwrap(); // says so in TLS, and closes its half of the socket
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.permits.add_permits(1);
        let answer = rest(&mut stream).await;
        assert!(answer.ends_with("done"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request_with_a_word_of_tls_or_without() {
    bounded(async {
        let authority = Authority::new("a");
        for says_so in [true, false] {
            let server = Server::start(&authority.identity()).await;
            let held = Arc::strong_count(&server.permits);
            let mut stream = connect(&authority.client(None, &[]), server.address).await.unwrap();
            stream.write_all(SLOW).await.unwrap();
            server.started.acquire().await.unwrap().forget();
            assert_eq!(Arc::strong_count(&server.permits), held + 1, "it runs");
            if says_so {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            while Arc::strong_count(&server.permits) > held {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn at_a_drain_what_runs_is_finished_and_a_handshake_is_not_waited_for_long() {
    bounded(async {
        let authority = Authority::new("a");
        let (tls, _) = Tls::new(&pem(&authority.identity(), None), ClientAuth::Require).unwrap();
        let options = Options { drain_delay: Duration::ZERO, ..Options::default() };
        let mut server = Server::with(tls, 100, options).await;
        let silent = TcpStream::connect(server.address).await.unwrap();
        let mut stream = connect(&authority.client(None, &[]), server.address).await.unwrap();
        stream.write_all(SLOW).await.unwrap();
        server.started.acquire().await.unwrap().forget();
        drop(server.stop.take());
        while TcpStream::connect(server.address).await.is_ok() {}
        server.permits.add_permits(1);
        assert!(rest(&mut stream).await.ends_with("done"));
        let began = tokio::time::Instant::now();
        assert!(server.served.await.unwrap().is_clean());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(silent);
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_a_broken_one_changes_nothing() {
    bounded(async {
        let authority = Authority::new("a");
        let (old, new) = (authority.identity_until(2080), authority.identity_until(2081));
        let server = Server::start(&old).await;
        let client = authority.client(None, &[]);
        let mut before = connect(&client, server.address).await.unwrap();
        assert_eq!(shown(&before), der(&old));
        let mixed = Identity { key: old.key.clone(), ..new.clone() };
        assert!(matches!(server.tls.replace(&pem(&mixed, None)), Err(TlsError::Key(_))));
        assert_eq!(shown(&connect(&client, server.address).await.unwrap()), der(&old));
        let end = server.tls.replace(&pem(&new, None)).unwrap().unwrap();
        let years = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / (365 * 24 * 3600 + 6 * 3600);
        assert_eq!(years, 2081 - 1970);
        assert_eq!(shown(&connect(&client, server.address).await.unwrap()), der(&new));
        before.write_all(ONE_REQUEST).await.unwrap();
        assert!(rest(&mut before).await.ends_with("hello"), "an open connection goes on");
    })
    .await;
}

#[tokio::test]
async fn where_clients_need_a_certificate_strangers_get_no_connection() {
    bounded(async {
        let (authority, clients, strangers) = (Authority::new("a"), Authority::new("b"), Authority::new("c"));
        let ca = clients.pem();
        let (tls, _) = Tls::new(&pem(&authority.identity(), Some(&ca)), ClientAuth::Require).unwrap();
        let server = Server::with(tls, 100, Options::default()).await;
        for identity in [None, Some(strangers.identity())] {
            // in TLS 1.3 a client learns of it when it reads
            let refused = match connect(&authority.client(identity.as_ref(), &[]), server.address).await {
                Err(_) => true,
                Ok(mut stream) => {
                    let _ = stream.write_all(ONE_REQUEST).await;
                    rest(&mut stream).await.is_empty()
                }
            };
            assert!(refused);
        }
        let mut known = connect(&authority.client(Some(&clients.identity()), &[]), server.address).await.unwrap();
        known.write_all(b"GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut known).await.ends_with("known"));
        let text = String::from_utf8(server.metrics.encode().unwrap().0).unwrap();
        assert!(text.contains("convnext_tls_handshakes_failed_total{reason=\"client_certificate\"} 2\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_revoked_certificate_gets_no_connection_nor_does_one_of_an_authority_without_a_list() {
    bounded(async {
        let (authority, clients, others) = (Authority::new("a"), Authority::new("b"), Authority::new("c"));
        let both = clients.pem() + &others.pem();
        let (lost, kept, other) = (clients.identity_of(7), clients.identity_of(8), others.identity_of(7));
        let identity = authority.identity();
        let with = |crl: &'static str| Pem { client_crl: Some(crl.as_bytes()), ..pem(&identity, Some(&both)) };
        let leak = |crl: String| &*crl.leak();
        let (none, one, old) = (clients.crl(&[], 2090), clients.crl(&[7], 2090), clients.crl(&[], 2020));
        let (none, one, old) = (leak(none), leak(one), leak(old));
        let (tls, _) = Tls::new(&with(one), ClientAuth::Require).unwrap();
        let server = Server::with(tls, 100, Options::default()).await;
        let answered =
            async |identity: &Identity| match connect(&authority.client(Some(identity), &[]), server.address).await {
                Err(_) => false,
                Ok(mut stream) => {
                    let _ = stream.write_all(ONE_REQUEST).await;
                    rest(&mut stream).await.ends_with("hello")
                }
            };
        let asked = async || [answered(&lost).await, answered(&kept).await, answered(&other).await];
        assert_eq!(asked().await, [false, true, false]);
        for (crl, words) in [(old, "has expired"), ("", "no BEGIN X509 CRL")] {
            let error = server.tls.replace(&with(crl)).unwrap_err();
            assert!(matches!(error, TlsError::ClientCrl(_)) && error.to_string().contains(words), "{error}");
        }
        assert_eq!(asked().await, [false, true, false], "those from before hold");
        let of_both = leak(one.to_owned() + &others.crl(&[], 2090));
        server.tls.replace(&with(of_both)).unwrap();
        assert_eq!(asked().await, [false, true, true]);
        server.tls.replace(&with(none)).unwrap();
        assert_eq!(asked().await, [true, true, false]);
        let text = String::from_utf8(server.metrics.encode().unwrap().0).unwrap();
        assert!(text.contains("convnext_tls_handshakes_failed_total{reason=\"client_certificate\"} 6\n"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn where_probes_are_excepted_routes_learn_who_has_shown_a_certificate() {
    bounded(async {
        let (authority, clients, strangers) = (Authority::new("a"), Authority::new("b"), Authority::new("c"));
        let ca = clients.pem();
        let (tls, _) = Tls::new(&pem(&authority.identity(), Some(&ca)), ClientAuth::ExceptProbes).unwrap();
        let server = Server::with(tls, 100, Options::default()).await;
        for (identity, who) in
            [(None, "stranger"), (Some(clients.identity()), "known"), (Some(strangers.identity()), "")]
        {
            let answer = match connect(&authority.client(identity.as_ref(), &[]), server.address).await {
                Err(_) => String::new(),
                Ok(mut stream) => {
                    let _ = stream.write_all(b"GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                    rest(&mut stream).await
                }
            };
            let found = answer.rsplit("\r\n").next().unwrap();
            assert_eq!(found, who, "a certificate of another authority is refused, not ignored");
        }
    })
    .await;
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_do() {
    let authority = Authority::new("a");
    let (one, other) = (authority.identity(), authority.identity());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let ca = authority.pem();
    for (certificate, key, client_ca, words) in [
        (one.certificate.as_str(), other.key.as_str(), None, "the key is not that of the certificate"),
        ("", &one.key, None, "no BEGIN CERTIFICATE"),
        (&one.key, &one.key, None, "no BEGIN CERTIFICATE"),
        (broken, &one.key, None, "the certificate cannot be read"),
        (&one.certificate, "", None, "no BEGIN PRIVATE KEY"),
        (&one.certificate, &one.certificate, None, "no BEGIN PRIVATE KEY"),
        (&one.certificate, encrypted, None, "openssl pkey"),
        (&one.certificate, traditional, None, "the key "),
        (&one.certificate, &one.key, Some(""), "authorities of clients"),
        (&one.certificate, &one.key, Some(broken), "authorities of clients"),
    ] {
        let client_ca = client_ca.map(str::as_bytes);
        let pem = Pem { certificate: certificate.as_bytes(), key: key.as_bytes(), client_ca, client_crl: None };
        let error = Tls::new(&pem, ClientAuth::Require).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let (_, end) = Tls::new(&pem(&one, Some(&ca)), ClientAuth::Require).unwrap();
    assert!(end.unwrap() > SystemTime::now());
}
