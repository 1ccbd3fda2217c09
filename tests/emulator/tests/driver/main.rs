//! The driver answers what an H100's answered: every case of `hardware/recordings/driver.json`, call by call. Each runs in a process of its
//! own, as it did there: this program calls itself.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::undocumented_unsafe_blocks,
    reason = "tests of functions for C"
)]

mod captures;
mod clients;
mod deviations;
mod devices;
mod faults;
mod graphs;
mod grids;
mod launches;
mod libraries;
mod limits;
mod log;
mod resources;
mod symbols;

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

use log::Log;

type Case = (&'static str, fn(&mut Log));

/// Names the case for a process.
const VARIABLE: &str = "CUDA_EMULATOR_TEST_CASE";
const MARK: &str = "answers: ";

fn recordings() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/recordings/driver.json");
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    all["cases"].as_array().unwrap().clone()
}

/// Numbers of the device's attributes, each with what it is called in the recording.
fn recorded_attributes() -> Vec<(u32, String)> {
    let case = recordings().into_iter().find(|case| case["case"] == "device_attributes").unwrap();
    let names = case["calls"].as_array().unwrap().iter().map(|call| call[0].as_str().unwrap().to_owned());
    names.map(|name| (name.split(' ').next().unwrap().parse().unwrap(), name)).collect()
}

/// Does what a case does.
fn run(name: &str) -> Log {
    if name == "uninitialised" {
        let mut log = Log::unstarted();
        resources::uninitialised(&mut log);
        return log;
    }
    let mut log = Log::new();
    let parts = [
        faults::CASES,
        launches::CASES,
        resources::CASES,
        captures::CASES,
        graphs::CASES,
        grids::CASES,
        limits::CASES,
        libraries::CASES,
        clients::CASES,
        devices::CASES,
    ];
    match parts.into_iter().flatten().find(|(case, _)| *case == name) {
        Some((_, act)) => act(&mut log),
        None => assert!(captures::run(&mut log, name), "no case is called {name}"),
    }
    log
}

/// The process of a case; in any other, nothing.
#[test]
fn one_case() {
    if let Ok(name) = std::env::var(VARIABLE) {
        println!("\n{MARK}{}", Value::from(run(&name).calls));
    }
}

/// What a process runs under.
struct Settings<'a> {
    sm: u32,
    seed: u32,
    more: &'a [(&'a str, &'a str)],
}

/// What became of it.
struct Outcome {
    /// None where it ended early.
    answers: Option<Vec<Value>>,
    said: String,
    status: Option<i32>,
}

/// Runs a case in a process of its own.
fn child(name: &str, settings: &Settings<'_>) -> Outcome {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["one_case", "--exact", "--nocapture"]).env(VARIABLE, name);
    command.env("CUDA_EMULATOR_SM", settings.sm.to_string()).env("CUDA_EMULATOR_SEED", settings.seed.to_string());
    let output = command.envs(settings.more.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let answers = text.lines().find_map(|line| line.strip_prefix(MARK));
    Outcome {
        answers: answers.map(|answers| serde_json::from_str(answers).unwrap()),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
    }
}

/// What went otherwise than it should.
fn differences(case: &Value, seed: u32) -> Vec<String> {
    let name = case["case"].as_str().unwrap();
    let output = child(name, &Settings { sm: 90, seed, more: &[] });
    let Some(ours) = output.answers else {
        return vec![format!("{name}, seed {seed}: ended: {}", output.said)];
    };
    let mut theirs = deviations::expected(name, case["calls"].as_array().unwrap()).into_iter();
    let mut found = vec![];
    for (at, ours) in ours.into_iter().enumerate() {
        match theirs.next() {
            Some(theirs) if ours == theirs => {}
            theirs => found.push(format!("{name}, seed {seed}, {at}: {ours}, and the card {}", Value::from(theirs))),
        }
    }
    found.extend(theirs.map(|theirs| format!("{name}, seed {seed}: only the card {theirs}")));
    found
}

/// Runs cases, as many at once as there are cores.
fn compare(cases: &[(Value, u32)]) {
    let (next, found) = (Mutex::new(cases.iter()), Mutex::new(vec![]));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some((case, seed)) = next.lock().unwrap().next() else { break };
                    let differences = differences(case, *seed);
                    found.lock().unwrap().extend(differences);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_recorded_case_is_answered_as_by_the_card() {
    let cases: Vec<(Value, u32)> = recordings().into_iter().map(|case| (case, 0)).collect();
    assert_eq!(cases.len(), 106);
    compare(&cases);
}

#[test]
fn no_order_of_work_changes_what_calls_answer() {
    // These ask what is done already, which depends on it.
    let timed = |case: &Value| case["case"] == "busy" || case["case"] == "null_stream";
    let cases: Vec<Value> = recordings().into_iter().filter(|case| !timed(case)).collect();
    let drawn = cases.into_iter().enumerate().map(|(at, case)| (case, at as u32 + 1));
    compare(&drawn.collect::<Vec<_>>());
}
