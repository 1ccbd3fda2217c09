//! A panic while a request is answered: it becomes an error of that request alone.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::error::Error;
use crate::panics;

/// The output of `work`, or [`Error::Internal`] for a panic, which is logged. The process and the connection live on.
pub(super) async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        tracing::error!(panic = panics::text(&*panic), "a request panicked");
        Error::Internal
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        assert_eq!(catch_panic(async { 5 }).await, Ok(5));
        assert_eq!(catch_panic(async { panic!("of {}", "a handler") }).await, Err::<(), _>(Error::Internal));
    }
}
