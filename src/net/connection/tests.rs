//! The timeouts of a connection, by a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

const HEADER: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(75);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OPTIONS: Options = Options {
    header_timeout: HEADER,
    idle_timeout: IDLE,
    max_connection_age: Duration::ZERO,
    max_connection_age_grace: Duration::from_secs(30),
    drain_delay: Duration::from_secs(5),
    drain_timeout: Duration::from_secs(30),
};
/// What a client that sends no more is written.
const PROBED: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client's end of a connection that is being served.
struct Client {
    stream: DuplexStream,
    /// One permit lets one `/slow` finish.
    work: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Client {
    fn connect() -> Self {
        Self::with(OPTIONS)
    }

    fn with(options: Options) -> Self {
        let work = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&work);
        let working = move || async move { permits.acquire().await.map(|_| "done").unwrap_or_default() };
        let router = Router::new().route("/", get(|| async { "hello" })).route("/slow", get(working));
        let (stream, theirs) = duplex(64 << 10);
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let served = tokio::spawn(async move { serve(theirs, &protocol(), router, options, stopped, None).await });
        Self { stream, work, stop, served }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until `end` of an answer.
    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(self.stream.read_u8().await.expect("the connection is open"));
        }
        String::from_utf8(text).unwrap()
    }

    /// What comes before the close, and how long that takes.
    async fn closed(mut self) -> (String, Duration) {
        let began = Instant::now();
        let mut text = Vec::new();
        self.stream.read_to_end(&mut text).await.unwrap();
        self.served.await.unwrap();
        (String::from_utf8_lossy(&text).into_owned(), began.elapsed())
    }

    /// The connection closes after `limit`, give or take the clock's granularity of a millisecond.
    async fn closes_after(self, limit: Duration) {
        let (text, time) = self.closed().await;
        assert_eq!(text, "");
        assert!(time >= limit && time < limit + Duration::from_millis(10), "{time:?} instead of {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_closes_after_the_header_timeout() {
    Client::connect().closes_after(HEADER).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_closes_after_the_header_timeout_however_it_trickles() {
    let mut client = Client::connect();
    client.send(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..9 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send(b"X: y\r\n").await;
    }
    client.closes_after(HEADER - Duration::from_secs(9)).await;
}

#[tokio::test(start_paused = true)]
async fn the_start_of_an_http2_preface_closes_after_the_header_timeout() {
    let mut client = Client::connect();
    client.send(b"PRI * HTTP/2").await;
    client.closes_after(HEADER).await;
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_without_a_request_may_rest_for_the_idle_timeout_and_is_told_of_its_end() {
    let mut client = Client::connect();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM").await;
    client.send(b"\r\n\r\n\0\0\0\x04\0\0\0\0\0").await; // and empty SETTINGS
    let began = Instant::now();
    let mut frames = Vec::new();
    // pings and their answers would go on for ever: it is the first frame of GOAWAY that counts
    while !is_told_to_go(&frames) {
        let mut byte = [0];
        assert_eq!(client.stream.read(&mut byte).await.unwrap(), 1, "closed without a word: {frames:?}");
        frames.push(byte[0]);
        if frames.ends_with(PING) {
            let mut payload = [0; 8];
            client.stream.read_exact(&mut payload).await.unwrap();
            client.send(&[PONG, &payload].concat()).await;
        }
    }
    let time = began.elapsed();
    assert!(time >= IDLE && time < IDLE + Duration::from_millis(10), "{time:?}");
}

/// The head of a PING frame, and that of its answer.
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0];
const PONG: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0];

/// Whether these frames end with the head of a GOAWAY.
fn is_told_to_go(frames: &[u8]) -> bool {
    frames.ends_with(&[0, 0, 8, 7, 0, 0, 0, 0, 0])
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_of_http1_is_told_so_by_its_next_answer_and_not_before() {
    let age = Duration::from_secs(60);
    let mut client = Client::with(Options { max_connection_age: age, ..OPTIONS });
    client.send(REQUEST).await;
    assert!(!client.until("hello").await.contains("connection: close"));
    tokio::time::sleep(age + age / 5).await;
    client.send(REQUEST).await;
    assert!(client.until("hello").await.contains("connection: close"));
    assert_eq!(client.closed().await.0, "");
}

#[tokio::test(start_paused = true)]
async fn between_requests_a_connection_may_rest_for_the_idle_timeout() {
    let mut client = Client::connect();
    for _ in 0..3 {
        client.send(REQUEST).await;
        assert!(client.until("hello").await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    }
    client.send(REQUEST).await;
    client.until("hello").await;
    client.closes_after(IDLE).await;
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_later_request_has_the_header_timeout_too() {
    let mut client = Client::connect();
    client.send(REQUEST).await;
    client.until("hello").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    client.send(b"GET / HT").await;
    client.closes_after(HEADER).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_is_not_timed_here() {
    let mut client = Client::connect();
    client.send(SLOW).await;
    tokio::time::sleep(10 * IDLE).await;
    client.work.add_permits(1);
    client.until("done").await;
    client.closes_after(IDLE).await;
}

#[tokio::test(start_paused = true)]
async fn pings_of_http2_are_no_head_that_is_late_and_keep_no_connection_open() {
    let Client { stream, served, stop: _stop, .. } = Client::connect();
    let io = TokioIo::new(stream);
    let (mut sender, client) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let client = tokio::spawn(client);
    for _ in 0..3 {
        sender.ready().await.unwrap();
        let request = Request::get("http://a/").body(Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await; // the server pings meanwhile, and the client answers
    }
    let began = Instant::now();
    served.await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(1) + CLOSE_WITHIN, "{:?}", began.elapsed());
    client.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut client = Client::connect();
    let sent = async {
        // more than all buffers between us hold; each request has an answer that nobody takes
        while client.stream.write_all(REQUEST).await.is_ok() {}
    };
    let cut_off = tokio::time::timeout(2 * (IDLE + CLOSE_WITHIN), sent).await;
    assert!(cut_off.is_ok(), "writing fails once the connection is gone");
    client.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let mut client = Client::connect();
    client.work.add_permits(1);
    client.send(&[SLOW, REQUEST].concat()).await;
    client.until("done").await;
    client.until("hello").await;
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_an_idle_connection_closes_at_once() {
    let mut client = Client::connect();
    client.send(REQUEST).await;
    client.until("hello").await;
    client.stop.send(true).unwrap();
    client.closes_after(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_the_request_that_runs_is_answered() {
    let mut client = Client::connect();
    client.send(SLOW).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // until the paused clock has nothing else to do: it runs
    client.stop.send(true).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.work.add_permits(1);
    let (answer, _) = client.closed().await;
    assert!(answer.ends_with("done") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_a_new_connection_may_send_its_first_request() {
    let mut client = Client::connect();
    client.stop.send(true).unwrap();
    client.send(REQUEST).await;
    let (answer, _) = client.closed().await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_a_new_connection_that_sends_nothing_is_not_waited_for_long() {
    let client = Client::connect();
    client.stop.send(true).unwrap();
    client.closes_after(FIRST_REQUEST_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_a_head_that_does_not_end_is_not_waited_for_long() {
    let mut client = Client::connect();
    client.send(b"GET / HTTP/1.1\r\n").await;
    client.stop.send(true).unwrap();
    client.closes_after(FIRST_REQUEST_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_cancels_its_request() {
    for head in [SLOW, b"GET /slow HTTP/1.0\r\n\r\n"] {
        let mut client = Client::connect();
        client.send(head).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Client { stream, work, served, stop: _stop } = client;
        let began = Instant::now();
        drop(stream);
        served.await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(Arc::strong_count(&work), 1, "the handler was dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_ends_what_it_sends_gets_its_answer_however_long_that_takes() {
    let mut client = Client::connect();
    client.send(SLOW).await;
    client.stream.shutdown().await.unwrap();
    tokio::time::sleep(10 * IDLE).await;
    client.work.add_permits(1);
    let (answers, _) = client.closed().await;
    let (probe, answer) = answers.split_at(PROBED.len());
    assert_eq!(probe, PROBED, "it was asked, once, whether it is there");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http10_that_only_ends_what_it_sends_gets_its_answer_within_seconds() {
    for (waits, answered) in [(4, true), (6, false)] {
        let mut client = Client::connect();
        client.send(b"GET /slow HTTP/1.0\r\n\r\n").await;
        client.stream.shutdown().await.unwrap();
        tokio::time::sleep(Duration::from_secs(waits)).await;
        client.work.add_permits(1);
        let (answer, _) = client.closed().await;
        assert_eq!(answer.ends_with("done"), answered, "{answer}");
        assert!(!answer.contains("100"), "HTTP/1.0 knows no such answer: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_pipelined_requests_before_the_end_are_answered() {
    let mut client = Client::connect();
    client.work.add_permits(2);
    client.send(&[SLOW, REQUEST, SLOW].concat()).await;
    client.stream.shutdown().await.unwrap();
    let (answers, _) = client.closed().await;
    assert_eq!((answers.matches("done").count(), answers.matches("hello").count()), (2, 1), "{answers}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_hyper_refuses_is_answered_in_words() {
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(2 * MAX_BUFFER));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    for (sent, status) in [
        ("hello\r\n\r\n", &[400][..]),
        ("GET / HTTP/4\r\n\r\n", &[400]),
        (&long, &[431]),
        (&many, &[431]),
        (&target, &[414, 431]),
    ] {
        let mut client = Client::connect();
        client.send(REQUEST).await;
        client.until("hello").await;
        let (mut reads, mut writes) = tokio::io::split(client.stream);
        let sent = async move { drop(writes.write_all(sent.as_bytes()).await) };
        let mut answer = String::new();
        let (_, read) = tokio::join!(sent, reads.read_to_string(&mut answer));
        read.unwrap();
        assert!(status.iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} "))), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with("{\"error\":\"") && body.ends_with("\"}"), "{body}");
    }
}
