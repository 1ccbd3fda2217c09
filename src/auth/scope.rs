//! What a key is for. Not here: which route needs which (`http`, `grpc`).

use std::fmt;

use serde::Deserialize;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Classification, and what is told of models.
    Infer,
    /// The admin port, and commands about models on the other ports.
    Admin,
}

impl Scope {
    /// As it stands in the file of keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
