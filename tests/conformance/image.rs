//! The container image, started as a container runtime starts it: a root of its own that nobody can write, no name and no rights, the image's own variables.
//! Not here: its build (`cargo xtask image`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::emulated::Driver;
use crate::provisioned;
use crate::server::{LABEL, PHOTO, Server, curl_command, output};

/// Mounts what a runtime mounts and becomes the program: `ROOT USER (FROM TO)… -- PROGRAM…`. Being the same process, it gets our signals.
const RUNTIME: &str = r#"
set -e
root=$1; user=$2; shift 2
mount --bind "$root" "$root"
for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; mount -o remount,ro,bind "$root$2"; shift 2; done
shift
mount -o remount,ro,bind "$root"
exec setpriv --no-new-privs chroot --userspec="$user" "$root" "$@"
"#;

/// An image as a folder, and what its builder says of it.
struct Image {
    root: PathBuf,
    config: Value,
}

impl Image {
    fn of_this_build() -> Option<Self> {
        let root = provisioned("CONVNEXT_TEST_IMAGE", "target/image/root")?;
        let config = fs::read_to_string(root.with_file_name("config.json")).unwrap();
        Some(Self { root, config: serde_json::from_str(&config).unwrap() })
    }

    fn config(&self, key: &str) -> &Value {
        &self.config["OCIv1"]["config"][key]
    }

    fn words(&self, key: &str) -> Vec<&str> {
        self.config(key).as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
    }

    /// A container with folders of this machine in places of its own. It runs the image's program with these arguments, or else those of the image.
    fn container(&self, mounts: &[(&Path, &str)], arguments: &[&str]) -> Container {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        output(Command::new("cp").arg("--archive").arg(&self.root).arg(&root));
        // runtimes make the places where they mount
        let own = ["/proc", "/sys", "/dev"];
        own.iter()
            .chain(mounts.iter().map(|(_, to)| to))
            .for_each(|to| fs::create_dir_all(root.join(&to[1..])).unwrap());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", RUNTIME, "sh"]);
        command.arg(&root).arg(self.config("User").as_str().unwrap());
        for (from, to) in mounts {
            command.arg(from).arg(to);
        }
        command.arg("--").args(self.words("Entrypoint"));
        if arguments.is_empty() {
            command.args(self.words("Cmd"))
        } else {
            command.args(arguments)
        };
        let variables = self.words("Env").into_iter().map(|variable| variable.split_once('=').unwrap());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(variables);
        Container { command, _folder: folder }
    }

    /// The same, serving on a port that is free.
    fn serving(&self, mounts: &[(&Path, &str)], arguments: &[&str]) -> Container {
        let ports =
            ["serve", "--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"];
        self.container(mounts, &[&ports, arguments].concat())
    }
}

struct Container {
    command: Command,
    _folder: TempDir,
}

#[test]
fn it_holds_the_binary_and_what_the_driver_loads_in_60_mb() {
    let Some(image) = Image::of_this_build() else { return };
    let mut files = Vec::new();
    list(&image.root, Path::new(""), &mut files);
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    eprintln!("{bytes} bytes in {} files", files.len());
    assert!(bytes <= 60_000_000, "{bytes} bytes: {files:#?}");

    let is_known = |file: &str| {
        let libraries = ["ld-linux-", "libc.so", "libm.so", "libgcc_s.so", "libdl.so", "libpthread.so", "librt.so"];
        let name = file.rsplit('/').next().unwrap();
        file == "usr/bin/convnext"
            || file.starts_with("usr/share/doc/")
            || ["etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/debian_version"].contains(&file)
            || (file.starts_with("usr/lib") && libraries.iter().any(|library| name.starts_with(library)))
    };
    // no shell, no package manager, nothing that nobody asked for
    let others: Vec<_> = files.iter().filter(|(file, _)| !is_known(file)).collect();
    assert!(others.is_empty(), "{others:?}");
    for needed in
        ["usr/share/doc/convnext/sbom.cdx.json", "usr/share/doc/convnext/LICENSE-MIT", "usr/share/doc/libc6/copyright"]
    {
        assert!(files.iter().any(|(file, _)| file == needed), "{needed} is missing");
    }
}

/// All files below a folder of the image, and their bytes.
fn list(root: &Path, folder: &Path, files: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            list(root, &path, files);
        } else if metadata.is_file() {
            files.push((path.display().to_string(), metadata.len()));
        }
    }
}

