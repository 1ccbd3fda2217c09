//! STUB
use super::norm::Norm;
use super::*;
use crate::engine::cuda::number::Type;
pub(crate) struct Pool {
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    pub(crate) norm: Option<Norm>,
    pub(crate) ty: Type,
    pub(crate) output: Type,
}
impl Operation for Pool {
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
