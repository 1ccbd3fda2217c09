//! Devices as they are named in flags, answers, logs and metrics. Not here: what runs on them.

use std::fmt;

/// Index of a device in [`Engine::devices`](super::Engine::devices).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub usize);

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name among all devices of the process: `cpu`, `cuda:0`.
    pub name: String,
    /// What kind of device it is.
    pub kind: DeviceKind,
    /// What the machine calls it, as `NVIDIA H100 80GB HBM3`, or the instructions of a CPU.
    pub model: String,
    /// Bytes of its memory; None where it is the machine's own.
    pub memory: Option<u64>,
    /// It is computed by an emulator: right, and no measure of speed.
    pub emulated: bool,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// The reference engine, or another that nobody serves with.
    Test,
}

/// Bytes of a device's memory that a model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Weights, once per loaded model.
    pub weights: u64,
    /// Activations and all else, once per executable.
    pub executable: u64,
}

impl DeviceInfo {
    /// A device without memory of its own, known by its name alone.
    #[must_use]
    pub fn named(name: &str, kind: DeviceKind) -> Self {
        Self { name: name.to_owned(), kind, model: String::new(), memory: None, emulated: false }
    }
}

/// The name, and whether an emulator stands behind it.
impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.emulated { f.write_str(" (emulated)") } else { Ok(()) }
    }
}
