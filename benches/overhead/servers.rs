//! The servers as processes, which end with this one.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The demo model's own rows and columns.
const DEMO_SIDE: usize = 64;
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/convnext_atto");

/// A server that runs, until this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    _model: Option<TempDir>,
}

impl Server {
    /// The product with the demo model and without a network, as it starts without flags but for a queue that has room for all clients.
    pub(crate) fn product(program: &Path, side: usize, clients: usize, flags: &[String]) -> Self {
        let model = (side != DEMO_SIDE).then(|| of_side(side));
        let path = model.as_ref().map_or_else(|| DEMO.to_owned(), |folder| folder.path().display().to_string());
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--engine", "null", "--models", &format!("demo={path}")]);
        for port in ["--http-addr", "--grpc-addr", "--admin-addr"] {
            command.args([port, "127.0.0.1:0"]);
        }
        command.args(["--queue-images", &(2 * clients).max(512).to_string()]).args(flags);
        // its log is written, for that costs too
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = said(&mut child, 3);
        let address =
            |what: &str| said.iter().find_map(|line| line.strip_prefix(what)?.parse().ok()).expect("an address");
        Self { http: address("listening on http://"), grpc: address("grpc on http://"), child, _model: model }
    }

    /// One that this program is itself.
    pub(crate) fn rival(name: &str, side: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--rival", name, "--side", &side.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let address = said(&mut child, 1)[0].parse().unwrap();
        Self { child, http: address, grpc: address, _model: None }
    }

    /// What it has used of the processor.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The first lines that it says.
fn said(child: &mut Child, lines: usize) -> Vec<String> {
    BufReader::new(child.stdout.take().unwrap()).lines().take(lines).map(Result::unwrap).collect()
}

/// The demo model for images of another size.
fn of_side(side: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let demo = Path::new(DEMO);
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(demo.join("config.json")).unwrap()).unwrap();
    config["pretrained_cfg"]["input_size"] = serde_json::json!([3, side, side]);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(demo.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    folder
}
