//! An image on its way: from the decode pool through a queue and a device back to its request. Dropping the request's end takes
//! it out of wherever it is.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::ServiceError;
use super::answer::Timings;
use super::budget::Share;
use super::core::Core;
use super::decoder::{self, Decoded};
use super::device::{Computed, Job};
use super::model::Model;
use super::queue::EntryId;
use crate::engine::{Image, PixelFormat};
use crate::metrics::Stage;
use crate::pixels::Header;

/// An image that waits for a device.
#[derive(Debug)]
pub(super) struct ImageJob {
    /// Taken when it is launched.
    image: Option<Image>,
    /// So far.
    timings: Timings,
    /// Closed when nobody waits any more.
    reply: oneshot::Sender<Result<Output, ServiceError>>,
}

/// What comes back of an image.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) computed: Computed,
    pub(super) timings: Timings,
}

impl Job for ImageJob {
    fn image(&mut self) -> Image {
        // launched once only; an empty image would be refused by the engine
        self.image.take().unwrap_or_else(|| Image::new(PixelFormat::Rgb8, Vec::new()))
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self, result: Result<Computed, ServiceError>) {
        let output = |computed: Computed| {
            let timings = Timings { queue: computed.queue, compute: computed.compute, ..self.timings };
            Output { computed, timings }
        };
        let _ = self.reply.send(result.map(output));
    }
}

/// The request's end of an image.
pub(super) struct Pending {
    model: Arc<Model>,
    id: EntryId,
    receiver: oneshot::Receiver<Result<Output, ServiceError>>,
}

impl Pending {
    /// Waits for what comes back.
    pub(super) async fn output(mut self) -> Result<Output, ServiceError> {
        let lost = || ServiceError::Internal("the engine failed while it ran this image".to_owned());
        (&mut self.receiver).await.unwrap_or_else(|_| Err(lost()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // closed first: a push that comes after the cancellation sees that nobody waits
        self.receiver.close();
        self.model.dispatcher.cancel(self.model.id, self.id);
    }
}

/// Where an image stands in its request, and until when.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) index: usize,
    pub(super) deadline: Instant,
}

/// Sends a file to the decode pool, and from there to the queue. `held` are its pixels' share of the budget, while it decodes.
pub(super) fn send_file(
    core: &Arc<Core>,
    model: &Arc<Model>,
    position: Position,
    (bytes, header, held): (Bytes, Header, Share),
) -> Pending {
    let (reply, receiver) = oneshot::channel();
    let id = core.entry_id();
    let target = Arc::clone(model);
    core.decoder.spawn(move || {
        if reply.is_closed() {
            return; // cancelled before its turn
        }
        let decoded = decoder::decode(position.index, &bytes, &header, &target);
        drop((bytes, held));
        match decoded {
            Ok(Decoded { image, timings }) => {
                target.metrics.stage(Stage::Decode, timings.decode);
                target.metrics.stage(Stage::Transform, timings.transform);
                push(&target, id, position.deadline, ImageJob { image: Some(image), timings, reply });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    });
    Pending { model: Arc::clone(model), id, receiver }
}

/// Sends an image that needs no decoding to the queue.
pub(super) fn send_image(core: &Core, model: &Arc<Model>, deadline: Instant, image: Image) -> Pending {
    let (reply, receiver) = oneshot::channel();
    let id = core.entry_id();
    push(model, id, deadline, ImageJob { image: Some(image), timings: Timings::default(), reply });
    Pending { model: Arc::clone(model), id, receiver }
}

fn push(model: &Model, id: EntryId, deadline: Instant, job: ImageJob) {
    model.dispatcher.push(model.id, id, Instant::now(), deadline, job);
}
