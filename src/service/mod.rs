//! The one path that HTTP, gRPC and the command line share: admission, decoding, queue, batch, answer; and the models that come and go.
//!
//! ```text
//! admit ─▶ Ticket ─classify─▶ decoder (pool) ─push─▶ Scheduler (a queue per model) ─next─▶ Device (a thread each) ─▶ answer
//! load, reload, unload ─▶ Lifecycle (a thread) ─▶ Loader ─▶ Device ─▶ Registry
//! ```
//! Not here: protocols (`http`, `admin`, `cli`), formats of files (`checkpoint`), arithmetic (`engine`).

mod account;
mod admission;
mod answer;
mod body_bytes;
mod budget;
mod calibration;
mod classifier;
mod command;
mod core;
mod decoder;
mod device;
mod dispatcher;
mod error;
mod image;
mod job;
mod lifecycle;
mod limits;
mod loader;
mod meter;
mod model;
mod names;
mod options;
mod pipeline;
pub mod queue;
mod refusal;
mod registry;
mod repository;
mod request;
pub mod scheduler;
mod score;
pub mod simulation;
mod status;
mod threads;
mod ticket;
pub mod times;
mod warmup;

pub use admission::Admission;
pub use answer::{Answer, Classified, Prediction, Scores};
pub use body_bytes::BodyBytes;
pub use calibration::{BenchError, BenchRequest, Calibration, Comparison};
pub use classifier::{Classifier, GpuMemory, Loading, ModelSource, NamedModel, Settings, StartError};
pub use error::ServiceError;
pub use job::Timings;
pub use lifecycle::{ModelError, Repository};
pub use limits::Limits;
pub use meter::{Meter, Spent};
pub use options::{ModelOptions, VersionPolicy};
pub use request::{Images, Request, Tensor, TensorType, Wanted};
pub use status::{ModelState, ModelStatus};
pub use ticket::Ticket;

// what a configuration of a model names
pub use crate::checkpoint::ScoreFunction;
pub use crate::engine::{NOT_COMPUTED, Precision};
pub use crate::metrics::Form;
