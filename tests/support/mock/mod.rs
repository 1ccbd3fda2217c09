//! A mock engine that a test conducts, and a service over it.
//!
//! Its network has six classes and an image of 4×4 pixels; an image of the grey value `40·c` is of class `c`, so that an
//! answer tells which image it is of.

mod conductor;
mod engine;
mod service;

pub use conductor::{CLASSES, Conductor, Fault, PATIENCE, becomes, until};
pub use engine::MockEngine;
pub use service::{
    account, admit, broken, checkpoint, classifier, classifier_on, image, metric, model, model_from, waiting,
};
