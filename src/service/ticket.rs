//! A ticket: an admitted request, from before its body is read until its answer or until it is dropped.
//!
//! It only holds together what others do: permits and bytes (`budget`), the count of its end (`account`), the way of its images
//! (`pipeline`), the answer (`answer`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::ServiceError;
use super::account::Account;
use super::answer::{self, Answer};
use super::body_bytes::BodyBytes;
use super::budget::Share;
use super::core::Core;
use super::meter::Meter;
use super::model::Model;
use super::pipeline::{self, Encoded, Held, Pending, Position};
use super::refusal::{body_within_limit, no_bytes, no_permits, no_pixels};
use super::request::{Images, Request, Tensor, TensorType, Wanted};
use crate::engine::{Image, PixelFormat};
use crate::metrics::{Form, ModelMetrics};
use crate::pixels;

/// Permits in the queue and a share of the byte budget; dropping it gives all back.
///
/// A ticket that is dropped without [`classify`](Self::classify) or [`refuse`](Self::refuse) counts as cancelled.
pub struct Ticket {
    pub(super) core: Arc<Core>,
    pub(super) model: Arc<Model>,
    /// One per image.
    pub(super) permits: Share,
    /// Bytes of the body that have come.
    pub(super) body: Share,
    pub(super) deadline: Instant,
    /// From admission to the deadline.
    pub(super) allowed: Duration,
    pub(super) account: Account,
    pub(super) meter: Option<Arc<dyn Meter>>,
}

impl Ticket {
    /// The model's name, which may be a label of metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// Rows and columns of the model's input.
    #[must_use]
    pub fn input(&self) -> (usize, usize) {
        (self.model.program.input.height, self.model.program.input.width)
    }

    /// The deadline comes earlier, where the body asks for that: so long after admission. A later one changes nothing.
    pub fn hurry(&mut self, allowed: Duration) {
        if let Some(less) = self.allowed.checked_sub(allowed) {
            self.allowed = allowed;
            self.deadline -= less;
        }
    }

