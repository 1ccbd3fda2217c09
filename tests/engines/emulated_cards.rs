//! The whole suite again on the CUDA engine, in processes that have the emulated driver: on each card that has tiles or code of its own.
//!
//! Not here: kernels one by one (`tests/cuda`).

use crate::emulated;

/// Tests that are about other engines, or about a machine's memory.
const NOT_OF_A_GPU: &[&str] = &["emulated_cards::", "of_the_cpus_logits", "too_little_memory"];

/// Runs the tests whose names contain one of `words`, all of them if there are none, on an emulated card.
fn suite(capability: u32, words: &[&str], environment: &[(&str, &str)]) {
    let mut arguments: Vec<&str> = words.to_vec();
    arguments.extend(NOT_OF_A_GPU.iter().flat_map(|name| ["--skip", name]));
    let output = emulated::rerun(&arguments, capability, environment);
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "on sm_{capability}: {}\n{told}{said}", output.status);
    let passed =
        told.split(" passed").next().and_then(|text| text.rsplit(' ').next()).and_then(|text| text.parse().ok());
    assert!(passed.unwrap_or(0) > 0, "nothing ran: {told}");
    // shown with --nocapture
    eprintln!("{said}");
}

/// All of them in f32, two in 16 bits.
#[test]
fn the_golden_cases_on_an_ampere() {
    suite(80, &["golden::", "--skip", "golden::in_16_bits_every"], &[]);
}

#[test]
#[ignore = "40 s: `cargo xtask conformance` runs it"]
fn every_golden_case_in_16_bits_on_an_ampere() {
    suite(80, &["golden::in_16_bits_every"], &[]);
}

#[test]
#[ignore = "40 s: `cargo xtask conformance` runs it"]
fn the_golden_cases_on_a_turing() {
    suite(75, &["golden::", "--skip", "golden::in_16_bits_two"], &[]);
}

#[test]
#[ignore = "30 s: `cargo xtask conformance` runs it"]
fn golden_cases_on_every_other_card() {
    for capability in [86, 89, 90] {
        suite(capability, &["golden::timm_convnext", "golden::in_16_bits_two"], &[]);
    }
}

#[test]
fn the_contract_on_an_ampere() {
    suite(80, &["contract::"], &[]);
}

#[test]
fn agreement_on_an_ampere() {
    suite(80, &["agreement::"], &[]);
}

#[test]
fn another_order_of_everything_gives_the_same_answers() {
    suite(
        80,
        &["golden::timm_convnext", "golden::in_16_bits_two", "contract::as_many_batches", "contract::within_a_bucket"],
        &[("CUDA_EMULATOR_SEED", "2")],
    );
}
