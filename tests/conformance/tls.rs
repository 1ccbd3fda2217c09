//! Other people's clients over TLS: with an authority of ours, with a certificate of their own, with a key, and while the certificate is
//! swapped. Not here: what TLS does to connections (`http`).

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::{Authority, Identity};
use crate::server::{LABEL, PHOTO, Server, curl_command, output, script};
use crate::{provisioned, python};

/// Files of a server and of a client.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        // as a whole, so that nobody reads half of it
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        path.display().to_string()
    }

    fn identity(&self, name: &str, Identity { certificate, key }: &Identity) -> [String; 2] {
        [self.write(&format!("{name}.crt"), certificate), self.write(&format!("{name}.key"), key)]
    }
}

/// A server of this name, which its certificate has, on the ports that this one has.
fn by_name(server: &Server) -> (String, String) {
    (server.base.replace("127.0.0.1", "localhost"), server.grpc.replace("127.0.0.1", "localhost"))
}

/// A key, and the file that knows it.
fn new_key(files: &Files) -> (String, String) {
    let made = Command::new(env!("CARGO_BIN_EXE_convnext")).args(["key", "--name", "shop"]).output().unwrap();
    let keys = files.write("keys.toml", &String::from_utf8(made.stdout).unwrap());
    (String::from_utf8(made.stderr).unwrap().trim().rsplit(' ').next().unwrap().to_owned(), keys)
}

#[test]
fn clients_reach_a_server_with_tls_and_a_key() {
    let (Some(python), Some(curl)) = (python(), provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl")) else { return };
    let (authority, files) = (Authority::new("a test"), Files::new());
    let [certificate, private] = files.identity("server", &authority.identity());
    let ca = files.write("ca.crt", &authority.pem());
    let (key, keys) = new_key(&files);
    let server = Server::start_with(&["--tls-cert", &certificate, "--tls-key", &private, "--api-keys", &keys]);
    let (base, grpc) = by_name(&server);

    let url = format!("{base}/classify");
    let photo = format!("@{PHOTO}");
    let post = |more: &[&str]| {
        let mut command = curl_command(&curl);
        command.args(["--data-binary", &photo, &url]).args(more);
        command
    };
    for protocol in ["--http1.1", "--http2"] {
        let answer = output(post(&["--cacert", &ca, "-H", &format!("Authorization: Bearer {key}")]).arg(protocol));
        assert!(answer.contains(LABEL), "{answer}");
    }
    let code = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code();
    assert_eq!(code(&mut post(&[])), Some(60), "curl believes nobody that it does not know");
    assert_eq!(code(&mut post(&["--cacert", &ca])), Some(22), "and has no key");
    output(&mut script(&python, "tls.py", [&*base, &grpc, &ca, &key, "", "", PHOTO, LABEL]));
}

#[test]
fn clients_show_their_certificates_to_a_server_that_wants_them() {
    let (Some(python), Some(curl)) = (python(), provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl")) else { return };
    let (authority, clients, files) = (Authority::new("a test"), Authority::new("of clients"), Files::new());
    let [certificate, private] = files.identity("server", &authority.identity());
    let [own, own_key] = files.identity("client", &clients.identity());
    let [ca, client_ca] = [files.write("ca.crt", &authority.pem()), files.write("clients.crt", &clients.pem())];
    let args = ["--tls-cert", &*certificate, "--tls-key", &private, "--tls-client-ca", &client_ca];
    let server = Server::start_with(&args);
    let (base, grpc) = by_name(&server);
    output(&mut script(&python, "tls.py", [&*base, &grpc, &ca, "", &own, &own_key, PHOTO, LABEL]));
    let live = |more: &[&str]| {
        let mut command = curl_command(&curl);
        command.args(["--cacert", &ca, &format!("{base}/livez")]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(live(&["--cert", &own, "--key", &own_key]));
    assert!(!live(&[]), "no certificate, no connection");
    drop(server);

    let server = Server::start_with(&[&args[..], &["--tls-client-auth", "except-probes"]].concat());
    let base = by_name(&server).0;
    let status = |path: &str| {
        let mut command = Command::new(&curl);
        command.args(["-s", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
        output(command.args(["--cacert", &ca, &format!("{base}{path}")]))
    };
    assert_eq!([status("/readyz"), status("/models"), status("/metrics")], ["200", "401", "401"]);
}

#[test]
fn a_certificate_that_is_swapped_under_load_loses_no_connection() {
    let Some(python) = python() else { return };
    let (authority, files) = (Authority::new("a test"), Files::new());
    let [certificate, private] = files.identity("server", &authority.identity());
    let ca = files.write("ca.crt", &authority.pem());
    let server = Server::start_with(&["--tls-cert", &certificate, "--tls-key", &private]);
    let mut asking =
        script(&python, "tls.py", ["swap", &server.base, &ca, "9"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(asking.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(told.next().as_deref(), Some("begun"));
    #[expect(clippy::disallowed_methods, reason = "other programs, within a bound")]
    let wait = |seconds| std::thread::sleep(Duration::from_secs(seconds));
    wait(1);
    for _ in 0..2 {
        // one after the other: for a moment they do not fit together
        files.identity("server", &authority.identity());
        wait(3);
    }
    assert_eq!(told.count(), 3, "the first certificate and two others");
    assert!(asking.wait().unwrap().success());
}

#[test]
fn a_browser_is_asked_for_a_key_and_classifies_with_it() {
    let Some(python) = python() else { return };
    let Some(chromium) = provisioned("CONVNEXT_TEST_CHROMIUM", "/usr/bin/chromium") else { return };
    let Some(driver) = provisioned("CONVNEXT_TEST_CHROMEDRIVER", "/usr/bin/chromedriver") else { return };
    let Some(axe) = provisioned("CONVNEXT_TEST_AXE", "target/provision/axe-core-4.14.1/package/axe.min.js") else {
        return;
    };
    let (authority, files) = (Authority::new("a test"), Files::new());
    let [certificate, private] = files.identity("server", &authority.identity());
    let (key, keys) = new_key(&files);
    let server = Server::start_with(&["--tls-cert", &certificate, "--tls-key", &private, "--api-keys", &keys]);
    let paths = [&chromium, &driver, &axe].map(|path| path.display().to_string());
    let [chromium, driver, axe] = &paths;
    output(&mut script(&python, "page_key.py", [&by_name(&server).0, chromium, driver, axe, &key, LABEL]));
}
