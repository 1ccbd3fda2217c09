//! Checkpoints that must not open: each is one clear error that names the file and what is wrong in it. And hostile files:
//! whatever the bytes, an answer and no panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::path::Path;

use convnext_server::checkpoint::{self, Checkpoint, CheckpointError};
use convnext_server::pixels::{Filter, Fit};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A checkpoint that is made up, file by file: as it stands it opens.
struct Made {
    config: Value,
    preprocessor: Option<Value>,
    /// Name, type, shape.
    tensors: Vec<(String, &'static str, Vec<usize>)>,
}

impl Made {
    /// The smallest ConvNeXt in timm's format: one block, in the last stage.
    fn timm() -> Self {
        let args = json!({"depths": [0, 0, 0, 1], "dims": [2, 3, 4, 5]});
        let pretrained = json!({"input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]});
        let names =
            ["stem.0", "stem.1", "downsample.0", "downsample.1", "conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"];
        let config = json!({"architecture": "convnext_atto.made_up", "num_classes": 2, "model_args": args, "pretrained_cfg": pretrained});
        Self { config, preprocessor: None, tensors: network("", "blocks", names, "head.norm", "head.fc") }
    }

    /// The same in transformers'.
    fn transformers() -> Self {
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

    fn tensor(&mut self, name: &str) -> &mut (String, &'static str, Vec<usize>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    fn write(&self) -> TempDir {
        self.write_with(&self.safetensors())
    }

    fn write_with(&self, safetensors: &[u8]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), self.config.to_string()).unwrap();
        if let Some(preprocessor) = &self.preprocessor {
            std::fs::write(folder.path().join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
        }
        std::fs::write(folder.path().join("model.safetensors"), safetensors).unwrap();
        folder
    }

    fn safetensors(&self) -> Vec<u8> {
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

    fn open(&self) -> Result<Checkpoint, CheckpointError> {
        checkpoint::open(self.write().path())
    }

    fn error(&self) -> String {
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
fn raw(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn error(opened: Result<Checkpoint, CheckpointError>) -> String {
    opened.map(|opened| opened.origin).expect_err("it opened").to_string()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn the_made_up_checkpoints_open_as_they_stand() {
    for made in [Made::timm(), Made::transformers()] {
        let opened = made.open().unwrap_or_else(|error| panic!("{error}"));
        let mut bias = [1.0; 2];
        opened.weights.read("head.bias", &mut bias).unwrap();
        assert_eq!((opened.program.classes(), bias), (2, [0.0; 2]));
    }
}

// ---- tensors against the architecture

#[test]
fn missing_tensors_are_named() {
    let mut made = Made::timm();
    made.tensors.retain(|(name, ..)| !name.starts_with("head.norm"));
    let parts = ["model.safetensors does not fit convnext_atto: 2 missing: head.norm.weight, head.norm.bias"];
    assert_says(&made.error(), &parts);
}

#[test]
fn extra_tensors_are_named() {
    let mut made = Made::timm();
    made.tensors.push(("head.pre_logits.fc.bias".into(), "F32", vec![3]));
    made.tensors.push(("num_batches_tracked".into(), "I64", vec![]));
    assert_says(&made.error(), &["model.safetensors", "2 not expected: head.pre_logits.fc.bias, num_batches_tracked"]);
}

#[test]
fn misshapen_tensors_are_named_with_both_shapes() {
    let mut made = Made::timm();
    made.tensor("stages.3.blocks.0.mlp.fc2.weight").2 = vec![20, 5];
    let parts =
        ["model.safetensors", "1 of another shape: stages.3.blocks.0.mlp.fc2.weight [20, 5] instead of [5, 20]"];
    assert_says(&made.error(), &parts);
}

#[test]
fn of_many_tensors_ten_are_named() {
    let mut made = Made::transformers();
    made.tensors.retain(|(name, ..)| name.starts_with("classifier"));
    assert_says(&made.error(), &["27 missing: convnext.embeddings.patch_embeddings.weight, ", " and 17 more"]);
}

#[test]
fn dimensions_of_one_make_no_other_shape() {
    let mut made = Made::timm();
    made.tensor("stages.3.blocks.0.mlp.fc1.weight").2 = vec![20, 5, 1, 1];
    made.tensor("stages.3.blocks.0.gamma").2 = vec![5, 1, 1];
    made.open().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_weight_of_integers_is_an_error_that_names_file_tensor_and_type() {
    let mut made = Made::timm();
    made.tensor("head.fc.bias").1 = "I64";
    assert_says(&made.error(), &["model.safetensors: tensor head.fc.bias is stored as I64; F64, F32, F16 and BF16"]);
}

// ---- safetensors

#[test]
fn headers_that_lie_are_errors_that_say_where() {
    let one = |entry: &str| format!(r#"{{"a":{entry}}}"#);
    let f32s = |shape: &str, start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let two = |a: String, b: String| format!(r#"{{"a":{a},"b":{b}}}"#);
    let cases: Vec<(String, usize, &[&str])> = vec![
        ("not json".into(), 0, &["its header: expected"]),
        ("[]".into(), 0, &["its header", "an object of tensors"]),
        (one("3"), 0, &["tensor a:"]),
        (one(r#"{"dtype":"F32","shape":[1]}"#), 4, &["tensor a: missing field `data_offsets`"]),
        (one(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#), 4, &["tensor a: invalid value"]),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}"#), 4, &["tensor a: unknown field `x`"]),
        (one(r#"{"dtype":"Q4_K","shape":[1],"data_offsets":[0,4]}"#), 4, &["tensor a: unknown dtype Q4_K"]),
        (one(&f32s("[1,1,1,1,1,1,1,1,1]", 0, 4)), 4, &["tensor a: more than 8 dimensions"]),
        (one(&f32s("[4294967296,4294967296,2]", 0, 4)), 4, &["tensor a", "no possible size"]),
        (one(&f32s("[4611686018427387904]", 0, 4)), 4, &["tensor a", "no possible size"]),
        (one(&f32s("[2]", 0, 4)), 4, &["tensor a: F32 of shape [2] takes 8 bytes, not 4"]),
        (one(&f32s("[1]", 4, 0)), 4, &["tensor a ends at byte 0, before its start at 4"]),
        (one(&f32s("[2]", 0, 8)), 4, &["tensor a lies at bytes 0 to 8 of 4: the file is truncated"]),
        (one(&f32s("[1]", 0, 4)), 8, &["the last 4 of its 8 bytes belong to no tensor"]),
        (two(f32s("[1]", 0, 4), f32s("[1]", 8, 12)), 12, &["the bytes 4 to 8 before tensor b belong to no tensor"]),
        (two(f32s("[2]", 0, 8), f32s("[1]", 4, 8)), 8, &["tensor b starts at byte 4, within the tensor before it"]),
        (format!(r#"{{"a":{0},"a":{1}}}"#, f32s("[1]", 0, 4), f32s("[1]", 4, 8)), 8, &["tensor a is there twice"]),
        ("{}".into(), 0, &["does not fit convnext_atto: 29 missing"]),
    ];
    for (header, data, parts) in cases {
        let folder = Made::timm().write_with(&raw(&header, data));
        let message = error(checkpoint::open(folder.path()));
        assert_says(&message, &["model.safetensors"]);
        assert_says(&message, parts);
    }
}

#[test]
fn files_cut_short_are_truncated_wherever_the_cut_is() {
    let made = Made::timm();
    let whole = made.safetensors();
    for length in [0, 7, 8, 100, whole.len() - 1] {
        let message = error(checkpoint::open(made.write_with(&whole[..length]).path()));
        assert_says(&message, &["model.safetensors is not a valid safetensors file"]);
        assert!(message.contains("truncated") || length < 8 && message.contains("too few"), "{length}: {message}");
    }
}

#[test]
fn a_header_over_the_cap_is_refused_by_its_length() {
    let mut bytes = Made::timm().safetensors();
    bytes[..8].copy_from_slice(&100_000_001u64.to_le_bytes());
    let message = error(checkpoint::open(Made::timm().write_with(&bytes).path()));
    assert_says(&message, &["model.safetensors", "claims a header of 100000001 bytes; 100000000 are allowed"]);
}

// ---- files

#[test]
fn each_missing_file_is_named_with_what_it_is_for() {
    let remove = |made: Made, file: &str| {
        let folder = made.write();
        std::fs::remove_file(folder.path().join(file)).unwrap();
        error(checkpoint::open(folder.path()))
    };
    assert_says(&remove(Made::timm(), "config.json"), &["config.json is missing"]);
    let weights = remove(Made::timm(), "model.safetensors");
    assert_says(&weights, &["model.safetensors is missing", "no model.safetensors.index.json either"]);
    let preprocessor = remove(Made::transformers(), "preprocessor_config.json");
    assert_says(&preprocessor, &["preprocessor_config.json is missing", "resized and normalised", "save_pretrained"]);
    assert_says(&error(checkpoint::open(Path::new("/no/such/folder"))), &["/no/such/folder/config.json is missing"]);
}

#[test]
fn configurations_that_are_no_json_or_no_model_are_refused() {
    let with = |config: &str| {
        let folder = Made::timm().write();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        error(checkpoint::open(folder.path()))
    };
    assert_says(&with("{"), &["config.json is not JSON"]);
    assert_says(&with("[]"), &["config.json: a JSON object is needed"]);
    assert_says(&with("{}"), &["config.json", "neither architecture", "nor architectures"]);
    let long = format!("{{\"x\": \"{}\"}}", "a".repeat(9 << 20));
    assert_says(&with(&long), &["config.json", "more than the 8388608 allowed"]);
}

#[test]
fn an_index_leads_nowhere_but_beside_itself() {
    let made = Made::timm();
    let with = |index: Value| {
        let folder = made.write();
        std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("a.safetensors")).unwrap();
        std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        checkpoint::open(folder.path())
    };
    let all = |file: &str| -> Value { made.tensors.iter().map(|(name, ..)| (name.clone(), json!(file))).collect() };
    with(json!({"weight_map": all("a.safetensors")})).unwrap_or_else(|error| panic!("{error}"));

    for path in ["../a.safetensors", "/etc/passwd", "x/a.safetensors", "./a.safetensors", "a.safetensors/", "..", ""] {
        let message = error(with(json!({"weight_map": {"stem.0.bias": path}})));
        assert_says(&message, &["model.safetensors.index.json", "weight_map.stem.0.bias", "the name of a file beside"]);
    }
    assert_says(&error(with(json!({}))), &["model.safetensors.index.json", "no weight_map"]);
    let absent = error(with(json!({"weight_map": {"stem.0.bias": "b.safetensors"}})));
    assert_says(&absent, &["b.safetensors is missing", "model.safetensors.index.json lists it"]);
    let wrong = error(with(json!({"weight_map": {"no.such.tensor": "a.safetensors"}})));
    assert_says(&wrong, &["index.json", "tensor no.such.tensor is in a.safetensors, which does not have it"]);
}

#[test]
fn a_tensor_in_two_shards_is_named_with_both() {
    let made = Made::timm();
    let folder = made.write();
    std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("a.safetensors")).unwrap();
    std::fs::copy(folder.path().join("a.safetensors"), folder.path().join("b.safetensors")).unwrap();
    let index = json!({"weight_map": {"stem.0.bias": "a.safetensors", "stem.0.weight": "b.safetensors"}});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let message = error(checkpoint::open(folder.path()));
    assert_says(&message, &["b.safetensors", "tensor head.fc.bias is also in", "a.safetensors"]);
}

// ---- timm's configuration

fn timm_with(section: &str, key: &str, value: Value) -> Made {
    let mut made = Made::timm();
    let target = if section.is_empty() { &mut made.config } else { &mut made.config[section] };
    target[key] = value;
    made
}

#[test]
fn arguments_of_timm_that_would_make_another_network_are_refused_by_name() {
    let cases = [
        ("stem_type", json!("overlap_tiered"), "only patch is supported"),
        ("act_layer", json!("silu"), "only gelu is supported"),
        ("norm_layer", json!("rmsnorm2d"), "only layernorm or layernorm2d is supported"),
        ("head_hidden_size", json!(8), "only null is supported"),
        ("global_pool", json!("max"), "only avg is supported"),
        ("output_stride", json!(16), "only 32 is supported"),
        ("conv_bias", json!(false), "only true is supported"),
        ("in_chans", json!(1), "only 3 is supported"),
        ("patch_size", json!(2), "1 and 3 to 7 are supported"),
        ("patch_size", json!(8), "1 and 3 to 7 are supported"),
        ("depths", json!([1, 1]), "four numbers are needed"),
        ("depths", json!("deep"), "a list of whole numbers is needed"),
        ("dims", json!([2, 3, 4.5, 5]), "a list of whole numbers is needed"),
        ("norm_eps", json!(-1.0), "a small number above zero is needed"),
        ("attention", json!(true), "this argument is not known"),
    ];
    for (key, value, possible) in cases {
        let message = timm_with("model_args", key, value.clone()).error();
        assert_says(&message, &["config.json", &format!("model_args.{key} is {value}"), possible]);
    }
}

#[test]
fn arguments_of_timm_that_change_no_inference_are_ignored() {
    let mut made = Made::timm();
    let harmless = json!({
        "drop_path_rate": 0.1, "drop_rate": 0.2, "head_init_scale": 0.1, "in_chans": 3, "img_size": 64, "global_pool": "avg",
        "output_stride": 32, "act_layer": "gelu", "stem_type": "patch", "conv_mlp": true, "conv_bias": true,
        "norm_layer": null, "head_hidden_size": null, "norm_eps": null, "kernel_sizes": 7, "patch_size": 4,
    });
    made.config["model_args"].as_object_mut().unwrap().extend(harmless.as_object().unwrap().clone());
    let program = |made: &Made| made.open().unwrap_or_else(|error| panic!("{error}")).program;
    assert_eq!(program(&made), program(&Made::timm()));
}

#[test]
fn kernels_norms_and_layer_scale_follow_the_arguments_of_timm() {
    let mut made = timm_with("model_args", "kernel_sizes", json!([7, 5, 5, 3]));
    made.tensor("stages.3.blocks.0.conv_dw.weight").2 = vec![5, 1, 3, 3];
    made.config["model_args"]["ls_init_value"] = Value::Null;
    made.tensors.retain(|(name, ..)| !name.ends_with("gamma"));
    made.config["model_args"]["use_grn"] = json!(true);
    for parameter in ["weight", "bias"] {
        made.tensors.push((format!("stages.3.blocks.0.mlp.grn.{parameter}"), "F32", vec![20]));
    }
    made.config["model_args"]["head_norm_first"] = json!(true);
    for parameter in ["weight", "bias"] {
        made.tensor(&format!("head.norm.{parameter}")).0 = format!("norm_pre.{parameter}");
    }
    made.open().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn variants_of_timm_are_known_or_refused_for_a_reason() {
    let error = |name: &str| timm_with("", "architecture", json!(name)).error();
    assert_says(&error("convnext_atto_ols.a2_in1k"), &["config.json", "convnext_atto_ols.a2_in1k", "stem"]);
    assert_says(&error("convnext_atto_rms"), &["config.json", "norm layers"]);
    assert_says(&error("convnext_large_mlp.clip_laion2b_augreg"), &["config.json", "head_hidden_size"]);
    assert_says(&error("resnet50"), &["config.json: unknown architecture resnet50; known are", "convnext_tiny"]);
    for name in
        ["convnext_tiny_hnf", "convnext_xxlarge.clip_laion2b", "convnext_tiny_384_in22ft1k", "convnext_base_in22k"]
    {
        let message = timm_with("", "architecture", json!(name)).open().err().map(|error| error.to_string());
        assert!(!message.unwrap_or_default().contains("unknown architecture"), "{name}");
    }
}

#[test]
fn a_checkpoint_without_a_classifier_is_refused() {
    let message = timm_with("", "num_classes", json!(0)).error();
    assert_says(&message, &["config.json: num_classes is 0", "nothing to serve"]);
    let message = timm_with("", "num_classes", json!(u64::MAX)).error();
    assert_says(&message, &["config.json: convnext_atto", "classes; 1 to 1,048,576 are possible"]);
}

#[test]
fn the_keys_of_older_timm_files_are_read_from_the_top() {
    let mut made = Made::timm();
    let pretrained = made.config["pretrained_cfg"].take();
    let config = made.config.as_object_mut().unwrap();
    config.remove("pretrained_cfg");
    config.extend(pretrained.as_object().unwrap().clone());
    config.insert("labels".into(), json!(["cat", "dog"]));
    let opened = made.open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((opened.program.input.height, opened.labels), (32, vec!["cat".to_owned(), "dog".to_owned()]));
}

#[test]
fn timms_transform_follows_pretrained_cfg() {
    let fit = |changes: Value| {
        let mut made = Made::timm();
        made.config["pretrained_cfg"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let opened = made.open().unwrap_or_else(|error| panic!("{error}"));
        (opened.transform.fit, opened.transform.filter)
    };
    // 32 / 0.875 = 36.57, floored
    assert_eq!(fit(json!({})), (Fit::ShortestEdge(36), Filter::Bicubic));
    assert_eq!(fit(json!({"crop_pct": null, "interpolation": "bilinear"})), (Fit::ShortestEdge(36), Filter::Bilinear));
    // the resolution of testing is not the default
    let test = json!({"crop_pct": 1.0, "test_input_size": [3, 64, 64], "test_crop_pct": 0.5});
    assert_eq!(fit(test).0, Fit::ShortestEdge(32));
    let squash = json!({"crop_pct": 0.9, "crop_mode": "squash", "input_size": [3, 32, 48]});
    assert_eq!(fit(squash).0, Fit::Exact(35, 53));
}

#[test]
fn transforms_of_timm_that_cannot_be_followed_are_refused_by_name() {
    let cases = [
        ("interpolation", json!("lanczos"), "bicubic and bilinear are supported"),
        ("crop_mode", json!("border"), "center and squash are supported"),
        ("crop_pct", json!(1.2), "0.05 to 1 is supported"),
        ("crop_pct", json!(0.0), "a number above zero is needed"),
        ("input_size", json!([1, 32, 32]), "[3, height, width]"),
        ("input_size", json!([3, 0, 32]), "[3, height, width]"),
        ("input_size", json!([3, 100_000, 32]), "up to 4096"),
        ("input_size", json!([3, 32, 48]), "only a square is supported"),
        ("mean", json!([0.5]), "three numbers are needed"),
        ("std", json!([0.5, 0.0, 0.5]), "numbers above zero are needed"),
    ];
    for (key, value, possible) in cases {
        let message = timm_with("pretrained_cfg", key, value.clone()).error();
        assert_says(&message, &["config.json", &format!("pretrained_cfg.{key} is {value}"), possible]);
    }
}

#[test]
fn an_input_smaller_than_the_network_needs_is_refused() {
    let message = timm_with("pretrained_cfg", "input_size", json!([3, 16, 16])).error();
    assert_says(&message, &["config.json", "too small"]);
}

// ---- transformers' configuration

fn transformers_with(key: &str, value: Value) -> Made {
    let mut made = Made::transformers();
    made.config[key] = value;
    made
}

fn preprocessor_with(key: &str, value: Value) -> Made {
    let mut made = Made::transformers();
    made.preprocessor.as_mut().unwrap()[key] = value;
    made
}

#[test]
fn configurations_of_transformers_that_are_not_supported_are_refused_by_name() {
    let cases = [
        ("architectures", json!(["ConvNextModel"]), "ConvNextForImageClassification and"),
        ("hidden_act", json!("gelu_new"), "only gelu is supported"),
        ("num_channels", json!(1), "only 3 is supported"),
        ("num_stages", json!(3), "there are 4 depths"),
        ("layer_norm_eps", json!(0.0), "a small number above zero is needed"),
        ("patch_size", json!("four"), "a whole number is needed"),
    ];
    for (key, value, possible) in cases {
        let message = transformers_with(key, value.clone()).error();
        assert_says(&message, &["config.json", &format!("{key} is {value}"), possible]);
    }
    let deep = transformers_with("depths", json!(vec![1; 100_000])).error();
    assert_says(&deep, &["config.json: depths is a list of 100000", "1 to 8 stages"]);
}

#[test]
fn without_layer_scale_transformers_stores_no_parameter_of_it() {
    let mut made = transformers_with("layer_scale_init_value", json!(0));
    assert_says(&made.error(), &["1 not expected: convnext.encoder.stages.3.layers.0.layer_scale_parameter"]);
    made.tensors.retain(|(name, ..)| !name.ends_with("layer_scale_parameter"));
    made.open().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn transformers_crops_below_384_and_warps_from_there_on() {
    let fit = |size: Value| {
        let opened = preprocessor_with("size", size).open().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (opened.transform.height, opened.transform.width),
            (opened.program.input.height, opened.program.input.width)
        );
        opened.transform.fit
    };
    assert_eq!(fit(json!({"shortest_edge": 224})), Fit::ShortestEdge(256));
    assert_eq!(fit(json!({"shortest_edge": 383})), Fit::ShortestEdge(437));
    assert_eq!(fit(json!({"shortest_edge": 384})), Fit::Exact(384, 384));
    // version 4 saved a number
    assert_eq!(fit(json!(224)), Fit::ShortestEdge(256));
    assert_eq!(fit(json!(384)), Fit::Exact(384, 384));
    assert_eq!(fit(json!({"height": 64, "width": 96})), Fit::Exact(64, 96));
}

#[test]
fn a_processor_of_transformers_version_4_is_read() {
    let mut made = Made::transformers();
    made.preprocessor = Some(json!({
        "crop_pct": 0.875, "do_normalize": true, "do_resize": true, "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224,
    }));
    let opened = made.open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.program.input, convnext_server::program::InputSpec::imagenet(224));
    assert_eq!(opened.transform.fit, Fit::ShortestEdge(256));
}

#[test]
fn a_vit_processor_warps_and_an_unknown_one_is_refused() {
    let mut made = preprocessor_with("image_processor_type", json!("ViTImageProcessorFast"));
    made.preprocessor.as_mut().unwrap().as_object_mut().unwrap().remove("resample");
    let opened = made.open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((opened.transform.fit, opened.transform.filter), (Fit::Exact(32, 32), Filter::Bilinear));
    let message = preprocessor_with("image_processor_type", json!("BitImageProcessor")).error();
    assert_says(&message, &["preprocessor_config.json", "image_processor_type is \"BitImageProcessor\""]);
}

#[test]
fn processors_of_transformers_that_cannot_be_followed_are_refused_by_name() {
    let cases = [
        ("resample", json!(1), "2 (bilinear) and 3 (bicubic) are supported"),
        ("rescale_factor", json!(1.0), "only 1/255 is supported"),
        ("do_rescale", json!(false), "only true is supported"),
        ("do_resize", json!(false), "only true is supported"),
        ("do_center_crop", json!(true), "only false is supported"),
        ("crop_pct", json!(2), "0.05 to 1 is supported"),
        ("size", json!(0), "up to 4096 is needed"),
        ("image_mean", Value::Null, "three numbers are needed"),
        ("image_std", json!([0, 1, 1]), "numbers above zero are needed"),
    ];
    for (key, value, possible) in cases {
        let message = preprocessor_with(key, value.clone()).error();
        assert_says(&message, &["preprocessor_config.json", &format!("{key} is {value}"), possible]);
    }
}

#[test]
fn without_normalisation_pixels_are_only_scaled() {
    let input =
        preprocessor_with("do_normalize", json!(false)).open().unwrap_or_else(|error| panic!("{error}")).program.input;
    assert_eq!((input.mean, input.std), ([0.0; 3], [1.0; 3]));
}

// ---- labels

#[test]
fn labels_must_name_each_class_once() {
    let labels = |names: Value| timm_with("", "label_names", names);
    assert_eq!(labels(json!({"1": "dog", "0": "cat"})).open().map(|opened| opened.labels).unwrap(), ["cat", "dog"]);
    assert_says(&labels(json!(["cat"])).error(), &["config.json: label_names", "1 names for 2 classes"]);
    assert_says(
        &labels(json!({"0": "cat", "2": "dog"})).error(),
        &["config.json: label_names", "class 1 of 2 has no name"],
    );
    assert_says(
        &labels(json!(["cat", 7])).error(),
        &["config.json: label_names", "the name of class 1 is not a string"],
    );
    assert_says(&labels(json!("cat")).error(), &["config.json: label_names", "a list of names"]);
    let hole = transformers_with("id2label", json!({"0": "cat", "2": "dog"})).error();
    assert_says(&hole, &["config.json: id2label", "class 1 of 2 has no name"]);
    let mut both = transformers_with("num_labels", json!(3));
    assert_says(&both.error(), &["config.json: id2label", "2 names for 3 classes"]);
    both.config["num_labels"] = json!(2);
    assert_eq!(both.open().map(|opened| opened.labels).unwrap(), ["cat", "dog"]);
}

#[test]
fn classes_without_names_are_imagenets_when_a_thousand_and_else_numbered() {
    assert_eq!(Made::timm().open().map(|opened| opened.labels).unwrap(), ["class_0", "class_1"]);
    let mut made = timm_with("", "num_classes", json!(1000));
    made.tensor("head.fc.weight").2 = vec![1000, 5];
    made.tensor("head.fc.bias").2 = vec![1000];
    let labels = made.open().map(|opened| opened.labels).unwrap();
    assert_eq!((labels.len(), labels[281].as_str()), (1000, "tabby, tabby cat"));
}

#[test]
fn a_model_that_is_not_built_in_is_refused_with_the_names_there_are() {
    let message = error(checkpoint::demo("convnext_zepto"));
    assert_says(&message, &["no model convnext_zepto is built in", "convnext_atto"]);
}

// ---- hostile bytes

/// Positions and their new bytes.
fn mutations(length: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![any::<u8>(), proptest::sample::select(b"0123456789[]{},:\"-.e".to_vec())];
    proptest::collection::vec((0..length, byte), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_head_of_a_file_says_it_opens_or_is_an_error_that_names_it(mutations in mutations(2000)) {
        let made = Made::timm();
        let mut bytes = made.safetensors();
        for (place, byte) in mutations {
            bytes[place] = byte;
        }
        let folder = made.write_with(&bytes);
        if let Err(error) = checkpoint::open(folder.path()) {
            prop_assert!(error.to_string().contains("model.safetensors"), "{}", error);
        }
    }

    #[test]
    fn whatever_a_configuration_says_it_opens_or_is_an_error_that_names_a_file(mutations in mutations(230)) {
        let folder = Made::timm().write();
        let path = folder.path().join("config.json");
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, byte) in mutations {
            let length = bytes.len();
            bytes[place % length] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Err(error) = checkpoint::open(folder.path()) {
            let message = error.to_string();
            prop_assert!(message.contains("config.json") || message.contains("model.safetensors"), "{}", message);
        }
    }
}
