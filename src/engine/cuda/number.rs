//! Numbers as the device stores them. Not here: the memory that holds them (`array`).

use half::{bf16, f16};

/// The format of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    F32,
    F16,
    Bf16,
    /// A byte, as pixels come.
    U8,
}

impl Type {
    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::U8 => 1,
        }
    }

    /// Its name, as kernels end in it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::U8 => "u8",
        }
    }

    /// The largest relative error of a rounding to the nearest, in the normal range.
    pub(crate) fn unit(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::EPSILON) / 2.0,
            Self::F16 => f16::EPSILON.to_f64() / 2.0,
            Self::Bf16 => bf16::EPSILON.to_f64() / 2.0,
            Self::U8 => 0.0,
        }
    }

    /// Half the distance of two subnormal numbers: the largest error of a rounding near zero.
    pub(crate) fn smallest(self) -> f64 {
        match self {
            Self::F16 => f64::powi(2.0, -25),
            // f32 and bf16 have one range
            Self::F32 | Self::Bf16 => f64::powi(2.0, -134),
            Self::U8 => 0.0,
        }
    }

    /// The bytes of numbers, rounded to the nearest.
    pub(crate) fn encode(self, values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        let values = values.into_iter();
        match self {
            Self::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Self::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            Self::Bf16 => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
            Self::U8 => values.map(|value| value as u8).collect(),
        }
    }

    /// The numbers of bytes, without an error.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Self::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect(),
            Self::Bf16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f64()).collect(),
            Self::U8 => bytes.iter().map(|b| f64::from(*b)).collect(),
        }
    }
}
