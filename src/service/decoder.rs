//! The decode pool: a fixed number of threads that turn files into pixels, so that no async thread ever does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::ServiceError;
use super::job::Timings;
use super::model::Model;
use crate::engine::{Image, PixelFormat};
use crate::panics;
use crate::pixels::{self, Header, ImageError, WrongLength};

/// Threads that decode and resize.
#[derive(Debug)]
pub(super) struct Decoder {
    pool: rayon::ThreadPool,
}

/// An image that is ready for the queue, and how long that took.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) image: Image,
    pub(super) timings: Timings,
}

impl Decoder {
    pub(super) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let name = |index| format!("decode-{index}");
        Ok(Self { pool: rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()? })
    }

    /// Runs a task on the pool, in the order of the calls. The task answers through its own channel.
    pub(super) fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        self.pool.spawn_fifo(task);
    }
}

/// Decodes and transforms a file of its request into memory of a device of the model, or plain memory where none is left.
/// `index` is its index in the request. A decoder that panics costs this image only.
pub(super) fn decode(index: usize, bytes: &[u8], header: &Header, model: &Model) -> Result<Decoded, ServiceError> {
    let of_image = |cause: ImageError| ServiceError::Image { index, cause };
    let of_ours = |error: WrongLength| ServiceError::Internal(format!("image {index}: {error}"));
    let work = || -> Result<Decoded, ServiceError> {
        let began = Instant::now();
        let part = pixels::decode_for(bytes, header, &model.transform).map_err(of_image)?;
        let decoded = Instant::now();
        let image = match model.lease() {
            Some(mut lease) => {
                model.transform.apply_part_into(&part, lease.as_mut()).map_err(of_ours)?;
                Image::new(PixelFormat::Rgb8, lease)
            }
            None => {
                let mut memory = vec![0; model.transform.bytes()];
                model.transform.apply_part_into(&part, &mut memory).map_err(of_ours)?;
                Image::new(PixelFormat::Rgb8, memory)
            }
        };
        let timings = Timings { decode: decoded - began, transform: decoded.elapsed(), ..Timings::default() };
        Ok(Decoded { image, timings })
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => Err(ServiceError::Internal(format!("image {index}: the decoder {}", panics::text(&*panic)))),
    }
}
