//! Canonical names to those of each library, a module for each family of networks. Not here: shapes, which differ too, but only
//! by dimensions of one.

mod convnext;
mod swin;
pub(super) mod written;

use crate::model::convnext::Stem;

/// Whose names a checkpoint's tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `timm.models.convnext.ConvNeXt`; the head's norm is elsewhere when it comes before the pooling, the stem's modules are counted.
    TimmConvNext {
        /// The norm before the pooling.
        head_norm_first: bool,
        /// The stem.
        stem: Stem,
    },
    /// `ConvNextForImageClassification` and its V2, whose names differ in this prefix.
    TransformersConvNext {
        /// `convnext` or `convnextv2`.
        prefix: &'static str,
    },
    /// `timm.models.swin_transformer.SwinTransformer`.
    TimmSwin {
        /// As the authors' code had it, and timm before 0.9: a stage ends with a merge, and the head is a plain layer.
        merges_last: bool,
    },
    /// `SwinForImageClassification`.
    TransformersSwin,
}

impl Naming {
    /// Whether this is timm's; else it is transformers'.
    pub(super) fn is_timm(self) -> bool {
        matches!(self, Self::TimmConvNext { .. } | Self::TimmSwin { .. })
    }

    /// The naming of a file in which there are these tensors: some libraries read what they wrote earlier, too.
    pub(super) fn of_file(self, has: impl Fn(&str) -> bool) -> Self {
        match self {
            Self::TimmSwin { .. } => Self::TimmSwin { merges_last: has(swin::MERGES_LAST) },
            other => other,
        }
    }

    /// The library's names of the tensor that [`model`](crate::model) calls `canonical`: one, or equal parts of it in the order
    /// in which they lie along the first dimension.
    pub(super) fn stored(self, canonical: &str) -> Vec<String> {
        let (layer, parameter) = canonical.rsplit_once('.').unwrap_or(("", canonical));
        // both libraries call a norm's scale and shift weight and bias
        let parameter = match parameter {
            "scale" => "weight",
            "shift" => "bias",
            other => other,
        };
        let layer: Vec<&str> = layer.split('.').collect();
        match self {
            Self::TimmConvNext { head_norm_first, stem } => {
                vec![convnext::timm(&layer, parameter, head_norm_first, stem)]
            }
            Self::TransformersConvNext { prefix } => vec![convnext::transformers(&layer, parameter, prefix)],
            Self::TimmSwin { merges_last } => vec![swin::timm(&layer, parameter, merges_last)],
            Self::TransformersSwin => swin::transformers(&layer, parameter),
        }
    }

    /// Whether this is a buffer that the library once stored and now computes: it may be in a file and is not read.
    pub(super) fn ignores(self, stored: &str) -> bool {
        match self {
            Self::TimmConvNext { .. } | Self::TransformersConvNext { .. } => false,
            // checkpoint_filter_fn of timm's swin_transformer.py
            Self::TimmSwin { .. } => ["relative_position_index", "attn_mask"].iter().any(|part| stored.contains(part)),
            // _keys_to_ignore_on_load_unexpected of modeling_swin.py
            Self::TransformersSwin => stored.contains("attention.self.relative_position_index"),
        }
    }
}
