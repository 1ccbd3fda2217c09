//! `convnext plan`: that what `deploy/CAPACITY.md` says is what the command says, and what it refuses.

use std::path::Path;

use serde_json::{Value, json};

use super::{failure, stdout};

const CAPACITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/CAPACITY.md");
/// Before what a command prints, and behind it.
const COMMAND: &str = "<!-- convnext plan ";
const END: &str = "<!-- end -->\n";

/// The commands of the document, each with what it prints there.
fn blocks(document: &str) -> Vec<(Vec<&str>, &str)> {
    let block = |text: &'_ str| -> Option<(usize, usize)> { Some((text.find(" -->\n")?, text.find(END)?)) };
    let pieces = document.split(COMMAND).skip(1);
    pieces
        .map(|piece| {
            let (command, end) = block(piece).expect("a command has an end");
            let words = ["plan"].into_iter().chain(piece[..command].split_whitespace()).collect();
            (words, piece[command + " -->\n".len()..end].trim_start())
        })
        .collect()
}

#[test]
fn capacity_says_of_one_card_a_table_what_the_simulation_says() {
    let document = std::fs::read_to_string(CAPACITY).unwrap();
    let answers = blocks(&document);
    assert!(answers.len() >= 3, "both networks, and files");
    for (mut words, printed) in answers {
        // the others take as long each, and other loads longer; all of the document is the test below
        let card = 1 + words.iter().position(|word| *word == "--card").unwrap();
        words[card] = words[card].rsplit(',').next().unwrap();
        words.retain(|word| *word != "--only");
        words.push("--only");
        let told = stdout(&words);
        let rows: Vec<&str> = told.lines().filter(|line| line.contains("| computed, ")).collect();
        assert_eq!(rows.len(), 2, "{told}");
        for row in rows {
            assert!(printed.contains(row), "{words:?} prints\n{row}\nand the document has\n{printed}");
        }
    }
}

/// With `CONVNEXT_WRITE_CAPACITY=1` it writes the document instead. A minute in a release build:
/// `cargo test --release --test cli -- --ignored capacity`.
#[test]
#[ignore = "slow"]
fn all_of_capacity_is_what_its_commands_print() {
    let document = std::fs::read_to_string(CAPACITY).unwrap();
    let mut rewritten = document.clone();
    for (words, printed) in blocks(&document) {
        let block = |printed: &str| format!("{COMMAND}{} -->\n\n{printed}{END}", words[1..].join(" "));
        rewritten = rewritten.replace(&block(printed), &block(&stdout(&words)));
    }
    if std::env::var_os("CONVNEXT_WRITE_CAPACITY").is_some() {
        std::fs::write(CAPACITY, rewritten).unwrap();
    } else {
        assert!(document == rewritten, "CONVNEXT_WRITE_CAPACITY=1 writes it anew");
    }
}

#[test]
fn the_documents_charts_are_there() {
    let document = std::fs::read_to_string(CAPACITY).unwrap();
    let charts: Vec<&str> = document.split("](capacity/").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(charts.len() >= 2, "{charts:?}");
    for chart in charts {
        let path = Path::new(CAPACITY).with_file_name("capacity").join(chart);
        let drawn = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(drawn.starts_with("<svg") && drawn.contains("not measured"), "{chart}");
    }
}

#[test]
fn a_measured_machine_is_planned_with_as_json_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, chart) = (folder.path().join("bench.json"), folder.path().join("plan.svg"));
    let result = |batch: u64, ms: f64| json!({"model": "m", "batch": batch, "quantiles_ms": vec![ms; 12]});
    let report = json!({"device": "cpu", "results": [result(1, 10.0), result(8, 60.0)]});
    std::fs::write(&bench, report.to_string()).unwrap();
    let (bench, chart) = (bench.to_str().unwrap(), chart.to_str().unwrap());
    let args = ["plan", "--bench", bench, "--rate", "300", "--p99", "200ms", "--max-batch", "8", "--seconds", "5"];
    let told = stdout(&[&args[..], &["--json", "--plot", chart]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    let case = &told["cases"][0];
    assert_eq!((&told["model"], &case["is_measured"]), (&json!("m"), &json!(true)));
    let devices = case["devices"].as_u64().unwrap();
    // 133 images/s a device
    assert!((3..=4).contains(&devices), "{case}");
    let p99 = case["at_rate"]["latency_ms"]["p99"].as_f64().unwrap();
    assert!((10.0..=200.0).contains(&p99) && case["at_rate"]["held"] == true, "{case}");
    assert!(case["loads"].as_array().unwrap().len() > 5 && case["autoscaling"]["advised"]["load"].is_number());
    assert!(std::fs::read_to_string(chart).unwrap().contains("simulated with measured times"));
    // the same again is the same
    let again: Value = serde_json::from_str(&stdout(&[&args[..], &["--json"]].concat())).unwrap();
    assert_eq!(again, told);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_cause() {
    for (args, words) in [
        (&["--rate", "100"][..], "--card"),
        (&["--card", "v100", "--rate", "100"], "nothing was computed of it; there are t4"),
        (&["--card", "t4", "--model", "convnext_atto", "--rate", "100"], "there are convnext_tiny"),
        (&["--card", "t4", "--rate", "0"], "images a second are possible"),
        (&["--card", "t4", "--rate", "100", "--p99", "0s"], "--p99 is 0s"),
        (&["--card", "t4", "--rate", "100", "--max-batch", "512"], "known up to 256"),
        (&["--bench", "/nowhere.json", "--rate", "100"], "/nowhere.json"),
        (&["--bench", "Cargo.toml", "--rate", "100"], "this is no JSON"),
    ] {
        let (code, line) = failure(&[&["plan"], args].concat());
        assert!(code == 64 && line.contains(words), "{args:?}: {code}, {line}");
    }
    // a latency that no number of cards holds is no mistake of the command
    let (code, line) = failure(&["plan", "--card", "t4", "--rate", "100", "--p99", "1ms", "--only", "--seconds", "1"]);
    assert!(code == 1 && line.contains("no number of T4"), "{code}, {line}");
}
