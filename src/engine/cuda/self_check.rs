//! A model proves itself on its GPU before it serves: every bucket, every step, every graph.
//!
//! Each step of each bucket runs alone, and numbers of its output, the first and the last among them, are held against plain arithmetic on what the
//! step has read. Then each graph must give the very bits of those steps. At last one image goes through the CPU engine too, which says
//! whether the steps are those of the network. Not here: what a step must compute (`operations`).

use super::driver::error::DriverError;
use super::executable::CudaExecutable;
use super::images::noise as images_of;
use super::loaded::{IN_FLIGHT, failed};
use super::number::Type;
use crate::engine::cpu::Cpu;
use crate::engine::{Batch, DeviceId, Engine as _, Image, LoadError, Options, Precision};
use crate::program::{Program, WeightSource};

/// Numbers of a row, and rows of an image's output, that are looked at: the first, the last, and others between.
const SAMPLES: usize = 4;

/// A byte of which neither f32, f16 nor bf16 is a number.
const NO_NUMBER: u8 = 0xff;

/// How far the logits of an image may be from those of the CPU engine in f32: enough for any network's own magnification of rounding errors, and far
/// from what a wrong step gives.
fn tolerance(ty: Type) -> f64 {
    match ty {
        Type::F32 | Type::U8 => 1e-3,
        Type::F16 => 0.1,
        Type::Bf16 => 0.5,
    }
}

/// Runs all of it.
pub(super) fn check(
    executable: &mut CudaExecutable,
    program: &Program,
    weights: &dyn WeightSource,
) -> Result<(), LoadError> {
    let buckets = executable.model().plans.len();
    for bucket in 0..buckets {
        let images = images_of(program, executable.model().plans[bucket].images);
        let stepwise = steps(executable, bucket, &images)?;
        if bucket == 0 {
            against_cpu(executable, program, weights, &stepwise[..program.classes()])?;
        }
        for slot in 0..IN_FLIGHT {
            let filled = executable.fill(slot, &images).and_then(|()| executable.replay(slot, bucket));
            let replayed = filled.map_err(|error| broken(executable, error))?;
            if replayed.iter().map(|logit| logit.to_bits()).ne(stepwise.iter().map(|logit| logit.to_bits())) {
                let why = format!("the graph of batch {} gives other logits than its steps", images.len());
                return Err(wrong(executable, why));
            }
        }
    }
    Ok(())
}

/// Runs the steps of a bucket one by one and judges each. The logits of the batch.
fn steps(executable: &mut CudaExecutable, bucket: usize, images: &[Image]) -> Result<Vec<f32>, LoadError> {
    executable.fill(0, images).map_err(|error| broken(executable, error))?;
    let memory = executable.memory(0);
    let model = executable.model();
    let (gpu, plan) = (&model.gpu, &model.plans[bucket]);
    for (index, step) in plan.steps.iter().enumerate() {
        let operands = plan.operands(index, &memory);
        let run = || -> Result<_, DriverError> {
            let samples = samples(operands.output.len, plan.images);
            // before the launch, after which a residual may be gone
            let expected = step.operation.expected(plan.images, &operands, &**gpu, &samples)?;
            // no number, so that what a kernel leaves out is no right number of an earlier run
            if operands.residual != Some(operands.output) {
                executable.compute().fill(operands.output, NO_NUMBER)?;
            }
            for launch in step.operation.launches(&gpu.card, plan.images, &operands) {
                executable.compute().launch(&launch)?;
            }
            executable.compute().wait()?;
            let mut worst = None;
            for (sample, expected) in samples.iter().zip(expected) {
                let found = super::array::Contents::read(&**gpu, operands.output, *sample..sample + 1)?[0];
                // a number that is none is over every bound
                let off = (found - expected.value).abs();
                if off.is_nan() || off > expected.bound {
                    worst.get_or_insert((*sample, found, expected));
                }
            }
            Ok(worst)
        };
        if let Some((at, found, expected)) = run().map_err(|error| broken(executable, error))? {
            let (name, names) = (step.operation.name(), step.names.join(" + "));
            let why = format!(
                "{name} ({names}) at batch {}: number {at} is {found:e} where {:e} ± {:e} is right",
                plan.images, expected.value, expected.bound
            );
            return Err(wrong(executable, why));
        }
    }
    let logits = memory.logits.first(plan.images * model.classes);
    let logits = super::array::Contents::read(&**gpu, logits, 0..logits.len);
    Ok(logits.map_err(|error| broken(executable, error))?.into_iter().map(|logit| logit as f32).collect())
}

/// Holds the logits of the first image against the CPU engine's.
fn against_cpu(
    executable: &CudaExecutable,
    program: &Program,
    weights: &dyn WeightSource,
    found: &[f32],
) -> Result<(), LoadError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { precision: Precision::F32, max_batch: 1, threads, profile: false };
    let mut cpu = Cpu::default().load(DeviceId(0), program, weights, &options)?.instantiate()?;
    let expected = cpu.run(Batch::new(images_of(program, 1)));
    let expected = expected.map_err(|error| wrong(executable, format!("the CPU engine has failed: {error}")))?;
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(&expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let error = difference / norm(&mut expected.iter().map(|value| f64::from(*value)));
    let most = tolerance(executable.model().ty);
    if error <= most {
        return Ok(());
    }
    Err(wrong(executable, format!("logits differ from the CPU engine's by {error:.1e}; at most {most} is right")))
}

/// Indices of an output that are looked at: of the first and the last image, in the first row, the last and some between.
fn samples(len: usize, images: usize) -> Vec<usize> {
    let per_image = len / images;
    let mut samples = Vec::new();
    for image in [0, images - 1] {
        for row in 0..SAMPLES {
            // a step that is prime to most widths, so that rows, columns and channels all change
            let first = per_image * row / SAMPLES;
            samples.extend((0..SAMPLES).map(|at| image * per_image + (first + at * 1009) % per_image));
        }
        samples.extend([image * per_image, (image + 1) * per_image - 1]);
    }
    samples.sort_unstable();
    samples.dedup();
    samples
}

fn wrong(executable: &CudaExecutable, why: String) -> LoadError {
    LoadError::SelfCheck { device: executable.model().gpu.name.clone(), why }
}

fn broken(executable: &CudaExecutable, error: DriverError) -> LoadError {
    let model = executable.model();
    failed(&model.gpu, "the self-check", model.executable_bytes(), error)
}
