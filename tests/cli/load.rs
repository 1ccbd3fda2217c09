//! `convnext load` against the real server, and against one that stalls or refuses.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::{IMAGES, convnext, failure, stdout};

/// A server of one model that answers as `answer` says, which is told the number of the request; several at a time.
fn mock(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shared = Arc::new((answer, Mutex::new(0)));
    thread::Builder::new()
        .spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::Builder::new().spawn(move || drop(serve(stream, &shared.0, &shared.1))).unwrap();
            }
        })
        .unwrap();
    url
}

fn serve(stream: TcpStream, answer: &impl Fn(usize) -> u16, count: &Mutex<usize>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((_, value)) = line.to_lowercase().split_once("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        stream.read_exact(&mut vec![0; length])?;
        let (status, body) = if head.starts_with("GET /models") {
            let input = r#""input": {"height": 4, "width": 4}"#;
            (200, format!(r#"[{{"name": "m", "ready": true, "default": true, {input}}}]"#))
        } else {
            let number = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count - 1
            };
            (answer(number), "[]".to_owned())
        };
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(text.as_bytes())?;
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&stdout(&[&["load", "--json", "--warm-up", "0s"], args].concat())).unwrap()
}

#[test]
fn the_demo_model_is_loaded_over_each_route_in_both_loops() {
    let server = Process::serve(&["--models", "convnext_atto"]);
    let url = format!("http://{}", server.http);
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("load.svg");
    for (args, route) in [
        (&["--images", IMAGES, "--clients", "2"][..], "/classify?model=convnext_atto"),
        (&["--route", "oip-image", "--images", IMAGES, "--clients", "1"], "/v2/models/convnext_atto_image/infer"),
        (&["--route", "oip", "--model", "convnext_atto", "--clients", "2"], "/v2/models/convnext_atto/infer"),
        (
            &["--images", IMAGES, "--rate", "40", "--arrivals", "poisson", "--plot", plot.to_str().unwrap()],
            "/classify?model=convnext_atto",
        ),
    ] {
        let report = json(&[&[&url[..], "--seconds", "0.5"], args].concat());
        assert_eq!(report["url"], format!("{url}{route}"));
        let requests = number(&report["requests"]);
        assert!(requests > 0.0 && report["failed"] == 0 && number(&report["statuses"]["200"]) == requests, "{report}");
        assert!(number(&report["images_per_second"]) > 0.0, "{report}");
        let latency = ["p50", "p90", "p99", "p99.9", "max"].map(|name| number(&report["latency_ms"][name]));
        assert!(latency[0] > 0.0 && latency.is_sorted(), "{report}");
        assert_eq!((&report["timed_out"], &report["late"]), (&0.into(), &0.into()));
    }
    assert!(std::fs::read_to_string(plot).unwrap().contains("poisson"));
    let grpc = format!("http://{}", server.grpc);
    for (model, load) in [("convnext_atto", &["--clients", "2"][..]), ("convnext_atto_image", &["--rate", "40"])] {
        let args = [&grpc[..], "--route", "grpc", "--model", model, "--images", IMAGES, "--seconds", "0.3"];
        let report = json(&[&args[..], load].concat());
        assert!(report["failed"] == 0 && number(&report["statuses"]["Ok"]) > 0.0, "{report}");
    }
    let (code, error) = failure(&["load", &grpc, "--route", "grpc", "--model", "resnet"]);
    assert!(code == 1 && error.contains("NotFound: ") && error.contains("resnet"), "{error}");
    let text = stdout(&["load", &url, "--images", &format!("{IMAGES}/bag.png"), "--seconds", "0.2", "--warm-up", "0s"]);
    assert!(text.contains("8 clients") && text.contains("p99.9") && text.contains("0 failed"), "{text}");
    let (code, error) = failure(&["load", &url, "--route", "oip", "--model", "resnet"]);
    assert!(code == 1 && error.contains("no model resnet; there are convnext_atto"), "{error}");
}

#[test]
fn a_stall_of_the_server_shows_in_the_latency_at_a_rate_and_is_one_answer_to_a_client() {
    let stalls = || {
        let turn = Mutex::new(());
        mock(move |number| {
            let _turn = turn.lock().unwrap();
            if number == 10 {
                #[expect(clippy::disallowed_methods, reason = "the stall")]
                thread::sleep(Duration::from_millis(500));
            }
            200
        })
    };
    let image = format!("{IMAGES}/bag.png");
    let run = |load: &[&str]| json(&[&[&stalls()[..], "--images", &image, "--seconds", "1"], load].concat());
    let (open, one, closed) = thread::scope(|scope| {
        let open = scope.spawn(|| run(&["--rate", "100"]));
        let one = scope.spawn(|| run(&["--rate", "100", "--clients", "1"]));
        let closed = run(&["--clients", "1"]);
        (open.join().unwrap(), one.join().unwrap(), closed)
    });
    // half of the 100 requests are due in the stall, and a fifth of those wait for four fifths of it or more
    assert_eq!((&open["requests"], &open["failed"]), (&100.into(), &0.into()));
    assert!(number(&open["latency_ms"]["p90"]) > 300.0, "{open}");
    // and with one place, for which the others wait
    assert!(number(&one["late"]) > 25.0 && number(&one["latency_ms"]["p90"]) > 300.0, "{one}");
    // to a client that waits it is one slow answer of hundreds
    assert!(number(&closed["latency_ms"]["max"]) > 450.0 && number(&closed["latency_ms"]["p90"]) < 300.0, "{closed}");
}

#[test]
fn a_request_that_fails_is_told_by_its_status_and_the_command_fails() {
    let url = mock(|number| if number % 2 == 0 { 200 } else { 429 });
    let args = ["load", &url, "--images", IMAGES, "--rate", "50", "--seconds", "0.4", "--warm-up", "0s", "--json"];
    let output = convnext(&args);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "convnext: 10 of 20 requests failed\n");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["statuses"]["200"], &report["statuses"]["429"]), (&10.into(), &10.into()), "{report}");
}

#[test]
fn a_server_that_there_is_not_is_named_before_anything_is_sent() {
    // bound and dropped: nobody listens there
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, error) = failure(&["load", &format!("http://{address}"), "--route", "oip"]);
    assert!(code == 1 && error.contains("refused") && error.contains("/models"), "{error}");
}
