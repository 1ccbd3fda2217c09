//! STUB
use super::norm::Norm;
use super::*;
use crate::engine::cuda::number::Type;
pub(crate) struct PatchEmbedding {
    pub(crate) input: crate::program::InputSpec,
    pub(crate) size: usize,
    pub(crate) outputs: usize,
    pub(crate) weight: Array,
    pub(crate) bias: Array,
    pub(crate) norm: Option<Norm>,
    pub(crate) ty: Type,
}
impl Operation for PatchEmbedding {
    fn name(&self) -> &'static str {
        ""
    }
    fn needs(&self, _c: &Card, _i: usize) -> Needs {
        Needs::default()
    }
    fn launches(&self, _c: &Card, _i: usize, _a: &Operands) -> Vec<Launch> {
        vec![]
    }
    fn expected(
        &self,
        _i: usize,
        _a: &Operands,
        _m: &dyn Contents,
        _o: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        Ok(vec![])
    }
}

pub(crate) fn slot_bytes(_i: &crate::program::InputSpec, _n: usize) -> usize {
    0
}
pub(crate) fn image_offset(_i: &crate::program::InputSpec, _n: usize, _k: usize) -> usize {
    0
}
pub(crate) fn format(_f: crate::engine::PixelFormat) -> u32 {
    0
}
pub(crate) fn prepare(_w: &[f32], _b: &[f32], _i: &crate::program::InputSpec) -> (Vec<f32>, Vec<f32>) {
    (vec![], vec![])
}
