//! Opening checkpoints: those that libraries publish, what configurations may say, and what must not open. Not here: what the
//! networks compute (`tests/engines`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod configs;
mod errors;
mod fixture;
mod golden;
mod swin;
mod transformers;
