//! The arrows between modules that `ARCHITECTURE.md` promises, read off the sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

/// Module, and what none of its files may mention.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "program",
        &["crate::model", "crate::checkpoint", "crate::pixels", "crate::engine", "crate::service", "crate::http"],
    ),
    ("model", &["crate::checkpoint", "crate::pixels", "crate::engine", "crate::service", "crate::http"]),
    (
        "pixels",
        &["crate::model", "crate::program", "crate::checkpoint", "crate::engine", "crate::service", "crate::http"],
    ),
    ("engine", &["crate::model", "crate::checkpoint", "crate::pixels", "crate::service", "crate::http"]),
    ("checkpoint", &["crate::engine", "crate::service", "crate::http", "crate::cli"]),
    ("service", &["crate::http", "crate::cli", "crate::config"]),
    ("http", &["crate::cli", "crate::config", "crate::engine", "crate::checkpoint", "crate::model", "crate::program"]),
];
const NO_RUNTIME: &[&str] = &["tokio", "axum", "hyper", "prometheus"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| is_rust(path))
        .collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The code of a file: without comments, and without the tests at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn arrows_between_modules_run_one_way() {
    for (module, forbidden) in FORBIDDEN {
        for path in sources(&source_folder().join(module)) {
            let code = code(&path);
            for name in *forbidden {
                assert!(!code.contains(name), "{} mentions {name}", path.display());
            }
        }
    }
}

#[test]
fn the_inner_modules_know_no_runtime_and_no_protocol() {
    for module in ["program", "model", "engine", "pixels"] {
        for path in sources(&source_folder().join(module)) {
            let code = code(&path);
            for name in NO_RUNTIME {
                assert!(!code.contains(&format!("{name}::")), "{} mentions {name}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_stands_where_it_may() {
    let allowed = ["engine/cuda", "engine/cpu"];
    for path in sources(&source_folder()) {
        let place = path.strip_prefix(source_folder()).unwrap().to_owned();
        let code = code(&path);
        let is_unsafe = code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
        assert!(!is_unsafe || allowed.iter().any(|folder| place.starts_with(folder)), "{} is unsafe", place.display());
    }
}
