//! The names of ConvNeXt's tensors. Not here: Swin's.

use crate::model::convnext::Stem;

/// timm's, of the parameter of a layer that [`convnext`](crate::model::convnext) names.
pub(super) fn timm(layer: &[&str], parameter: &str, head_norm_first: bool, stem: Stem) -> String {
    // where the last convolution of the stem is among its modules; its norm is next
    let last = match stem {
        Stem::Patches => 0,
        Stem::Overlapping { activated, .. } => 1 + usize::from(activated),
    };
    match layer {
        ["stem", "first"] => format!("stem.0.{parameter}"),
        ["stem"] => format!("stem.{last}.{parameter}"),
        ["stem", "norm"] => format!("stem.{}.{parameter}", last + 1),
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
        ["head", "hidden"] => format!("head.pre_logits.fc.{parameter}"),
        ["head"] => format!("head.fc.{parameter}"),
        other => format!("{}.{parameter}", other.join(".")),
    }
}

/// The same in transformers, of `convnext` or `convnextv2`.
pub(super) fn transformers(layer: &[&str], parameter: &str, prefix: &str) -> String {
    match layer {
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
