//! The one path that HTTP, gRPC and the command line share: admission, decoding, queue, batch, answer.

mod answer;
mod classifier;
mod error;
mod limits;

pub use answer::{Answer, Classified, Prediction, ScoreFunction, Timings};
pub use classifier::{Classifier, ModelStatus, Request, Ticket};
pub use error::ServiceError;
pub use limits::Limits;
