//! A server that is told to stop while a model still loads.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::support;

/// No test waits longer for what must come.
const BOUND: Duration = Duration::from_secs(20);

#[test]
fn a_server_that_is_told_to_stop_waits_for_no_model_that_still_loads() {
    // whoever opens this config.json waits for someone to write it
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let model = format!("slow={}", folder.path().display());
    let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
    let args = ["--models", &model, "--drain-delay", "0s", "--log-format", "json"];
    let mut child = support::process::command(&[&ports[..], &args].concat()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (live, is_live) = sync_channel(1);
    std::thread::Builder::new()
        .spawn(move || {
            // reads on to the end, so that the server never waits for us
            for line in lines {
                if line.contains("\"live\"") {
                    let _ = live.try_send(());
                }
            }
        })
        .unwrap();
    is_live.recv_timeout(BOUND).expect("the server is live while its model loads");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // the reader's end of the channel goes when standard error ends, with the process
    let ended = std::iter::repeat_with(|| is_live.recv_timeout(BOUND)).find(Result::is_err);
    if ended == Some(Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
        drop(child.kill());
        panic!("the server still runs {BOUND:?} after SIGTERM");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
