//! The unit of `deploy/systemd`: what systemd itself says of it, and the real server started as it says. Not here: each datagram (`src/cli/notify.rs`).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::provisioned;
use crate::server::BOUND;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd");
const BINARY: &str = env!("CARGO_BIN_EXE_convnext");
/// The greatest exposure of a unit, in tenths of `systemd-analyze security`: it has 1.4, and 1.9 with GPUs.
const EXPOSURE: &str = "--threshold=20";

/// The unit with this machine's binary, alone or with one of its drop-ins.
fn unit(folder: &Path, drop_in: Option<&str>) -> std::path::PathBuf {
    let text = fs::read_to_string(Path::new(UNITS).join("convnext.service")).unwrap();
    let path = folder.join("convnext.service");
    fs::write(&path, text.replace("/usr/bin/convnext", BINARY)).unwrap();
    if let Some(name) = drop_in {
        let drop_ins = folder.join("convnext.service.d");
        fs::create_dir(&drop_ins).unwrap();
        fs::copy(Path::new(UNITS).join("convnext.service.d").join(name), drop_ins.join(name)).unwrap();
    }
    path
}

#[test]
fn systemd_finds_no_fault_in_the_unit_and_little_that_it_may() {
    let Some(analyze) = provisioned("CONVNEXT_TEST_SYSTEMD_ANALYZE", "/usr/bin/systemd-analyze") else { return };
    let judged = |arguments: &[&str], unit: &Path| {
        let output = Command::new(&analyze).args(arguments).arg(unit).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), told)
    };
    let verify = ["verify", "--man=no", "--recursive-errors=no"];
    for drop_in in [None, Some("gpu.conf"), Some("secrets.conf")] {
        let folder = tempfile::tempdir().unwrap();
        let unit = unit(folder.path(), drop_in);
        // what it does not know it tells, and goes on
        assert_eq!(judged(&verify, &unit), (true, String::new()), "{drop_in:?}");
        let (exposed_little, told) = judged(&["security", "--offline=true", "--no-pager", EXPOSURE], &unit);
        assert!(exposed_little, "{drop_in:?}: {told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path(), None);
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("ProtectSystem=", "ProtectSytem=").replace("CapabilityBoundingSet=\n", "")).unwrap();
    let (_, told) = judged(&verify, &unit);
    assert!(told.contains("ProtectSytem"), "a key misspelt is not found: {told}");
    let (exposed_little, _) = judged(&["security", "--offline=true", "--no-pager", EXPOSURE], &unit);
    assert!(!exposed_little, "the threshold shows nothing");
}

#[test]
fn the_server_tells_systemd_that_it_is_ready_lives_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(BOUND)).unwrap();
    let unit = fs::read_to_string(Path::new(UNITS).join("convnext.service")).unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    assert_eq!(value("Type="), "notify");
    // as the unit starts it, with the file's ports replaced and a watchdog that bites sooner
    let start = value("ExecStart=/usr/bin/convnext ").replace("/etc/convnext", UNITS);
    let ports = ["CONVNEXT_HTTP_ADDR", "CONVNEXT_GRPC_ADDR", "CONVNEXT_ADMIN_ADDR"].map(|name| (name, "127.0.0.1:0"));
    let mut command = Command::new(BINARY);
    command.args(start.split(' ')).envs(ports).env("CONVNEXT_DRAIN_DELAY", "200ms");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let n = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    let until = |state: &str| {
        let end = Instant::now() + BOUND;
        let mut before = Vec::new();
        loop {
            let told = heard();
            if told.starts_with(state) {
                return (told, before);
            }
            assert!(Instant::now() < end, "never {state}, but {before:?}");
            before.push(told);
        }
    };
    let (ready, before) = until("READY=1\n");
    assert!(ready.contains("STATUS=serving on 127.0.0.1:"), "{ready}");
    assert!(before.iter().all(|told| told == "WATCHDOG=1"), "{before:?}");
    let since = Instant::now();
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    assert!(since.elapsed() < Duration::from_secs(5), "signs of life come late");
    let pid = server.id().to_string();
    assert!(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status().unwrap().success());
    let (_, before) = until("STOPPING=1\n");
    assert!(before.iter().all(|told| told == "WATCHDOG=1"), "{before:?}");
    assert_eq!(server.wait().unwrap().code(), Some(0));
}
