//! What timm and transformers compute, from their own pixels (`tests/golden/generate.py`).

use std::path::Path;

use convnext_server::engine::{Batch, Options, Precision};
use convnext_server::golden::{self, Golden, OF_ALL, SAMPLE, TURNS};

use crate::{Subject, engines, relative_error};

/// The largest relative error in f32.
const F32: f64 = 1e-4;
/// How many times torch's error a case's may be in 16 bits: the bound of the design.
const THAN_TORCH: f64 = 1.25;

fn cases() -> impl Iterator<Item = Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    Golden::folders(&folder).expect("cases").into_iter().map(|folder| Golden::open(&folder).expect("opens"))
}

/// What an engine loses of a case: the largest relative error of an image's logits in f32, in 16 bits the root mean square of all orientations.
fn error(golden: &Golden, engine: &Subject, precision: Precision) -> f64 {
    let program = &golden.checkpoint.program;
    let expected = golden.logits(precision);
    assert!(expected.len() >= if precision == Precision::F32 { 3 } else { 3 * TURNS }, "a case has three images");
    let options = Options { precision, ..crate::options(expected.len()) };
    let loaded = engine.load(program, golden.checkpoint.weights.as_ref(), options).expect("loads");
    let logits = loaded.instantiate().expect("instantiates").run(Batch::new(golden.images(precision))).expect("runs");
    let found = logits.chunks_exact(program.classes()).zip(expected);
    let errors: Vec<f64> = found.map(|(found, expected)| relative_error(found, expected)).collect();
    assert_eq!(errors.len(), expected.len(), "logits of every image");
    golden.error(precision, &errors)
}

/// Runs the pixels of a case on every engine in f32 and compares the logits with the library's.
fn agrees_with_its_library(case: &str) {
    let golden = cases().find(|golden| golden.name == case).expect("a case of this name");
    for engine in engines() {
        let error = error(&golden, &engine, Precision::F32);
        let told = format!("{case} on {} in f32: relative error {error:.1e}", engine.name());
        // shown with --nocapture
        eprintln!("{told}");
        assert!(error <= F32, "{told}; {F32:.1e} is allowed");
    }
}

/// What an engine loses of each case in each 16-bit type that it has, as times what torch loses. Beside the CPU, only engines in the processes with the emulated
/// driver have any.
fn of_torch(cases: &[Golden]) -> Vec<Vec<f64>> {
    let mut all = Vec::new();
    // plain vectors round by the same code as AVX2's, and take a hundred times as long in builds for tests
    for engine in engines().into_iter().filter(|engine| !engine.name().ends_with("plain")) {
        let in_16_bits = [Precision::F16, Precision::Bf16];
        for (precision, _) in engine.precisions.iter().filter(|(precision, _)| in_16_bits.contains(precision)) {
            let share =
                |golden: &Golden| error(golden, &engine, *precision) / golden.torch(*precision).expect("torch ran it");
            let shares: Vec<f64> = cases.iter().map(share).collect();
            let names = cases.iter().map(|golden| golden.name.as_str());
            let told: Vec<String> = names.zip(&shares).map(|(name, share)| format!("{name} {share:.2}")).collect();
            // shown with --nocapture
            eprintln!("{} in {precision}, times what torch loses: {}", engine.name(), told.join(", "));
            assert!(shares.iter().all(|share| *share <= THAN_TORCH), "{told:?}; {THAN_TORCH} is allowed");
            all.push(shares);
        }
    }
    all
}

#[test]
fn in_16_bits_every_case_loses_what_torch_does_and_all_together_no_more() {
    let cases: Vec<Golden> = cases().collect();
    assert!(cases.len() >= SAMPLE);
    for shares in of_torch(&cases) {
        let mean = golden::mean(&shares);
        assert!(mean <= OF_ALL, "{mean:.2} times what torch loses");
    }
}

