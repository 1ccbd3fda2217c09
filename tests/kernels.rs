//! The committed PTX and tables belong to the kernels' sources: told by hashes, without NVIDIA's compilers.
//! `cargo xtask kernels --check` compiles instead, and compares to the byte; not here: what a kernel computes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const STALE: &str = "run `cargo xtask kernels`";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// The texts of the files with one of these endings, by name.
fn texts(folder: &Path, endings: &[&str]) -> BTreeMap<String, String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    let wanted = named.filter(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)));
    wanted.map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

fn sources() -> BTreeMap<String, String> {
    texts(&folder(), &[".cu", ".cuh"])
}

fn ptx() -> BTreeMap<String, String> {
    texts(&folder().join("ptx"), &[".ptx"])
}

fn table() -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join("ptx/table.json")).unwrap()).unwrap()
}

/// FNV-1a, as in `xtask/src/kernels/hash.rs`.
fn hash(text: &str) -> String {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

fn hashes(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| (name.clone(), hash(text))).collect()
}

fn recorded(table: &Value) -> BTreeMap<String, String> {
    table.as_object().unwrap().iter().map(|(name, hash)| (name.clone(), hash.as_str().unwrap().to_owned())).collect()
}

fn architectures(target: &str) -> BTreeSet<u64> {
    BTreeSet::from_iter(if target == "sm_75" { vec![75] } else { vec![80, 86, 89, 90] })
}

#[test]
fn the_table_is_of_these_sources_this_ptx_and_these_compilers() {
    let table = table();
    assert_eq!(recorded(&table["sources"]), hashes(&sources()), "a source was changed: {STALE}");
    assert_eq!(recorded(&table["ptx"]), hashes(&ptx()), "PTX was changed and not its source: {STALE}");
    let pins = fs::read_to_string(folder().join("toolchain.txt")).unwrap();
    let pins: Vec<&str> = pins.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(table["toolchain"], Value::from(pins), "the compilers were changed: {STALE}");
}

#[test]
fn every_source_has_ptx_for_both_targets_and_no_ptx_is_without_a_source() {
    let sources = sources();
    let stems = sources.keys().filter_map(|name| name.strip_suffix(".cu"));
    let expected: BTreeSet<String> =
        stems.flat_map(|stem| ["75", "80"].map(|target| format!("{stem}.sm_{target}.ptx"))).collect();
    assert_eq!(ptx().into_keys().collect::<BTreeSet<_>>(), expected, "{STALE}");
}

#[test]
fn every_kernel_was_assembled_for_every_architecture_and_spills_on_none() {
    let table = table();
    let rows = table["kernels"].as_array().unwrap();
    for (file, text) in ptx() {
        let target = file.rsplit('.').nth(1).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix(".visible .entry ")?.strip_suffix('('));
        let names: Vec<&str> = names.collect();
        assert!(!names.is_empty(), "{file} has no kernel");
        for name in names {
            let of_it = rows.iter().filter(|row| row["ptx"] == *file && row["kernel"] == name);
            let assembled: BTreeSet<u64> = of_it.map(|row| row["architecture"].as_u64().unwrap()).collect();
            assert_eq!(assembled, architectures(target), "{name} of {file}: {STALE}");
        }
    }
    for row in rows {
        let spilled = ["spill_stores", "spill_loads"].map(|what| row[what].as_u64().unwrap());
        assert_eq!(spilled, [0, 0], "{} spills on sm_{}", row["kernel"], row["architecture"]);
    }
}

#[test]
fn ptx_is_for_its_target_for_drivers_from_525_on_and_names_no_place_on_a_machine() {
    for (file, text) in ptx() {
        let target = file.rsplit('.').nth(1).unwrap();
        let directive = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        assert_eq!(directive(".target "), target, "{file}");
        let version: f32 = directive(".version ").parse().unwrap();
        assert!(version <= 8.0, "{file} is PTX {version}; driver 525 reads 8.0");
        // names of files and positions in them would be two fifths of what the binary has of PTX
        let named =
            text.lines().find(|line| [".file", ".loc", ".section"].iter().any(|word| line.trim().starts_with(word)));
        assert_eq!(named, None, "{file}");
    }
}
