//! The real binary: what it makes of its addresses, of signals and of the limits that it is started under.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

/// `convnext serve`, started by a shell that says something first; killed when dropped.
struct Process {
    child: Child,
    http: String,
}

impl Process {
    fn start(before: &str, http_addr: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_convnext"), "serve"]);
        command.args([
            "--http-addr",
            http_addr,
            "--admin-addr",
            "localhost:0",
            "--grpc-addr",
            "localhost:0",
            "--drain-delay",
            "0s",
            "--log",
            "info",
        ]);
        command.env_remove("CONVNEXT_HTTP_ADDR").env_remove("CONVNEXT_MAX_CONNECTIONS");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let http = lines.next().expect("it says where it listens");
        assert!(lines.next().unwrap().starts_with("admin on http://127.0.0.1:"));
        assert!(lines.next().unwrap().starts_with("grpc on http://127.0.0.1:"));
        Self { child, http: http.strip_prefix("listening on http://").unwrap().to_owned() }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Its answer to a head without its last line, and a body.
    fn ask(&self, head: &str, body: &[u8]) -> String {
        let port = self.http.parse::<SocketAddr>().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
        client.write_all(body).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Whether it answers.
    fn is_ready(&self) -> bool {
        let answer = self.ask("GET /readyz HTTP/1.0", b"");
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200")
    }

    /// The soft limit of open files.
    fn open_files(&self) -> u64 {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Ends it as a supervisor does. The exit code and the log.
    fn terminate(mut self) -> (Option<i32>, String) {
        let mut stderr: ChildStderr = self.child.stderr.take().unwrap();
        self.signal("-TERM");
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn sighup_is_ignored_and_said_so() {
    let server = Process::start(":", "localhost:0");
    assert!(server.http.starts_with("127.0.0.1:"), "{}", server.http);
    for _ in 0..3 {
        server.signal("-HUP");
        assert!(server.is_ready());
    }
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGHUP is ignored"), "{log}");
}

#[test]
fn a_server_that_computes_nothing_says_so_wherever_its_device_shows() {
    let server = Process::start("export CONVNEXT_ENGINE=null", "localhost:0");
    let device = "null (no network is computed)";
    let bag = include_bytes!("../../models/images/bag.png");
    for (head, body, words) in [
        ("GET /models HTTP/1.0", &b""[..], format!("\"devices\":[\"{device}\"]")),
        ("GET /metrics HTTP/1.0", b"", format!("device=\"{device}\"")),
        ("GET /v2/models/convnext_atto HTTP/1.0", b"", format!("\"platform\":\"{device}\"")),
        ("GET /v2/models/convnext_atto/config HTTP/1.0", b"", format!("\"platform\":\"{device}\"")),
        ("POST /classify?detail=1 HTTP/1.0", bag, format!("\"device\":\"{device}\"")),
        // of ten classes all are alike
        ("POST /classify HTTP/1.0", bag, "\"score\":0.1}".to_owned()),
    ] {
        let answer = server.ask(head, body);
        assert!(answer.contains(" 200 ") && answer.contains(&words), "{head}: {words}: {answer}");
    }
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("NO NETWORK IS COMPUTED"), "{log}");
    let ready = log.lines().find(|line| line.contains("model ready")).unwrap();
    assert!(ready.contains("no network is computed"), "{ready}");
}

#[test]
fn a_soft_limit_of_open_files_is_raised_to_what_connections_need() {
    let server = Process::start("ulimit -S -n 256", ":0");
    assert!(server.http.starts_with("0.0.0.0:"), "{}", server.http);
    assert!(server.open_files() >= 4096 + 64, "{}", server.open_files());
    assert!(server.is_ready());
    let (_, log) = server.terminate();
    assert!(!log.contains("open files"), "{log}");
}

#[test]
fn a_hard_limit_of_open_files_that_is_too_low_is_a_warning() {
    let server = Process::start("ulimit -S -n 200; ulimit -H -n 300", "127.0.0.1:0");
    assert_eq!(server.open_files(), 300);
    assert!(server.is_ready());
    let (_, log) = server.terminate();
    assert!(log.contains("WARN") && log.contains("ulimit -n") && log.contains("limit=300"), "{log}");
}
