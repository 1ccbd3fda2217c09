//! Errors of a model on a device: of loading and of running. Not here: which status they become (`http`).

use super::Precision;
use crate::program::WeightError;

/// A program could not be made ready to run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Weights could not be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The program breaks its own invariants.
    #[error("the program of {architecture} does not hold together: {why}")]
    Program {
        /// Its architecture.
        architecture: String,
        /// The operation and its reason.
        why: String,
    },
    /// The engine cannot run all of its operations.
    #[error("{device} cannot run this model in {precision}: {}", .operations.join("; "))]
    Unsupported {
        /// The device's name.
        device: String,
        /// The precision that was asked for.
        precision: Precision,
        /// As [`Engine::unsupported`](super::Engine::unsupported).
        operations: Vec<String>,
    },
    /// The device has too little memory.
    #[error("{device} has no memory for {what}: {} MB are needed{}", megabytes(*.needed), free_text(*.free))]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// What it was for, such as `weights`.
        what: &'static str,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that the device had left; None where it does not say.
        free: Option<u64>,
    },
    /// The device computes something other than the program means.
    #[error("{device} failed its self-check: {why}")]
    SelfCheck {
        /// The device's name.
        device: String,
        /// What was computed, and what was expected.
        why: String,
    },
    /// The device cannot be used as it was asked to.
    #[error("{device}: {why}")]
    Device {
        /// The device's name.
        device: String,
        /// What was found, what is needed and what helps.
        why: String,
    },
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

fn free_text(free: Option<u64>) -> String {
    free.map(|bytes| format!(", {} MB are free", bytes / 1_000_000)).unwrap_or_default()
}

/// A run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The input does not fit the program. Nothing has changed.
    #[error("input: {0}")]
    Input(String),
    /// This batch failed; the next may succeed.
    #[error("the batch failed: {0}")]
    Batch(String),
    /// No later run can succeed.
    #[error("the device is lost: {0}")]
    DeviceLost(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_says_what_is_needed_and_what_is_free() {
        let error =
            |free| LoadError::OutOfMemory { device: "cuda:0".into(), what: "weights", needed: 350_400_000, free };
        assert_eq!(
            error(Some(120_900_000)).to_string(),
            "cuda:0 has no memory for weights: 351 MB are needed, 120 MB are free"
        );
        assert_eq!(error(None).to_string(), "cuda:0 has no memory for weights: 351 MB are needed");
    }
}
