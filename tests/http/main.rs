//! HTTP over a socket, before a mock engine: routes, forms, errors, clients as they are, and the drain.
//!
//! Not here: the access log (`http_log`). Its tests each set a subscriber for their own thread. A log line that another thread
//! of the process reaches first, without a subscriber, may be switched off for all threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod certificates;
mod clients;
mod coding;
mod cors;
mod drain;
mod edges;
mod errors;
mod forms;
mod metrics;
mod openapi;
mod others;
mod process;
mod routes;
mod secured;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod v2;

/// The first line of a classification of one image.
const POST: &str = "POST /classify HTTP/1.1";
/// The first lines of a classification by [`form_data`].
const POST_FORM: &str = "POST /classify?top_k=1 HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=XX";

/// The multipart body of these parts.
fn form_data(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    [&body[..], b"--XX--\r\n"].concat()
}
