//! The command line as a user meets it: output, errors and exit codes of the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "cli/load.rs"]
mod load;
#[path = "cli/plan.rs"]
mod plan;
#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each suite uses a part")]
mod process;

use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/images");

fn convnext(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convnext"));
    // the configuration of whoever runs the tests is not the test's
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CONVNEXT_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

/// Standard output of a command that must succeed.
fn stdout(args: &[&str]) -> String {
    let output = convnext(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the one line of a command that must fail.
fn failure(args: &[&str]) -> (i32, String) {
    let output = convnext(args);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_test_image_of_the_demo_model_gets_its_label() {
    let mut images: Vec<String> =
        std::fs::read_dir(IMAGES).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    images.retain(|path| path.ends_with(".png"));
    images.sort();
    assert_eq!(images.len(), 10);
    let mut args = vec!["classify", "--json", "--top-k", "2"];
    args.extend(images.iter().map(String::as_str));
    let answers: Value = serde_json::from_str(&stdout(&args)).unwrap();
    for (image, answer) in images.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(answer["image"], **image);
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 2);
        let label = predictions[0]["label"].as_str().unwrap().to_lowercase().replace([' ', '/'], "-");
        assert!(image.ends_with(&format!("/{label}.png")), "{image} is called {label}");
    }
}

#[test]
fn classify_prints_a_label_a_line() {
    let text = stdout(&["classify", "--top-k", "1", &format!("{IMAGES}/bag.png")]);
    let (score, label) = text.trim().split_once("  ").unwrap();
    assert_eq!(label, "Bag");
    assert!(score.parse::<f32>().unwrap() > 0.5);
}

#[test]
fn classify_names_the_file_that_it_cannot_read_or_decode() {
    let (code, error) = failure(&["classify", "no-such-photo.jpg"]);
    assert_eq!(code, 1);
    assert!(error.contains("no-such-photo.jpg"), "{error}");
    let (code, error) = failure(&["classify", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    assert_eq!(code, 1);
    assert!(error.contains("Cargo.toml") && error.contains("not an image"), "{error}");
}

/// As a user does it: quantise a model, look at it, and classify with it.
#[test]
fn a_quantised_model_is_a_folder_that_says_how_it_was_made_and_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    for model in ["convnext_atto", "swin_atto"] {
        let out = folder.path().join(format!("{model}-int8"));
        let out = out.to_str().unwrap();
        let args = ["quantize", model, "--images", IMAGES, "--out", out];
        let report: Value = serde_json::from_str(&stdout(&[&args[..], &["--json"]].concat())).unwrap();
        assert_eq!((&report["images"], &report["agreement"]), (&10.into(), &1.0.into()), "{report}");
        let error = report["worst_relative_error"].as_f64().unwrap();
        assert!(error > 0.0 && error < 0.1, "{report}");

        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(format!("{out}/config.json")).unwrap()).unwrap();
        let made = &config["quantization_config"];
        assert_eq!(made["found"]["images"], 10, "{made}");
        let digest = made["source"]["files"][0]["sha256"].as_str().unwrap();
        let stored = std::fs::read(format!("{}/models/{model}/model.safetensors", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let expected: String = ring::digest::digest(&ring::digest::SHA256, &stored)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, expected);
        let size = std::fs::metadata(format!("{out}/model.safetensors")).unwrap().len() as f64;
        assert!(size < 0.6 * stored.len() as f64, "{size} bytes of {}", stored.len()); // the source is in f16 or f32

        assert!(stdout(&["inspect", out]).contains("weights of products in int8"));
        // int8 by itself; and by name what is read as floats
        let image = format!("{IMAGES}/bag.png");
        for precision in ["auto", "int8", "f32", "bf16"] {
            let answer = stdout(&[
                "classify",
                "--device",
                "cpu",
                "--precision",
                precision,
                "--model",
                out,
                "--top-k",
                "1",
                &image,
            ]);
            assert!(answer.trim().ends_with("Bag"), "{precision}: {answer}");
        }
        let report: Value =
            serde_json::from_str(&stdout(&["verify", out, "--device", "cpu", "--images", "1", "--json"])).unwrap();
        assert_eq!((&report["precision"], &report["passed"]), (&"int8".into(), &true.into()));
        let (code, error) = failure(&args);
        assert!(code == 64 && error.contains("it is there already"), "{error}");
        let (code, error) = failure(&["quantize", out, "--images", IMAGES, "--out", &format!("{out}-twice")]);
        assert!(code == 1 && error.contains("quantised already"), "{error}");
    }
    let none = folder.path().join("none");
    let args =
        ["quantize", "convnext_atto", "--images", folder.path().to_str().unwrap(), "--out", none.to_str().unwrap()];
    let (code, error) = failure(&args);
    assert!(code == 64 && error.contains("there is no image") && !none.exists(), "{error}");
}

#[test]
fn inspect_tells_the_published_costs_of_an_architecture() {
    // parameters, MACs: the papers' tables and timm's
    for (args, parameters, gmacs) in
        [(&["convnext_small"][..], 50.22, 8.684), (&["convnext_tiny", "--size", "384"], 28.59, 13.092)]
    {
        let text = stdout(&[&["inspect", "--json"], args].concat());
        let total = &serde_json::from_str::<Value>(&text).unwrap()["total"];
        assert!((total["parameters"].as_f64().unwrap() / 1e6 - parameters).abs() < 0.005, "{total}");
        assert!((total["macs"].as_f64().unwrap() / 1e9 - gmacs).abs() < 0.001, "{total}");
    }
    let table = stdout(&["inspect", "convnext_atto"]);
    assert!(table.contains("built in") && table.contains("3,377,730"), "{table}");
}

#[test]
fn verify_finds_the_cpu_engine_within_the_bound() {
    let text = stdout(&["verify", "--images", "2", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["passed"], true);
    assert_eq!(report["relative_errors"].as_array().unwrap().len(), 2);
}

#[test]
fn verify_compares_golden_cases_in_every_precision_of_the_engine() {
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/timm-convnext");
    let report: Value =
        serde_json::from_str(&stdout(&["verify", "--device", "cpu", "--images", "1", "--golden", case, "--json"]))
            .unwrap();
    let golden = report["golden"].as_array().unwrap();
    assert_eq!(golden.len(), 2, "{report}");
    for (outcome, precision) in golden.iter().zip(["f32", "bf16"]) {
        assert_eq!((&outcome["case"], &outcome["precision"]), (&"timm-convnext".into(), &precision.into()));
        assert_eq!(outcome["passed"], true);
    }
    let int8 = ["verify", "convnext_atto", "--size", "32", "--device", "cpu", "--precision", "int8", "--images", "1"];
    let output = convnext(&[&int8[..], &["--golden", case]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("timm-convnext in int8: not compared"), "{told}");
}

#[test]
fn bench_measures_every_model_in_every_batch_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("bench.svg");
    let args =
        ["bench", "--models", "convnext_atto", "--size", "32", "--batch", "1,2", "--seconds", "0.2", "--threads", "1"];
    let report = stdout(&[&args[..], &["--json", "--profile", "--plot", plot.to_str().unwrap()]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["device"], &report["threads"]), (&"cpu".into(), &1.into()));
    assert_eq!(report["precision"], "f32");
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|result| result["batch"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for result in results {
        assert_eq!((&result["model"], &result["image_size"]), (&"convnext_atto".into(), &32.into()));
        assert_eq!(result["rounds"].as_array().unwrap().len() as u64, report["rounds"].as_u64().unwrap());
        let number = |value: &Value| value.as_f64().unwrap();
        assert!(number(&result["images_per_second"]) > 0.0 && number(&result["gflops"]) > 0.0, "{result}");
        let latency = &result["latency_ms"];
        assert!(0.0 < number(&latency["median"]) && number(&latency["median"]) <= number(&latency["p99"]), "{result}");
        assert!(result["runs"].as_u64().unwrap() >= 3, "{result}");
        assert_eq!(result["share_of_peak"].is_null(), report["peak_gflops"].is_null());
    }
    assert_eq!(report["profile"].as_array().unwrap().len(), 2);
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("batch 2: "), "{plot}");
    assert!(stdout(&args).contains("32×32"));
}

#[test]
fn bench_compares_a_pair_round_by_round() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("pair.svg");
    let args = ["bench", "--pair", "convnext_atto,swin_atto", "--size", "32", "--batch", "1", "--seconds", "0.2"];
    let report = stdout(&[&args[..], &["--json", "--plot", plot.to_str().unwrap()]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let families: Vec<&Value> = report["results"].as_array().unwrap().iter().map(|result| &result["model"]).collect();
    assert_eq!(families, ["convnext_atto", "swin_atto"]);
    let [pair] = &report["pairs"].as_array().unwrap()[..] else { panic!("one pair: {report}") };
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(pair["ratios"].as_array().unwrap().len() as u64, report["rounds"].as_u64().unwrap());
    assert!(
        number(&pair["ratio_low"]) <= number(&pair["ratio"]) && number(&pair["ratio"]) <= number(&pair["ratio_high"])
    );
    assert!(std::fs::read_to_string(plot).unwrap().contains("Batch 1: "));
    // without --pair too, where both are named
    let text =
        stdout(&["bench", "--models", "convnext_atto,swin_atto", "--size", "32", "--batch", "2", "--seconds", "0.2"]);
    assert!(text.contains("convnext_atto / swin_atto"), "{text}");
}

#[test]
fn bench_takes_a_published_name_for_the_published_network_and_a_folder_for_its_own() {
    let folder = concat!("demo=", env!("CARGO_MANIFEST_DIR"), "/models/convnext_atto");
    let args = ["bench", "--models", folder, "--batch", "1", "--seconds", "0.1"];
    let table = stdout(&args);
    assert!(table.contains("demo") && table.contains("64×64"), "{table}");
    let (code, error) = failure(&[&args[..], &["--size", "96"]].concat());
    assert_eq!(code, 64, "{error}");
    assert!(error.contains("--size is for architectures"), "{error}");
    assert!(stdout(&["bench", "--help"]).contains("elsewhere are the demo models"));
}

#[test]
fn what_makes_no_sense_exits_with_64_and_says_what_is_possible() {
    let wrong = [
        (&["serve", "--max-batch", "0"][..], "1 to 1024"),
        (&["serve", "--deadline", "5"], "500ms"),
        (&["serve", "--http-addr", "localhost"], "--http-addr"),
        (&["serve", "--device", "cuda:99"], "device cuda:99: "),
        (&["serve", "--device", "tpu"], "auto, cpu, cuda"),
        (&["serve", "--device", "cuda", "--engine", "null"], "device cuda: --engine null computes on no device"),
        (&["serve", "--engine", "fast"], "possible values: auto, null"),
        (&["verify", "--device", "cpu:mmx"], "this machine has"),
        (&["verify", "--golden", "/nowhere"], "/nowhere"),
        (&["verify", "--golden", "src"], "a golden case is a model's folder"),
        (&["serve", "--models", "no_such_folder"], "no_such_folder"),
        (&["serve", "--models", "convnext_atto,convnext_atto"], "two models are named"),
        (&["serve", "--config", "no-such-file.toml"], "no-such-file.toml"),
        (&["serve", "--log", "=="], "log filter"),
        (&["inspect", "convnext_enormous"], "convnext_xlarge"),
        (&["bench", "--models", "convnext_enormous"], "convnext_xlarge"),
        (&["bench", "--models", "convnext_tiny,convnext_tiny"], "convnext_tiny is named twice"),
        (&["bench", "--batch", "8,8"], "batch size 8 is named twice"),
        (&["bench", "--pair", "convnext_tiny"], "two different models are needed"),
        (
            &["bench", "--pair", "convnext_atto,swin_atto", "--pair", "convnext_atto,swin_atto"],
            "pair convnext_atto,swin_atto is",
        ),
        (
            &["bench", "--pair", "swin_atto,models/convnext_atto", "--pair", "swin_atto,convnext_atto"],
            "model convnext_atto is",
        ),
        (&["bench", "--pair", "swin_tiny,swin_tiny"], "two different models are needed"),
        (&["serve", "--baseline", "convnext_atto=resnet"], "no model resnet is served"),
        (&["serve", "--baseline", "swin_atto"], "MODEL=BASELINE"),
        (&["serve", "--baseline", "convnext_atto=swin_atto,convnext_atto=swin_atto"], "convnext_atto has two"),
        (&["bench", "--batch", "0"], "1..=1024"),
        (&["bench", "--batch", "1025"], "1..=1024"),
        (&["bench", "--seconds", "0.01"], "0.1 to 3600"),
        (&["bench", "--threads", "0"], "1..=1024"),
        (&["bench", "--size", "0"], "1 to 8192"),
        (&["bench", "--device", "cuda:99"], "device cuda:99: "),
        (&["bench", "--plot", "no-such-folder/bench.svg"], "no-such-folder/bench.svg"),
        (&["health", "localhost"], "http://HOST:PORT"),
        (&["load", "localhost:8080", "--images", "models/images"], "http://HOST:PORT"),
        (&["load", "https://a.example", "--images", "models/images", "--ca", "no-such.pem"], "no-such.pem"),
        (&["load"], "--images PATH is needed"),
        (&["load", "--images", "src"], "there is no image"),
        (&["load", "--images", "models/images", "--rate", "0"], "0.1 to 100,000"),
        (&["load", "--images", "models/images", "--clients", "0"], "1..=100000"),
        (&["load", "--images", "models/images", "--arrivals", "poisson"], "--rate"),
        (&["load", "--route", "oip", "--timeout", "0s"], "--timeout is 0s"),
        (&["load", "--route", "grpc"], "--route grpc needs --model"),
        (&["classify"], "IMAGE"),
        (&["sing"], "sing"),
    ];
    for (args, words) in wrong {
        let (code, error) = failure(args);
        assert_eq!(code, 64, "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error}");
    }
}

#[test]
fn a_file_of_unknown_keys_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "max-batch = 8\nmax-dealy = \"1s\"\n").unwrap();
    let (code, error) = failure(&["serve", "--config", file.path().to_str().unwrap()]);
    assert_eq!(code, 64);
    assert!(error.contains("max-dealy"), "{error}");
}

#[test]
fn a_port_that_is_taken_is_a_failure_of_its_own() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, error) = failure(&["serve", "--http-addr", &address]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(&format!("binding {address}")), "{error}");
}

#[test]
fn health_of_nobody_is_a_failure() {
    // bound and dropped: nobody listens there
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, error) = failure(&["health", &format!("http://{address}")]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn help_and_version_are_no_errors() {
    assert!(stdout(&["--help"]).contains("convnext serve"));
    assert!(stdout(&["serve", "--help"]).contains("CONVNEXT_MAX_BATCH"));
    assert!(stdout(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}
