//! The CUDA engine: f16, bf16 and f32 on NVIDIA GPUs, by the project's own kernels (`kernels/`) through the driver alone.
//!
//! Its folders, each of which knows only those after it: `proof/` (kernels against plain arithmetic), `operations/` (a kernel's launcher and what it
//! must compute), `driver/` (all `unsafe`). Not here: queues and threads that serve (`service`).
#![allow(dead_code, reason = "until the plan uses it")]

mod array;
mod card;
mod driver;
mod launch;
mod number;
mod operations;
pub mod proof;
