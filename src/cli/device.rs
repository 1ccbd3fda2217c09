//! `--device`: which engine runs the models.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use crate::engine::Engine;
use crate::engine::cpu::{Cpu, Instructions};

/// The engine of a name. `auto` takes the best there is; a device that was named is never replaced by another.
pub(super) fn engine(name: &str) -> anyhow::Result<Arc<dyn Engine>> {
    match name {
        "auto" | "cpu" => Ok(Arc::new(Cpu::default())),
        cuda if cuda == "cuda" || cuda.starts_with("cuda:") => {
            bail!("device {cuda}: this version has no CUDA engine; use cpu or auto")
        }
        other => match other.strip_prefix("cpu:").map(str::parse::<Instructions>) {
            Some(instructions) => Ok(Arc::new(Cpu::new(instructions.map_err(|why| anyhow!("device {other}: {why}"))?))),
            None => {
                let sets: Vec<String> = Instructions::available().iter().map(|set| format!("cpu:{set}")).collect();
                bail!("device {other:?} is not known; auto and cpu are possible, or {}", sets.join(", "))
            }
        },
    }
}
