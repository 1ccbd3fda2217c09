//! What an operation costs, for one image: the numbers that `inspect`, `bench` and the roofline read.
//!
//! Multiply-accumulates are counted as the papers count "FLOPs": convolutions and matrix products, biases, norms,
//! activations, softmax and pooling left out. ConvNeXt-T at 224 is 4.456 GMAC this way. Of attention both products count, on whole
//! windows, padding included: Swin-T is 4.491 GMAC. Swin's authors count an operation for each element of a norm too: 4.494.

use std::iter::Sum;

use super::{Op, Program};

/// Cost of one image through one operation or a whole program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates of convolutions and matrix products.
    pub macs: u64,
    /// Elements of the weights that are read.
    pub weights: u64,
    /// Elements of activations read and written, each operation by itself (nothing fused).
    pub activations: u64,
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        // saturating: a network that no machine could run has a cost all the same
        costs.fold(Self::default(), |a, b| Self {
            macs: a.macs.saturating_add(b.macs),
            weights: a.weights.saturating_add(b.weights),
            activations: a.activations.saturating_add(b.activations),
        })
    }
}

impl Op {
    /// The cost of this operation for one image.
    #[must_use]
    pub fn cost(&self, program: &Program) -> Cost {
        let output = program.shape(self.output());
        let input = program.shape(self.input());
        let macs = match self {
            Self::Patchify(op) => output.len() * op.size * op.size * input.channels,
            Self::Depthwise(op) => output.len() * op.kernel * op.kernel,
            Self::Linear(_) => output.len() * input.channels,
            // queries by keys and weights by values, in whole windows
            Self::Attention(op) => {
                let windows: usize = op.windows.count(input).iter().product();
                2 * windows * op.windows.area() * op.windows.area() * output.channels
            }
            Self::Norm(_)
            | Self::Grn(_)
            | Self::Merge(_)
            | Self::Unfold(_)
            | Self::Activate(_)
            | Self::Offset(_)
            | Self::Pool(_) => 0,
        };
        let read: usize = self.inputs().iter().map(|t| program.shape(*t).len()).sum();
        let weights: usize = self.weights().iter().map(|w| program.weight(*w).len()).sum();
        Cost { macs: macs as u64, weights: weights as u64, activations: (read + output.len()) as u64 }
    }
}
