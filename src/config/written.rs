//! Values of a configuration as a user would write them, for the defaults in `--help`. Not here: reading them (`units`, clap).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum as _;

use super::engine::ChosenEngine;
use super::precision::ChosenPrecision;
use super::units::{Amount, Span};
use crate::http::{MetricsCompat, Origin};
use crate::net::ClientAuth;
use crate::service::{Calibration, Precision};
use crate::telemetry::LogFormat;

/// A value that can be told as a default.
pub(super) trait Written {
    /// As it would be written behind its flag; None for nothing, as an empty list.
    fn written(&self) -> Option<String>;
}

impl Written for Duration {
    fn written(&self) -> Option<String> {
        Some(Span(*self).to_string())
    }
}

/// Bytes or pixels.
impl Written for u64 {
    fn written(&self) -> Option<String> {
        Some(Amount(*self).to_string())
    }
}

/// A count.
impl Written for usize {
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Off, unless it is there.
impl Written for bool {
    fn written(&self) -> Option<String> {
        self.then(|| self.to_string())
    }
}

impl Written for String {
    fn written(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Written for Vec<String> {
    fn written(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.join(","))
    }
}

impl Written for Vec<Origin> {
    fn written(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

impl Written for SocketAddr {
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Written for LogFormat {
    fn written(&self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }
}

impl Written for ChosenEngine {
    fn written(&self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }
}

impl Written for MetricsCompat {
    fn written(&self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }
}

impl Written for ClientAuth {
    fn written(&self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }
}

impl Written for Calibration {
    fn written(&self) -> Option<String> {
        self.to_possible_value().map(|value| value.get_name().to_owned())
    }
}

impl Written for Option<PathBuf> {
    fn written(&self) -> Option<String> {
        self.as_ref().map(|path| path.display().to_string())
    }
}

impl Written for Option<Precision> {
    fn written(&self) -> Option<String> {
        Some(ChosenPrecision(*self).to_string())
    }
}

/// Tables stand in the file only.
impl<V> Written for BTreeMap<String, V> {
    fn written(&self) -> Option<String> {
        None
    }
}
