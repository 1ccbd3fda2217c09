//! A request from its head to its answer, or until its client has left. Not here: the account of admission (`mod.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{Exemplar, Families, ModelMetrics, SECONDS, Stage, TraceId};

/// Times a request; one that is dropped before [`finish`](Self::finish) counts as cancelled.
#[derive(Debug)]
pub struct RequestTimer<'a> {
    families: &'a Families,
    began: Instant,
    protocol: &'static str,
    model: Option<Arc<ModelMetrics>>,
    trace: Option<TraceId>,
    finished: bool,
}

impl<'a> RequestTimer<'a> {
    pub(super) fn begin(families: &'a Families, protocol: &'static str) -> Self {
        Self { families, began: Instant::now(), protocol, model: None, trace: None, finished: false }
    }

    /// The loaded model that the request is for.
    pub fn model(&mut self, model: Arc<ModelMetrics>) {
        self.model = Some(model);
    }

    /// The trace that the request is of.
    pub fn traced(&mut self, trace: Option<TraceId>) {
        self.trace = trace;
    }

    /// The answer took this long to write.
    pub fn responded(&self, time: Duration) {
        if let Some(model) = &self.model {
            model.stage(Stage::Respond, time);
        }
    }

    /// The answer is known: an HTTP status or a gRPC code.
    pub fn finish(mut self, code: &str) {
        self.finished = true;
        self.record(code);
    }

    fn record(&self, code: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        let model = self.model.as_ref().map_or("", |model| model.model());
        match &self.model {
            Some(model) => model.answered(self.protocol, code, seconds),
            None => {
                self.families.requests.with_label_values(&[model, self.protocol, code]).inc();
                self.families.request_duration.with_label_values(&[model, self.protocol]).observe(seconds);
            }
        }
        if let Some(trace) = self.trace {
            let exemplar = Exemplar { trace, value: seconds, at: SystemTime::now() };
            self.families.exemplars.put(model, self.protocol, SECONDS, exemplar);
        }
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.record("cancelled");
        }
    }
}
