//! The rate of one key: its bucket, by the clock. Not here: the arithmetic (`bucket`), what a refusal looks like (`http`, `grpc`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::IntCounter;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::file::Rate;
use crate::service::{Meter, Spent};

/// Holds one key to its rate.
#[derive(Debug)]
pub(super) struct Limiter {
    name: String,
    rate: Rate,
    bucket: Mutex<Bucket>,
    limited: IntCounter,
}

impl Limiter {
    /// `before`: the limiter of a key of this name that this one follows. What that has spent stays spent.
    pub(super) fn new(name: &str, rate: Rate, limited: IntCounter, before: Option<&Self>) -> Self {
        let now = Instant::now().into_std();
        let Rate { images, burst } = rate;
        let bucket =
            before.map_or_else(|| Bucket::new(images, burst, now), |before| before.bucket().with(images, burst, now));
        Self { name: name.to_owned(), rate, bucket: Mutex::new(bucket), limited }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // numbers that no panic leaves half changed
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Limiter {
    fn begin(&self) -> Result<(), Spent> {
        let taken = self.bucket().take(Instant::now().into_std());
        taken.map_err(|retry_after| {
            self.limited.inc();
            let Rate { images, burst } = self.rate;
            let what = format!("key {} may have {images} images/s, {burst} at once", self.name);
            Spent { what, retry_after }
        })
    }

    fn more(&self, images: u64) {
        self.bucket().owe(images as f64, Instant::now().into_std());
    }
}
