//! A real Prometheus scrapes a server under load: the rules of `deploy/prometheus` load there, and each query of the Grafana dashboard has data.
//! Not here: what the metrics count (`tests/http`).

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::provisioned;
use crate::server::{PHOTO, Server, curl_command, output};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

#[test]
fn the_rules_say_in_promtools_tests_what_they_are_meant_to() {
    let Some(promtool) = provisioned("CONVNEXT_TEST_PROMTOOL", "/usr/bin/promtool") else { return };
    let folder = Path::new(DEPLOY).join("prometheus");
    output(Command::new(&promtool).args(["check", "config", "prometheus.yml"]).current_dir(&folder));
    output(Command::new(&promtool).args(["check", "rules", "rules.yml", "alerts.yml"]).current_dir(&folder));
    output(Command::new(&promtool).args(["test", "rules", "rules_test.yml"]).current_dir(&folder));
}

#[test]
fn a_real_prometheus_has_the_servers_own_ratio_and_data_for_the_whole_dashboard() {
    let Some(curl) = provisioned("CONVNEXT_TEST_CURL", "/usr/bin/curl") else { return };
    let Some(prometheus) = provisioned("CONVNEXT_TEST_PROMETHEUS", "/usr/bin/prometheus") else { return };
    let server = Server::start_with(&["--calibrate", "quick", "--drain-delay", "0s"]);
    // measured while nothing is asked; the metrics may be asked for
    let ours = until("the server has measured", || {
        let metrics = output(curl_command(&curl).arg(server.url("/metrics")));
        let lines = metrics.lines().filter(|line| line.starts_with("convnext_speedup_ratio{"));
        let ratios: Vec<f64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        (ratios.len() == 2).then(|| ratios.into_iter().fold(f64::INFINITY, f64::min))
    });
    let prometheus = Prometheus::start(&prometheus, curl.clone(), server.http());

    // a load on both models, with an error now and then, as long as it takes
    let asked = |path: &str, body: &str| {
        let mut curl = curl_command(&curl);
        // an error is an answer here
        drop(curl.arg("--data-binary").arg(body).arg(server.url(path)).stdin(Stdio::null()).output().unwrap());
    };
    let photo = format!("@{PHOTO}");
    let load = || {
        for model in ["convnext_atto", "swin_atto", "nobody"] {
            asked(&format!("/classify?model={model}"), &photo);
        }
        asked("/classify", "no image");
    };
    until("the recording rules have data", || {
        load();
        let found = prometheus.query("model_family:convnext_images_per_device_second:rate5m");
        (found.len() == 2).then_some(())
    });
    let ratio = until("the ratio is recorded", || {
        load();
        let found = prometheus.query("model_baseline:convnext_speedup:min");
        Some(found.first()?["value"][1].as_str()?.parse::<f64>().unwrap())
    });
    assert_eq!(ratio, ours, "the server's own ratio (right) by PromQL (left)");

    let rules: Value = serde_json::from_str(&prometheus.get("/api/v1/rules")).unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 19, "{rules:?}");
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert!(rule["state"].is_null() || rule["state"] != "firing", "a healthy server fires {rule}");
    }

    let mut queries = 0;
    for (panel, query) in dashboard() {
        until(&format!("the panel {panel:?} has data: {query}"), || {
            load();
            (!prometheus.query(&query).is_empty()).then_some(())
        });
        queries += 1;
    }
    assert!(queries >= 18, "{queries}");
}

/// The queries of the dashboard, each with its panel's title, with Grafana's variables filled in.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(DEPLOY).join("grafana/convnext-server.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = |panel: &Value| -> Vec<(String, String)> {
        let (title, targets) = (panel["title"].as_str().unwrap().to_owned(), panel["targets"].as_array());
        let query = |target: &Value| target["expr"].as_str().unwrap().to_owned();
        targets.into_iter().flatten().map(|target| (title.clone(), query(target))).collect()
    };
    let filled = |query: String| {
        let query = query.replace("$__rate_interval", "15s").replace("$instance", ".*").replace("$model", ".*");
        assert!(!query.contains('$'), "{query}");
        query
    };
    panels.flat_map(targets).map(|(panel, query)| (panel, filled(query))).collect()
}

/// What comes once it is there; a test is not held up for ever.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        // whoever is waited for is a process of its own
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// A Prometheus with the rules of `deploy/prometheus`; killed when dropped.
struct Prometheus {
    process: Child,
    url: String,
    curl: PathBuf,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes this address, every second.
    fn start(program: &Path, curl: PathBuf, target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = Path::new(DEPLOY).join("prometheus");
        for name in ["rules.yml", "alerts.yml"] {
            let text = std::fs::read_to_string(rules.join(name)).unwrap();
            std::fs::write(folder.path().join(name), text.replace("interval: 15s", "interval: 1s")).unwrap();
        }
        let text = std::fs::read_to_string(rules.join("prometheus.yml")).unwrap();
        let text = text.replace("_interval: 15s", "_interval: 1s").replace("127.0.0.1:8080", target);
        assert!(text.contains(target));
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, text).unwrap();
        // it does not tell which port it got: one that is free now
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let prometheus = Self { process, url: format!("http://{address}"), curl, _folder: folder };
        until("Prometheus is ready", || {
            let mut curl = curl_command(&prometheus.curl);
            let ready = curl.arg(format!("{}/-/ready", prometheus.url)).stdin(Stdio::null()).output().unwrap();
            ready.status.success().then_some(())
        });
        prometheus
    }

    fn get(&self, path: &str) -> String {
        output(curl_command(&self.curl).arg(format!("{}{path}", self.url)))
    }

    /// The series that a query finds now.
    fn query(&self, query: &str) -> Vec<Value> {
        let mut curl = curl_command(&self.curl);
        curl.arg("--get").arg("--data-urlencode").arg(format!("query={query}"));
        let answer = output(curl.arg(format!("{}/api/v1/query", self.url)));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // fails when it has ended already, which is as good
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
