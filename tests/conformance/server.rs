//! The real binary as a process of its own, and other programs that talk to it. Not here: who talks and what must come back.

use std::env;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::emulated;

/// Longer than anything here takes on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(30);
/// An image of the demo models' kind, and what it shows.
pub(crate) const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/images/ankle-boot.png");
pub(crate) const LABEL: &str = "Ankle boot";

/// A served demo model on ports of its own; killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// What it prints. Closed when it ends.
    lines: Receiver<String>,
    /// The URL of HTTP, without a slash at its end.
    pub(crate) base: String,
    /// The address of gRPC.
    pub(crate) grpc: String,
    /// The URL of the admin port.
    pub(crate) admin: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&["--drain-delay", "0s"])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
        let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
        command.arg("serve").args(ports).args(args);
        if emulated::inside() {
            // larger buckets and their checks take an emulator minutes
            command.args(["--device", "cuda", "--max-batch", "1"]);
        }
        // The configuration of whoever runs the tests is not the test's.
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")).for_each(|(name, _)| {
            command.env_remove(name);
        });
        let server = Self::of(&mut command);
        assert!(server.base.contains("://127.0.0.1:"), "{}", server.base);
        server
    }

    /// What this command starts.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = sync_channel(1_000);
        let reader = thread::Builder::new().name("stdout".to_owned());
        // Reads on to the end, so that the server never waits for us; what we no longer take is let go.
        reader
            .spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.try_send(line))))
            .unwrap();

        let mut server = Self { process, lines, base: String::new(), grpc: String::new(), admin: String::new() };
        while server.base.is_empty() || server.grpc.is_empty() {
            let line = server.lines.recv_timeout(BOUND).expect("the server says where it listens");
            if let Some(base) = line.strip_prefix("listening on ") {
                base.trim().clone_into(&mut server.base);
            }
            if let Some(base) = line.strip_prefix("admin on ") {
                base.trim().clone_into(&mut server.admin);
            }
            if let Some((_, address)) = line.strip_prefix("grpc on ").and_then(|url| url.split_once("://")) {
                address.trim().clone_into(&mut server.grpc);
            }
        }
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Host and port of HTTP.
    pub(crate) fn http(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// SIGTERM, and the exit that follows.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status().unwrap().success());
        loop {
            match self.lines.recv_timeout(BOUND) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.process.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the server still runs {BOUND:?} after SIGTERM"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended already, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A curl that fails on an error status, and speaks only then.
pub(crate) fn curl_command(curl: &Path) -> Command {
    let mut command = Command::new(curl);
    command.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]);
    command.arg("--max-time").arg(BOUND.as_secs().to_string());
    command
}

/// One of the Python scripts beside this file, with what it is told.
pub(crate) fn script<S: AsRef<OsStr>>(python: &Path, name: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(name)).args(arguments);
    command
}

/// What a program that succeeds says.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{told}\n{errors}", output.status);
    told.into_owned()
}
