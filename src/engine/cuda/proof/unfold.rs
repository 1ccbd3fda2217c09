//! Cases of unfolding.

use super::case::Case;
use super::patch_embedding::slot;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::unfold::Unfold;
use crate::program::{InputSpec, Shape, Squares};

/// Stems and convolutions as networks have them, dilated and padded on one side only, widths that no vector divides; images of all formats.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let squares = |kernel, stride, dilation, padding| Squares { kernel, stride, dilation, padding };
    let map = |height: usize, width: usize, channels: usize, squares: Squares| {
        let input = Shape::map(height, width, channels);
        let name = format!("unfold {input} into {squares:?}");
        Case::new(name, ty, 2, move |_| Ok(Box::new(Unfold { input, image: None, squares, ty })))
    };
    let image = |height: usize, width: usize, squares: Squares| {
        let spec = InputSpec { height, width, ..InputSpec::imagenet(1) };
        let input = Shape::map(height, width, 3);
        let name = format!("unfold images {input} into {squares:?}");
        let case = Case::new(name, ty, 3, move |_| Ok(Box::new(Unfold { input, image: Some(spec), squares, ty })));
        Case { input: Type::U8, stored: Some(slot(&spec, 3)), ..case }
    };
    vec![
        map(28, 20, 24, squares(3, 2, 1, [1, 1])),
        map(14, 14, 64, squares(3, 1, 1, [1, 1])),
        map(7, 9, 20, squares(2, 1, 1, [0, 1])),
        map(9, 8, 16, squares(2, 1, 2, [1, 1])),
        map(5, 6, 7, squares(5, 3, 1, [2, 2])),
        map(3, 2, 1, squares(1, 1, 1, [0, 0])),
        image(32, 40, squares(3, 2, 1, [1, 1])),
        image(21, 30, squares(7, 2, 1, [3, 3])),
    ]
}
