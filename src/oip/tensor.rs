//! Types of a tensor's elements, by the protocol's names. Not here: which of them a model takes (`input`).

use std::fmt;
use std::str::FromStr;

use super::Error;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datatype {
    /// 32-bit floating point.
    Fp32,
    /// IEEE half precision.
    Fp16,
    /// Any bytes, each element with a length of its own.
    Bytes,
}

/// Types that the protocol has and no model here takes or gives.
const OTHERS: [&str; 11] =
    ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP64", "BF16"];

impl Datatype {
    /// Its name in requests and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp16 => "FP16",
            Self::Bytes => "BYTES",
        }
    }

    /// Its name in a model's configuration.
    #[must_use]
    pub fn config_name(self) -> &'static str {
        match self {
            Self::Fp32 => "TYPE_FP32",
            Self::Fp16 => "TYPE_FP16",
            Self::Bytes => "TYPE_STRING",
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Datatype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "FP32" => Ok(Self::Fp32),
            "FP16" => Ok(Self::Fp16),
            "BYTES" => Ok(Self::Bytes),
            other if OTHERS.contains(&other) => {
                Err(Error::Invalid(format!("datatype {other}: no model here takes it; FP32, FP16 and BYTES are taken")))
            }
            other => Err(Error::Invalid(format!("datatype {other:?} is not one of the protocol's"))),
        }
    }
}
