//! Weights as declarations and recipes: what an operation needs, and how it is made of what a checkpoint stores.
//! Not here: files (`checkpoint`), packing (`engine`).

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::collections::HashMap;

use super::Program;

/// A weight that an operation reads.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightDecl {
    /// Our canonical name, as `stages.0.blocks.1.fc1.weight`; checkpoints translate it into their own.
    pub name: String,
    /// The shape that the operation sees.
    pub shape: Vec<usize>,
    /// How it is made.
    pub recipe: Recipe,
}

/// How a weight is made of stored tensors.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// A stored tensor, in another order of its indices.
    Stored {
        /// Canonical name for [`WeightSource::read`].
        name: String,
        /// Shape as PyTorch stores it.
        shape: Vec<usize>,
        /// From the stored order to the one of the operation.
        order: Order,
    },
    /// Taps of a kernel `[h, w, c]` so far apart, zeros between them: `[(h − 1)·step + 1, (w − 1)·step + 1, c]`, a dilated convolution's as a plain one's.
    Spread {
        /// `[h, w, c]`
        weight: Box<Recipe>,
        /// From a tap to the next.
        step: usize,
    },
    /// Zeros behind each row, to so many columns.
    Padded {
        /// `[out, in]`
        weight: Box<Recipe>,
        /// Not fewer than `in`.
        columns: usize,
    },
    /// Each number followed by two zeros: a stem for images of one channel as one for three, of which it reads the first.
    OneChannel(Box<Recipe>),
    /// As many zeros: the bias of a linear layer without one, until a norm is folded into it. Nothing is stored.
    Zeros(usize),
    /// `W · diag(scale)`: the scale of a folded norm. Column `j` of the rows of `weight` is scaled by `scale[j mod len]`,
    /// for a patch carries its channels once for each of its positions.
    ScaleColumns {
        /// `[out, …]`, of which each row is a multiple of `scale` long.
        weight: Box<Recipe>,
        /// `[c]`
        scale: Box<Recipe>,
    },
    /// `bias + W · shift`: the shift of a folded norm, repeated along the rows as in [`Recipe::ScaleColumns`].
    AddProduct {
        /// `[out]`
        bias: Box<Recipe>,
        /// `[out, …]`
        weight: Box<Recipe>,
        /// `[c]`
        shift: Box<Recipe>,
    },
}

/// The order of a stored tensor's indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As stored.
    Same,
    /// `[o, i, h, w]` → `[o, h, w, i]`; for a depthwise kernel, see [`Order::TapsFirst`].
    ChannelsLast,
    /// `[c, 1, h, w]` → `[h, w, c]`.
    TapsFirst,
    /// `[o, i, h, w]` → `[o, h·w·i]`, as [`Order::ChannelsLast`]: of a convolution whose squares were unfolded.
    Unfolded,
}

/// Where weights come from: a file, the binary itself, or a seed.
pub trait WeightSource {
    /// Fills `into` with the tensor of this canonical name, in the stored order, as f32.
    ///
    /// # Errors
    /// When the source does not have it, has it in another size, or cannot be read.
    fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError>;
}

/// A weight could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// There is no such tensor.
    #[error("{source_name} has no tensor {tensor}")]
    Missing {
        /// The file, or whatever the source calls itself.
        source_name: String,
        /// The tensor, as the source names it.
        tensor: String,
    },
    /// The tensor is of another size.
    #[error("{source_name}: tensor {tensor} has {found} elements where the architecture needs {needed}")]
    Size {
        /// The file, or whatever the source calls itself.
        source_name: String,
        /// The tensor, as the source names it.
        tensor: String,
        /// Elements there.
        found: usize,
        /// Elements needed.
        needed: usize,
    },
    /// The tensor could not be read.
    #[error("{source_name}: reading tensor {tensor}: {cause}")]
    Read {
        /// The file, or whatever the source calls itself.
        source_name: String,
        /// The tensor, as the source names it.
        tensor: String,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl WeightDecl {
    /// Elements that the operation sees.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "no weight is empty")]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Stored parameters that are counted for this weight: its own tensor, not the norm that is folded into it.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        match &self.recipe {
            Recipe::Zeros(_) => 0,
            // what is stored, without the zeros that were put into it
            Recipe::Spread { .. } | Recipe::Padded { .. } | Recipe::OneChannel(_) => {
                self.recipe.stored().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
            }
            _ => self.len() as u64,
        }
    }

    /// The recipe makes a weight of this shape.
    pub(super) fn check(&self) -> Result<(), String> {
        let made = self.recipe.shape()?;
        if made != self.shape {
            return Err(format!("its recipe makes {made:?} where its shape is {:?}", self.shape));
        }
        Ok(())
    }

    /// Makes the weight: reads what is stored and follows the recipe.
    ///
    /// # Errors
    /// Whatever the source says.
    pub fn materialise(&self, source: &dyn WeightSource) -> Result<Vec<f32>, WeightError> {
        self.recipe.materialise(source)
    }
}

