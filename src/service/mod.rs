//! The one path that HTTP, gRPC and the command line share: admission, decoding, queue, batch, answer.
//!
//! ```text
//! admit ─▶ Ticket ─classify─▶ decoder (pool) ─push─▶ Scheduler (a queue a model) ─next─▶ worker (a thread a device) ─▶ answer
//! ```
//! Not here: protocols (`http`, `cli`), formats of files (`checkpoint`), arithmetic (`engine`).

mod answer;
mod budget;
mod classifier;
mod decoder;
mod error;
mod limits;
pub mod queue;
mod registry;
pub mod scheduler;
mod tally;
mod ticket;
mod warmup;
mod worker;

pub use answer::{Answer, Classified, Prediction, ScoreFunction, Timings};
pub use classifier::{Classifier, Loading, ModelStatus, Settings, StartError};
pub use error::ServiceError;
pub use limits::Limits;
pub use registry::NamedModel;
pub use tally::Counts;
pub use ticket::{Request, Ticket};
