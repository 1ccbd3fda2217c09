//! `convnext bench` on an emulated GPU: counts by operation and computed times, and no measured one.

use std::process::Command;

use serde_json::Value;

use crate::emulated::Driver;

/// What the benchmark prints of ConvNeXt-Atto at a batch of 3, which no bucket but its own has; with all blocks or a sample.
fn bench(report: &str, more: &[&str], environment: &[(&str, &str)]) -> String {
    let (driver, folder) = (Driver::new(80), tempfile::tempdir().unwrap());
    let mut bench = Command::new(env!("CARGO_BIN_EXE_convnext"));
    bench.args(["bench", "--device", "cuda", "--models", "convnext_atto", "--batch", "3,4", "--size", "64"]).args(more);
    bench.envs(driver.environment()).env("CUDA_EMULATOR_REPORT", folder.path().join(report));
    let output = bench.envs(environment.iter().copied()).output().unwrap();
    let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}");
    told
}

#[test]
fn a_table_tells_counts_by_operation_and_says_that_times_are_computed() {
    let told = bench("report.json", &[], &[("CUDA_EMULATOR_BLOCKS", "4")]);
    assert!(told.contains("nothing was measured") && told.contains("no card ran this"), "{told}");
    assert!(told.contains("convnext_atto at batch 3\n") && told.contains("convnext_atto at batch 4\n"), "{told}");
    assert!(told.contains("stages.2.blocks.*.fc2"), "{told}");
    assert!(told.contains("µs computed") && !told.contains("±"), "{told}");
    let told = bench("report.txt", &[], &[("CUDA_EMULATOR_BLOCKS", "4")]);
    assert!(told.contains("With CUDA_EMULATOR_REPORT=FILE.json"), "{told}");
}

#[test]
fn a_sample_counts_what_all_blocks_do_within_a_few_percent() {
    let told = |environment: &[(&str, &str)]| -> Value {
        serde_json::from_str(&bench("report.json", &["--json"], environment)).unwrap()
    };
    let (all, some) = (told(&[("CUDA_EMULATOR_CHECKS", "0")]), told(&[("CUDA_EMULATOR_BLOCKS", "32")]));
    for (all, some) in all["cases"].as_array().unwrap().iter().zip(some["cases"].as_array().unwrap()) {
        let [all, some] = [all, some].map(|case| &case["network"]);
        assert_eq!(all["launches"], some["launches"]);
        for figure in ["unique_bytes", "sectors", "wavefronts"] {
            let [all, some] = [all, some].map(|network| network[figure].as_f64().unwrap());
            assert!((some / all - 1.0).abs() < 0.05, "{figure}: {some} of a sample, {all} of all blocks");
        }
    }
}
