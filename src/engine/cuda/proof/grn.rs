//! Cases of global response normalisation.

use super::case::Case;
use crate::engine::cuda::array::Contents;
use crate::engine::cuda::card::Card;
use crate::engine::cuda::driver::error::DriverError;
use crate::engine::cuda::launch::Launch;
use crate::engine::cuda::number::Type;
use crate::engine::cuda::operations::grn::Grn;
use crate::engine::cuda::operations::{Expected, Needs, Operands, Operation};

/// Hidden layers of ConvNeXt V2 (parts of them), one row, one channel, widths that no vector divides; into an array of its own and in place.
pub(super) fn cases(ty: Type) -> Vec<Case> {
    let case = |rows: usize, channels: usize, images: usize, in_place: bool| Case {
        in_place,
        // as after GELU: mostly above zero
        spread: (1.5, 1.0),
        ..Case::new(format!("GRN of {rows} × {channels}, in place: {in_place}"), ty, images, move |weights| {
            let scale = weights.array(channels, Type::F32, 2.0, 0.5)?;
            let shift = weights.array(channels, Type::F32, 0.5, 0.0)?;
            let grn = Grn { rows, channels, scale, shift, eps: 1e-6, ty };
            Ok(if in_place { Box::new(InPlace(grn)) } else { Box::new(grn) })
        })
    };
    vec![
        case(196, 160, 2, false),
        case(49, 3072, 1, true),
        case(49, 1280, 2, false),
        case(300, 384, 3, true),
        case(1, 4, 1, false),
        case(5, 1, 2, true),
        case(33, 7, 3, false),
        case(70, 130, 2, true),
        case(2000, 36, 1, false),
    ]
}

/// Its output is its input: a case has one array for both where it is a residual.
struct InPlace(Grn);

impl InPlace {
    fn operands(at: &Operands) -> Operands {
        Operands { input: at.residual.unwrap_or(at.input), ..*at }
    }
}

impl Operation for InPlace {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn needs(&self, card: &Card, images: usize) -> Needs {
        let needs = self.0.needs(card, images);
        Needs { residual: needs.input, ..needs }
    }

    fn launches(&self, card: &Card, images: usize, at: &Operands) -> Vec<Launch> {
        self.0.launches(card, images, &Self::operands(at))
    }

    fn expected(
        &self,
        images: usize,
        at: &Operands,
        memory: &dyn Contents,
        outputs: &[usize],
    ) -> Result<Vec<Expected>, DriverError> {
        self.0.expected(images, &Self::operands(at), memory, outputs)
    }
}
