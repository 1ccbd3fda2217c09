//! What is counted of keys and of TLS. Names of keys become labels: they are the operator's, never a client's.

use std::time::SystemTime;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What is counted of those who ask; clones count the same.
#[derive(Clone, Debug)]
pub struct AccessCounts {
    refused: IntCounterVec,
    limited: IntCounterVec,
}

/// What is counted of TLS; clones count the same.
#[derive(Clone, Debug)]
pub struct TlsCounts {
    failed: IntCounterVec,
    expiry: IntGaugeVec,
}

/// Whether files that are read again could be used; clones count the same.
#[derive(Clone, Debug)]
pub struct Reloads(IntGaugeVec);

impl AccessCounts {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = IntCounterVec::new(
            Opts::new(
                "convnext_unauthorized_total",
                "Requests without a key or certificate that they need, by what was missing.",
            ),
            &["reason"],
        )?;
        let limited = IntCounterVec::new(
            Opts::new("convnext_rate_limited_total", "Requests turned away because their key had spent its rate."),
            &["key"],
        )?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(limited.clone()))?;
        Ok(Self { refused, limited })
    }

    /// A request was refused.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// What counts the requests of a key that were too many; seen at zero.
    #[must_use]
    pub fn rate_limited(&self, key: &str) -> IntCounter {
        self.limited.with_label_values(&[key])
    }

    /// There is no such key any more.
    pub fn forget(&self, key: &str) {
        // gone already is as good
        let _ = self.limited.remove_label_values(&[key]);
    }
}

impl TlsCounts {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let failed = IntCounterVec::new(
            Opts::new("convnext_tls_handshakes_failed_total", "Connections that ended before TLS was agreed on."),
            &["reason"],
        )?;
        let expiry = IntGaugeVec::new(
            Opts::new(
                "convnext_tls_certificate_expiry_timestamp_seconds",
                "When the certificate that is shown, or one of its chain, ends: seconds since 1970.",
            ),
            &[],
        )?;
        registry.register(Box::new(failed.clone()))?;
        registry.register(Box::new(expiry.clone()))?;
        Ok(Self { failed, expiry })
    }

    /// A handshake failed.
    pub fn failed(&self, reason: &'static str) {
        self.failed.with_label_values(&[reason]).inc();
    }

    /// The certificate ends then.
    pub fn expires(&self, end: SystemTime) {
        let seconds = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expiry.with_label_values::<&str>(&[]).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

impl Reloads {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let fresh = IntGaugeVec::new(
            Opts::new(
                "convnext_reload_successful",
                "1 when files are in use as they are now, 0 when they could not be used and what was before holds.",
            ),
            &["files"],
        )?;
        registry.register(Box::new(fresh.clone()))?;
        Ok(Self(fresh))
    }

    /// Whether these files are in use.
    pub fn are(&self, files: &'static str, in_use: bool) {
        self.0.with_label_values(&[files]).set(i64::from(in_use));
    }
}
