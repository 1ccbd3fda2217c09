//! The way of a request with images into the service, the same for every form of it: a ticket before the body is read, and what becomes of the
//! ticket when the body is refused. Not here: what bodies say (`parse`, `others`), calls of the Open Inference Protocol (`v2`).

use super::body::ReadTimeouts;
use super::counted::Counted;
use super::error::Error;
use super::state::AppState;
use crate::service::{Admission, Ticket};

/// A ticket, which the request's metrics know from now on, and how long its body may take.
///
/// # Errors
/// When the service does not admit it.
pub(super) fn admit(
    state: &AppState,
    counted: &mut Counted<'_>,
    admission: Admission<'_>,
) -> Result<(Ticket, ReadTimeouts), Error> {
    let ticket = state.classifier.admit(admission)?;
    counted.model = Some(ticket.model().to_owned());
    counted.timer.model(ticket.metrics());
    let started = tokio::time::Instant::now();
    let timeouts = ReadTimeouts { started, body: state.options.body_timeout, deadline: ticket.allowed() };
    Ok((ticket, timeouts))
}

/// The ticket with what its body says. One whose body is refused counts as that; one whose client broke off is dropped, which counts as cancelled.
///
/// # Errors
/// Those of reading.
pub(super) fn unless_refused<T>(ticket: Ticket, read: Result<T, Error>) -> Result<(Ticket, T), Error> {
    match read {
        Ok(said) => Ok((ticket, said)),
        Err(Error::BodyBrokeOff) => Err(Error::BodyBrokeOff),
        Err(error) => {
            ticket.refuse();
            Err(error)
        }
    }
}
