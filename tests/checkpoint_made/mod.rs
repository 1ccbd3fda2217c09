//! Checkpoints that are made up, file by file, for the tests of what opens and what does not. Not a suite of its own.

#![allow(dead_code, unreachable_pub, reason = "each suite uses its part")]

mod swin;

use convnext_server::checkpoint::{self, Checkpoint, CheckpointError};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A checkpoint that is made up, file by file: as it stands it opens.
pub struct Made {
    pub config: Value,
    pub preprocessor: Option<Value>,
    /// Name, type, shape.
    pub tensors: Vec<(String, &'static str, Vec<usize>)>,
}

impl Made {
    /// The smallest ConvNeXt in timm's format: one block, in the last stage.
    pub fn timm() -> Self {
        let args = json!({"depths": [0, 0, 0, 1], "dims": [2, 3, 4, 5]});
        let pretrained = json!({"input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]});
        let names =
            ["stem.0", "stem.1", "downsample.0", "downsample.1", "conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"];
        let config = json!({"architecture": "convnext_atto.made_up", "num_classes": 2, "model_args": args, "pretrained_cfg": pretrained});
        Self { config, preprocessor: None, tensors: network("", "blocks", names, "head.norm", "head.fc") }
    }

    /// The same in transformers'.
    pub fn transformers() -> Self {
        let config = json!({
            "architectures": ["ConvNextForImageClassification"], "model_type": "convnext", "depths": [0, 0, 0, 1],
            "hidden_sizes": [2, 3, 4, 5], "id2label": {"0": "cat", "1": "dog"}, "num_channels": 3, "hidden_act": "gelu",
        });
        let preprocessor = json!({
            "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.875,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3,
        });
        let names = [
            "embeddings.patch_embeddings",
            "embeddings.layernorm",
            "downsampling_layer.0",
            "downsampling_layer.1",
            "dwconv",
            "layernorm",
            "pwconv1",
            "pwconv2",
            "layer_scale_parameter",
        ];
        let mut tensors = network("convnext.", "layers", names, "convnext.layernorm", "classifier");
        tensors.iter_mut().for_each(|(name, ..)| *name = name.replace("convnext.stages", "convnext.encoder.stages"));
        Self { config, preprocessor: Some(preprocessor), tensors }
    }

    pub fn tensor(&mut self, name: &str) -> &mut (String, &'static str, Vec<usize>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    pub fn write(&self) -> TempDir {
        self.write_with(&self.safetensors())
    }

    pub fn write_with(&self, safetensors: &[u8]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        if let Some(preprocessor) = &self.preprocessor {
            std::fs::write(folder.path().join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
        }
        std::fs::write(folder.path().join("model.safetensors"), safetensors).unwrap();
        folder
    }

    pub fn safetensors(&self) -> Vec<u8> {
        let (mut header, mut end) = (Map::new(), 0);
        for (name, dtype, shape) in &self.tensors {
            let start = end;
            end += shape.iter().product::<usize>()
                * if matches!(*dtype, "F16" | "BF16") {
                    2
                } else if *dtype == "I64" {
                    8
                } else {
                    4
                };
            header.insert(name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
        }
        raw(&Value::Object(header).to_string(), end)
    }

    pub fn open(&self) -> Result<Checkpoint, CheckpointError> {
        checkpoint::open(self.write().path())
    }

    pub fn error(&self) -> String {
        error(self.open())
    }
}

fn network(
    prefix: &str,
    blocks: &str,
    [stem, stem_norm, norm, conv, dw, ln, fc1, fc2, gamma]: [&str; 9],
    head_norm: &str,
    head: &str,
) -> Vec<(String, &'static str, Vec<usize>)> {
    let mut tensors = Vec::new();
    let mut pair = |name: String, weight: Vec<usize>, bias: usize| {
        tensors.push((format!("{name}.weight"), "F32", weight));
        tensors.push((format!("{name}.bias"), "F32", vec![bias]));
    };
    pair(format!("{prefix}{stem}"), vec![2, 3, 4, 4], 2);
    pair(format!("{prefix}{stem_norm}"), vec![2], 2);
    for stage in 1..4 {
        let (inputs, outputs) = (stage + 1, stage + 2);
        pair(format!("{prefix}stages.{stage}.{norm}"), vec![inputs], inputs);
        pair(format!("{prefix}stages.{stage}.{conv}"), vec![outputs, inputs, 2, 2], outputs);
    }
    let block = format!("{prefix}stages.3.{blocks}.0");
    pair(format!("{block}.{dw}"), vec![5, 1, 7, 7], 5);
    pair(format!("{block}.{ln}"), vec![5], 5);
    pair(format!("{block}.{fc1}"), vec![20, 5], 20);
    pair(format!("{block}.{fc2}"), vec![5, 20], 5);
    pair(head_norm.to_owned(), vec![5], 5);
    pair(head.to_owned(), vec![2, 5], 2);
    tensors.push((format!("{block}.{gamma}"), "F32", vec![5]));
    tensors
}

/// A safetensors file of this header and so many bytes of data.
pub fn raw(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

pub fn error(opened: Result<Checkpoint, CheckpointError>) -> String {
    opened.map(|opened| opened.origin).expect_err("it opened").to_string()
}

pub fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}
