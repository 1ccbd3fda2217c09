//! A ticket: one request's place and budgets, from before its body is read until its answer or until it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::{Answer, Classified, Prediction, ScoreFunction, Timings};
use super::budget::Share;
use super::classifier::Inner;
use super::queue::EntryId;
use super::registry::{Model, VERSION};
use super::tally::Outcome;
use super::worker::{Job, Output};
use super::{ServiceError, decoder};
use crate::metrics::{Rejection, Stage};
use crate::pixels;

/// The images of a request, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files, one for each image.
    pub images: Vec<Bytes>,
    /// Classes in the answer; 0 and less are refused, more than there are is clamped.
    pub top_k: i64,
    /// How logits become scores.
    pub function: ScoreFunction,
}

/// A place in the queue and a share of the byte budget, held from before the body is read; dropping it gives all back.
///
/// A ticket that is dropped without [`classify`](Self::classify) or [`refuse`](Self::refuse) counts as cancelled.
pub struct Ticket {
    inner: Arc<Inner>,
    model: Arc<Model>,
    places: Share,
    body: Share,
    deadline: Instant,
    allowed: Duration,
    ended: bool,
}

/// The first guess of when it is worth trying again, where no estimate is at hand.
const SOON: Duration = Duration::from_secs(1);

impl Ticket {
    pub(super) fn admit(
        inner: &Arc<Inner>,
        name: Option<&str>,
        body_bytes: Option<u64>,
        deadline: Option<Duration>,
    ) -> Result<Self, ServiceError> {
        let model = Arc::clone(inner.registry.find(name)?);
        if !model.worker.ready() {
            let why = model.worker.closed().unwrap_or_else(|| "its engine has failed".to_owned());
            return Err(ServiceError::NotReady(format!("{}: {why}", model.name())));
        }
        let limit = inner.limits.max_body_bytes;
        let body = body_bytes.unwrap_or(0);
        if body > limit {
            return Err(ServiceError::TooLarge(format!("a body of {body} bytes is over the limit of {limit}")));
        }
        let allowed = deadline.unwrap_or(inner.limits.deadline).min(inner.limits.deadline);
        let wait = estimated_wait(&model);
        if wait > allowed {
            let what = format!(
                "the queue of {} takes {:.1} s and the deadline is {:.1} s",
                model.name(),
                wait.as_secs_f64(),
                allowed.as_secs_f64()
            );
            let retry_after = wait - allowed;
            return Err(ServiceError::Overloaded { what, reason: Rejection::Wait, retry_after: retry_after.max(SOON) });
        }
        let places = model.places.take(1).ok_or_else(|| no_places(&model))?;
        let body = inner.bodies.take(body).ok_or_else(|| no_bytes(inner))?;
        let deadline = Instant::now() + allowed;
        Ok(Self { inner: Arc::clone(inner), model, places, body, deadline, allowed, ended: false })
    }

