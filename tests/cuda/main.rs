//! The CUDA engine on the emulated driver: every kernel through its launcher, on every architecture that has tiles or code of its own; what a fault does;
//! the real server; the benchmark.
//!
//! Not here: results of whole networks, which are in the suite of all engines (`tests/engines`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod benched;
#[path = "../support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;
mod faults;
mod kernels;
mod served;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod wrong;
