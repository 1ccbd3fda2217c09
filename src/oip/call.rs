//! A call for inference: admitted by its head alone, checked when its request is here, answered by the service.
//!
//! A call that is dropped before its answer counts as cancelled and gives everything back. Not here: reading bodies and messages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::{self, InferAnswer};
use super::input::{Contents, InferRequest, Input};
use super::names::{Target, input_name, input_type, version};
use super::{Error, metadata};
use crate::metrics::ModelMetrics;
use crate::service::{Admission, BodyBytes, Classifier, Form, Meter, ServiceError, Ticket};

/// What is known of a call before its request is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The model, by either of its names.
    pub model: &'a str,
    /// A version's number or label; empty where the server is to choose.
    pub version: &'a str,
    /// Bytes of its body or message, where they are known.
    pub body_bytes: Option<u64>,
    /// From now to the answer, where the protocol's head says so.
    pub deadline: Option<Duration>,
    /// What holds whoever asks to so many images.
    pub meter: Option<&'a Arc<dyn Meter>>,
}

/// An admitted call.
pub struct Call {
    target: Target,
    ticket: Ticket,
}

impl Call {
    /// Takes a permit for one image of the model.
    ///
    /// # Errors
    /// What [`Classifier::admit`] has.
    pub fn admit(classifier: &Classifier, head: Head<'_>) -> Result<Self, Error> {
        let target = Target::of(classifier, head.model);
        let ticket = classifier.admit(Admission {
            model: Some(&target.model),
            version: version(head.version),
            body_bytes: head.body_bytes,
            deadline: head.deadline,
            form: target.form,
            meter: head.meter,
        })?;
        Ok(Self { target, ticket })
    }

    /// The served model's own name, which may be a label of metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        self.ticket.model()
    }

    /// What is counted of the model.
    #[must_use]
    pub fn metrics(&self) -> Arc<ModelMetrics> {
        self.ticket.metrics()
    }

    /// From admission to the deadline.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.ticket.allowed()
    }

    /// Says that `total` bytes of the request have come, as [`Ticket::body_is`].
    ///
    /// # Errors
    /// `TooLarge`, `Overloaded`. The call is over then.
    pub fn body_is(&mut self, total: u64) -> Result<(), ServiceError> {
        self.ticket.body_is(total)
    }

    /// Says that what has come is about to become so many bytes more, as [`Ticket::grows_by`].
    ///
    /// # Errors
    /// `TooLarge`, `Overloaded`. The call is over then.
    pub fn grows_by(&mut self, bytes: u64) -> Result<(), ServiceError> {
        self.ticket.grows_by(bytes)
    }

    /// Holds the bytes of a request that came before its head was known, as [`Ticket::hold`].
    pub fn hold(&mut self, bytes: BodyBytes) {
        self.ticket.hold(bytes);
    }

    /// The request cannot be read: the call has failed, and was not cancelled.
    pub fn refuse(self) {
        self.ticket.refuse();
    }

    /// The request of a body that is nothing but the one input: an image file, or one image's FP32 numbers.
    #[must_use]
    pub fn raw_request(&self, body: Bytes) -> InferRequest {
        let (shape, contents) = match self.target.form {
            Form::Files => (vec![1, 1], Contents::Elements(vec![body])),
            Form::Tensor => ([vec![1], metadata::dims(self.ticket.input())].concat(), Contents::Raw(body)),
        };
        let (name, datatype) = (input_name(self.target.form).to_owned(), input_type(self.target.form));
        let input = Input { name, datatype: datatype.name().to_owned(), shape, contents };
        InferRequest { inputs: vec![input], ..InferRequest::default() }
    }

    /// Checks the request and has it answered. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what the model does not take; any [`ServiceError`].
    pub async fn infer(mut self, request: InferRequest) -> Result<InferAnswer, Error> {
        let id = request.id.clone();
        let asked = match request.check(&self.target) {
            Ok(asked) => asked,
            Err(error) => {
                self.ticket.refuse();
                return Err(error);
            }
        };
        if let Some(timeout) = asked.timeout {
            self.ticket.hurry(timeout);
        }
        let answer = self.ticket.classify(asked.request).await?;
        Ok(answer::of(self.target, id, answer))
    }
}