    /// The model's name, which may be a label of metrics.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.name()
    }

    /// Says that the body so far is `total` bytes long: of a body without a declared length, as it arrives.
    ///
    /// # Errors
    /// `TooLarge` over the limit of one body, `Overloaded` when the budget is spent. The request is over then.
    pub fn body_is(&mut self, total: u64) -> Result<(), ServiceError> {
        let limit = self.inner.limits.max_body_bytes;
        let result = if total > limit {
            Err(ServiceError::TooLarge(format!("the body is over the limit of {limit} bytes")))
        } else if self.body.resize(total) {
            Ok(())
        } else {
            Err(no_bytes(&self.inner))
        };
        result.inspect_err(|error| self.end(error))
    }

    /// The request was malformed: it has failed, and was not cancelled.
    pub fn refuse(mut self) {
        self.close(Outcome::Failed);
    }

    /// Decodes, queues, computes, answers. Dropping the future cancels all of it. The deadline counts from admission.
    ///
    /// # Errors
    /// Any [`ServiceError`].
    pub async fn classify(mut self, request: Request) -> Result<Answer, ServiceError> {
        // a timer of its own, so that the deadline fires whatever the device is doing
        let late = ServiceError::DeadlinePassed(self.allowed);
        let work = self.work(request);
        let result = tokio::time::timeout_at(self.deadline, work).await.unwrap_or(Err(late));
        match &result {
            Ok(_) => self.close(Outcome::Succeeded),
            Err(error) => self.end(error),
        }
        result
    }

    fn work(&mut self, request: Request) -> impl Future<Output = Result<Answer, ServiceError>> + use<> {
        let begun = self.begin(&request);
        let Request { top_k, function, .. } = request;
        let model = Arc::clone(&self.model);
        async move {
            let outputs = try_join_all(begun?.into_iter().map(Pending::output)).await?;
            let top_k = usize::try_from(top_k).unwrap_or(usize::MAX);
            let classify = |(index, output)| classified(&model, function, top_k, index, output);
            Ok(Answer {
                model: model.name().to_owned(),
                version: VERSION.to_owned(),
                device: model.metric_labels.device.clone(),
                images: outputs.into_iter().enumerate().map(classify).collect::<Result<_, _>>()?,
            })
        }
    }

    /// Checks the request, takes places and pixels for all of it or none, and sends its images on their way.
    fn begin(&mut self, request: &Request) -> Result<Vec<Pending>, ServiceError> {
        let count = request.images.len();
        if request.top_k < 1 {
            return Err(ServiceError::Invalid(format!("top_k is {}; it must be at least 1", request.top_k)));
        }
        if count == 0 {
            return Err(ServiceError::Invalid("the request has no image".to_owned()));
        }
        let most = self.model.places.limit();
        if count as u64 > most {
            let text = format!("{count} images are more than the {most} that the queue holds");
            return Err(ServiceError::TooLarge(text));
        }
        if !self.places.resize(count as u64) {
            return Err(no_places(&self.model));
        }
        let mut heads = Vec::with_capacity(count);
        for (index, bytes) in request.images.iter().enumerate() {
            let header = pixels::probe(bytes, self.inner.limits.max_image_pixels)
                .map_err(|cause| ServiceError::Image { index, cause })?;
            let share = self.inner.pixels.take(header.pixels()).ok_or_else(|| self.no_pixels(&header))?;
            heads.push((header, share));
        }
        let images = request.images.iter().zip(heads).enumerate();
        Ok(images.map(|(index, (bytes, (header, share)))| self.send(index, bytes.clone(), header, share)).collect())
    }

    /// Sends one image to the decode pool, and from there to the queue.
    fn send(&self, index: usize, bytes: Bytes, header: pixels::Header, held: Share) -> Pending {
        let (reply, receiver) = oneshot::channel();
        let (times, decoded) = oneshot::channel();
        let id = EntryId(self.inner.next_entry.fetch_add(1, Ordering::Relaxed));
        let (inner, model, deadline) = (Arc::clone(&self.inner), Arc::clone(&self.model), self.deadline.into_std());
        self.inner.decoder.spawn(move || {
            if reply.is_closed() {
                return; // cancelled before its turn
            }
            let result = decoder::decode(index, &bytes, &header, &model.transform);
            drop(held);
            match result {
                Ok(image) => {
                    inner.metrics.stage(model.name(), Stage::Decode, image.decode);
                    inner.metrics.stage(model.name(), Stage::Transform, image.transform);
                    let _ = times.send((image.decode, image.transform));
                    model.worker.push(model.id, id, deadline, Job { pixels: image.pixels, reply });
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        });
        Pending { model: Arc::clone(&self.model), id, receiver, decoded }
    }

    fn no_pixels(&self, header: &pixels::Header) -> ServiceError {
        let limit = self.inner.pixels.limit();
        if header.pixels() > limit {
            return ServiceError::TooLarge(format!(
                "{}×{} pixels are more than the {limit} that all images together may have",
                header.width, header.height
            ));
        }
        let what = format!("{} of {limit} pixels are being decoded", self.inner.pixels.used());
        ServiceError::Overloaded { what, reason: Rejection::Pixels, retry_after: SOON }
    }

    fn end(&mut self, error: &ServiceError) {
        if !std::mem::replace(&mut self.ended, true) {
            self.inner.ended(error);
        }
    }

    fn close(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.ended, true) {
            self.inner.tally.end(outcome, &self.inner.metrics);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(Outcome::Cancelled);
    }
}

/// An image that is decoding, waiting or running; dropping it takes it out of wherever it is.
struct Pending {
    model: Arc<Model>,
    id: EntryId,
    receiver: oneshot::Receiver<Result<Output, ServiceError>>,
    decoded: oneshot::Receiver<(Duration, Duration)>,
}

impl Pending {
    async fn output(mut self) -> Result<(Output, Timings), ServiceError> {
        let lost = || ServiceError::Internal("the engine failed while it ran this image".to_owned());
        let output = (&mut self.receiver).await.unwrap_or_else(|_| Err(lost()))?;
        let (decode, transform) = self.decoded.try_recv().unwrap_or_default();
        let timings = Timings { decode, transform, queue: output.queue, compute: output.compute };
        Ok((output, timings))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // closed first: a push that comes after the cancellation sees that nobody waits
        self.receiver.close();
        self.model.worker.cancel(self.model.id, self.id);
    }
}

/// Logits to predictions with their names.
fn classified(
    model: &Model,
    function: ScoreFunction,
    top_k: usize,
    index: usize,
    (output, timings): (Output, Timings),
) -> Result<Classified, ServiceError> {
    let ranked = function.rank(&output.logits, top_k).ok_or_else(|| {
        tracing::error!(model = model.name(), device = model.metric_labels.device, "logits are not finite");
        ServiceError::Internal(format!("image {index}: the model's output is not finite"))
    })?;
    let prediction = |(class, score)| {
        // a model has as many labels as classes, which its checkpoint was checked for
        let label = model.classes.get(class).map_or_else(|| Arc::from(format!("class_{class}")), Arc::clone);
        Prediction { class, label, score }
    };
    let predictions = ranked.into_iter().map(prediction).collect();
    Ok(Classified { predictions, batch_size: output.batch_size, timings })
}

/// How long an image that comes now will wait: all that were admitted before it, at the measured time of an image.
fn estimated_wait(model: &Model) -> Duration {
    let images = u32::try_from(model.places.used()).unwrap_or(u32::MAX);
    model.worker.image_time(model.id).saturating_mul(images)
}

fn no_places(model: &Model) -> ServiceError {
    let what = format!("{} of {} places of {} are taken", model.places.used(), model.places.limit(), model.name());
    ServiceError::Overloaded { what, reason: Rejection::Queue, retry_after: estimated_wait(model).max(SOON) }
}

fn no_bytes(inner: &Inner) -> ServiceError {
    let what = format!("{} of {} bytes of bodies are held", inner.bodies.used(), inner.bodies.limit());
    ServiceError::Overloaded { what, reason: Rejection::Bodies, retry_after: SOON }
}