impl Recipe {
    /// The stored tensors that it reads: canonical name and stored shape.
    #[must_use]
    pub fn stored(&self) -> Vec<(&str, &[usize])> {
        match self {
            Self::Stored { name, shape, .. } => vec![(name, shape)],
            Self::Zeros(_) => vec![],
            Self::Spread { weight, .. } | Self::Padded { weight, .. } | Self::OneChannel(weight) => weight.stored(),
            Self::ScaleColumns { weight, scale } => [weight.stored(), scale.stored()].concat(),
            Self::AddProduct { bias, weight, shift } => [bias.stored(), weight.stored(), shift.stored()].concat(),
        }
    }

    /// The shape that it makes, if its parts fit each other.
    fn shape(&self) -> Result<Vec<usize>, String> {
        // a patch carries the channels of a folded norm once for each of its positions
        let fits = |weight: &Self, folded: &Self| {
            let (weight, folded) = (weight.shape()?, folded.shape()?);
            match (weight.as_slice(), folded.as_slice()) {
                ([_, .., last], [channels]) if last == channels => Ok(weight),
                _ => Err(format!("a norm of shape {folded:?} cannot be folded into a weight of {weight:?}")),
            }
        };
        match self {
            Self::Stored { name, shape, .. } if shape.is_empty() || shape.contains(&0) => {
                Err(format!("stored tensor {name} of shape {shape:?} is empty"))
            }
            Self::Stored { name, shape, order } => match (order, shape.as_slice()) {
                (Order::Same, _) => Ok(shape.clone()),
                (Order::ChannelsLast, [o, i, h, w]) => Ok(vec![*o, *h, *w, *i]),
                (Order::TapsFirst, [c, 1, h, w]) => Ok(vec![*h, *w, *c]),
                (Order::Unfolded, [o, i, h, w]) => Ok(vec![*o, h * w * i]),
                _ => Err(format!("stored tensor {name} of shape {shape:?} is no kernel that {order:?} can reorder")),
            },
            Self::Spread { weight, step } => match weight.shape()?.as_slice() {
                [h, w, c] if *step > 0 => Ok(vec![(h - 1) * step + 1, (w - 1) * step + 1, *c]),
                other => Err(format!("{other:?} are no taps that can be {step} apart")),
            },
            Self::Padded { weight, columns } => match weight.shape()?.as_slice() {
                [rows, inputs] if inputs <= columns => Ok(vec![*rows, *columns]),
                other => Err(format!("{other:?} are no rows of at most {columns}")),
            },
            Self::OneChannel(weight) => {
                let mut shape = weight.shape()?;
                shape.last_mut().into_iter().for_each(|last| *last *= 3);
                Ok(shape)
            }
            Self::Zeros(len) => Ok(vec![*len]),
            Self::ScaleColumns { weight, scale } => fits(weight, scale),
            Self::AddProduct { bias, weight, shift } => {
                let (bias, weight) = (bias.shape()?, fits(weight, shift)?);
                if bias != weight[..1] {
                    return Err(format!("a bias of shape {bias:?} beside a weight of {weight:?}"));
                }
                Ok(bias)
            }
        }
    }

