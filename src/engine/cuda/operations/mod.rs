//! The operations of the engine, each a kernel's launcher: what it needs, its launches, and what it must compute. A file here has the name
//! of its file in `kernels/` and of its cases in `proof/`.
//!
//! Not here: which operations a program becomes (`plan`), how a launch reaches the device (`driver`).

pub(crate) mod attention;
pub(crate) mod depthwise;
pub(crate) mod grn;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod patch_embedding;
pub(crate) mod plain_linear;
pub(crate) mod pointwise;
pub(crate) mod pool;
pub(crate) mod tensor_linear;
pub(crate) mod unfold;

use super::array::{Array, Contents};
use super::card::Card;
use super::driver::error::DriverError;
use super::launch::Launch;

/// What one step of a plan computes, for any number of images. Its weights are on the device.
pub(crate) trait Operation: Send + Sync {
    /// What it is, as profiles and errors name it: `depthwise + norm`.
    fn name(&self) -> &'static str;

    /// What it needs of its operands for this many images.
    fn needs(&self, card: &Card, images: usize) -> Needs;

    /// The launches that compute it, in their order. The operands are at least what [`needs`](Self::needs) says.
    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch>;

    /// What the numbers of the output at these indices, in rising order, must be, from what is in memory now: computed in f64 from the
    /// stored input and the stored weights, in the plainest way.
    ///
    /// # Errors
    /// When the device does not give its memory.
    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError>;
}

/// Bytes of a counter of [`Needs::tickets`].
pub(crate) const TICKET_BYTES: usize = 4;

/// Numbers that an operation reads and writes, for all images together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) input: usize,
    /// 0 where it adds none.
    pub(crate) residual: usize,
    pub(crate) output: usize,
    /// Bytes, for what lives between its launches.
    pub(crate) scratch: usize,
    /// Counters of 4 bytes by which the last block of several knows that it is the last. They are 0 before every launch, and every launch leaves them 0.
    pub(crate) tickets: usize,
}

/// Where an operation reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operands {
    pub(crate) input: Array,
    /// Added to the result; may be the output itself.
    pub(crate) residual: Option<Array>,
    pub(crate) output: Array,
    /// Memory that nothing else uses meanwhile.
    pub(crate) scratch: Option<Array>,
    /// Bytes of the counters, which are 0.
    pub(crate) tickets: Option<Array>,
}

/// What a number of an output must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) value: f64,
    /// How far from it a right kernel may be.
    pub(crate) bound: f64,
}
