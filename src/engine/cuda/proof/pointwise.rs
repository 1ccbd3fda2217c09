//! Cases of functions of each number.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::pointwise::{Pointwise, What};
use crate::program::Function;

/// Every function over all that it bends in, and far beyond; maps that no vector divides.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let activate = |function: Function, numbers: usize, spread: f32| Case {
        spread: (spread, 0.0),
        ..Case::new(format!("{function:?} of {numbers} numbers to {spread}"), ty, 3, move |_| {
            Ok(Box::new(Pointwise { numbers, what: What::Activate(function), ty }))
        })
    };
    let offset = |numbers: usize| {
        Case::new(format!("offset of {numbers} numbers"), ty, 3, move |weights| {
            let what = What::Offset(weights.array(numbers, Type::F32, 1.0, 0.0)?);
            Ok(Box::new(Pointwise { numbers, what, ty }))
        })
    };
    let functions = [Function::GeluTanh, Function::Silu, Function::Relu];
    let activated = functions.into_iter().flat_map(|function| {
        [(4096, 6.0), (999, 1.0), (2056, 100.0)].map(|(numbers, spread)| activate(function, numbers, spread))
    });
    activated.chain([offset(6 * 5 * 24), offset(21)]).collect()
}
