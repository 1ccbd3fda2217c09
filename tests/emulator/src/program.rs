//! A module that was loaded: its kernels decoded for the device, its variables in the device's memory. What a `CUmodule` stands for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::memory::{self, Memory};

/// A loaded module.
pub struct Program {
    kernels: HashMap<String, Arc<Kernel>>,
    /// Address and size of each variable.
    variables: HashMap<String, (u64, u64)>,
}

/// A kernel that can be launched. What a `CUfunction` stands for.
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Offset and size of each parameter in the block of parameters.
    pub parameters: Vec<(usize, usize)>,
    /// Bytes of all parameters.
    pub parameter_bytes: usize,
    /// Bytes of shared memory that it declares.
    pub static_shared: u64,
    /// Bytes of local memory a thread.
    pub local: u64,
    /// The most threads of a block, from `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
    /// The shape of a block that `.reqntid` asks for.
    pub required: Option<[u32; 3]>,
    /// The module's version of PTX, as 78.
    pub ptx_version: u32,
}

/// A text that is no module for the device, as `cuModuleLoadData` refuses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{log}")]
pub struct Error {
    /// `CUresult`: 218 for PTX that is wrong or for a higher target, 222 for a newer version.
    pub code: u32,
    /// What the assembler would say.
    pub log: String,
}

impl Program {
    /// Loads PTX for a device of this compute capability (80).
    ///
    /// # Errors
    /// When it is not PTX, or not for this device.
    pub fn load(_text: &str, _sm: u32, _memory: &Memory) -> Result<Self, Error> {
        Err(Error { code: 218, log: "not yet".to_owned() })
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<Arc<Kernel>> {
        self.kernels.get(name).cloned()
    }

    /// Address and size of a variable.
    pub fn variable(&self, name: &str) -> Option<(u64, u64)> {
        self.variables.get(name).copied()
    }

    /// Frees the variables.
    ///
    /// # Errors
    /// When they are no longer there.
    pub fn unload(&self, memory: &Memory) -> Result<(), memory::Error> {
        self.variables.values().try_for_each(|(address, _)| memory.free(*address))
    }
}
