//! The command itself: `pull`, and `hub:` wherever a model may be named.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{self, Process};
use super::server::{COMMIT, Faults, Gate, REPOSITORY};
use super::{Setup, TIMM, golden};

/// A photograph, what the case's library says of it, and with which score.
const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/cat.jpg");
const LABEL: (&str, f64) = ("magpie", 0.387213);

/// What a command came to.
pub(crate) struct Ended(Output);

impl Ended {
    /// Standard output of one that must succeed.
    pub(crate) fn success(self) -> String {
        assert!(self.0.status.success(), "{}", String::from_utf8_lossy(&self.0.stderr));
        String::from_utf8(self.0.stdout).unwrap()
    }

    /// The exit code and standard error of one that must fail.
    pub(crate) fn failure(self) -> (i32, String) {
        assert!(!self.0.status.success(), "{}", String::from_utf8_lossy(&self.0.stdout));
        (self.0.status.code().unwrap(), String::from_utf8(self.0.stderr).unwrap())
    }
}

impl Setup {
    /// The environment of everything that asks this hub; an empty variable is none.
    pub(crate) fn environment(&self) -> Vec<(&str, String)> {
        let unset = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
        let unset = unset.iter().chain(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SSL_CERT_FILE"]);
        let set = [
            ("HF_HOME", self.home.path().display().to_string()),
            ("HF_ENDPOINT", self.hub.endpoint.clone()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ];
        unset.map(|name| (*name, String::new())).chain(set).collect()
    }

    pub(crate) fn convnext(&self, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
            command.env_remove(name);
        }
        command.args(args).envs(self.environment()).envs(environment.iter().copied());
        Ended(command.output().unwrap())
    }

    fn serve(&self, args: &[&str], environment: &[(&str, &str)]) -> Process {
        let all = self.environment();
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (*name, value.as_str())).chain(environment.iter().copied()).collect();
        Process::serve_with(&[&["--device", "cpu", "--drain-delay", "0s"], args].concat(), &all)
    }
}

fn answer(server: &Process, path: &str, body: Option<&[u8]>) -> (u16, Value) {
    let url = format!("http://{}{path}", server.http);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
    let response = match body {
        Some(body) => agent.post(&url).send(body),
        None => agent.get(&url).call(),
    };
    let mut response = response.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap())
}

fn assert_label(answer: &Value) {
    assert_eq!(answer[0]["label"], LABEL.0, "{answer}");
    assert!((answer[0]["score"].as_f64().unwrap() - LABEL.1).abs() < 0.01, "{answer}");
}

#[test]
fn pull_prints_the_folder_or_all_of_it_as_json_and_no_bars_where_no_terminal_is() {
    let setup = Setup::golden(TIMM);
    let pulled = setup.convnext(&["pull", "hub:people/tiny"], &[]);
    let told = String::from_utf8(pulled.0.stderr.clone()).unwrap();
    let sizes: Vec<String> = ["config.json", "model.safetensors"]
        .map(|name| format!("{name}: {} bytes\n", golden(TIMM).join(name).metadata().unwrap().len()))
        .into();
    assert_eq!(told, sizes.concat());
    let folder = setup.repository().join("snapshots").join(COMMIT);
    assert_eq!(pulled.success(), format!("{}\n", folder.display()));
    let report = setup.convnext(&["pull", REPOSITORY, "--revision", "refs/pr/1", "--json"], &[]).success();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["commit"], &report["revision"]), (&COMMIT.into(), &"refs/pr/1".into()));
    assert_eq!(
        (&report["files"][1]["name"], &report["files"][1]["downloaded"]),
        (&"model.safetensors".into(), &false.into())
    );
    let offline = setup.convnext(&["pull", REPOSITORY, "--offline"], &[("HF_ENDPOINT", "http://127.0.0.1:1")]);
    assert_eq!(offline.success(), format!("{}\n", folder.display()));
}

