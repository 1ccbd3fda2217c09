//! A simulated request on its way through a device, and the book in which its end is written. Not here: how it gets there (`fleet`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::SimulatedClock;
use super::outcome::Outcome;
use crate::engine::{Image, PixelFormat};
use crate::service::ServiceError;
use crate::service::budget::Share;
use crate::service::device::Clock as _;
use crate::service::job::{Computed, Job};

/// What all requests write to.
#[derive(Debug)]
pub(super) struct Book(Mutex<Pages>);

#[derive(Debug)]
pub(super) struct Pages {
    pub(super) outcome: Outcome,
    /// By server: requests that came and have not ended.
    pub(super) in_flight: Vec<usize>,
    /// The device whose turn it is.
    pub(super) turn_of: Option<SimulatedClock>,
}

impl Book {
    pub(super) fn new(replicas: usize) -> Arc<Self> {
        let pages = Pages { outcome: Outcome::default(), in_flight: vec![0; replicas], turn_of: None };
        Arc::new(Self(Mutex::new(pages)))
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An image between admission and answer.
pub(super) struct Request {
    pub(super) replica: usize,
    pub(super) due: Instant,
    pub(super) deadline: Instant,
    /// It is due in the measured time.
    pub(super) counts: bool,
    /// What an answer costs the device's thread.
    pub(super) answer: Duration,
    pub(super) book: Arc<Book>,
    pub(super) _permit: Share,
}

impl Job for Request {
    fn image(&mut self) -> Image {
        Image::new(PixelFormat::Rgb8, [0])
    }

    fn is_abandoned(&self) -> bool {
        false
    }

    fn answer(self, result: Result<Computed, ServiceError>) {
        let mut pages = self.book.open();
        pages.in_flight[self.replica] -= 1;
        let Some(clock) = &pages.turn_of else { return };
        clock.pass(self.answer);
        let now = clock.now();
        if !self.counts {
            return;
        }
        match result {
            Ok(computed) if now <= self.deadline => pages.outcome.answered(now - self.due, &computed),
            _ => pages.outcome.late += 1,
        }
    }
}
