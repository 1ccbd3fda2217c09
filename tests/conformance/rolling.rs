//! Servers behind a real HAProxy are restarted one after the other, and one goes and comes back, under load: no request fails.
//!
//! The proxy asks `/readyz` and repeats nothing for its clients, so that a request that a server loses is a failure here. Not here: models that are
//! reloaded (`tests/lifecycle`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::provisioned;
use crate::server::BOUND;

const SERVERS: usize = 3;
const RESTARTS: usize = 20;
/// Until the proxy knows that a server goes, two checks pass, 100 ms apart; and a busy machine's proxy is late.
const DRAIN_DELAY: &str = "1200ms";

#[test]
fn twenty_rolling_restarts_and_a_scale_down_under_load_fail_no_request() {
    let Some(haproxy) = provisioned("CONVNEXT_TEST_HAPROXY", "/usr/sbin/haproxy") else { return };
    let mut replicas: Vec<Replica> = (0..SERVERS).map(|_| Replica::start(free(), free())).collect();
    let proxy = Proxy::start(&haproxy, &replicas);
    proxy.wait_for(SERVERS);
    let stop = Arc::new(AtomicBool::new(false));
    let http = load(&stop, &proxy.http, &["--route", "oip", "--rate", "60"]);
    let grpc = load(&stop, &proxy.grpc, &["--route", "grpc", "--model", "convnext_atto", "--rate", "30"]);

    for restart in 0..RESTARTS {
        let index = restart % SERVERS;
        let replica = replicas.remove(index);
        let (http, grpc) = (replica.http, replica.grpc);
        assert_eq!(replica.terminate(), Some(0), "restart {restart}");
        replicas.insert(index, Replica::start(http, grpc));
        proxy.wait_for(SERVERS);
    }
    // scaled down, and up again
    let last = replicas.pop().unwrap();
    let (http_port, grpc_port) = (last.http, last.grpc);
    assert_eq!(last.terminate(), Some(0));
    proxy.wait_for(SERVERS - 1);
    std::thread::park_timeout(Duration::from_secs(1));
    replicas.push(Replica::start(http_port, grpc_port));
    proxy.wait_for(SERVERS);

    stop.store(true, Ordering::Release);
    for (name, load) in [("HTTP", http), ("gRPC", grpc)] {
        let reports = load.join().unwrap();
        let requests: u64 = reports.iter().map(|report| report["requests"].as_u64().unwrap()).sum();
        assert!(requests > 500, "{name}: {requests} requests");
        for report in reports {
            let statuses = report["statuses"].as_object().unwrap();
            let only_good = statuses.keys().all(|status| ["200", "Ok"].contains(&&**status));
            assert!(report["failed"] == 0 && only_good, "{name}: {report:#}");
        }
    }
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}

/// `convnext load` again and again until it is to stop; what each run reports.
fn load(stop: &Arc<AtomicBool>, url: &str, args: &[&str]) -> JoinHandle<Vec<Value>> {
    let stop = Arc::clone(stop);
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    args.extend(["--seconds", "3", "--warm-up", "0s", "--timeout", "10s", "--json"].map(str::to_owned));
    let url = url.to_owned();
    let run = move || {
        let mut reports = Vec::new();
        while !stop.load(Ordering::Acquire) {
            let output = convnext().arg("load").arg(&url).args(&args).stdin(Stdio::null()).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            let report = serde_json::from_str(&told);
            reports.push(report.unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr))));
        }
        reports
    };
    std::thread::Builder::new().name("load".to_owned()).spawn(run).unwrap()
}

/// The binary, with nothing of the configuration of whoever runs the tests.
fn convnext() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
        command.env_remove(name);
    }
    command
}

/// An address that is free now: a server that restarts must get the one that its proxy knows.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A served demo model on ports that were chosen for it; killed when dropped.
struct Replica {
    process: Child,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Replica {
    /// Waits until it says where it listens.
    fn start(http: SocketAddr, grpc: SocketAddr) -> Self {
        let mut command = convnext();
        command.args(["serve", "--models", "convnext_atto", "--calibrate", "off", "--log", "warn"]);
        command.args(["--admin-addr", "127.0.0.1:0", "--drain-delay", DRAIN_DELAY]);
        command.arg("--http-addr").arg(http.to_string()).arg("--grpc-addr").arg(grpc.to_string());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with("grpc on ")), "the server says where it listens");
        Self { process, http, grpc }
    }

    /// SIGTERM, and the exit code that follows.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status().unwrap().success());
        let end = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "the server still runs {BOUND:?} after SIGTERM");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // fails when it has ended already, which is as good
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// HAProxy before the servers; killed when dropped.
struct Proxy {
    process: Child,
    /// URLs of its ports.
    http: String,
    grpc: String,
    statistics: SocketAddr,
    _folder: TempDir,
}

impl Proxy {
    fn start(program: &Path, replicas: &[Replica]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [http, grpc, statistics] = [free(), free(), free()];
        let servers = |of: &dyn Fn(usize, &Replica) -> String| {
            replicas.iter().enumerate().map(|(index, replica)| of(index, replica)).collect::<String>()
        };
        let of_http = servers(&|index, replica| format!("    server s{index} {} check\n", replica.http));
        let of_grpc = servers(&|index, replica| {
            let port = replica.http.port();
            format!("    server s{index} {} proto h2 check port {port} check-proto h1\n", replica.grpc)
        });
        // `retries 0`: what a server loses is not asked again elsewhere
        let text = format!(
            "global
    nbthread 1
defaults
    mode http
    retries 0
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 2s
    option httpchk GET /readyz
    http-check expect status 200
    default-server inter 100ms fall 2 rise 2
listen http
    bind {http}
    balance roundrobin
{of_http}listen grpc
    bind {grpc} proto h2
    balance roundrobin
{of_grpc}frontend statistics
    bind {statistics}
    stats enable
    stats uri /stats
"
        );
        let config = folder.path().join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        // its warnings are told where the test fails
        let process = command.arg("-db").arg("-f").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let (http, grpc) = (format!("http://{http}"), format!("http://{grpc}"));
        Self { process: process.unwrap(), http, grpc, statistics, _folder: folder }
    }

    /// Waits until it sends requests to so many servers, by HTTP and by gRPC.
    fn wait_for(&self, servers: usize) {
        let end = Instant::now() + BOUND;
        loop {
            let up = self.up().unwrap_or_default();
            if up == 2 * servers {
                return;
            }
            assert!(Instant::now() < end, "{up} of {} are up", 2 * servers);
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Servers that are up, each counted once for HTTP and once for gRPC.
    fn up(&self) -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(&self.statistics, BOUND)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.write_all(b"GET /stats;csv HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let servers = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let up = servers.filter(|row| {
            row.get(1).is_some_and(|name| name.starts_with('s')) && row.get(17).is_some_and(|status| status == &"UP")
        });
        Ok(up.count())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // fails when it has ended already, which is as good
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
