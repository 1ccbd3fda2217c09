//! STUB
use super::*;
use crate::engine::cuda::number::Type;
pub(crate) struct Grn {
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    pub(crate) scale: Array,
    pub(crate) shift: Array,
    pub(crate) eps: f32,
    pub(crate) ty: Type,
}
impl Operation for Grn {
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
