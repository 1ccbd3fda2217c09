//! The decode pool: a fixed number of threads that turn bytes into pixels, so that no async thread ever does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ServiceError;
use super::worker::words;
use crate::pixels::{self, Header, ImageError, Pixels, Transform};

/// Threads that decode and resize.
#[derive(Debug)]
pub(super) struct Decoder {
    pool: rayon::ThreadPool,
}

/// An image that is ready for the queue, and how long that took.
pub(super) struct Decoded {
    pub(super) pixels: Pixels,
    pub(super) decode: Duration,
    pub(super) transform: Duration,
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

/// Decodes and transforms; `index` is the place of the image in its request. A decoder that panics costs this image only.
pub(super) fn decode(
    index: usize,
    bytes: &Bytes,
    header: &Header,
    transform: &Transform,
) -> Result<Decoded, ServiceError> {
    let work = || -> Result<Decoded, ImageError> {
        let began = Instant::now();
        let rgb = pixels::decode(bytes, header)?;
        let decoded = Instant::now();
        let pixels = transform.apply(&rgb);
        Ok(Decoded { pixels, decode: decoded - began, transform: decoded.elapsed() })
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|cause| ServiceError::Image { index, cause }),
        Err(panic) => Err(ServiceError::Internal(format!("image {index}: the decoder {}", words(&*panic)))),
    }
}
