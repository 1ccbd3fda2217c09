//! The report of a process: counters and computed times of its launches, as JSON and as a table, with what the assembler made of the kernels.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, apart};
use serde_json::Value;

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/ptx");

/// LayerNorm of 64 rows of 96 channels in f32, scale and shift folded; what the report says in a file of this name.
fn report(test: &str, file: &str, blocks: Option<&str>) -> Option<String> {
    let path = std::env::temp_dir().join(format!("cuda-emulator-{}-{file}", std::process::id()));
    let table = format!("{KERNELS}/table.json");
    let mut environment = vec![("CUDA_EMULATOR_REPORT", path.to_str().unwrap()), ("CUDA_EMULATOR_SASS", &table)];
    environment.extend(blocks.map(|blocks| ("CUDA_EMULATOR_BLOCKS", blocks)));
    apart(test, &environment, || {
        let card = Card::open();
        let ptx = std::fs::read_to_string(format!("{KERNELS}/layer_norm.sm_80.ptx")).unwrap();
        let kernel = card.kernel(&ptx, "layer_norm_f32").unwrap();
        let [input, output] = [card.upload(&[1.5f32; 64 * 96]).unwrap(), card.allocate(4 * 64 * 96).unwrap()];
        let mut structure: Vec<u8> = [input, output, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        structure.extend([64u32, 96].into_iter().flat_map(u32::to_le_bytes));
        structure.extend(1e-6f32.to_le_bytes());
        structure.resize(48, 0);
        for _ in 0..2 {
            card.launch(kernel, [16, 1, 1], [32, 4, 1], 0, &[structure.clone()]).unwrap();
        }
        card.synchronize().unwrap();
        [input, output].into_iter().for_each(|address| card.free(address).unwrap());
        card.unload(kernel).unwrap();
        card.close().to_string()
    })?;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    Some(text)
}

#[test]
fn the_report_has_bytes_lines_and_an_interval() {
    let Some(text) = report("the_report_has_bytes_lines_and_an_interval", "report.json", None) else { return };
    let report: Value = serde_json::from_str(&text).unwrap();
    let kernel = &report["kernels"][0];
    assert_eq!((&kernel["kernel"], &kernel["launches"]), (&"layer_norm_f32".into(), &2.into()));
    // each launch reads its input once and writes its output once
    assert_eq!([&kernel["unique_read_bytes"], &kernel["unique_written_bytes"]], [&Value::from(2 * 4 * 64 * 96); 2]);
    assert_eq!(kernel["blocks_run"], 32);
    let computed = &kernel["computed"][0];
    let [low, high] = ["low_us", "high_us"].map(|key| computed[key].as_f64().unwrap());
    assert!(low > 1.5 && high > low, "{computed}");
    assert_eq!(computed["issue_from"], "sass", "{computed}");
}

#[test]
fn the_table_is_for_people() {
    let Some(text) = report("the_table_is_for_people", "report.txt", None) else { return };
    assert!(text.contains("layer_norm_f32") && text.contains("not measured"), "{text}");
}

#[test]
fn sampled_blocks_are_said() {
    let Some(text) = report("sampled_blocks_are_said", "sampled.json", Some("4")) else { return };
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["kernels"][0]["blocks_run"], 8);
    assert_eq!(report["kernels"][0]["unique_read_bytes"], 2 * 4 * 4 * 4 * 96);
}
