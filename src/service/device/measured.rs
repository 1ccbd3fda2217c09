//! Runs that are only measured: a device takes one when it has nothing else to do. Not here: who asks for them and what becomes of their times
//! (`calibration`).

use std::sync::Arc;

use super::{Clock, Device, GREY, Serving, Turn, caught};
use crate::engine::{Batch, Image, PixelFormat, RunError};
use crate::service::command::{Measurement, Ran};
use crate::service::job::Job;

impl<J: Job, C: Clock> Device<J, C> {
    /// Runs batches that nobody waits for, as many as may be in flight, of grey images where a request's would lie, and tells what they took.
    pub(super) fn measure(&mut self, Measurement { model, images, ran }: &Measurement) -> Result<(), Turn> {
        let Some(Serving { executable, .. }) = self.models.get_mut(model) else { return Ok(()) };
        let pool = Arc::clone(executable.leases());
        let image = |_| match pool.lease() {
            Some(mut lease) => {
                lease.as_mut().fill(GREY);
                Image::new(PixelFormat::Rgb8, lease)
            }
            None => Image::new(PixelFormat::Rgb8, vec![GREY; pool.piece()]),
        };
        let batches: Vec<Batch> = (0..executable.in_flight()).map(|_| (0..*images).map(image).collect()).collect();
        let count = batches.len();
        let began = self.clock.now();
        let run = || {
            let ids = batches.into_iter().map(|batch| executable.launch(batch)).collect::<Result<Vec<_>, _>>()?;
            let mut logits = vec![0.0; images * executable.classes()];
            ids.into_iter().try_for_each(|id| executable.finish(id, &mut logits))
        };
        let result = caught(run);
        self.free_since = self.clock.now();
        match result {
            Ok(()) => drop(ran.try_send(Ran { images: images * count, took: self.free_since - began })),
            Err(RunError::DeviceLost(why)) => return Err(self.lost(why, Vec::new())),
            Err(error) => tracing::warn!(device = &*self.name, images, %error, "a measured batch does not run"),
        }
        Ok(())
    }
}
