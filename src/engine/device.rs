//! Devices, as flags, answers, logs and metrics name them. Not here: what runs on them.

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
    /// Its model, such as `NVIDIA H100 80GB HBM3`, or the instruction set of a CPU.
    pub model: String,
    /// Bytes of its memory; None where it computes in the machine's memory.
    pub memory: Option<u64>,
    /// NVIDIA's name for this very GPU, as `GPU-8a6c…`; None of others.
    pub uuid: Option<String>,
    /// Whether it is emulated. Its results are right; its speed says nothing.
    pub emulated: bool,
}

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// None: what is said of images there is no prediction.
    Null,
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
    /// Why nothing that is measured on it means anything; None where it does.
    #[must_use]
    pub fn why_not_measured(&self) -> Option<&'static str> {
        match self.kind {
            DeviceKind::Null => Some("no network is computed there"),
            _ => self.emulated.then_some("an emulated device's speed says nothing"),
        }
    }

    /// A device of which only the name and the kind are known.
    #[must_use]
    pub fn named(name: &str, kind: DeviceKind) -> Self {
        Self { name: name.to_owned(), kind, model: String::new(), memory: None, uuid: None, emulated: false }
    }
}

/// What stands behind the name of a device that computes nothing.
pub const NOT_COMPUTED: &str = "(no network is computed)";

/// The name, whether it is emulated, and whether it computes at all.
impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.emulated {
            f.write_str(" (emulated)")?;
        }
        if self.kind == DeviceKind::Null { write!(f, " {NOT_COMPUTED}") } else { Ok(()) }
    }
}
