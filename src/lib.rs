//! Image classification with ConvNeXt, served: bytes of an image in, labels out.
//!
//! `ARCHITECTURE.md` has the way of an image, the map of the modules and what must stay true of them.

pub mod admin;
pub mod auth;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod engine;
pub mod golden;
pub mod grpc;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod model;
pub mod net;
pub mod oip;
mod panics;
pub mod pixels;
pub mod program;
pub mod reload;
pub mod service;
pub mod telemetry;
