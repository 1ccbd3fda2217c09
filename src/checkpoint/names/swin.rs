//! The names of Swin's tensors. Not here: ConvNeXt's.

/// Of a file in timm's format only where stages end with a merge: the first stage has none at its start.
pub(super) const MERGES_LAST: &str = "layers.0.downsample.reduction.weight";

/// timm's, of the parameter of a layer that [`swin`](crate::model::swin) names.
pub(super) fn timm(layer: &[&str], parameter: &str, merges_last: bool) -> String {
    let merge = |stage: &str| if merges_last { before(stage) } else { stage.to_owned() };
    match layer {
        ["stem"] => format!("patch_embed.proj.{parameter}"),
        ["stem", "norm"] => format!("patch_embed.norm.{parameter}"),
        ["stages", stage, "downsample", "norm"] => format!("layers.{}.downsample.norm.{parameter}", merge(stage)),
        ["stages", stage, "downsample"] => format!("layers.{}.downsample.reduction.{parameter}", merge(stage)),
        ["stages", stage, "blocks", block, part] => {
            let block = format!("layers.{stage}.blocks.{block}");
            match *part {
                "attention" => format!("{block}.attn.relative_position_bias_table"),
                "qkv" | "proj" => format!("{block}.attn.{part}.{parameter}"),
                "fc1" | "fc2" => format!("{block}.mlp.{part}.{parameter}"),
                other => format!("{block}.{other}.{parameter}"),
            }
        }
        ["head", "norm"] => format!("norm.{parameter}"),
        ["head"] if merges_last => format!("head.{parameter}"),
        ["head"] => format!("head.fc.{parameter}"),
        other => format!("{}.{parameter}", other.join(".")),
    }
}

/// The same in transformers, where queries, keys and values are three tensors and a stage ends with a merge.
pub(super) fn transformers(layer: &[&str], parameter: &str) -> Vec<String> {
    let name = match layer {
        ["stem"] => format!("swin.embeddings.patch_embeddings.projection.{parameter}"),
        ["stem", "norm"] => format!("swin.embeddings.norm.{parameter}"),
        ["stem", "positions"] => "swin.embeddings.position_embeddings".to_owned(),
        ["stages", stage, "downsample", "norm"] => {
            format!("swin.encoder.layers.{}.downsample.norm.{parameter}", before(stage))
        }
        ["stages", stage, "downsample"] => {
            format!("swin.encoder.layers.{}.downsample.reduction.{parameter}", before(stage))
        }
        ["stages", stage, "blocks", block, part] => {
            let block = format!("swin.encoder.layers.{stage}.blocks.{block}");
            match *part {
                "norm1" => format!("{block}.layernorm_before.{parameter}"),
                "attention" => format!("{block}.attention.self.relative_position_bias_table"),
                "qkv" => {
                    let parts = ["query", "key", "value"];
                    return parts.map(|part| format!("{block}.attention.self.{part}.{parameter}")).to_vec();
                }
                "proj" => format!("{block}.attention.output.dense.{parameter}"),
                "norm2" => format!("{block}.layernorm_after.{parameter}"),
                "fc1" => format!("{block}.intermediate.dense.{parameter}"),
                "fc2" => format!("{block}.output.dense.{parameter}"),
                other => format!("{block}.{other}.{parameter}"),
            }
        }
        ["head", "norm"] => format!("swin.layernorm.{parameter}"),
        ["head"] => format!("classifier.{parameter}"),
        other => format!("swin.{}.{parameter}", other.join(".")),
    };
    vec![name]
}

/// The stage before this one; the first has no merge, so there always is one.
fn before(stage: &str) -> String {
    stage.parse().map_or_else(|_| stage.to_owned(), |stage: usize| stage.saturating_sub(1).to_string())
}
