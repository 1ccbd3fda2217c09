//! Cases of attention in windows.

use super::case::Case;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::attention::Attention;
use crate::program::{Shape, Windows};

/// A map `[h, w]`, heads and their channels, and windows.
struct Shapes {
    map: [usize; 2],
    heads: usize,
    dim: usize,
    size: [usize; 2],
    shift: [usize; 2],
    pads_first: bool,
    images: usize,
}

/// Swin-T's stages, of the first two a part; the demo's; maps that are padded, in either order; heads and windows of odd sizes.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let square = |side: usize, heads: usize, window: usize, shift: usize, pads_first: bool| Shapes {
        map: [side; 2],
        heads,
        dim: 32,
        size: [window; 2],
        shift: [shift; 2],
        pads_first,
        images: 2,
    };
    let odd = |map: [usize; 2], [heads, dim]: [usize; 2], size: [usize; 2], shift: [usize; 2]| {
        [false, true].map(|pads_first| Shapes { map, heads, dim, size, shift, pads_first, images: 2 })
    };
    let real = [
        square(14, 3, 7, 0, false),
        square(21, 3, 7, 3, false),
        square(14, 6, 7, 3, false),
        square(14, 12, 7, 3, false),
        square(7, 24, 7, 0, false),
        // the demo
        square(8, 4, 4, 2, false),
        // Swin at 256 and at 384
        square(16, 3, 8, 4, false),
        square(12, 4, 12, 0, false),
        // padded, in either order
        square(18, 3, 7, 3, false),
        square(18, 3, 7, 3, true),
        square(9, 5, 8, 4, true),
        square(17, 1, 12, 6, false),
        square(17, 1, 12, 6, true),
        square(10, 7, 4, 1, true),
    ];
    let edges = [
        odd([7, 9], [2, 3], [3, 4], [1, 2]),
        odd([5, 11], [3, 12], [5, 2], [0, 1]),
        odd([6, 6], [2, 17], [4, 4], [3, 1]),
        odd([9, 8], [1, 64], [7, 7], [3, 3]),
        // not square, and long
        odd([9, 13], [2, 32], [4, 6], [2, 3]),
        odd([3, 33], [2, 32], [2, 32], [1, 16]),
    ];
    let one = square(1, 2, 1, 0, false);
    let large = Shapes { dim: 3, shift: [5, 0], images: 1, ..square(32, 1, 32, 0, false) };
    // so many windows that any card gives a head one warp, and blocks several heads; of the latter, one block not all
    let many = [
        Shapes { images: 6, ..square(56, 3, 7, 3, false) },
        Shapes { images: 14, ..square(28, 5, 7, 3, false) },
        Shapes { images: 18, ..square(16, 4, 4, 2, true) },
    ];
    // one type is enough for either: they cost as much as all others
    let costly: Vec<Shapes> = match ty {
        Type::F32 => vec![large],
        Type::F16 => many.into(),
        Type::Bf16 | Type::U8 => vec![],
    };
    let all = real.into_iter().chain(edges.into_iter().flatten()).chain([one]).chain(costly);
    all.map(|shapes| case(shapes, ty)).collect()
}

/// Inputs and biases are such that some keys have most of the weight and others nearly none.
fn case(shapes: Shapes, ty: Type) -> Case {
    let Shapes { map: [height, width], heads, dim, size, shift, pads_first, images } = shapes;
    let windows = Windows { size, shift, pads_first };
    let order = if pads_first { "padded and rolled" } else { "rolled and padded" };
    let name = format!(
        "attention on {height}×{width}, {heads} heads of {dim}, windows of {}×{}, by {} and {} {order}",
        size[0], size[1], shift[0], shift[1]
    );
    let channels = heads * dim;
    Case {
        spread: (2.0, 0.0),
        ..Case::new(name, ty, images, move |weights| {
            let bias = weights.array(windows.differences() * heads, Type::F32, 3.0, 0.0)?;
            let pads = windows.pads(Shape::map(height, width, channels));
            let padding = if pads { Some(weights.array(3 * channels, Type::F32, 2.0, 0.0)?) } else { None };
            Ok(Box::new(Attention { height, width, channels, heads, windows, bias, padding, ty }))
        })
    }
}
