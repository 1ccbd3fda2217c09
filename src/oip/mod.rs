//! The Open Inference Protocol as plain data: names, tensors, requests, answers, and what is told of models. HTTP and gRPC share it.
//!
//! Every served model has two names, each with one input and one output: `NAME` takes a tensor `pixels`, `NAME_image` takes image files
//! `image`; both give `logits`. Not here: JSON, headers, messages and statuses (`http`, `grpc`), which know neither shapes nor names.

mod answer;
mod call;
mod error;
mod input;
mod metadata;
mod names;
mod nv_metrics;
mod parameter;
mod repository;
mod statistics;
mod tensor;

pub use answer::{InferAnswer, Output, OutputContents};
pub use call::{Call, Head};
pub use error::Error;
pub use input::{Contents, InferRequest, Input, MAX_ELEMENTS, RequestedOutput, elements, little_endian};
pub use metadata::{ModelConfig, ModelMetadata, Served, ServerMetadata, TensorMetadata, extensions, server};
pub use names::{IMAGE_SUFFIX, Target};
pub use nv_metrics::nv_metrics;
pub use parameter::{Parameter, Parameters};
pub use repository::{IndexEntry, index, load, unload};
pub use statistics::{Executions, MemoryUsage, ModelStatistics, statistics};
pub use tensor::Datatype;
