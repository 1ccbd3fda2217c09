//! Normalisation, folded into the stem so that pixels enter as integers. Not here: launches.

use crate::engine::cuda::number::Type;
use crate::program::InputSpec;

/// What the weight is scaled up by, so that none of its numbers is among f16's subnormals; the kernel undoes it.
pub(super) const SCALE: f32 = 128.0;

/// The largest value of a byte.
const WHITE: f64 = 255.0;

/// How pixels become the numbers that are multiplied: integers near zero, by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ingest {
    /// What is taken off a byte: the mean, rounded to an integer.
    pub(super) centre: [f32; 3],
    /// A normalised x becomes `x · factor + rest`.
    pub(super) factor: [f32; 3],
    pub(super) rest: [f32; 3],
}

impl Ingest {
    pub(super) fn new(input: &InputSpec) -> Self {
        let centre = input.mean.map(|mean| (WHITE * f64::from(mean)).round());
        let factor = input.std.map(|std| (WHITE * f64::from(std)) as f32);
        let rest = [0, 1, 2].map(|c| (WHITE * f64::from(input.mean[c]) - centre[c]) as f32);
        Self { centre: centre.map(|centre| centre as f32), factor, rest }
    }

    /// What a byte is multiplied as.
    pub(super) fn byte(&self, channel: usize, byte: u8) -> f32 {
        f32::from(byte) - self.centre[channel]
    }

    /// What a normalised number is multiplied as, before it is rounded to the type of storage; one fma, as the kernel does it.
    pub(super) fn normalised(&self, channel: usize, value: f32) -> f32 {
        value.mul_add(self.factor[channel], self.rest[channel])
    }
}

/// Weight and bias that the kernel takes, of those of a network: `weight` `[outputs, size, size, 3]` of normalised pixels, `bias`
/// `[outputs]`, both in f32.
pub(crate) fn prepare(weight: &[f32], bias: &[f32], input: &InputSpec) -> (Vec<f32>, Vec<f32>) {
    let white = input.std.map(|std| WHITE * f64::from(std));
    let off = input.mean.map(|mean| (WHITE * f64::from(mean)).round() - WHITE * f64::from(mean));
    let prepared =
        weight.iter().enumerate().map(|(at, weight)| (f64::from(*weight) * f64::from(SCALE) / white[at % 3]) as f32);
    let depth = (weight.len() / bias.len().max(1)).max(1);
    let biases = bias.iter().zip(weight.chunks(depth)).map(|(bias, row)| {
        let shifts = row.iter().enumerate().map(|(at, weight)| f64::from(*weight) * off[at % 3] / white[at % 3]);
        (f64::from(*bias) + shifts.sum::<f64>()) as f32
    });
    (prepared.collect(), biases.collect())
}

