//! The plain kernel of [`Linear`]: every shape, every type. Kernel: `kernels/plain_linear.cu`.

use super::Operands;
use super::linear::Linear;
use crate::engine::cuda::launch::Launch;

pub(super) fn launches(_linear: &Linear, _images: usize, _at: &Operands) -> Vec<Launch> {
    Vec::new()
}
