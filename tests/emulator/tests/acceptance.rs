//! The emulator takes what ptxas 12.4 assembles, and refuses what it refuses: instruction by instruction, for four targets. What it takes but
//! does not emulate, it refuses under that name. Not here: from which version on there is an instruction (`features.rs`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use cuda_emulator::memory::Memory;
use cuda_emulator::program::Program;

const TARGETS: [u32; 4] = [75, 80, 89, 90];

/// What is wrong with a kernel of one instruction; None where it is loaded.
fn refusal(instruction: &str, target: u32) -> Option<String> {
    let text = format!(
        ".version 8.4\n.target sm_{target}\n.address_size 64\n.visible .entry k() {{\n\
         .reg .pred %p<8>; .reg .b16 %h<16>; .reg .b32 %r<64>; .reg .b64 %d<16>; .reg .f32 %f<16>; .reg .f64 %g<16>;\n\
         .shared .align 128 .b8 tile[1024]; .local .align 16 .b8 stack[64];\n{instruction}\nret; }}\n"
    );
    Program::load(&text, 90, &Memory::new(1 << 20)).err().map(|error| error.log)
}

/// Where the emulator is to answer otherwise, and why.
const DEVIATIONS: &[(&str, &str)] = &[("fence.acquire.gpu;", "ptxas 12.9 takes it from PTX 6.0 on")];

#[test]
fn what_ptxas_assembles_is_taken_and_nothing_else() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("acceptance.txt").lines().filter(|line| !line.starts_with('#')) {
        let (answers, instruction) = line.split_once(' ').unwrap();
        if DEVIATIONS.iter().any(|(deviating, why)| *deviating == instruction && !why.is_empty()) {
            continue;
        }
        for (answer, target) in answers.chars().zip(TARGETS) {
            let refused = refusal(instruction, target);
            let emulated = !refused.as_ref().is_some_and(|log| log.contains("is not emulated"));
            if emulated && (answer == 'y') != refused.is_none() {
                wrong.push(format!("sm_{target} {answer} {instruction}: {}", refused.unwrap_or_default()));
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 600, "{count} instructions");
}

#[test]
fn what_is_not_emulated_is_refused_by_its_name() {
    for (instruction, name) in [
        ("wgmma.fence.sync.aligned;", "wgmma.fence.sync.aligned"),
        ("setmaxnreg.inc.sync.aligned.u32 64;", "setmaxnreg"),
        ("mapa.shared::cluster.u32 %r0, %r1, 0;", "mapa"),
        ("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r0], %r1, [%r2];", "st.async"),
        (
            "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r0], [%d0, {%r1, %r2}], [%r3];",
            "cp.async.bulk.tensor",
        ),
        ("cp.async.bulk.commit_group;", "cp.async.bulk"),
        ("tex.2d.v4.f32.f32 {%f0, %f1, %f2, %f3}, [%d0, {%f4, %f5}];", "tex.2d"),
        ("suld.b.2d.b32.trap %r0, [%d0, {%r1, %r2}];", "suld.b.2d"),
        ("barrier.cluster.arrive.aligned;", "barrier.cluster"),
        ("mov.u32 %r0, %envreg5;", "%envreg5"),
        ("mov.u32 %r0, %reserved_smem_offset_begin;", "%reserved_smem_offset_begin"),
        ("vadd.s32.s32.s32 %r0, %r1.b0, %r2.h1;", "vadd"),
        ("vmax4.s32.u32.s32 %r0.b20, %r1.b7654, %r2.b3210, %r3;", "vmax4"),
        ("ld.global.b128 %d0, [%d1];", "ld.global.b128"),
    ] {
        let log = refusal(instruction, 90).unwrap_or_else(|| panic!("{instruction} is taken"));
        assert!(log.contains(&format!("'{name}")) && log.contains("is not emulated"), "{instruction}: {log}");
    }
    for (instruction, needs) in [
        ("mbarrier.try_wait.shared.b64 %p0, [%r0], %d0;", "requires .target sm_90"),
        ("red.global.v4.f32.add [%d0], {%f0, %f1, %f2, %f3};", "requires .target sm_90"),
        ("griddepcontrol.wait;", "requires .target sm_90"),
        ("mov.u32 %r0, %cluster_ctarank;", "requires .target sm_90"),
    ] {
        let log = refusal(instruction, 80).unwrap_or_else(|| panic!("{instruction} is taken"));
        assert!(log.contains(needs), "{instruction}: {log}");
    }
    let texture = ".version 8.4 .target sm_80 .address_size 64 .global .texref t; .entry k() { ret; }";
    let log = Program::load(texture, 80, &Memory::new(1 << 20)).err().unwrap().log;
    assert!(log.contains("'.texref' is not emulated"), "{log}");
}