    fn materialise(&self, source: &dyn WeightSource) -> Result<Vec<f32>, WeightError> {
        match self {
            Self::Stored { name, shape, order } => {
                let mut stored = vec![0.0; shape.iter().product()];
                source.read(name, &mut stored)?;
                Ok(order.apply(shape, stored))
            }
            Self::Spread { weight, step } => {
                let taps = weight.materialise(source)?;
                let (Ok(from), Ok(to)) = (weight.shape(), self.shape()) else {
                    unreachable!("Program::check lets no other kernel be spread")
                };
                let (across, channels, wide) = (from[1], from[2], to[1]);
                let mut spread = vec![0.0; to.iter().product()];
                for (index, tap) in taps.chunks_exact(channels).enumerate() {
                    let (y, x) = (index / across * step, index % across * step);
                    spread[(y * wide + x) * channels..][..channels].copy_from_slice(tap);
                }
                Ok(spread)
            }
            Self::Padded { weight, columns } => {
                let rows = weight.materialise(source)?;
                let Ok(shape) = weight.shape() else { unreachable!("Program::check lets no other weight be padded") };
                let mut padded = Vec::with_capacity(shape[0] * columns);
                for row in rows.chunks_exact(shape[1]) {
                    padded.extend_from_slice(row);
                    padded.resize(padded.len() + columns - row.len(), 0.0);
                }
                Ok(padded)
            }
            Self::OneChannel(weight) => {
                Ok(weight.materialise(source)?.into_iter().flat_map(|number| [number, 0.0, 0.0]).collect())
            }
            Self::Zeros(len) => Ok(vec![0.0; *len]),
            Self::ScaleColumns { weight, scale } => {
                let scale = scale.materialise(source)?;
                let mut weight = weight.materialise(source)?;
                for chunk in weight.chunks_mut(scale.len()) {
                    chunk.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
                }
                Ok(weight)
            }
            Self::AddProduct { bias, weight, shift } => {
                let (weight, shift) = (weight.materialise(source)?, shift.materialise(source)?);
                let mut bias = bias.materialise(source)?;
                let columns = weight.len() / bias.len();
                for (b, row) in bias.iter_mut().zip(weight.chunks(columns)) {
                    // in f64: the sum is long, and made only once
                    let sum: f64 =
                        row.iter().zip(shift.iter().cycle()).map(|(w, s)| f64::from(*w) * f64::from(*s)).sum();
                    *b = (f64::from(*b) + sum) as f32;
                }
                Ok(bias)
            }
        }
    }
}

impl Order {
    /// The stored tensor in the order of the operation.
    fn apply(self, shape: &[usize], stored: Vec<f32>) -> Vec<f32> {
        let (outer, inner, taps) = match (self, shape) {
            (Self::Same, _) => return stored,
            // all channels are one block of which the taps come first
            (Self::TapsFirst, [c, one, h, w]) => (1, c * one, h * w),
            (Self::ChannelsLast | Self::Unfolded, [o, i, h, w]) => (*o, *i, h * w),
            (_, other) => unreachable!("Program::check lets no {other:?} be reordered"),
        };
        let mut ordered = Vec::with_capacity(stored.len());
        for block in stored.chunks(inner * taps).take(outer) {
            for tap in 0..taps {
                ordered.extend((0..inner).map(|i| block[i * taps + tap]));
            }
        }
        ordered
    }
}

/// Random weights by a seed, for benchmarks and tests of an architecture without a checkpoint.
///
/// The scales keep activations of the order of one through any depth: fan-in for matrices and kernels, near one for norms.
#[derive(Clone, Debug)]
pub struct RandomWeights {
    seed: u64,
    /// Inputs of an output, by stored name.
    fan_in: HashMap<String, usize>,
}

impl RandomWeights {
    /// Weights for this program; another seed, another network.
    #[must_use]
    pub fn new(program: &Program, seed: u64) -> Self {
        let stored = program.weights.iter().flat_map(|w| w.recipe.stored());
        let fan_in = stored.map(|(name, shape)| (name.to_owned(), shape[1..].iter().product())).collect();
        Self { seed, fan_in }
    }
}

impl WeightSource for RandomWeights {
    fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError> {
        let missing = || WeightError::Missing { source_name: "random weights".into(), tensor: name.into() };
        let fan_in = *self.fan_in.get(name).ok_or_else(missing)?;
        let mut state = fnv1a(self.seed, name);
        let mut uniform = || {
            // splitmix64 (Steele et al. 2014): one 64-bit word for each number, no dependency in the heart
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let (centre, spread) = match name.rsplit('.').next() {
            Some("scale") => (1.0, 0.2),
            Some("weight") => (0.0, (3.0 / fan_in as f32).sqrt()),
            Some("table") => (0.0, 1.0),
            _ => (0.0, 0.1),
        };
        into.iter_mut().for_each(|w| *w = centre + spread * uniform());
        Ok(())
    }
}

/// FNV-1a of a name: the same on every machine and in every release, as std's hasher is not.
fn fnv1a(seed: u64, name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
