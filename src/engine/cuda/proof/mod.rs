//! Kernels against plain arithmetic: each operation on arrays of its own, through its launcher, in every type and on shapes at the edges.
//!
//! The tests run it on the emulated driver, `convnext verify` on the user's card. What an operation must compute is its own
//! `expected`. Not here: whole networks (`verify`, the golden cases).

mod attention;
mod case;
mod depthwise;
mod grn;
mod layer_norm;
mod linear;
mod patch_embedding;
mod pointwise;
mod pool;
mod tensor_linear;
mod unfold;

use std::sync::Arc;

use case::Case;

use super::driver::gpu::Gpu;
use super::number::Type;

/// How one case ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The operation, its type and its shape.
    pub case: String,
    /// The largest error as a share of its bound; at most 1 in a kernel that is right.
    pub worst: f64,
    /// What went wrong: the number that is the furthest off, or what the driver said.
    pub fault: Option<String>,
}

/// Every case of a kernel, by the kernel's name.
type Cases = fn(Type) -> Vec<Case>;

/// All kernels with their cases.
const KERNELS: &[(&str, Cases)] = &[
    ("attention", attention::cases),
    ("depthwise", depthwise::cases),
    ("grn", grn::cases),
    ("layer_norm", layer_norm::cases),
    ("patch_embedding", patch_embedding::cases),
    ("plain_linear", linear::plain_cases),
    ("pointwise", pointwise::cases),
    ("pool", pool::cases),
    ("tensor_linear", tensor_linear::cases),
    ("unfold", unfold::cases),
];

/// The names of all kernels that can be proved.
pub fn kernels() -> impl Iterator<Item = &'static str> {
    KERNELS.iter().map(|(name, _)| *name)
}

/// Runs every case of a kernel on a GPU, in all types that the card has.
///
/// # Errors
/// When the GPU cannot be opened.
pub fn prove(kernel: &str, ordinal: usize) -> Result<Vec<Outcome>, String> {
    let gpu = Gpu::open(ordinal).map_err(|error| error.to_string())?;
    let types = [Type::F32, Type::F16, Type::Bf16];
    let types = types.into_iter().filter(|ty| *ty != Type::Bf16 || gpu.card.capability >= 80);
    let cases = KERNELS.iter().filter(|(name, _)| *name == kernel);
    let cases: Vec<Case> = types.flat_map(|ty| cases.clone().flat_map(move |(_, cases)| cases(ty))).collect();
    Ok(cases.into_iter().map(|case| run(&gpu, case)).collect())
}

fn run(gpu: &Arc<Gpu>, case: Case) -> Outcome {
    let name = case.name.clone();
    match case.run(gpu) {
        Ok((worst, fault)) => Outcome { case: name, worst, fault },
        Err(error) => Outcome { case: name, worst: f64::INFINITY, fault: Some(error.to_string()) },
    }
}
