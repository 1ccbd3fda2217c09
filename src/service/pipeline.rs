//! The way of an image: from its request through the decode pool to the queue of its model. Dropping the request's end takes it out
//! of wherever it is.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::ServiceError;
use super::budget::Share;
use super::core::Core;
use super::decoder::{self, Decoded};
use super::image::{ImageJob, Output};
use super::job::Timings;
use super::model::Model;
use super::queue::EntryId;
use crate::engine::Image;
use crate::metrics::Stage;
use crate::pixels::Header;

/// The request's end of an image.
pub(super) struct Pending {
    model: Arc<Model>,
    id: EntryId,
    receiver: oneshot::Receiver<Result<Output, ServiceError>>,
    /// It waits nowhere any more.
    came_back: bool,
}

impl Pending {
    /// Waits for what comes back.
    pub(super) async fn output(mut self) -> Result<Output, ServiceError> {
        let lost = || ServiceError::Internal("the engine failed while it ran this image".to_owned());
        let output = (&mut self.receiver).await.unwrap_or_else(|_| Err(lost()));
        self.came_back = true;
        output
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.came_back {
            return;
        }
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

/// Bytes of a request's body, and the share of the byte budget that they hold until they are dropped.
pub(super) struct Held {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl Held {
    pub(super) fn new(bytes: Bytes, share: &Arc<Share>) -> Self {
        Self { bytes, _share: Arc::clone(share) }
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file to decode.
pub(super) struct Encoded {
    pub(super) bytes: Held,
    pub(super) header: Header,
    /// Its pixels' share of their budget, while it decodes.
    pub(super) _pixels: Share,
}

/// Sends a file to the decode pool, and from there to the queue.
pub(super) fn send_file(core: &Arc<Core>, model: &Arc<Model>, position: Position, file: Encoded) -> Pending {
    let (reply, receiver) = oneshot::channel();
    let id = core.entry_id();
    let target = Arc::clone(model);
    core.decoder.spawn(move || {
        if reply.is_closed() {
            return; // cancelled before its turn
        }
        let decoded = decoder::decode(position.index, file.bytes.as_ref(), &file.header, &target);
        drop(file);
        match decoded {
            Ok(Decoded { image, timings }) => {
                target.metrics.stage(Stage::Decode, timings.decode);
                target.metrics.stage(Stage::Transform, timings.transform);
                push(&target, id, position.deadline, ImageJob { image: Some(image), timings, reply });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    });
    Pending { model: Arc::clone(model), id, receiver, came_back: false }
}

/// Sends an image that needs no decoding to the queue.
pub(super) fn send_image(core: &Core, model: &Arc<Model>, deadline: Instant, image: Image) -> Pending {
    let (reply, receiver) = oneshot::channel();
    let id = core.entry_id();
    push(model, id, deadline, ImageJob { image: Some(image), timings: Timings::default(), reply });
    Pending { model: Arc::clone(model), id, receiver, came_back: false }
}

fn push(model: &Model, id: EntryId, deadline: Instant, job: ImageJob) {
    model.dispatcher.push(model.id, id, Instant::now(), deadline, job);
}
