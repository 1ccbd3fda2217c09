//! The real binary: what it makes of its addresses, of signals and of the limits that it is started under.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
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

    /// How many of its threads have a name that begins so.
    fn threads(&self, prefix: &str) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.starts_with(prefix)).count()
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

/// The cores that this process may use, each by its number.
fn cores() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| text.trim().parse::<usize>().unwrap();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(part)..=number(part),
    };
    list.split(',').flat_map(range).collect()
}

/// A server of the two demo models on `count` cores has as many threads of each kind, and says why.
fn has_threads_for(count: usize, why: &str, server: Process) {
    assert!(server.is_ready());
    let computing = server.threads("cpu-");
    assert_eq!((computing, server.threads("decode-")), (2 * count, count));
    let (code, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    let line = log.lines().find(|line| line.contains(" threads ")).unwrap_or_else(|| panic!("{log}"));
    for words in [format!("engine={count}"), format!("decode={count}"), format!("network={count}"), why.to_owned()] {
        assert!(line.contains(&words), "{words}: {line}");
    }
}

#[test]
fn a_server_that_is_bound_to_one_core_has_one_thread_of_each_kind() {
    let cores = cores();
    let server = Process::start(&format!("taskset -cp {} $$ >&2", cores[0]), "127.0.0.1:0");
    has_threads_for(1, if cores.len() == 1 { "cores=1" } else { "affinity" }, server);
}

/// A control group with a quota, and one in it that has none; gone when dropped.
struct QuotaGroup(PathBuf);

impl QuotaGroup {
    /// Of so many hundredths of a core; an error where groups cannot be made. Of version 1 where the system has it, otherwise of version 2.
    fn new(hundredths: usize) -> std::io::Result<Self> {
        let (period, quota) = (100_000, 1_000 * hundredths);
        let name = format!("convnext-test-{}", std::process::id());
        let second = Path::new("/sys/fs/cgroup");
        let first = ["cpu", "cpu,cpuacct"].map(|mount| second.join(mount)).into_iter().find(|mount| mount.is_dir());
        let (files, root) = match first {
            Some(root) => {
                ([("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())].to_vec(), root)
            }
            None => ([("cpu.max", format!("{quota} {period}"))].to_vec(), second.to_owned()),
        };
        let group = Self(root.join(name));
        std::fs::create_dir_all(group.inner())?;
        files.into_iter().try_for_each(|(file, value)| std::fs::write(group.0.join(file), value))?;
        Ok(group)
    }

    fn inner(&self) -> PathBuf {
        self.0.join("inner")
    }
}

impl Drop for QuotaGroup {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(self.inner()));
        drop(std::fs::remove_dir(&self.0));
    }
}

/// What a shell does to lie in a group of version 2 that is made up: files before those of the system, for this process and its children alone.
fn made_up_group(limit: &str) -> String {
    let make = format!(
        "mount -t tmpfs none /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/outer/inner && cd /sys/fs/cgroup \
         && for group in . outer outer/inner; do echo cpu > $group/cgroup.controllers; done \
         && echo {limit} > outer/cpu.max && echo max 100000 > outer/inner/cpu.max \
         && echo 0::/outer/inner > own && mount --bind own /proc/$$/cgroup"
    );
    // what follows is done by the shell inside
    format!("exec unshare --user --map-root-user --mount sh -c '{make} && exec \"$0\" \"$@\"' \"$0\" \"$@\"")
}

#[test]
fn a_server_whose_group_lies_in_one_with_a_quota_has_as_many_threads_as_the_quota_has_whole_cores() {
    let why = if cores().len() == 1 { "cores=1" } else { "a quota of the control group" };
    // a core and a half is less than there are, where there are two
    let real = QuotaGroup::new(150).and_then(|group| {
        let enter = format!("echo $$ > {}/cgroup.procs", group.inner().display());
        // a group of version 1 takes no process of a real-time priority, unless it has a share of those
        let entered = Command::new("sh").args(["-c", &enter]).output()?;
        if !entered.status.success() {
            return Err(std::io::Error::other(String::from_utf8_lossy(&entered.stderr).into_owned()));
        }
        has_threads_for(1, why, Process::start(&enter, "127.0.0.1:0"));
        Ok(())
    });
    let enter = made_up_group("150000 100000");
    let made_up = Command::new("sh").args(["-c", &enter, "true"]).output().unwrap();
    if made_up.status.success() {
        has_threads_for(1, why, Process::start(&enter, "127.0.0.1:0"));
    }
    if let (Err(why), false) = (real, made_up.status.success()) {
        let said = String::from_utf8_lossy(&made_up.stderr);
        eprintln!(
            "\nSKIPPED, NOTHING WAS TESTED: a control group with a quota can be neither made ({why}) nor made up ({said})\n"
        );
    }
}
