//! What the Open Inference Protocol tells of a model's version: requests by their end, the time in each stage, batches by their size.
//!
//! Prometheus has the same of the whole model, in buckets; a protocol's client wants sums, of one version. Not here: who answers with it (`oip`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What a request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Image files.
    #[default]
    Files,
    /// Normalised images as numbers.
    Tensor,
}

/// Why a request got no answer, in the reasons that Triton tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was turned away, or its deadline passed.
    Rejected,
    /// Its client left.
    Cancelled,
    /// A fault of ours, as a device that failed.
    Backend,
    /// Anything else, as an image that does not decode.
    Other,
}

impl Failure {
    /// All of them, by their index in [`Requests::failures`].
    pub const ALL: [Self; 4] = [Self::Rejected, Self::Cancelled, Self::Backend, Self::Other];
}

/// How often something was, and how long that took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// Together.
    pub time: Duration,
}

impl Tally {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

/// How long the stages of one request took: of its images the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Decode and transform.
    pub input: Duration,
    /// Waiting for a device.
    pub queue: Duration,
    /// Its batch on the device.
    pub compute: Duration,
    /// Logits to the answer.
    pub output: Duration,
}

/// Requests of one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Those that were answered, from admission to answer.
    pub success: Tally,
    /// Those that got an error or whose client left.
    pub fail: Tally,
    /// How many those were by their [`Failure`].
    pub failures: [u64; Failure::ALL.len()],
    /// Of those that were answered.
    pub queue: Tally,
    /// Of those that were answered: decode and transform.
    pub compute_input: Tally,
    /// Of those that were answered: their batch on the device.
    pub compute_infer: Tally,
    /// Of those that were answered: logits to the answer.
    pub compute_output: Tally,
    /// Images of those that were answered.
    pub images: u64,
    /// When the last one was answered.
    pub last: Option<SystemTime>,
}

/// What is counted of a version.
#[derive(Debug, Default)]
pub struct Statistics {
    files: Mutex<Requests>,
    tensors: Mutex<Requests>,
    /// By the number of images.
    batches: Mutex<BTreeMap<usize, Tally>>,
}

impl Statistics {
    fn form(&self, form: Form) -> &Mutex<Requests> {
        match form {
            Form::Files => &self.files,
            Form::Tensor => &self.tensors,
        }
    }

    /// A request of so many images was answered.
    pub fn succeeded(&self, form: Form, took: Duration, images: usize, stages: StageTimes) {
        let mut requests = self.form(form).lock().unwrap_or_else(PoisonError::into_inner);
        requests.success.add(took);
        requests.queue.add(stages.queue);
        requests.compute_input.add(stages.input);
        requests.compute_infer.add(stages.compute);
        requests.compute_output.add(stages.output);
        requests.images += images as u64;
        requests.last = Some(SystemTime::now());
    }

    /// A request got an error, or its client left.
    pub fn failed(&self, form: Form, took: Duration, failure: Failure) {
        let mut requests = self.form(form).lock().unwrap_or_else(PoisonError::into_inner);
        requests.fail.add(took);
        requests.failures[failure as usize] += 1;
    }

    /// A batch of so many images has run.
    pub fn batch(&self, images: usize, busy: Duration) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).entry(images).or_default().add(busy);
    }

    /// The requests of a form so far.
    #[must_use]
    pub fn requests(&self, form: Form) -> Requests {
        *self.form(form).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches so far by their number of images, whatever the form of their requests.
    #[must_use]
    pub fn batches(&self) -> BTreeMap<usize, Tally> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_sums_of_its_own_and_batches_are_shared() {
        let (statistics, second) = (Statistics::default(), Duration::from_secs(1));
        let stages = StageTimes { input: second, queue: 2 * second, compute: 3 * second, output: 4 * second };
        statistics.succeeded(Form::Tensor, 10 * second, 5, stages);
        statistics.succeeded(Form::Tensor, 12 * second, 1, stages);
        statistics.failed(Form::Files, second, Failure::Backend);
        statistics.batch(5, second);
        statistics.batch(1, second);
        statistics.batch(5, second);
        let tensors = statistics.requests(Form::Tensor);
        assert_eq!(tensors.success, Tally { count: 2, time: 22 * second });
        assert_eq!(tensors.queue, Tally { count: 2, time: 4 * second });
        assert_eq!(tensors.compute_output, Tally { count: 2, time: 8 * second });
        assert_eq!((tensors.images, tensors.fail.count), (6, 0));
        let files = statistics.requests(Form::Files);
        assert_eq!((files.success.count, files.fail.count, files.last), (0, 1, None));
        assert_eq!((files.failures, tensors.failures), ([0, 0, 1, 0], [0; 4]));
        let batches: Vec<_> = statistics.batches().into_iter().collect();
        assert_eq!(batches, [(1, Tally { count: 1, time: second }), (5, Tally { count: 2, time: 2 * second })]);
    }
}
