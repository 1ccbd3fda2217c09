//! Plans of the published networks on real cards, which need no GPU: how many launches, how many blocks, how much memory.

use super::*;
use crate::model::{Spec, convnext};
use crate::program::{Function, InputSpec, NormKind, Program};

/// Cards by their figures: compute capability, multiprocessors, shared memory of a block.
const CARDS: [(&str, Card); 6] = [
    ("T4", Card { capability: 75, multiprocessors: 40, shared_per_block: 64 << 10 }),
    ("A100", Card { capability: 80, multiprocessors: 108, shared_per_block: 163 << 10 }),
    ("A10", Card { capability: 86, multiprocessors: 72, shared_per_block: 99 << 10 }),
    ("L4", Card { capability: 89, multiprocessors: 58, shared_per_block: 99 << 10 }),
    ("RTX 4090", Card { capability: 89, multiprocessors: 128, shared_per_block: 99 << 10 }),
    ("H100", Card { capability: 90, multiprocessors: 132, shared_per_block: 227 << 10 }),
];

fn program(name: &str) -> Program {
    Spec::published(name).unwrap().program(InputSpec::imagenet(224)).unwrap()
}

fn plan(program: &Program, card: &Card, images: usize) -> Plan {
    Plan::new(program, &Weights::imagined(program, Type::F16), card, Type::F16, images)
}

/// Memory at made-up addresses.
fn memory(plan: &Plan, program: &Program) -> Memory {
    let array = |address: u64, len: usize, ty| Array { address, len, ty };
    Memory {
        images: array(1 << 40, plan.images * 224 * 224 * 12 + 4096, Type::U8),
        arena: array(1 << 41, plan.arena, Type::U8),
        logits: array(1 << 42, plan.images * program.classes(), Type::F32),
        tickets: array(1 << 43, plan.tickets, Type::U8),
    }
}

/// Launches of ConvNeXt-T at batch 1, 8, 64 and 256, on each card in turn: the stem, three for each of 18 blocks, three downsamplings, the pool, the head. A
/// change may only lower them.
const LAUNCHES: [[usize; 4]; 6] = [[60; 4]; 6];

#[test]
fn convnext_tiny_is_no_more_launches_than_it_was() {
    let program = program("convnext_tiny");
    let counts = CARDS.map(|(_, card)| {
        [1, 8, 64, 256].map(|images| {
            let plan = plan(&program, &card, images);
            plan.launches(&card, &memory(&plan, &program)).len()
        })
    });
    // shown with --nocapture
    eprintln!("{counts:?}");
    for ((name, _), (counts, most)) in CARDS.iter().zip(counts.iter().zip(LAUNCHES)) {
        assert!(
            counts.iter().zip(most).all(|(count, most)| *count <= most),
            "{counts:?} on {name}, and {most:?} before"
        );
    }
}

#[test]
fn a_batch_needs_the_memory_of_one_block() {
    let program = program("convnext_tiny");
    let plan = plan(&program, &CARDS[1].1, 64);
    // the hidden layer of the first stage, a block's input, and what the depthwise convolution made of it
    let map = 64 * 56 * 56 * 96 * 2;
    assert!(plan.arena <= 6 * map + (1 << 20), "{} bytes", plan.arena);
}

/// A ConvNeXt with all that timm's variants have.
fn variant() -> Program {
    let spec = convnext::Spec {
        stem: convnext::Stem::Overlapping { tiered: true, activated: true },
        norm: NormKind::Simple,
        function: Some(Function::Silu),
        head_hidden: Some(24),
        output_stride: Some(16),
        ..convnext::Spec::published("convnext_atto").unwrap()
    };
    convnext::program(&spec, InputSpec::imagenet(224)).unwrap()
}

#[test]
fn norms_of_other_kinds_are_launches_of_their_own() {
    let program = variant();
    for (name, card) in CARDS {
        let plan = plan(&program, &card, 8);
        let norms = plan.steps.iter().filter(|step| step.operation.name() == "norm").count();
        // the stem's, 12 blocks', 3 downsamplings' and the head's
        assert_eq!(norms, 17, "on {name}");
        let fused = plan.steps.iter().filter(|step| step.operation.name().contains(" + norm")).count();
        assert_eq!(fused, 0, "on {name}");
    }
}

#[test]
fn operands_are_as_large_as_operations_need_and_no_two_that_live_together_overlap() {
    let published = ["convnext_tiny", "convnextv2_atto", "swin_tiny"].map(|name| (name, program(name)));
    for (name, program) in published.into_iter().chain([("variant", variant())]) {
        for (_, card) in CARDS {
            for images in [1, 3] {
                let plan = plan(&program, &card, images);
                let memory = memory(&plan, &program);
                for (index, step) in plan.steps.iter().enumerate() {
                    let needs = step.operation.needs(&card, images);
                    let at = plan.operands(index, &memory);
                    let what = format!("{name}, step {index}, {}", step.operation.name());
                    assert_eq!((at.input.len, at.output.len), (needs.input, needs.output), "{what}");
                    assert_eq!(at.residual.map_or(0, |array| array.len), needs.residual, "{what}");
                    assert!(at.tickets.map_or(0, |array| array.len) >= 4 * needs.tickets, "{what}");
                    assert!(at.scratch.map_or(0, |array| array.len) >= needs.scratch, "{what}");
                    let apart = |a: Array, b: Array| {
                        a.address + a.bytes() as u64 <= b.address || b.address + b.bytes() as u64 <= a.address
                    };
                    assert!(apart(at.input, at.output), "{what}");
                    if let Some(scratch) = at.scratch {
                        assert!(apart(scratch, at.input) && apart(scratch, at.output), "{what}");
                    }
                    if let Some(residual) = at.residual {
                        assert!(apart(residual, at.input), "{what}");
                        assert!(residual == at.output || apart(residual, at.output), "{what}");
                    }
                }
            }
        }
    }
}
