//! One suite for every engine: the answers of timm and transformers, what an executable promises, and agreement with the
//! reference on shapes that nobody publishes. An engine joins by a line in [`engines`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod agreement;
mod bucketed;
mod contract;
mod emulated_cards;
mod golden;

#[path = "../support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;

use std::sync::Arc;

use bucketed::Bucketed;
use convnext_server::engine::cpu::{Cpu, Instructions};
use convnext_server::engine::cuda::{Cuda, Gpus};
use convnext_server::engine::reference::Reference;
use convnext_server::engine::{
    Batch, DeviceId, Engine, Executable, Image, LoadError, Loaded, Options, PixelFormat, Precision,
};
use convnext_server::model::convnext::{self, Spec, Stem};
use convnext_server::model::swin;
use convnext_server::program::{InputSpec, NormKind, Program, RandomWeights, WeightSource};

/// An engine and what it promises.
struct Subject {
    engine: Box<dyn Engine>,
    /// Largest relative error between the logits of an image in batches of two buckets; 0 means that no bit differs.
    across_buckets: f64,
    /// The precisions that it supports, each with the largest relative error against the reference.
    precisions: Vec<(Precision, f64)>,
    /// The largest byte of a row in int8, where it has int8.
    largest_byte: Option<u8>,
}

impl Subject {
    fn new(engine: impl Engine + 'static, across_buckets: f64) -> Self {
        let precisions = vec![(Precision::F32, 1e-5)];
        Self { engine: Box::new(engine), across_buckets, precisions, largest_byte: None }
    }

    /// The first GPU, in all precisions that it has.
    fn cuda() -> Self {
        let engine = Cuda::new(Gpus::First).expect("a GPU");
        let (program, _) = small();
        let bounds = [(Precision::F32, 1e-5), (Precision::F16, 2e-3), (Precision::Bf16, 2e-2)];
        let had = bounds.into_iter().filter(|(precision, _)| engine.unsupported(&program, *precision).is_empty());
        Self { precisions: had.collect(), ..Self::new(engine, 1e-5) }
    }

    /// The CPU with these instructions, in its three precisions. In int8 rows have 8 bits, or 7.
    fn cpu(instructions: Instructions) -> Self {
        let precisions = vec![(Precision::F32, 1e-5), (Precision::Bf16, 2e-2), (Precision::Int8, 1e-1)];
        let engine = Cpu::new(instructions);
        Self { precisions, largest_byte: Some(engine.largest_byte()), ..Self::new(engine, 0.0) }
    }

    /// The device, with the instructions of a CPU.
    fn name(&self) -> String {
        let device = &self.engine.devices()[0];
        format!("{device} {}", device.model).trim_end().to_owned()
    }

    fn load(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        options: Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        self.engine.load(DeviceId(0), program, weights, &options)
    }

    /// An executable for batches of up to `max_batch` images, on two threads.
    fn executable(&self, program: &Program, weights: &dyn WeightSource, max_batch: usize) -> Box<dyn Executable> {
        let loaded = self.load(program, weights, options(max_batch)).expect("loads");
        loaded.instantiate().expect("instantiates")
    }
}

/// Every engine that runs on this machine, the CPU's with each of its instruction sets. In a process that has the emulated driver, the CUDA engine
/// alone: the others have their turn in every other process.
fn engines() -> Vec<Subject> {
    if emulated::inside() {
        return vec![Subject::cuda()];
    }
    let cpus = Instructions::available().into_iter().map(Subject::cpu);
    std::iter::once(Subject::new(Reference::default(), 0.0)).chain(cpus).collect()
}

/// Those, and one that behaves like an engine on a GPU: fixed buckets, two batches in flight, memory of its own.
fn engines_and_the_bucketed() -> Vec<Subject> {
    if emulated::inside() {
        return engines();
    }
    engines().into_iter().chain([Subject::new(Bucketed::default(), 1e-5)]).collect()
}

fn options(max_batch: usize) -> Options {
    Options { precision: Precision::F32, max_batch, threads: 2, profile: false }
}

/// A batch of pixels.
fn batch(images: &[Vec<u8>]) -> Batch {
    images.iter().map(|pixels| Image::new(PixelFormat::Rgb8, pixels.clone())).collect()
}

/// The logits of a batch.
fn run(executable: &mut dyn Executable, images: &[Vec<u8>]) -> Vec<f32> {
    executable.run(batch(images)).expect("runs")
}

/// `‖found − expected‖ / ‖expected‖`
fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "the same number of logits");
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|v| f64::from(*v)))
}

/// A ConvNeXt of two stages: small enough for the reference, with maps and layers of more than one tile.
fn small_spec() -> Spec {
    Spec {
        name: "small".to_owned(),
        depths: vec![1, 2],
        widths: vec![56, 72],
        classes: 11,
        one_channel: false,
        stem: Stem::Patches,
        patch: 4,
        output_stride: Some(32),
        kernels: vec![7, 7],
        expansion: 4.0,
        grn: false,
        layer_scale: true,
        norm: NormKind::Layer,
        function: None,
        head_norm_first: false,
        head_hidden: None,
        eps: 1e-6,
        head_eps: 1e-6,
    }
}

/// A Swin of two stages with shifted windows and several heads. The 12 channels of a head fill no whole number of vectors of 8.
fn small_swin() -> swin::Spec {
    swin::Spec {
        name: "small".to_owned(),
        depths: vec![2, 2],
        widths: vec![36, 60],
        heads: vec![3, 5],
        windows: vec![[4, 4], [3, 3]],
        classes: 11,
        one_channel: false,
        patch: 4,
        positions: false,
        function: None,
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

/// Pixels that differ within an image and by seed.
fn pixels(program: &Program, seed: usize) -> Vec<u8> {
    let len = program.input.height * program.input.width * 3;
    (0..len).map(|i| ((i * (7 + 2 * seed) + i / 31 * 13 + seed * 101) % 256) as u8).collect()
}

/// Images of seeds 0, 1, …
fn images(program: &Program, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|seed| pixels(program, seed)).collect()
}

/// A tensor `[3, h, w]` of f32.
fn tensor(values: &[f32]) -> Image {
    Image::new(PixelFormat::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}
