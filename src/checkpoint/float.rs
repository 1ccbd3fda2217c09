//! The element types that can be weights, and their bytes as f32; whole bytes only with steps (`steps`). Not here: where tensors lie (`safetensors`).

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

/// The types that are read as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F64,
    F32,
    F16,
    Bf16,
    I8,
}

impl Float {
    /// The type that safetensors calls so, if it can be read as f32.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F64 => Some(Self::F64),
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::I8 => Some(Self::I8),
            _ => None,
        }
    }

    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 => 1,
        }
    }

    /// Little-endian elements as f32: exact, but for f64, which is rounded to the nearest.
    pub(super) fn widen(self, bytes: &[u8], into: &mut [f32]) {
        fn each<const N: usize>(bytes: &[u8], into: &mut [f32], widen: impl Fn([u8; N]) -> f32) {
            let (elements, _) = bytes.as_chunks::<N>();
            into.iter_mut().zip(elements).for_each(|(f, element)| *f = widen(*element));
        }
        match self {
            Self::F64 => each(bytes, into, |element| f64::from_le_bytes(element) as f32),
            Self::F32 => each(bytes, into, f32::from_le_bytes),
            Self::F16 => halves(bytes, into),
            Self::Bf16 => each(bytes, into, |element| bf16::from_le_bytes(element).to_f32()),
            Self::I8 => each(bytes, into, |element| f32::from(i8::from_le_bytes(element))),
        }
    }
}

/// Half's conversion of a slice is of many at once (F16C, NEON), several times as fast as one by one.
fn halves(bytes: &[u8], into: &mut [f32]) {
    let mut block = [f16::ZERO; 256];
    for (bytes, into) in bytes.chunks(2 * block.len()).zip(into.chunks_mut(block.len())) {
        let block = &mut block[..into.len()];
        let (elements, _) = bytes.as_chunks();
        block.iter_mut().zip(elements).for_each(|(half, element)| *half = f16::from_le_bytes(*element));
        block.convert_to_f32_slice(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(float: Float, bytes: &[u8]) -> Vec<f32> {
        let mut into = vec![0.0; bytes.len() / float.size()];
        float.widen(bytes, &mut into);
        into
    }

    /// What IEEE 754 says of binary16, by arithmetic on its fields.
    fn half_by_its_fields(bits: u16) -> f64 {
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        }
    }

    #[test]
    fn every_half_becomes_the_number_that_its_fields_say() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        // at once, as many as the hardware likes, and the odd ones that remain
        let odd = (1..=3).zip(widened(Float::F16, &all[2..8]));
        for (bits, found) in (0..=u16::MAX).zip(widened(Float::F16, &all)).chain(odd) {
            let (found, expected) = (f64::from(found), half_by_its_fields(bits));
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{bits:#06x}: {found}, not {expected}");
        }
    }

    #[test]
    fn every_bfloat_is_the_upper_half_of_its_f32() {
        for bits in 0..=u16::MAX {
            let found = widened(Float::Bf16, &bits.to_le_bytes())[0];
            let expected = f32::from_bits(u32::from(bits) << 16);
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#06x}");
        }
    }

    #[test]
    fn f32_keeps_its_bits_and_f64_is_rounded() {
        let numbers = [0.0f32, -0.0, 1e-45, 1.000_000_1, -3.4e38];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let bits = |numbers: &[f32]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&widened(Float::F32, &bytes)), bits(&numbers));
        assert_eq!(widened(Float::F64, &0.1f64.to_le_bytes()), [0.1f32]);
    }

    #[test]
    fn the_sizes_are_those_of_the_format() {
        for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::I8] {
            assert_eq!(Float::of(dtype).map(|float| 8 * float.size()), Some(dtype.bitsize()));
        }
    }
}
