//! The driver API as C programs see it: `libcuda.so`. What it answers was recorded on an H100 (`hardware/recordings/driver.json`), case by
//! case; where it is to answer otherwise, `tests/driver/deviations.rs` says so and why.
//!
//! Work is not done when it is asked for but when someone waits for it, in an order that `CUDA_EMULATOR_SEED` draws (`schedule.rs`): a client
//! that forgets to wait reads what was there before. One lock guards all that is known (`state.rs`); work is done outside it. `api` is the
//! boundary to C, and the only part that is unsafe.

mod api;
mod attributes;
mod capture;
mod card;
pub mod code;
mod context;
mod copy;
mod device;
mod event;
mod exit;
pub mod findings;
mod function;
mod graph;
pub mod handles;
mod launch;
mod link;
mod memory;
mod module;
mod node;
mod schedule;
mod state;
mod stream;
mod work;

pub use api::pointer;
pub use api::*;
