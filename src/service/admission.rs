//! Admission: whether a request may begin, before a byte of its body is read, and what it then holds.
//! Not here: what becomes of it (`ticket`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ServiceError;
use super::account::Account;
use super::budget::Share;
use super::core::Core;
use super::meter::Meter;
use super::model::Model;
use super::refusal::{SOON, body_within_limit, no_bytes, no_permits, spent};
use super::ticket::Ticket;
use crate::metrics::{Form, Rejection};

/// What is known of a request when its head is here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admission<'a> {
    /// The model's name; None is the default model.
    pub model: Option<&'a str>,
    /// A version's number or label; None is the one that the model serves.
    pub version: Option<&'a str>,
    /// Bytes of its body, where its head says so.
    pub body_bytes: Option<u64>,
    /// From now to the answer; None, and more than the model's own, is the model's.
    pub deadline: Option<Duration>,
    /// What it is to bring: under which name it is counted.
    pub form: Form,
    /// What holds whoever asks to so many images.
    pub meter: Option<&'a Arc<dyn Meter>>,
}

/// Takes a permit for one image, or says why not.
pub(super) fn admit(core: &Arc<Core>, admission: Admission<'_>) -> Result<Ticket, ServiceError> {
    let mut account = Account::open(&core.metrics);
    let admitted = core.registry.find(admission.model, admission.version).and_then(|model| {
        account.is_of(&model.statistics, admission.form);
        let (permits, allowed) = check(core, &model, admission)?;
        Ok((model, permits, allowed))
    });
    match admitted {
        Ok((model, permits, allowed)) => Ok(Ticket {
            core: Arc::clone(core),
            model,
            permits,
            body: core.bodies.nothing(),
            deadline: Instant::now() + allowed,
            allowed,
            account,
            meter: admission.meter.map(Arc::clone),
        }),
        Err(error) => {
            account.end(&error);
            Err(error)
        }
    }
}

/// By how much a wait is longer than what a request has; None where it is not.
pub(super) fn too_long(wait: Duration, allowed: Duration) -> Option<Duration> {
    wait.checked_sub(allowed).filter(|excess| !excess.is_zero())
}

fn check(core: &Core, model: &Model, admission: Admission<'_>) -> Result<(Share, Duration), ServiceError> {
    let allowed = admission.deadline.unwrap_or(model.deadline).min(model.deadline);
    let wait = model.estimated_wait();
    if let Some(excess) = too_long(wait, allowed) {
        let what = format!(
            "an answer of {} takes {:.3} s now and the deadline is {:.3} s",
            model.name(),
            wait.as_secs_f64(),
            allowed.as_secs_f64()
        );
        return Err(ServiceError::Overloaded { what, reason: Rejection::Wait, retry_after: excess.max(SOON) });
    }
    let body = admission.body_bytes.unwrap_or(0);
    body_within_limit(core, body)?;
    // nothing is held for bytes that have not come; but where they could not be held either, the body need not be sent
    if !core.bodies.has(body) {
        return Err(no_bytes(core));
    }
    let permits = model.queue.take(1).ok_or_else(|| no_permits(model))?;
    // last, for what is refused for another reason costs nothing
    admission.meter.map_or(Ok(()), |meter| meter.begin()).map_err(spent)?;
    Ok((permits, allowed))
}
