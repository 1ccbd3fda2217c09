//! One suite for every engine: the answers of timm and transformers, what an executable promises, and agreement with the
//! reference on shapes that nobody publishes. An engine joins by a line in [`engines`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod agreement;
mod contract;
mod golden;

use convnext_server::engine::cpu::{Cpu, Instructions};
use convnext_server::engine::reference::Reference;
use convnext_server::engine::{Engine, Executable, Input, Options};
use convnext_server::model::convnext::{self, Spec};
use convnext_server::model::swin;
use convnext_server::program::{InputSpec, Program, RandomWeights, WeightSource};

/// Every engine that runs on this machine, the CPU's with each of its instruction sets.
fn engines() -> Vec<Box<dyn Engine>> {
    let cpus = Instructions::available().into_iter().map(|set| Box::new(Cpu::new(set)) as Box<dyn Engine>);
    std::iter::once(Box::new(Reference) as Box<dyn Engine>).chain(cpus).collect()
}

/// An executable for batches up to `max_batch` on two threads.
fn compile(
    engine: &dyn Engine,
    program: &Program,
    weights: &dyn WeightSource,
    max_batch: usize,
) -> Box<dyn Executable> {
    engine.compile(program, weights, &Options { max_batch, threads: 2, profile: false }).expect("compiles")
}

/// The logits of a launch.
fn launch(executable: &mut dyn Executable, slots: &[usize]) -> Vec<f32> {
    executable.launch(slots).expect("launches");
    executable.finish().expect("finishes").to_vec()
}

/// `‖found − expected‖ / ‖expected‖`
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many logits");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|v| f64::from(*v)))
}

/// A ConvNeXt of two stages, small enough for the reference and with maps and layers of more than one tile.
fn small_spec() -> Spec {
    Spec {
        name: "small".to_owned(),
        depths: vec![1, 2],
        widths: vec![56, 72],
        classes: 11,
        patch: 4,
        kernels: vec![7, 7],
        expansion: 4.0,
        grn: false,
        layer_scale: true,
        head_norm_first: false,
        eps: 1e-6,
        head_eps: 1e-6,
    }
}

/// A Swin of two stages with shifted windows, several heads, and channels of a head that are no whole vector.
fn small_swin() -> swin::Spec {
    swin::Spec {
        name: "small".to_owned(),
        depths: vec![2, 2],
        widths: vec![36, 60],
        heads: vec![3, 5],
        windows: vec![[4, 4], [3, 3]],
        classes: 11,
        patch: 4,
        expansion: 4.0,
        qkv_bias: true,
        eps: 1e-5,
        fixed_eps: 1e-5,
        dialect: swin::Dialect::Timm,
    }
}

/// A Swin's program for images of `height` rows and `width` columns.
fn swin_program(spec: &swin::Spec, height: usize, width: usize) -> Program {
    let program = swin::program(spec, InputSpec { height, width, ..InputSpec::imagenet(0) }).expect("a network");
    program.check().expect("holds together");
    program
}

/// A program for images of `height` rows and `width` columns.
fn program(spec: &Spec, height: usize, width: usize) -> Program {
    let program = convnext::program(spec, InputSpec { height, width, ..InputSpec::imagenet(0) }).expect("a network");
    program.check().expect("holds together");
    program
}

/// A small program and its weights.
fn small() -> (Program, RandomWeights) {
    let program = program(&small_spec(), 44, 40);
    let weights = RandomWeights::new(&program, 1);
    (program, weights)
}

/// Pixels that differ from place to place and by seed.
fn pixels(program: &Program, seed: usize) -> Vec<u8> {
    let len = program.input.height * program.input.width * 3;
    (0..len).map(|i| ((i * (7 + 2 * seed) + i / 31 * 13 + seed * 101) % 256) as u8).collect()
}

/// Stages images of seeds 0, 1, … into the slots.
fn stage_all(executable: &mut dyn Executable, program: &Program, count: usize) {
    for slot in 0..count {
        executable.stage(slot, Input::Rgb8(&pixels(program, slot))).expect("stages");
    }
}
