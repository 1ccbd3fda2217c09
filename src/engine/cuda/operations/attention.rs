//! STUB
use super::*;
use crate::engine::cuda::number::Type;
pub(crate) struct Attention {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    pub(crate) windows: crate::program::Windows,
    pub(crate) bias: Array,
    pub(crate) padding: Option<Array>,
    pub(crate) ty: Type,
}
impl Operation for Attention {
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
