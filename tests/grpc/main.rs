//! gRPC over a socket, before a mock engine, by a client of tonic's made from the same proto: calls, inputs, errors, streams, health,
//! reflection, and the drain.
//!
//! Not here: clients of others (`clients`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod age;
mod calls;
mod cancellation;
mod client;
mod drain;
mod golden;
mod health;
mod inputs;
mod limits;
mod nv_metrics;
mod reflection;
mod repository;
mod streams;
#[path = "../support/mod.rs"]
mod support;