    /// From admission to the deadline.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.allowed
    }

    /// What is counted of the model.
    #[must_use]
    pub fn metrics(&self) -> Arc<ModelMetrics> {
        Arc::clone(&self.model.metrics)
    }

    /// Says that `total` bytes of the body have come. Only these are charged to the budget, whatever the head declares.
    ///
    /// # Errors
    /// `TooLarge` over the limit of one body, `Overloaded` when the budget is spent. The request is over then.
    pub fn body_is(&mut self, total: u64) -> Result<(), ServiceError> {
        let result = body_within_limit(&self.core, total)
            .and_then(|()| if self.body.resize(total) { Ok(()) } else { Err(no_bytes(&self.core)) });
        result.inspect_err(|error| self.account.end(error))
    }

    /// Says that what has come is about to become so many bytes more, which are charged as it is.
    ///
    /// # Errors
    /// `TooLarge` where the whole budget has not so many, `Overloaded` when it is spent. The request is over then.
    pub fn grows_by(&mut self, bytes: u64) -> Result<(), ServiceError> {
        let total = self.body.amount().saturating_add(bytes);
        let result = match self.core.bodies.limit() {
            limit if total > limit => Err(ServiceError::TooLarge(format!(
                "the body takes up to {total} bytes when it is decoded; all bodies together may take {limit}"
            ))),
            _ if self.body.resize(total) => Ok(()),
            _ => Err(no_bytes(&self.core)),
        };
        result.inspect_err(|error| self.account.end(error))
    }

    /// Holds the bytes that came before admission, in place of any that [`body_is`](Self::body_is) has told.
    pub fn hold(&mut self, bytes: BodyBytes) {
        self.body = bytes.into_share();
    }

    /// The request was malformed: it has failed, and was not cancelled.
    pub fn refuse(mut self) {
        self.account.fail();
    }

    /// Decodes, queues, computes, answers. Dropping the future cancels all of it. The deadline counts from admission.
    ///
    /// # Errors
    /// Any [`ServiceError`].
    pub async fn classify(mut self, request: Request) -> Result<Answer, ServiceError> {
        self.account.has_brought(match &request.images {
            Images::Files(_) => Form::Files,
            Images::Tensor(_) => Form::Tensor,
        });
        let (deadline, late) = (self.deadline, ServiceError::DeadlinePassed(self.allowed));
        // a timer of its own, so that the deadline fires whatever the device is doing
        let work = async {
            let outputs = try_join_all(self.begin(&request)?.into_iter().map(Pending::output)).await?;
            let began = std::time::Instant::now();
            let answer = answer::of(&self.model, request.wanted, outputs)?;
            Ok((answer, began.elapsed()))
        };
        let result = tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(late));
        match &result {
            Ok((answer, output)) => self.account.succeed(answer.images.len(), answer.stages(*output)),
            Err(error) => self.account.end(error),
        }
        result.map(|(answer, _)| answer)
    }

    /// Checks the request, takes permits and pixels for all of it or none, and sends its images on their way.
    fn begin(&mut self, request: &Request) -> Result<Vec<Pending>, ServiceError> {
        if let Wanted::Labels { top_k, .. } = request.wanted
            && top_k < 1
        {
            return Err(ServiceError::Invalid(format!("top_k is {top_k}; it must be at least 1")));
        }
        let count = request.images.count();
        if count == 0 {
            return Err(ServiceError::Invalid("the request has no image".to_owned()));
        }
        let most = self.model.queue.limit();
        if count as u64 > most {
            let text = format!("{count} images are more than the {most} that the queue holds");
            return Err(ServiceError::TooLarge(text));
        }
        if let Images::Tensor(tensor) = &request.images {
            self.check(tensor)?;
        }
        if !self.permits.resize(count as u64) {
            return Err(no_permits(&self.model));
        }
        if let Some(meter) = &self.meter {
            meter.more(count as u64 - 1);
        }
        // from here on the bytes belong to the images: they are held as long as one of them is, whoever still waits
        let body = Arc::new(std::mem::replace(&mut self.body, self.core.bodies.nothing()));
        match &request.images {
            Images::Files(files) => self.send_files(files, &body),
            Images::Tensor(tensor) => Ok(self.send_tensor(tensor, &body)),
        }
    }

    fn send_files(&self, files: &[Bytes], body: &Arc<Share>) -> Result<Vec<Pending>, ServiceError> {
        let mut heads = Vec::with_capacity(files.len());
        for (index, bytes) in files.iter().enumerate() {
            let header = pixels::probe(bytes, self.core.limits.max_image_pixels)
                .map_err(|cause| ServiceError::Image { index, cause })?;
            let share = self.core.pixels.take(header.pixels()).ok_or_else(|| no_pixels(&self.core, &header))?;
            heads.push(Encoded { bytes: Held::new(bytes.clone(), body), header, _pixels: share });
        }
        let send = |(index, file)| {
            let position = Position { index, deadline: self.deadline.into_std() };
            pipeline::send_file(&self.core, &self.model, position, file)
        };
        Ok(heads.into_iter().enumerate().map(send).collect())
    }

    /// The images of a tensor wait where they came: in the request's body.
    fn send_tensor(&self, tensor: &Tensor, body: &Arc<Share>) -> Vec<Pending> {
        let format = format(tensor.number);
        let length = tensor.data.len() / tensor.shape[0];
        let image = |index: usize| {
            let data = tensor.data.slice(index * length..(index + 1) * length);
            Image::new(format, Held::new(data, body))
        };
        let deadline = self.deadline.into_std();
        (0..tensor.shape[0])
            .map(|index| pipeline::send_image(&self.core, &self.model, deadline, image(index)))
            .collect()
    }

    /// Refuses a tensor of another shape than the model's input, or whose bytes are not those of its shape.
    fn check(&self, tensor: &Tensor) -> Result<(), ServiceError> {
        let input = self.model.program.input;
        let [n, channels, height, width] = tensor.shape;
        if [channels, height, width] != [3, input.height, input.width] {
            return Err(ServiceError::Invalid(format!(
                "a tensor of shape {:?}; {} takes [n, 3, {}, {}]",
                tensor.shape,
                self.model.name(),
                input.height,
                input.width
            )));
        }
        let image = 3 * input.height * input.width * format(tensor.number).bytes();
        let (found, needed) = (tensor.data.len(), n.saturating_mul(image));
        if found != needed {
            return Err(ServiceError::Invalid(format!(
                "a tensor of {found} bytes; {:?} of shape {:?} has {needed}",
                tensor.number, tensor.shape
            )));
        }
        Ok(())
    }
}

fn format(number: TensorType) -> PixelFormat {
    match number {
        TensorType::F32 => PixelFormat::F32,
        TensorType::F16 => PixelFormat::F16,
    }
}
