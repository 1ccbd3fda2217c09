//! Targets and versions: what a card has run passes, and for each instruction just what ptxas asks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod recordings;

use std::path::Path;

use cuda_emulator::decode::Fault;
use cuda_emulator::decode::features::{check, version_of};
use cuda_emulator::parse::parse;
use cuda_emulator::parse::syntax::{Instruction, Module, Statement};
use serde_json::Value;

const TARGETS: [u32; 5] = [75, 80, 86, 89, 90];
const NEWEST: (u32, u32) = (8, 8);

fn instructions(module: &Module) -> Vec<&Instruction> {
    fn within(statements: &[Statement]) -> Vec<&Instruction> {
        let each = statements.iter().map(|statement| match statement {
            Statement::Instruction(instruction) => vec![instruction],
            Statement::Block(statements) => within(statements),
            _ => Vec::new(),
        });
        each.flatten().collect()
    }
    module.functions.iter().filter_map(|function| function.body.as_deref()).flat_map(within).collect()
}

fn one(instruction: &str) -> Instruction {
    let text = format!(".version 8.8\n.target sm_90\n.address_size 64\n.entry k() {{ {instruction} }}");
    let module = parse(&text).unwrap_or_else(|error| panic!("{instruction}: {error}"));
    instructions(&module)[0].clone()
}

fn version(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn passes(text: &str, name: &str) -> usize {
    let module = parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let target = module.target[0].trim_start_matches("sm_").parse().unwrap();
    assert!(module.version >= version_of(target), "{name}");
    for instruction in instructions(&module) {
        if let Err(fault) = check(instruction, target, module.version) {
            panic!("{name}, line {}: {fault}", instruction.line);
        }
    }
    1
}

#[test]
fn what_a_card_has_run_passes() {
    let hardware = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hardware"));
    let mut count = 0;
    for file in std::fs::read_dir(hardware.join("recordings")).unwrap() {
        let recording: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        for case in recording["cases"].as_array().into_iter().flatten() {
            let text = |key: &str| case[key].as_str();
            let Some(target) = text("target") else { continue };
            assert!(case["refused"].is_null(), "a case that must not pass");
            let around = match text("file") {
                Some(file) => std::fs::read_to_string(hardware.join("ptx").join(file)).unwrap(),
                None => recording["frames"][text("frame").unwrap()].as_str().unwrap().to_owned(),
            };
            let filled = around.replace("{version}", text("version").unwrap()).replace("{target}", target);
            count += passes(&filled.replace("{code}", text("code").unwrap_or("")), text("op").unwrap());
        }
    }
    assert!(count > 1500, "{count} cases");
}

#[test]
fn kernels_of_triton_pass() {
    for file in std::fs::read_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/oracle"))).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            passes(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string());
        }
    }
}

#[test]
fn every_instruction_needs_what_ptxas_asks() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in include_str!("features.txt").lines().filter(|line| !line.starts_with('#')) {
        let [target, since, text] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
        let (target, since): (u32, _) = (target.parse().unwrap(), version(since));
        let instruction = one(text);
        let lowest = target.max(TARGETS[0]);
        if check(&instruction, lowest, since.max(version_of(lowest))).is_err() {
            wrong.push(format!("{line}: refused there"));
        }
        let below = TARGETS.iter().rev().find(|below| **below < target);
        if let Some(below) = below.filter(|_| target > TARGETS[0])
            && !matches!(check(&instruction, *below, NEWEST), Err(Fault::Target { .. }))
        {
            wrong.push(format!("{line}: passes on sm_{below}"));
        }
        let before = if since.1 == 0 { (since.0 - 1, 9) } else { (since.0, since.1 - 1) };
        if since > version_of(lowest) && !matches!(check(&instruction, lowest, before), Err(Fault::Version { .. })) {
            wrong.push(format!("{line}: passes before"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 450, "{count} instructions");
}

#[test]
fn planted_instructions_are_refused() {
    let at = |text: &str, target| check(&one(text), target, NEWEST).unwrap_err().to_string();
    assert_eq!(
        at("cp.async.cg.shared.global [%r0], [%rd0], 16;", 75),
        "'cp.async.cg.shared.global' requires .target sm_80 or higher"
    );
    for (text, target) in [
        ("fma.rn.bf16 %h0, %h1, %h2, %h3;", 75),
        ("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0}, {%r0}, {%r1}, {%f1};", 75),
        ("redux.sync.add.u32 %r0, %r1, -1;", 75),
        ("stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r0], {%r1};", 80),
        ("add.bf16 %h0, %h1, %h2;", 80),
        ("cvt.rn.satfinite.e4m3x2.f32 %h0, %f0, %f1;", 80),
        ("min.xorsign.abs.f32 %f0, %f1, %f2;", 80),
        ("mov.u32 %r0, %cluster_ctarank;", 89),
    ] {
        assert!(at(text, target).contains("requires .target"), "{text}");
    }
    let old = check(&one("ld.global.L2::128B.b32 %r0, [%rd0];"), 75, (7, 3)).unwrap_err();
    assert_eq!(old.to_string(), "'ld.global.L2::128B.b32' requires PTX ISA .version 7.4 or later");
    // From sm_90 on they came with PTX 7.8, on sm_89 with 8.1.
    let eight = one("cvt.rn.f16x2.e4m3x2 %r0, %h0;");
    assert!(
        check(&eight, 90, (7, 8)).is_ok() && check(&eight, 89, (8, 0)).is_err() && check(&eight, 89, (8, 1)).is_ok()
    );
}
