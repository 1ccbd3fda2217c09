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
    // what all of them read and write, of which those that ran saw the ends
    assert_eq!(report["kernels"][0]["unique_read_bytes"], 2 * 4 * 64 * 96);
    assert_eq!(report["kernels"][0]["unique_written_bytes"], 2 * 4 * 64 * 96);
    assert_eq!(report["order"], serde_json::json!([0, 0]));
}

/// Blocks of which each writes a number of its own, and the last of every four the sum of all four beside it. With `ld.global.relaxed`, for
/// the others' numbers are written in this launch.
const LAST_OF_FOUR: &str = "\
.version 7.2
.target sm_80
.address_size 64
.visible .entry last_of_four(.param .u64 numbers, .param .u64 counters)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<10>;
    ld.param.u64 %rd1, [numbers];
    ld.param.u64 %rd2, [counters];
    mov.u32 %r1, %ctaid.x;
    mul.wide.u32 %rd3, %r1, 32;
    add.s64 %rd4, %rd1, %rd3;
    st.global.u32 [%rd4], %r1;
    membar.gl;
    shr.u32 %r2, %r1, 2;
    mul.wide.u32 %rd5, %r2, 4;
    add.s64 %rd6, %rd2, %rd5;
    atom.global.inc.u32 %r3, [%rd6], 3;
    setp.ne.u32 %p1, %r3, 3;
    @%p1 bra DONE;
    membar.gl;
    mul.wide.u32 %rd7, %r2, 128;
    add.s64 %rd8, %rd1, %rd7;
    ld.relaxed.gpu.global.u32 %r4, [%rd8+32];
    st.global.u32 [%rd8+16], %r4;
DONE:
    ret;
}
";

#[test]
fn the_last_of_several_blocks_goes_on_in_a_sample_too_and_counters_stay_as_they_were() {
    let name = "the_last_of_several_blocks_goes_on_in_a_sample_too_and_counters_stay_as_they_were";
    let path = std::env::temp_dir().join(format!("cuda-emulator-{}-last.json", std::process::id()));
    let environment = [("CUDA_EMULATOR_REPORT", path.to_str().unwrap()), ("CUDA_EMULATOR_BLOCKS", "6")];
    let told = apart(name, &environment, || {
        let card = Card::open();
        let kernel = card.kernel(LAST_OF_FOUR, "last_of_four").unwrap();
        let [numbers, counters] = [card.allocate(32 * 400).unwrap(), card.upload(&[0u32; 100]).unwrap()];
        let addresses = [numbers, counters].map(|address| address.to_le_bytes().to_vec());
        card.launch(kernel, [400, 1, 1], [1, 1, 1], 0, &addresses).unwrap();
        card.synchronize().unwrap();
        let left = card.download::<u32>(counters, 100).unwrap();
        [numbers, counters].into_iter().for_each(|address| card.free(address).unwrap());
        card.unload(kernel).unwrap();
        card.close();
        left.iter().all(|counter| *counter == 0).to_string()
    });
    let Some(told) = told else { return };
    assert!(told.shown.contains("true"), "{}", told.shown);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    std::fs::remove_file(path).unwrap();
    let kernel = &report["kernels"][0];
    // six blocks were asked for, and whole groups are two; of each one block goes on
    assert_eq!(kernel["blocks_run"], 8);
    let executed = |text: &str| {
        let lines = kernel["lines"].as_array().unwrap().iter().filter(|line| line["text"] == text);
        lines.map(|line| line["executed"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(executed("st.global.u32"), [8, 2]);
    assert_eq!(kernel["unique_written_bytes"], 32 * 400 + 32 * 13);
}
