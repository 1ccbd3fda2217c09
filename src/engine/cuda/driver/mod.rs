//! The driver: a device's context, memory, modules and launches. All `unsafe` of the engine stands in this folder.
//!
//! Not here: what is launched (`operations`), which order (`plan`).
#![allow(unsafe_code, reason = "the driver's functions take addresses and handles; each block says why they are right")]

pub(crate) mod error;
pub(crate) mod gpu;
pub(crate) mod launch;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod modules;
pub(crate) mod pinned;
pub(crate) mod stream;
