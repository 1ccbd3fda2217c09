//! `--device` and `--precision`: which engine runs the models, and in what.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use crate::config::engine::ChosenEngine;
use crate::config::precision::ChosenPrecision;
use crate::engine::cpu::{Cpu, Instructions};
use crate::engine::cuda::{Cuda, Gpus};
use crate::engine::null::Null;
use crate::engine::{self, Engine, Precision};
use crate::program::Program;

/// Which device computes, and in what.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// auto, cpu, cuda, cuda:N, cuda:all, or cpu:avx2 for instructions
    #[arg(long, default_value = "auto")]
    device: String,
    /// auto, f16, bf16, int8 or f32
    #[arg(long, default_value = "auto")]
    precision: ChosenPrecision,
}

impl Choice {
    /// The engine.
    pub(super) fn engine(&self) -> anyhow::Result<Arc<dyn Engine>> {
        engine(&self.device)
    }

    /// The precision that was named, or the one that the engine prefers for weights that are quantised or not.
    pub(super) fn precision(&self, engine: &dyn Engine, program: &Program, quantized: bool) -> Precision {
        self.named_precision().unwrap_or_else(|| engine::precision_for(engine, program, quantized))
    }

    /// The precision that was named.
    pub(super) fn named_precision(&self) -> Option<Precision> {
        self.precision.0
    }
}

/// The engine that serves. One that computes nothing has no device to be named, and says what it is.
pub(super) fn serving(chosen: ChosenEngine, device: &str) -> anyhow::Result<Arc<dyn Engine>> {
    match (chosen, device) {
        (ChosenEngine::Auto, device) => engine(device),
        (ChosenEngine::Null, "auto") => {
            tracing::warn!("--engine null: NO NETWORK IS COMPUTED; whatever is answered is no prediction");
            Ok(Arc::new(Null::default()))
        }
        (ChosenEngine::Null, named) => {
            bail!("device {named}: --engine null computes on no device; one of the two flags is to go")
        }
    }
}

/// The engine of a name. `auto` takes the GPUs where they can be used, and says why where they cannot; a device that was named is never
/// replaced by another.
pub(super) fn engine(name: &str) -> anyhow::Result<Arc<dyn Engine>> {
    match name {
        "auto" => Ok(best()),
        "cpu" => Ok(Arc::new(Cpu::default())),
        "cuda" => cuda(name, Gpus::First),
        "cuda:all" => cuda(name, Gpus::All),
        other => {
            if let Some(number) = other.strip_prefix("cuda:") {
                let number = number.parse();
                let number = number.map_err(|_| anyhow!("device {other}: a number is needed behind cuda:, or all"))?;
                return cuda(name, Gpus::Number(number));
            }
            match other.strip_prefix("cpu:").map(str::parse::<Instructions>) {
                Some(instructions) => {
                    Ok(Arc::new(Cpu::new(instructions.map_err(|why| anyhow!("device {other}: {why}"))?)))
                }
                None => {
                    let sets: Vec<String> = Instructions::available().iter().map(|set| format!("cpu:{set}")).collect();
                    let sets = sets.join(", ");
                    bail!("device {other:?} is not known; auto, cpu, cuda, cuda:N and cuda:all are possible, or {sets}")
                }
            }
        }
    }
}

fn cuda(name: &str, gpus: Gpus) -> anyhow::Result<Arc<dyn Engine>> {
    let cuda = Cuda::new(gpus).map_err(|why| anyhow!("device {name}: {why}"))?;
    Ok(Arc::new(cuda))
}

fn best() -> Arc<dyn Engine> {
    match Cuda::new(Gpus::All) {
        Ok(cuda) => Arc::new(cuda),
        Err(why) => {
            if why.is_absence() {
                tracing::debug!(%why, "no GPU");
            } else {
                tracing::warn!(%why, "a GPU cannot be used; the CPU serves");
            }
            Arc::new(Cpu::default())
        }
    }
}
