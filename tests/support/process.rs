//! A real `convnext serve` with its two ports and its memory. Not here: what it is asked.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// `convnext serve` with these arguments and nothing of the configuration of whoever runs the tests.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
        command.env_remove(name);
    }
    // no load balancer has to learn of its end; a test that wants the delay says so
    command.arg("serve").args(args).env("CONVNEXT_DRAIN_DELAY", "0s").stdin(Stdio::null());
    command
}

/// A server that runs; killed when dropped.
pub struct Process {
    child: Child,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub grpc: SocketAddr,
}

impl Process {
    /// Waits until it says where it listens.
    pub fn serve(args: &[&str]) -> Self {
        Self::serve_with(args, &[])
    }

    /// The same with variables of its environment.
    pub fn serve_with(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(&[&["--log", "off"], args].concat());
        Self::begin(command.envs(environment.iter().copied()))
    }

    /// The same with a log, which goes where it is told.
    pub fn serve_logging_to(stderr: Stdio, args: &[&str]) -> Self {
        Self::begin(command(args).stderr(stderr))
    }

    fn begin(command: &mut Command) -> Self {
        let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
        let mut child = command.args(ports).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = |words: &str| {
            let line = lines.next().expect("the server says where it listens");
            let address = line.strip_prefix(words).unwrap_or_else(|| panic!("{words:?} begins {line:?}"));
            address.parse().unwrap()
        };
        let (http, admin) = (address("listening on http://"), address("admin on http://"));
        let grpc = address("grpc on http://");
        Self { child, http, admin, grpc }
    }

    /// Ends it as a supervisor does. The exit code, once it has drained.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // fails when it has ended already, which is as good
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
