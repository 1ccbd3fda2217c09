//! Why a request is turned away, in words that say what is spent and when to try again.

use std::time::Duration;

use super::ServiceError;
use super::core::Core;
use super::meter::Spent;
use super::model::Model;
use crate::metrics::Rejection;
use crate::pixels;

/// The first guess of when it is worth trying again, where no estimate is at hand.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Refuses a body that is over the limit of one body.
pub(super) fn body_within_limit(core: &Core, bytes: u64) -> Result<(), ServiceError> {
    let limit = core.limits.max_body_bytes;
    if bytes > limit {
        return Err(ServiceError::TooLarge(format!("a body of {bytes} bytes is over the limit of {limit}")));
    }
    Ok(())
}

pub(super) fn no_permits(model: &Model) -> ServiceError {
    let what = format!("{} holds {} images of at most {}", model.name(), model.queue.used(), model.queue.limit());
    ServiceError::Overloaded { what, reason: Rejection::Queue, retry_after: model.estimated_wait().max(SOON) }
}

pub(super) fn no_bytes(core: &Core) -> ServiceError {
    let what = format!("{} of {} bytes of bodies are held", core.bodies.used(), core.bodies.limit());
    ServiceError::Overloaded { what, reason: Rejection::Bodies, retry_after: SOON }
}

pub(super) fn spent(Spent { what, retry_after }: Spent) -> ServiceError {
    ServiceError::Overloaded { what, reason: Rejection::Rate, retry_after }
}

pub(super) fn no_pixels(core: &Core, header: &pixels::Header) -> ServiceError {
    let limit = core.pixels.limit();
    if header.pixels() > limit {
        return ServiceError::TooLarge(format!(
            "{}×{} pixels are more than the {limit} that all images together may have",
            header.width, header.height
        ));
    }
    let what = format!("{} of {limit} pixels are being decoded", core.pixels.used());
    ServiceError::Overloaded { what, reason: Rejection::Pixels, retry_after: SOON }
}
