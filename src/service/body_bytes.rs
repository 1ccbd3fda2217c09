//! Bytes of a body that come before its request can be admitted, because the request's own words say what it is for.
//! Not here: bytes that come after (`Ticket::body_is`).

use std::sync::Arc;

use super::ServiceError;
use super::account::Account;
use super::budget::Share;
use super::core::Core;
use super::refusal::{body_within_limit, no_bytes};

/// A share of the byte budget; dropping it gives it back. [`Ticket::hold`](super::Ticket::hold) hands it on.
pub struct BodyBytes {
    core: Arc<Core>,
    share: Share,
}

impl BodyBytes {
    pub(super) fn none(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), share: core.bodies.nothing() }
    }

    /// Says that `count` more bytes have come.
    ///
    /// # Errors
    /// `TooLarge` over the limit of one body, `Overloaded` when the budget is spent; the request, which is over then, is counted.
    pub fn more(&mut self, count: u64) -> Result<(), ServiceError> {
        let total = self.share.amount().saturating_add(count);
        let result = body_within_limit(&self.core, total)
            .and_then(|()| if self.share.resize(total) { Ok(()) } else { Err(no_bytes(&self.core)) });
        result.inspect_err(|error| Account::open(&self.core.metrics).end(error))
    }

    /// What a ticket goes on to hold.
    pub(super) fn into_share(self) -> Share {
        self.share
    }

    /// How many are held.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.share.amount()
    }

    /// What is held, leaving nothing.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::none(&self.core))
    }
}
