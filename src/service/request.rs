//! What a request may be, whatever the protocol: image files or a tensor in, labels or logits out.

use bytes::Bytes;

use crate::checkpoint::ScoreFunction;

/// The images of a request, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be classified.
    pub images: Images,
    /// What the answer is to be.
    pub wanted: Wanted,
}

/// Images, encoded or as numbers.
#[derive(Clone, Debug)]
pub enum Images {
    /// Files, one for each image, in any format that `pixels` decodes.
    Files(Vec<Bytes>),
    /// Normalised images of the model's size.
    Tensor(Tensor),
}

/// A tensor of normalised images `[n, 3, h, w]`, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The type of its numbers.
    pub number: TensorType,
    /// `[n, 3, h, w]`
    pub shape: [usize; 4],
    /// Its numbers, little-endian.
    pub data: Bytes,
}

/// Types of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
}

/// What an answer has for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The best classes with their names.
    Labels {
        /// How many; 0 and less are refused, more than there are is clamped.
        top_k: i64,
        /// How logits become scores.
        function: Option<ScoreFunction>,
    },
    /// The model's output as it is.
    Logits,
}

impl Images {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Files(files) => files.len(),
            Self::Tensor(tensor) => tensor.shape[0],
        }
    }
}
