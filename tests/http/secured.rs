//! The real binary with certificates and keys: what it refuses at its start, what it reads again, and `convnext health` and `key`.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::certificates::{Authority, Identity, connect};
use super::support::http::bounded;

fn convnext(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    convnext(args).output().unwrap()
}

/// What a command that must fail says, which exits with this code.
fn failure(args: &[&str], code: i32) -> String {
    let output = run(args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    error
}

/// A folder of certificates and keys, as Kubernetes mounts it: links into a folder that is swapped.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Swaps all files for others at once.
    fn mount(&self, version: &str, files: &[(&str, &str)]) {
        let folder = self.0.path();
        std::fs::create_dir(folder.join(version)).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(version).join(name), text).unwrap();
            let link = folder.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        symlink(version, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    fn mount_identity(&self, version: &str, identity: &Identity) {
        self.mount(version, &[("tls.crt", &identity.certificate), ("tls.key", &identity.key)]);
    }
}

/// `convnext serve`, killed when dropped; its log is in a file.
struct Serve {
    child: Child,
    log: PathBuf,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Serve {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let log = folder.0.path().join("log");
        let ports = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"];
        let mut command = convnext(&[&["serve", "--calibrate", "off", "--log", "trace"], &ports[..], args].concat());
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = || {
            let line = lines.next().expect("it says where it listens");
            line.rsplit("//").next().unwrap().parse().unwrap()
        };
        let (http, admin) = (address(), address());
        Self { child, log, http, admin }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log says so.
    fn says(&self, words: &str) {
        let began = Instant::now();
        while !self.log().contains(words) {
            assert!(began.elapsed() < Duration::from_secs(20), "no {words:?} in {}", self.log());
            #[expect(clippy::disallowed_methods, reason = "another process, within a bound")]
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The status of `GET path` with this key, without TLS.
fn status(address: SocketAddr, path: &str, key: &str) -> u16 {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

/// A key of `convnext key`, and its table.
fn new_key(args: &[&str]) -> (String, String) {
    let output = run(&[&["key"], args].concat());
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    (told.trim().rsplit(' ').next().unwrap().to_owned(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_cannot_be_used_is_refused_before_a_port_is_bound() {
    let (authority, folder) = (Authority::new("a"), Folder::new());
    let identity = authority.identity();
    let certificate = folder.write("tls.crt", &identity.certificate);
    let key = folder.write("tls.key", &identity.key);
    let other = folder.write("other.key", &authority.identity().key);
    let empty = folder.write("empty", "");
    let (_, infer) = new_key(&["--name", "shop"]);
    let keys = folder.write("keys.toml", &infer);
    let wrong = folder.write("wrong.toml", "[[key]]\nname = 'a'\nsha256 = 'cvn_secret'\nscopes = ['infer']");
    let none = folder.path("none");
    let tls = |certificate, key| vec!["--tls-cert", certificate, "--tls-key", key];
    let [ca, crl, old] =
        [("ca.crt", authority.pem()), ("new.crl", authority.crl(&[], 2090)), ("old.crl", authority.crl(&[], 2020))]
            .map(|(name, text)| folder.write(name, &text));
    let of_clients = || vec!["--tls-cert", &*certificate, "--tls-key", &key, "--tls-client-ca", &ca];
    for (args, words) in [
        (vec!["--tls-cert", &certificate], "tls-cert"),
        (vec!["--tls-key", &key], "tls-key"),
        (vec!["--tls-client-ca", &certificate], "tls-client-ca"),
        (tls(&certificate, &other), "the key is not that of the certificate"),
        (tls(&none, &key), "No such file"),
        (tls(&empty, &key), "no BEGIN CERTIFICATE"),
        (tls(&certificate, &empty), "no BEGIN PRIVATE KEY"),
        ([tls(&certificate, &key), vec!["--tls-client-ca", &empty]].concat(), "authorities of clients"),
        ([tls(&certificate, &key), vec!["--tls-client-crl", &crl]].concat(), "tls-client-crl"),
        (
            [of_clients(), vec!["--tls-client-crl", &old]].concat(),
            "old.crl: the revocation list of clients: a list has expired",
        ),
        ([of_clients(), vec!["--tls-client-crl", &none]].concat(), "No such file"),
        (vec!["--api-keys", &none], "No such file"),
        (vec!["--api-keys", &empty], "no [[key]]"),
        (vec!["--api-keys", &wrong], "key a: sha256"),
        (vec!["--api-keys", "/dev/zero"], "no file"),
        (vec!["--admin-addr", "0.0.0.0:0"], "admin-addr"),
        (vec!["--admin-addr", "0.0.0.0:0", "--api-keys", &keys], "scope admin"),
        (vec!["--metrics-auth"], "metrics-auth"),
    ] {
        let error = failure(&[&["serve"], &args[..]].concat(), 64);
        assert!(error.contains(words) && !error.contains("secret"), "{args:?}: {error}");
    }
}

#[test]
fn keys_are_read_again_and_a_broken_file_keeps_those_from_before() {
    let folder = Folder::new();
    let ((first, first_table), (second, second_table)) =
        (new_key(&["--name", "first"]), new_key(&["--name", "second"]));
    let (admin, admin_table) = new_key(&["--name", "ops", "--scopes", "admin"]);
    let keys = folder.write("keys.toml", &(first_table.clone() + &admin_table));
    let server = Serve::start(&folder, &["--api-keys", &keys]);
    let asked = |key: &str| status(server.http, "/models", key);
    assert_eq!([asked(&first), asked(&second), asked(&admin), asked("")], [200, 401, 403, 401]);
    assert_eq!([status(server.admin, "/models", &admin), status(server.admin, "/models", &first)], [200, 403]);
    assert_eq!(status(server.http, "/readyz", ""), 200);
    std::fs::write(&keys, first_table + "[[key]]\nname = ").unwrap();
    server.says("have changed and cannot be used");
    assert_eq!([asked(&first), asked(&second)], [200, 401]);
    std::fs::write(&keys, second_table + &admin_table).unwrap();
    server.says("were read again and are in use");
    assert_eq!([asked(&first), asked(&second)], [401, 200]);
    server.says("key=\"second\"");
    let log = server.log();
    for key in [first, second, admin] {
        assert!(!log.contains(&key), "the log has the key");
    }
}

#[tokio::test]
async fn certificates_are_read_again_when_a_mounted_secret_is_swapped() {
    bounded(async {
        let (authority, folder) = (Authority::new("a"), Folder::new());
        let (old, new) = (authority.identity_until(2080), authority.identity_until(2081));
        folder.mount_identity("v1", &old);
        let (certificate, key) = (folder.path("tls.crt"), folder.path("tls.key"));
        let server = Serve::start(&folder, &["--tls-cert", &certificate, "--tls-key", &key]);
        let client = authority.client(None, &["http/1.1"]);
        let shown = async || {
            let stream = connect(&client, server.http).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        };
        let first = shown().await;
        folder.mount("broken", &[("tls.crt", &new.certificate), ("tls.key", &old.key)]);
        server.says("the key is not that of the certificate");
        assert_eq!(shown().await, first);
        folder.mount_identity("v2", &new);
        server.says("were read again and are in use");
        assert_ne!(shown().await, first);
        // the admin port speaks it too
        let mut admin = connect(&client, server.admin).await.unwrap();
        admin.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut metrics = String::new();
        let _ = admin.read_to_string(&mut metrics).await;
        assert!(metrics.contains("convnext_reload_successful{files=\"tls\"} 1\n"), "{metrics}");
        let expiry =
            metrics.lines().find(|line| line.starts_with("convnext_tls_certificate_expiry_timestamp_seconds "));
        let expiry: f64 = expiry.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let years = expiry / (365.25 * 24.0 * 3600.0);
        assert!((2081.9..2082.1).contains(&(1970.0 + years)), "{expiry}");
    })
    .await;
}

#[test]
fn health_asks_a_server_with_tls_by_its_authority_its_certificate_or_blindly() {
    let (authority, clients, folder) = (Authority::new("a"), Authority::new("b"), Folder::new());
    let (identity, client) = (authority.identity(), clients.identity());
    let certificate = folder.write("tls.crt", &identity.certificate);
    let key = folder.write("tls.key", &identity.key);
    let ca = folder.write("ca.crt", &authority.pem());
    let client_ca = folder.write("client-ca.crt", &clients.pem());
    let own = folder.write("client.pem", &(client.certificate + &client.key));
    let args = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-client-ca", &client_ca];
    let server = Serve::start(&folder, &[&args[..], &["--tls-client-auth", "except-probes"]].concat());
    let (url, by_number) = (format!("https://localhost:{}", server.http.port()), format!("https://{}", server.http));
    for args in [
        &["health", &url, "--ca", &ca][..],
        &["health", &by_number, "--ca", &ca],
        &["health", &url, "--ca", &certificate],
        &["health", &url, "--insecure"],
        &["health", &by_number, "--insecure"],
        &["health", &format!("{url}/models"), "--insecure", "--cert", &own],
    ] {
        let output = run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
    assert!(failure(&["health", &url], 1).contains("UnknownIssuer"));
    assert!(failure(&["health", &url, "--ca", &client_ca], 1).contains("UnknownIssuer"));
    assert!(failure(&["health", &format!("{url}/models"), "--insecure"], 1).contains("401"));
    assert!(failure(&["health", &format!("http://{}", server.http)], 1).contains("this port speaks TLS"));
    failure(&["health", &url, "--ca", &folder.path("none")], 64);
}

#[test]
fn load_shows_a_key_and_speaks_tls() {
    let (authority, folder) = (Authority::new("a"), Folder::new());
    let identity = authority.identity();
    let (key, table) = new_key(&["--name", "bench", "--scopes", "infer,admin"]);
    let files = [
        folder.write("tls.crt", &identity.certificate),
        folder.write("tls.key", &identity.key),
        folder.write("keys.toml", &table),
        folder.write("ca.crt", &authority.pem()),
    ];
    let server = Serve::start(&folder, &["--tls-cert", &files[0], "--tls-key", &files[1], "--api-keys", &files[2]]);
    let url = format!("https://localhost:{}", server.http.port());
    let args = ["load", &url, "--route", "oip", "--seconds", "0.2", "--warm-up", "0s", "--ca", &files[3]];
    let output = run(&[&args[..], &["--api-key", &key]].concat());
    assert!(output.status.success(), "{output:?}");
    assert!(failure(&args, 1).contains("--api-key"));
}

#[test]
fn a_key_is_told_once_and_its_table_has_it_not() {
    let (key, table) = new_key(&["--name", "shop", "--scopes", "infer,admin", "--rate", "10"]);
    assert!(key.starts_with("cvn_") && key.len() == 47, "{key}");
    assert!(
        !table.contains(&key) && table.contains("rate = 10.0") && table.contains("\"infer\", \"admin\""),
        "{table}"
    );
    assert_ne!(new_key(&["--name", "shop"]).0, key);
    for args in [&["--name", "a b"][..], &["--name", "a", "--rate", "0"], &["--name", "a", "--burst", "5"], &[]] {
        failure(&[&["key"], args].concat(), 64);
    }
}
