//! What an engine measures of its own speed. Not here: reports of it (`cli/bench`).

use std::time::Duration;

use crate::program::Cost;

/// The fastest that a device can compute and copy. Operations are measured against it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Floating-point operations per second (two per multiply-accumulate), of a matrix product whose operands are in the cache.
    pub flops: f64,
    /// Bytes per second, read and written, of a copy in memory.
    pub bytes: f64,
}

/// What a device is given for one operation, or for several that are computed as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Their names in the network, such as `stages.2.blocks.0.depthwise`.
    pub names: Vec<String>,
    /// How many kernels.
    pub kernels: usize,
}

/// The time of one operation, or of several that the engine computes as one.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// Its name in the network, such as `stages.2.blocks.0.fc1`.
    pub name: String,
    /// What is computed, such as `linear + gelu`.
    pub kind: &'static str,
    /// What it costs per image.
    pub cost: Cost,
    /// Images that went through it.
    pub images: u64,
    /// Time that threads spent in it, summed over them.
    pub busy: Duration,
}
