//! An image on its way from its request to a device and back. Not here: who sends it (`pipeline`).

use tokio::sync::oneshot;

use super::ServiceError;
use super::job::{Computed, Job, Timings};
use crate::engine::{Image, PixelFormat};
use crate::metrics::Form;

/// An image that waits for a device.
#[derive(Debug)]
pub(super) struct ImageJob {
    /// Taken when it is launched.
    pub(super) image: Option<Image>,
    /// So far.
    pub(super) timings: Timings,
    /// Closed when nobody waits any more.
    pub(super) reply: oneshot::Sender<Result<Output, ServiceError>>,
}

impl ImageJob {
    /// In which form it came; None once it is launched. Only files become bytes per pixel.
    pub(super) fn form(&self) -> Option<Form> {
        self.image.as_ref().map(|image| match image.format() {
            PixelFormat::Rgb8 => Form::Files,
            PixelFormat::F32 | PixelFormat::F16 => Form::Tensor,
        })
    }
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