/// How many times what torch loses in bf16 all cases together may lose in int8, by their geometric mean, by the largest byte of a row. A number of bf16 is off by 2⁻⁹ of itself at
/// most, evenly distributed over its digits by 0.2 % of it; one of 255 steps over a range of seven deviations by 7 / 255 / √12 = 0.8 % of a deviation: four times as much. Of 127
/// steps it is eight times.
const OF_EIGHT_BITS: f64 = 4.0;
const OF_SEVEN_BITS: f64 = 8.0;
/// How many times that a single case may lose: one rounding more or less changes which numbers are rounded up in all layers behind it.
const OF_ONE: f64 = 2.0;

#[test]
fn in_int8_every_case_loses_what_its_digits_say() {
    let cases: Vec<Golden> = cases().collect();
    assert!(cases.len() >= SAMPLE);
    let has = |engine: &Subject| engine.precisions.iter().any(|(precision, _)| *precision == Precision::Int8);
    for engine in engines().into_iter().filter(|engine| has(engine) && !engine.name().ends_with("plain")) {
        let share = |golden: &Golden| {
            error(golden, &engine, Precision::Int8) / golden.torch(Precision::Bf16).expect("torch ran it")
        };
        let shares: Vec<f64> = cases.iter().map(share).collect();
        let told: Vec<String> =
            cases.iter().zip(&shares).map(|(golden, share)| format!("{} {share:.2}", golden.name)).collect();
        let mean = golden::mean(&shares);
        // shown with --nocapture
        eprintln!("{} in int8, times what torch loses in bf16: {mean:.2}, {}", engine.name(), told.join(", "));
        let of_all = if engine.largest_byte == Some(127) { OF_SEVEN_BITS } else { OF_EIGHT_BITS };
        assert!(shares.iter().all(|share| *share <= OF_ONE * of_all), "{told:?}; {OF_ONE} times {of_all} is allowed");
        assert!(mean <= of_all, "{mean:.2}; {of_all} is allowed");
    }
}

#[test]
fn in_16_bits_two_cases_lose_what_torch_does() {
    let named = |golden: &Golden| ["timm-convnext", "transformers-swin-padded"].contains(&golden.name.as_str());
    let cases: Vec<Golden> = cases().filter(named).collect();
    assert_eq!(cases.len(), 2);
    of_torch(&cases);
}

#[test]
fn timm_convnext() {
    agrees_with_its_library("timm-convnext");
}

#[test]
fn timm_convnext_of_unusual_widths_and_convolutions_for_linears() {
    agrees_with_its_library("timm-convnext-wide-norm");
}

#[test]
fn timm_convnextv2() {
    agrees_with_its_library("timm-convnextv2");
}

#[test]
fn transformers_convnext() {
    agrees_with_its_library("transformers-convnext");
}

#[test]
fn transformers_convnextv2() {
    agrees_with_its_library("transformers-convnextv2");
}

#[test]
fn timm_swin() {
    agrees_with_its_library("timm-swin");
}

#[test]
fn timm_swin_of_windows_no_smaller_than_the_last_map() {
    agrees_with_its_library("timm-swin-window4");
}

#[test]
fn timm_swin_whose_maps_are_padded_after_the_roll() {
    agrees_with_its_library("timm-swin-padded");
}

#[test]
fn transformers_swin() {
    agrees_with_its_library("transformers-swin");
}

#[test]
fn transformers_swin_whose_maps_are_padded_before_the_roll() {
    agrees_with_its_library("transformers-swin-padded");
}

#[test]
fn overlapping_stem_and_simple_norms() {
    agrees_with_its_library("timm-convnext-overlap-simple");
}

#[test]
fn rms_norms_a_hidden_layer_of_the_head_and_a_dilated_stage() {
    agrees_with_its_library("timm-convnext-rms-mlp");
}

#[test]
fn windows_of_each_stage() {
    agrees_with_its_library("timm-swin-s3");
}

#[test]
fn embeddings_of_positions() {
    agrees_with_its_library("transformers-swin-positions");
}
