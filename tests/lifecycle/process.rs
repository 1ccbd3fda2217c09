//! A real `convnext serve` with its two ports and its memory. Not here: what it is asked (`soak`).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// `convnext serve` with these arguments and nothing of the configuration of whoever runs the tests.
pub(super) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
        command.env_remove(name);
    }
    command.arg("serve").args(args).stdin(Stdio::null());
    command
}

/// A server that runs; killed when dropped.
pub(super) struct Process {
    child: Child,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Process {
    /// Waits until it says where it listens.
    pub(super) fn serve(args: &[&str]) -> Self {
        let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--log", "off"];
        let mut child = command(&[&ports, args].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = |words: &str| {
            let line = lines.next().expect("the server says where it listens");
            let address = line.strip_prefix(words).unwrap_or_else(|| panic!("{words:?} begins {line:?}"));
            address.parse().unwrap()
        };
        let (http, admin) = (address("listening on http://"), address("admin on http://"));
        Self { child, http, admin }
    }

    /// Resident memory in KiB.
    pub(super) fn resident(&self) -> u64 {
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
