//! Canonical names to those of each library. Not here: shapes, which differ too, but only by dimensions of one.

/// Whose names a checkpoint's tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `timm.models.convnext.ConvNeXt`; the head's norm is elsewhere when it comes before the pooling.
    Timm {
        /// The norm before the pooling.
        head_norm_first: bool,
    },
    /// `ConvNextForImageClassification` and its V2, whose names differ in this prefix.
    Transformers {
        /// `convnext` or `convnextv2`.
        prefix: &'static str,
    },
}

impl Naming {
    /// The library's name of the tensor that [`convnext`](crate::model::convnext) calls `canonical`.
    pub(super) fn stored(self, canonical: &str) -> String {
        let (place, parameter) = canonical.rsplit_once('.').unwrap_or(("", canonical));
        // both libraries call a norm's scale and shift weight and bias
        let parameter = match parameter {
            "scale" => "weight",
            "shift" => "bias",
            other => other,
        };
        let place: Vec<&str> = place.split('.').collect();
        match self {
            Self::Timm { head_norm_first } => timm(&place, parameter, head_norm_first),
            Self::Transformers { prefix } => transformers(&place, parameter, prefix),
        }
    }
}

fn timm(place: &[&str], parameter: &str, head_norm_first: bool) -> String {
    match place {
        ["stem"] => format!("stem.0.{parameter}"),
        ["stem", "norm"] => format!("stem.1.{parameter}"),
        ["stages", stage, "downsample", "norm"] => format!("stages.{stage}.downsample.0.{parameter}"),
        ["stages", stage, "downsample"] => format!("stages.{stage}.downsample.1.{parameter}"),
        ["stages", stage, "blocks", block, part] => {
            let block = format!("stages.{stage}.blocks.{block}");
            match *part {
                "gamma" => format!("{block}.gamma"),
                "depthwise" => format!("{block}.conv_dw.{parameter}"),
                "fc1" | "grn" | "fc2" => format!("{block}.mlp.{part}.{parameter}"),
                other => format!("{block}.{other}.{parameter}"),
            }
        }
        ["head", "norm"] if head_norm_first => format!("norm_pre.{parameter}"),
        ["head", "norm"] => format!("head.norm.{parameter}"),
        ["head"] => format!("head.fc.{parameter}"),
        other => format!("{}.{parameter}", other.join(".")),
    }
}

fn transformers(place: &[&str], parameter: &str, prefix: &str) -> String {
    match place {
        ["stem"] => format!("{prefix}.embeddings.patch_embeddings.{parameter}"),
        ["stem", "norm"] => format!("{prefix}.embeddings.layernorm.{parameter}"),
        ["stages", stage, "downsample", "norm"] => {
            format!("{prefix}.encoder.stages.{stage}.downsampling_layer.0.{parameter}")
        }
        ["stages", stage, "downsample"] => format!("{prefix}.encoder.stages.{stage}.downsampling_layer.1.{parameter}"),
        ["stages", stage, "blocks", block, part] => {
            let layer = format!("{prefix}.encoder.stages.{stage}.layers.{block}");
            match *part {
                "gamma" => format!("{layer}.layer_scale_parameter"),
                "depthwise" => format!("{layer}.dwconv.{parameter}"),
                "norm" => format!("{layer}.layernorm.{parameter}"),
                "fc1" => format!("{layer}.pwconv1.{parameter}"),
                "fc2" => format!("{layer}.pwconv2.{parameter}"),
                other => format!("{layer}.{other}.{parameter}"),
            }
        }
        ["head", "norm"] => format!("{prefix}.layernorm.{parameter}"),
        ["head"] => format!("classifier.{parameter}"),
        other => format!("{prefix}.{}.{parameter}", other.join(".")),
    }
}
