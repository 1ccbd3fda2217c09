//! `--precision`: a precision by its name, or `auto`. Not here: what an engine prefers (`engine`).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::service::Precision;

/// A precision, or None for what the engine prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenPrecision(pub Option<Precision>);

/// What leaves the choice to the engine.
const AUTO: &str = "auto";

impl FromStr for ChosenPrecision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == AUTO { Ok(Self(None)) } else { text.parse().map(|precision| Self(Some(precision))) }
    }
}

impl std::fmt::Display for ChosenPrecision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.map_or(AUTO, Precision::name))
    }
}

impl From<ChosenPrecision> for Option<Precision> {
    fn from(chosen: ChosenPrecision) -> Self {
        chosen.0
    }
}

impl<'de> Deserialize<'de> for ChosenPrecision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
