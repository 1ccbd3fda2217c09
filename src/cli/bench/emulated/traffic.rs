//! The bytes that a network must move when nothing but whole operations are fused: what a count of them is measured against.
//!
//! "Scheme (b)" of the roofline: a kernel for each of depthwise + norm, the first linear + GELU, the second linear + scale + residual; in Swin
//! for the norm, queries and keys and values, attention, projection + residual, and again norm and two linears. Each reads its inputs once
//! and writes its output once; weights are read once a batch. In units of a map of a ConvNeXt block that is 2 + 5 + 6 = 13, of a Swin
//! block 2 + 4 + 4 + 3 + 2 + 5 + 6 = 26. An intermediate that stays on chip, as a fused MLP's, makes it less.

use crate::engine::Precision;
use crate::program::{Op, Program};

/// Numbers that are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Bytes of one number.
    number: u64,
    /// Once a batch.
    weights: u64,
    /// For each image; the image itself counts as numbers of the network's type.
    activations: u64,
}

impl Traffic {
    /// Of a program as its model emits it, nothing folded or fused.
    pub(super) fn of(program: &Program, precision: Precision) -> Self {
        let number = match precision {
            Precision::F32 => 4,
            Precision::F16 | Precision::Bf16 => 2,
            Precision::Int8 => 1,
        };
        let before = |op: &Op| program.ops.iter().find(|(_, other)| other.output() == op.input()).map(|(_, op)| op);
        let after = |op: &Op| program.ops.iter().find(|(_, other)| other.input() == op.output()).map(|(_, op)| op);
        let moved = |op: &Op| {
            let inside = match op {
                // what gathers is a part of what reads it
                Op::Merge(_) => true,
                Op::Norm(_) => {
                    matches!(before(op), Some(Op::Patchify(_) | Op::Depthwise(_) | Op::Merge(_) | Op::Pool(_)))
                        || matches!(after(op), Some(Op::Patchify(_) | Op::Pool(_)))
                }
                _ => false,
            };
            if inside { 0 } else { op.cost(program).activations }
        };
        let activations = program.ops.iter().map(|(_, op)| moved(op)).sum();
        Self { number, weights: program.parameters(), activations }
    }

    /// Bytes of a batch.
    pub(super) fn bytes(&self, images: usize) -> u64 {
        self.number * (self.weights + images as u64 * self.activations)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::Spec;
    use crate::program::InputSpec;

    /// Megabytes of activations for an image in f16, and of weights.
    fn megabytes(name: &str) -> [f64; 2] {
        let program = Spec::published(name).unwrap().program(InputSpec::imagenet(224)).unwrap();
        let traffic = Traffic::of(&program, Precision::F16);
        [traffic.activations, traffic.weights].map(|numbers| (2 * numbers) as f64 / 1e6)
    }

    #[test]
    fn networks_move_what_the_roofline_says() {
        for (name, activations, weights) in
            [("convnext_tiny", 58.3, 57.2), ("convnext_base", 124.6, 177.2), ("swin_tiny", 76.9, 56.6)]
        {
            let found = megabytes(name);
            let near = |found: f64, said: f64| (found - said).abs() < 0.1;
            assert!(near(found[0], activations) && near(found[1], weights), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_block_moves_its_maps_thirteen_times() {
        // by hand: 13 maps of each block, the image, the stem's output, in and out of each downsampling, and the head
        let maps = [(3, 56 * 56 * 96), (3, 28 * 28 * 192), (9, 14 * 14 * 384), (3, 7 * 7 * 768)];
        let blocks: u64 = maps.iter().map(|(depth, map)| 13 * depth * map).sum();
        let stem = 3 * 224 * 224 + maps[0].1;
        let downsampled: u64 = maps.windows(2).map(|pair| pair[0].1 + pair[1].1).sum();
        let head = maps[3].1 + 768 + 768 + 1000;
        let program = Spec::published("convnext_tiny").unwrap().program(InputSpec::imagenet(224)).unwrap();
        let traffic = Traffic::of(&program, Precision::F16);
        assert_eq!(traffic.activations, blocks + stem + downsampled + head);
        assert_eq!(traffic.bytes(8), 2 * (traffic.weights + 8 * traffic.activations));
    }
}
