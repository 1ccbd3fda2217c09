//! Tells a request whether its connection is to close once what runs is finished. Most need not know; a stream that would be open
//! for ever must end by itself. Not here: who decides so (`serve`, `connection`).

use tokio::sync::watch;

/// In the extensions of every request.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Self {
        Self(stop)
    }

    /// Whether the connection is to close.
    pub(super) fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the connection is to close.
    pub async fn begun(&mut self) {
        // without a sender nobody waits for the connection any more
        let _ = self.0.wait_for(|&stop| stop).await;
    }
}