/// The two parts of a type that the tensor-core kernel makes of each number of a prepared weight: the number rounded, and what is left of it
/// rounded.
pub(super) fn split(weight: &[f64], ty: Type) -> [Vec<f64>; 2] {
    let round = |values: &mut dyn Iterator<Item = f64>| ty.decode(&ty.encode(values.map(|value| value as f32)));
    let high = round(&mut weight.iter().copied());
    let low = round(&mut weight.iter().zip(&high).map(|(weight, high)| weight - high));
    [high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parts_are_the_weight_but_for_two_roundings() {
        let weight: Vec<f64> =
            (1..5000).map(|at| f64::from((at as f32 * 0.37).sin() * 1.7_f32.powi(at % 24 - 18))).collect();
        for ty in [Type::F16, Type::Bf16, Type::F32] {
            let [high, low] = split(&weight, ty);
            for (weight, (high, low)) in weight.iter().zip(high.iter().zip(&low)) {
                let most = ty.unit().powi(2) * weight.abs() + ty.smallest();
                assert!((weight - high - low).abs() <= most, "{weight:e} is {high:e} and {low:e} in {}", ty.name());
            }
        }
    }

    /// The weights of an f16 checkpoint, as sizes of them are, keep more digits than the type has.
    #[test]
    fn weights_of_f16_come_back_from_their_parts() {
        let input = InputSpec::imagenet(4);
        let weight: Vec<f32> =
            (0..48 * 40).map(|at| half::f16::from_f32(((at * 37 % 1009) as f32 - 504.0) / 2000.0).to_f32()).collect();
        let (prepared, _) = prepare(&weight, &[0.0; 40], &input);
        let prepared: Vec<f64> = prepared.iter().map(|weight| f64::from(*weight)).collect();
        let [high, low] = split(&prepared, Type::F16);
        for (at, weight) in weight.iter().enumerate() {
            let scale = 255.0 * f64::from(input.std[at % 3]) / f64::from(SCALE);
            let found = half::f16::from_f64((high[at] + low[at]) * scale);
            assert_eq!(found.to_f32(), *weight, "weight {at}");
        }
    }

    /// `Σ weight · (byte / 255 − mean) / std + bias` in f64, by the network's definition.
    fn plain(weight: &[f32], bias: f32, bytes: &[u8], input: &InputSpec) -> f64 {
        let normalised = bytes.iter().enumerate().map(|(at, byte)| {
            (f64::from(*byte) / 255.0 - f64::from(input.mean[at % 3])) / f64::from(input.std[at % 3])
        });
        f64::from(bias) + normalised.zip(weight).map(|(x, w)| x * f64::from(*w)).sum::<f64>()
    }

    #[test]
    fn bytes_give_what_normalised_pixels_give() {
        let half = InputSpec { mean: [0.5; 3], std: [0.5; 3], ..InputSpec::imagenet(4) };
        let odd = InputSpec { mean: [0.0, 1.0, 0.3], std: [1.0, 0.01, 0.7], ..half };
        for input in [InputSpec::imagenet(4), half, odd] {
            let (outputs, depth) = (5, 48);
            let weight: Vec<f32> = (0..outputs * depth).map(|at| ((at * 37 % 101) as f32 - 50.0) / 173.0).collect();
            let bias: Vec<f32> = (0..outputs).map(|at| at as f32 / 7.0 - 0.3).collect();
            let bytes: Vec<u8> = (0..depth).map(|at| (at * 89 % 256) as u8).collect();
            let (prepared, shifted) = prepare(&weight, &bias, &input);
            let ingest = Ingest::new(&input);
            for output in 0..outputs {
                let row = &prepared[output * depth..(output + 1) * depth];
                let products: Vec<f64> = (row.iter().zip(&bytes).enumerate())
                    .map(|(at, (w, byte))| f64::from(*w) * f64::from(ingest.byte(at % 3, *byte)) / f64::from(SCALE))
                    .collect();
                let found = products.iter().sum::<f64>() + f64::from(shifted[output]);
                let right = plain(&weight[output * depth..(output + 1) * depth], bias[output], &bytes, &input);
                // the roundings of weight and bias to f32, and nothing else
                let sizes = products.iter().map(|x| x.abs()).sum::<f64>() + f64::from(shifted[output].abs());
                assert!((found - right).abs() <= f64::powi(2.0, -24) * sizes + 1e-12, "{found} {right} of {input:?}");
            }
        }
    }

    #[test]
    fn normalised_pixels_enter_as_their_bytes() {
        let input = InputSpec::imagenet(4);
        let ingest = Ingest::new(&input);
        for (channel, byte) in (0..3).flat_map(|channel| (0..=255u8).map(move |byte| (channel, byte))) {
            let normalised = (f32::from(byte) / 255.0 - input.mean[channel]) / input.std[channel];
            let found = ingest.normalised(channel, normalised);
            assert!((found - ingest.byte(channel, byte)).abs() < 2e-4, "{found} of byte {byte}");
        }
    }
}
