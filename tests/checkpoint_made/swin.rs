//! The smallest Swin: two stages of a block each, for images of 16×16, in windows of 2×2.

use serde_json::json;

use super::Made;

type Tensors = Vec<(String, &'static str, Vec<usize>)>;

impl Made {
    /// In timm's format.
    pub fn timm_swin() -> Self {
        let args = json!({"img_size": 16, "window_size": 2, "embed_dim": 4, "depths": [1, 1], "num_heads": [1, 2]});
        let pretrained = json!({"input_size": [3, 16, 16], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]});
        let config = json!({
            "architecture": "swin_tiny_patch4_window7_224.made_up", "num_classes": 2, "model_args": args,
            "pretrained_cfg": pretrained,
        });
        let mut tensors = Tensors::new();
        pair(&mut tensors, "patch_embed.proj", &[4, 3, 4, 4]);
        pair(&mut tensors, "patch_embed.norm", &[4]);
        for (stage, width) in [(0, 4), (1, 8)] {
            let block = format!("layers.{stage}.blocks.0");
            pair(&mut tensors, &format!("{block}.norm1"), &[width]);
            pair(&mut tensors, &format!("{block}.attn.qkv"), &[3 * width, width]);
            tensors.push((format!("{block}.attn.relative_position_bias_table"), "F32", vec![9, stage + 1]));
            pair(&mut tensors, &format!("{block}.attn.proj"), &[width, width]);
            pair(&mut tensors, &format!("{block}.norm2"), &[width]);
            pair(&mut tensors, &format!("{block}.mlp.fc1"), &[4 * width, width]);
            pair(&mut tensors, &format!("{block}.mlp.fc2"), &[width, 4 * width]);
        }
        pair(&mut tensors, "layers.1.downsample.norm", &[16]);
        tensors.push(("layers.1.downsample.reduction.weight".into(), "F32", vec![8, 16]));
        pair(&mut tensors, "norm", &[8]);
        pair(&mut tensors, "head.fc", &[2, 8]);
        Self { config, preprocessor: None, tensors }
    }

    /// The same in transformers'.
    pub fn transformers_swin() -> Self {
        let config = json!({
            "architectures": ["SwinForImageClassification"], "model_type": "swin", "image_size": 16, "patch_size": 4,
            "num_channels": 3, "embed_dim": 4, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2, "mlp_ratio": 4.0,
            "qkv_bias": true, "hidden_act": "gelu", "use_absolute_embeddings": false, "layer_norm_eps": 1e-5,
            "id2label": {"0": "cat", "1": "dog"},
        });
        let preprocessor = json!({
            "image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16},
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3,
        });
        let mut tensors = Tensors::new();
        pair(&mut tensors, "swin.embeddings.patch_embeddings.projection", &[4, 3, 4, 4]);
        pair(&mut tensors, "swin.embeddings.norm", &[4]);
        for (stage, width) in [(0, 4), (1, 8)] {
            let block = format!("swin.encoder.layers.{stage}.blocks.0");
            pair(&mut tensors, &format!("{block}.layernorm_before"), &[width]);
            for part in ["query", "key", "value"] {
                pair(&mut tensors, &format!("{block}.attention.self.{part}"), &[width, width]);
            }
            tensors.push((format!("{block}.attention.self.relative_position_bias_table"), "F32", vec![9, stage + 1]));
            pair(&mut tensors, &format!("{block}.attention.output.dense"), &[width, width]);
            pair(&mut tensors, &format!("{block}.layernorm_after"), &[width]);
            pair(&mut tensors, &format!("{block}.intermediate.dense"), &[4 * width, width]);
            pair(&mut tensors, &format!("{block}.output.dense"), &[width, 4 * width]);
        }
        pair(&mut tensors, "swin.encoder.layers.0.downsample.norm", &[16]);
        tensors.push(("swin.encoder.layers.0.downsample.reduction.weight".into(), "F32", vec![8, 16]));
        pair(&mut tensors, "swin.layernorm", &[8]);
        pair(&mut tensors, "classifier", &[2, 8]);
        Self { config, preprocessor: Some(preprocessor), tensors }
    }
}

/// A weight and a bias of as many outputs.
fn pair(tensors: &mut Tensors, name: &str, weight: &[usize]) {
    tensors.push((format!("{name}.weight"), "F32", weight.to_vec()));
    tensors.push((format!("{name}.bias"), "F32", vec![weight[0]]));
}