#[test]
fn names_and_variables_that_make_no_sense_are_usage() {
    let setup = Setup::golden(TIMM);
    for args in [&["pull", "tiny"][..], &["pull", "a/b", "--revision", ".."], &["serve", "--models", "hub:tiny"]] {
        assert_eq!(setup.convnext(args, &[]).failure().0, 64, "{args:?}");
    }
    let (code, error) = setup.convnext(&["pull", REPOSITORY], &[("HF_ENDPOINT", "hub")]).failure();
    assert!(code == 64 && error.contains("HF_ENDPOINT"), "{error}");
    let (code, error) = setup.convnext(&["pull", REPOSITORY], &[("SSL_CERT_FILE", "/no/such.pem")]).failure();
    assert!(code == 1 && error.contains("SSL_CERT_FILE") && error.contains("/no/such.pem"), "{error}");
    assert!(setup.hub.seen().is_empty());
}

#[test]
fn every_command_takes_a_model_of_the_hub() {
    let setup = Setup::golden(TIMM);
    let model = format!("hub:{REPOSITORY}");
    let inspected = setup.convnext(&["inspect", &model, "--json"], &[]).success();
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert!(inspected.to_string().contains(&format!("hub:people/tiny, commit {COMMIT}")), "{inspected}");
    setup.hub.seen();
    let predictions = setup.convnext(&["classify", "--json", "--model", &model, PHOTO], &[]).success();
    let predictions: Value = serde_json::from_str(&predictions).unwrap();
    assert_label(&predictions[0]["predictions"]);
    assert!(setup.hub.seen().is_empty(), "the cache has it");
    let (code, error) = setup.convnext(&["inspect", "hub:people/other"], &[]).failure();
    assert!(code == 64 && error.contains("has no repository people/other"), "{error}");
}

#[test]
fn serve_fetches_a_model_and_serves_it_offline_from_then_on() {
    let setup = Setup::golden(TIMM);
    let photo = std::fs::read(PHOTO).unwrap();
    let server = setup.serve(&["--models", "m=hub:people/tiny"], &[]);
    let (status, predictions) = answer(&server, "/classify?model=m", Some(&photo));
    assert_eq!(status, 200, "{predictions}");
    assert_label(&predictions);
    drop(server);
    setup.hub.seen();
    let server = setup.serve(&["--models", "hub:people/tiny"], &[("HF_HUB_OFFLINE", "1")]);
    assert_label(&answer(&server, "/classify?model=tiny", Some(&photo)).1);
    assert_eq!(server.terminate(), Some(0));
    assert!(setup.hub.seen().is_empty());
}

#[test]
fn a_server_that_fetches_ends_when_it_is_told_to() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { slow: Duration::from_secs(60), ..Faults::default() });
    let ports = ["--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"];
    let mut command = process::command(&["--models", "hub:people/tiny", "--device", "cpu", "--drain-delay", "0s"]);
    let mut child = command.args(ports).envs(setup.environment()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = log.find(|line| line.contains("model.safetensors")).unwrap();
    assert!(line.contains("downloading") && line.contains("people/tiny") && line.contains("2374996"), "{line}");
    let began = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let code = child.wait().unwrap().code();
    assert!(code == Some(0) && began.elapsed() < Duration::from_secs(10), "{code:?} after {:?}", began.elapsed());
}

#[test]
fn a_model_that_cannot_be_fetched_says_why_and_the_others_serve() {
    let setup = Setup::golden(TIMM);
    setup.hub.fail(Faults { gated: Some(Gate::Everybody), ..Faults::default() });
    let server = setup.serve(&["--models", "convnext_atto,m=hub:people/tiny"], &[]);
    let (_, models) = answer(&server, "/models", None);
    assert!(models.to_string().contains("people/tiny is gated: accept its terms"), "{models}");
    let (status, predictions) = answer(&server, "/classify?model=convnext_atto", Some(&std::fs::read(PHOTO).unwrap()));
    assert_eq!(status, 200, "{predictions}");
}
