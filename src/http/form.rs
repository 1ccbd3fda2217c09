//! The contents of a request's body, whichever of the three forms it has.
//!
//! Not here: how each form is read (`parse`, `json`, `multipart`).

use bytes::Bytes;

use super::answer_options::AnswerOptions;
use super::error::Error;
use crate::service::ServiceError;

/// Images of one request, however many the queue takes. What is kept of each image is larger than a tiny image, and should not
/// be many times the body.
pub(super) const MAX_IMAGES: usize = 65_536;

/// The shape of the answer. It follows from the form of the request, not from the number of its images;
/// but several parts with the name of one image are a list (`multipart`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The labels of the one image.
    One,
    /// A list of the labels of each.
    List,
}

/// The contents of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// At least one.
    pub(super) images: Vec<Bytes>,
    pub(super) shape: Shape,
    pub(super) options: AnswerOptions,
    /// Names of what was not understood and so not heeded.
    pub(super) ignored: Vec<String>,
}

impl Form {
    /// One image, and not a word about its answer.
    pub(super) fn of_one(image: Bytes) -> Self {
        Self { images: vec![image], shape: Shape::One, options: AnswerOptions::default(), ignored: Vec::new() }
    }
}

/// More images than [`MAX_IMAGES`].
pub(super) fn too_many() -> Error {
    ServiceError::TooLarge(format!("more than {MAX_IMAGES} images in one request")).into()
}