#[test]
fn its_configuration_is_what_runtimes_ask_for() {
    let Some(image) = Image::of_this_build() else { return };
    assert_eq!(image.config("User"), "65532:65532");
    assert_eq!(image.words("Entrypoint"), ["/usr/bin/convnext"]);
    assert_eq!(image.words("Cmd"), ["serve"]);
    let ports: Vec<_> = image.config("ExposedPorts").as_object().unwrap().keys().collect();
    assert_eq!(ports, ["8080/tcp", "9000/tcp"]);
    let variables = image.words("Env");
    for variable in
        ["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "CONVNEXT_HTTP_ADDR=0.0.0.0:8080"]
    {
        assert!(variables.contains(&variable), "{variable} is not in {variables:?}");
    }
    assert!(!variables.iter().any(|variable| variable.starts_with("CONVNEXT_ADMIN_ADDR")), "{variables:?}");
    assert_eq!(image.config("Labels")["org.opencontainers.image.title"], "convnext-server");
    let health = &image.config["Docker"]["config"]["Healthcheck"]["Test"];
    assert_eq!(*health, serde_json::json!(["CMD", "/usr/bin/convnext", "health"]));
}

/// The best of five starts counts: the others tell how busy the machine is.
#[test]
fn it_is_ready_within_a_second_classifies_and_drains_at_a_sigterm() {
    let Some(image) = Image::of_this_build() else { return };
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let mut container = image.serving(&[], &["--drain-delay", "0s"]);
        let began = Instant::now();
        let server = Server::of(&mut container.command);
        let asks = |path: &str| curl_command(&curl).arg(server.url(path)).output().unwrap().status.success();
        while !asks("/readyz") {
            assert!(began.elapsed() < Duration::from_secs(30), "never ready");
        }
        best = best.min(began.elapsed());

        let answer =
            output(curl_command(&curl).args(["--data-binary", &format!("@{PHOTO}")]).arg(server.url("/classify")));
        assert!(answer.contains(LABEL), "{answer}");
        // as the image's own health check asks
        let mut health = image.container(&[], &["health", &server.base]);
        output(&mut health.command);
        assert_eq!(server.terminate().code(), Some(0));
    }
    eprintln!("ready in {best:?}");
    assert!(best <= Duration::from_secs(1), "ready in {best:?} at best");
}

#[test]
fn without_arguments_it_listens_to_all_and_its_admin_port_to_none_outside() {
    let Some(image) = Image::of_this_build() else { return };
    let mut container = image.container(&[], &[]);
    // in a network of its own, where every port is free
    let mut command = Command::new("unshare");
    command.arg("--net").arg(container.command.get_program()).args(container.command.get_args()).env_clear();
    command.envs(container.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    container.command = command;
    let server = Server::of(&mut container.command);
    assert_eq!((server.base.as_str(), server.grpc.as_str()), ("http://0.0.0.0:8080", "0.0.0.0:9000"));
    assert_eq!(server.admin, "http://127.0.0.1:9090");
}

#[test]
fn it_serves_a_model_that_is_mounted() {
    let Some(image) = Image::of_this_build() else { return };
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/convnext_atto");
    let mut container = image.serving(&[(&model, "/mnt/models")], &["--models", "mine=/mnt/models"]);
    let server = Server::of(&mut container.command);
    let answer = output(
        curl_command(&curl).args(["--data-binary", &format!("@{PHOTO}")]).arg(server.url("/classify?model=mine")),
    );
    assert!(answer.contains(LABEL), "{answer}");
}

#[test]
fn a_driver_that_the_runtime_mounts_is_found() {
    let Some(image) = Image::of_this_build() else { return };
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let driver = Driver::new(80);
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        // the files themselves, for a link would lead out of the container
        fs::copy(Path::new(&driver.environment()[0].1).join(name), folder.path().join(name)).unwrap();
    }
    let gpu = ["--models", "convnext_atto", "--device", "cuda", "--max-batch", "1"];
    let mut container = image.serving(&[(folder.path(), "/usr/local/nvidia/lib64")], &gpu);
    // all but the library path, which is the image's own
    container.command.envs(driver.environment().into_iter().skip(1));
    let server = Server::of(&mut container.command);
    let answer =
        output(curl_command(&curl).args(["--data-binary", &format!("@{PHOTO}")]).arg(server.url("/classify?detail=1")));
    assert!(answer.contains(LABEL) && answer.contains("cuda"), "{answer}");
}
