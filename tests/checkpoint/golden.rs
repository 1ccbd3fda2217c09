//! Checkpoints as their libraries publish them: each opens as its own configuration says, and its weights are those that
//! Python's safetensors reads. What must not open is in `errors.rs`,
//! `configs.rs` and `swin.rs`.

use std::path::{Path, PathBuf};

use convnext_server::checkpoint::{self, Checkpoint, CheckpointError, Source};
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform};
use convnext_server::program::{InputSpec, Op, WeightError};
use serde_json::Value;

const GOLDEN: [&str; 10] = [
    "timm-convnext",
    "timm-convnext-wide-norm",
    "timm-convnextv2",
    "transformers-convnext",
    "transformers-convnextv2",
    "timm-swin",
    "timm-swin-window4",
    "timm-swin-padded",
    "transformers-swin",
    "transformers-swin-padded",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder(case: &str) -> PathBuf {
    if case == "convnext_atto" { root().join("models").join(case) } else { root().join("tests/golden").join(case) }
}

fn open(case: &str) -> Checkpoint {
    checkpoint::open(&folder(case)).unwrap_or_else(|error| panic!("{case}: {error}"))
}

/// What Python's safetensors reads; `tests/golden/weights.py` made it.
fn python() -> Value {
    let text = std::fs::read_to_string(root().join("tests/golden/weights.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Canonical names and those of the libraries: every kind of tensor once, of the first block that has it.
fn names(case: &str) -> Vec<(&'static str, &'static str)> {
    let timm = [
        ("stem.weight", "stem.0.weight"),
        ("stem.bias", "stem.0.bias"),
        ("stem.norm.scale", "stem.1.weight"),
        ("stem.norm.shift", "stem.1.bias"),
        ("stages.1.downsample.norm.scale", "stages.1.downsample.0.weight"),
        ("stages.1.downsample.norm.shift", "stages.1.downsample.0.bias"),
        ("stages.1.downsample.weight", "stages.1.downsample.1.weight"),
        ("stages.1.downsample.bias", "stages.1.downsample.1.bias"),
        ("stages.0.blocks.0.depthwise.weight", "stages.0.blocks.0.conv_dw.weight"),
        ("stages.0.blocks.0.depthwise.bias", "stages.0.blocks.0.conv_dw.bias"),
        ("stages.0.blocks.0.norm.scale", "stages.0.blocks.0.norm.weight"),
        ("stages.0.blocks.0.norm.shift", "stages.0.blocks.0.norm.bias"),
        ("stages.0.blocks.0.fc1.weight", "stages.0.blocks.0.mlp.fc1.weight"),
        ("stages.0.blocks.0.fc1.bias", "stages.0.blocks.0.mlp.fc1.bias"),
        ("stages.0.blocks.0.fc2.weight", "stages.0.blocks.0.mlp.fc2.weight"),
        ("stages.0.blocks.0.fc2.bias", "stages.0.blocks.0.mlp.fc2.bias"),
        ("head.norm.scale", "head.norm.weight"),
        ("head.norm.shift", "head.norm.bias"),
        ("head.weight", "head.fc.weight"),
        ("head.bias", "head.fc.bias"),
    ];
    let transformers = [
        ("stem.weight", "convnext.embeddings.patch_embeddings.weight"),
        ("stem.bias", "convnext.embeddings.patch_embeddings.bias"),
        ("stem.norm.scale", "convnext.embeddings.layernorm.weight"),
        ("stem.norm.shift", "convnext.embeddings.layernorm.bias"),
        ("stages.1.downsample.norm.scale", "convnext.encoder.stages.1.downsampling_layer.0.weight"),
        ("stages.1.downsample.norm.shift", "convnext.encoder.stages.1.downsampling_layer.0.bias"),
        ("stages.1.downsample.weight", "convnext.encoder.stages.1.downsampling_layer.1.weight"),
        ("stages.1.downsample.bias", "convnext.encoder.stages.1.downsampling_layer.1.bias"),
        ("stages.0.blocks.0.depthwise.weight", "convnext.encoder.stages.0.layers.0.dwconv.weight"),
        ("stages.0.blocks.0.depthwise.bias", "convnext.encoder.stages.0.layers.0.dwconv.bias"),
        ("stages.0.blocks.0.norm.scale", "convnext.encoder.stages.0.layers.0.layernorm.weight"),
        ("stages.0.blocks.0.norm.shift", "convnext.encoder.stages.0.layers.0.layernorm.bias"),
        ("stages.0.blocks.0.fc1.weight", "convnext.encoder.stages.0.layers.0.pwconv1.weight"),
        ("stages.0.blocks.0.fc1.bias", "convnext.encoder.stages.0.layers.0.pwconv1.bias"),
        ("stages.0.blocks.0.fc2.weight", "convnext.encoder.stages.0.layers.0.pwconv2.weight"),
        ("stages.0.blocks.0.fc2.bias", "convnext.encoder.stages.0.layers.0.pwconv2.bias"),
        ("stages.0.blocks.0.gamma.scale", "convnext.encoder.stages.0.layers.0.layer_scale_parameter"),
        ("head.norm.scale", "convnext.layernorm.weight"),
        ("head.norm.shift", "convnext.layernorm.bias"),
        ("head.weight", "classifier.weight"),
        ("head.bias", "classifier.bias"),
    ];
    let gamma = ("stages.2.blocks.0.gamma.scale", "stages.2.blocks.0.gamma");
    let grn = [
        ("stages.0.blocks.0.grn.scale", "stages.0.blocks.0.mlp.grn.weight"),
        ("stages.0.blocks.0.grn.shift", "stages.0.blocks.0.mlp.grn.bias"),
    ];
    match case {
        "timm-convnextv2" => [&timm[..], &grn].concat(),
        "transformers-convnext" | "transformers-convnextv2" => transformers.to_vec(),
        _ if case.starts_with("timm-swin") => timm_swin(),
        _ if case.starts_with("transformers-swin") => transformers_swin(),
        _ => [&timm[..], &[gamma]].concat(),
    }
}

fn timm_swin() -> Vec<(&'static str, &'static str)> {
    vec![
        ("stem.weight", "patch_embed.proj.weight"),
        ("stem.bias", "patch_embed.proj.bias"),
        ("stem.norm.scale", "patch_embed.norm.weight"),
        ("stem.norm.shift", "patch_embed.norm.bias"),
        ("stages.1.downsample.norm.scale", "layers.1.downsample.norm.weight"),
        ("stages.1.downsample.norm.shift", "layers.1.downsample.norm.bias"),
        ("stages.1.downsample.weight", "layers.1.downsample.reduction.weight"),
        ("stages.1.blocks.1.norm1.scale", "layers.1.blocks.1.norm1.weight"),
        ("stages.1.blocks.1.norm1.shift", "layers.1.blocks.1.norm1.bias"),
        ("stages.1.blocks.1.qkv.weight", "layers.1.blocks.1.attn.qkv.weight"),
        ("stages.1.blocks.1.qkv.bias", "layers.1.blocks.1.attn.qkv.bias"),
        ("stages.1.blocks.1.attention.table", "layers.1.blocks.1.attn.relative_position_bias_table"),
        ("stages.1.blocks.1.proj.weight", "layers.1.blocks.1.attn.proj.weight"),
        ("stages.1.blocks.1.proj.bias", "layers.1.blocks.1.attn.proj.bias"),
        ("stages.1.blocks.1.norm2.scale", "layers.1.blocks.1.norm2.weight"),
        ("stages.1.blocks.1.norm2.shift", "layers.1.blocks.1.norm2.bias"),
        ("stages.1.blocks.1.fc1.weight", "layers.1.blocks.1.mlp.fc1.weight"),
        ("stages.1.blocks.1.fc1.bias", "layers.1.blocks.1.mlp.fc1.bias"),
        ("stages.1.blocks.1.fc2.weight", "layers.1.blocks.1.mlp.fc2.weight"),
        ("stages.1.blocks.1.fc2.bias", "layers.1.blocks.1.mlp.fc2.bias"),
        ("head.norm.scale", "norm.weight"),
        ("head.norm.shift", "norm.bias"),
        ("head.weight", "head.fc.weight"),
        ("head.bias", "head.fc.bias"),
    ]
}

/// But for queries, keys and values, which are three tensors there.
fn transformers_swin() -> Vec<(&'static str, &'static str)> {
    vec![
        ("stem.weight", "swin.embeddings.patch_embeddings.projection.weight"),
        ("stem.bias", "swin.embeddings.patch_embeddings.projection.bias"),
        ("stem.norm.scale", "swin.embeddings.norm.weight"),
        ("stem.norm.shift", "swin.embeddings.norm.bias"),
        ("stages.1.downsample.norm.scale", "swin.encoder.layers.0.downsample.norm.weight"),
        ("stages.1.downsample.norm.shift", "swin.encoder.layers.0.downsample.norm.bias"),
        ("stages.1.downsample.weight", "swin.encoder.layers.0.downsample.reduction.weight"),
        ("stages.1.blocks.1.norm1.scale", "swin.encoder.layers.1.blocks.1.layernorm_before.weight"),
        ("stages.1.blocks.1.norm1.shift", "swin.encoder.layers.1.blocks.1.layernorm_before.bias"),
        (
            "stages.1.blocks.1.attention.table",
            "swin.encoder.layers.1.blocks.1.attention.self.relative_position_bias_table",
        ),
        ("stages.1.blocks.1.proj.weight", "swin.encoder.layers.1.blocks.1.attention.output.dense.weight"),
        ("stages.1.blocks.1.proj.bias", "swin.encoder.layers.1.blocks.1.attention.output.dense.bias"),
        ("stages.1.blocks.1.norm2.scale", "swin.encoder.layers.1.blocks.1.layernorm_after.weight"),
        ("stages.1.blocks.1.norm2.shift", "swin.encoder.layers.1.blocks.1.layernorm_after.bias"),
        ("stages.1.blocks.1.fc1.weight", "swin.encoder.layers.1.blocks.1.intermediate.dense.weight"),
        ("stages.1.blocks.1.fc1.bias", "swin.encoder.layers.1.blocks.1.intermediate.dense.bias"),
        ("stages.1.blocks.1.fc2.weight", "swin.encoder.layers.1.blocks.1.output.dense.weight"),
        ("stages.1.blocks.1.fc2.bias", "swin.encoder.layers.1.blocks.1.output.dense.bias"),
        ("head.norm.scale", "swin.layernorm.weight"),
        ("head.norm.shift", "swin.layernorm.bias"),
        ("head.weight", "classifier.weight"),
        ("head.bias", "classifier.bias"),
    ]
}

#[test]
fn each_golden_checkpoint_opens_as_its_configuration_says() {
    let half = ([0.5; 3], [0.5; 3]);
    let imagenet = (InputSpec::IMAGENET_MEAN, InputSpec::IMAGENET_STD);
    // the shorter edge before the crop is int(side / crop_pct)
    let edge = Fit::ShortestEdge;
    let swin = "swin_tiny_patch4_window7_224";
    let expected = [
        ("timm-convnext", "convnext_tiny", 96, edge(109), imagenet),
        ("timm-convnext-wide-norm", "convnext_atto", 64, edge(67), imagenet),
        ("timm-convnextv2", "convnextv2_atto", 96, edge(109), imagenet),
        ("transformers-convnext", "convnext", 96, edge(109), half),
        ("transformers-convnextv2", "convnextv2", 64, edge(73), half),
        ("timm-swin", swin, 224, edge(248), imagenet),
        ("timm-swin-window4", swin, 64, edge(71), imagenet),
        ("timm-swin-padded", swin, 160, edge(177), imagenet),
        ("transformers-swin", "swin", 224, Fit::Exact(224, 224), imagenet),
        ("transformers-swin-padded", "swin", 160, Fit::Exact(160, 160), imagenet),
    ];
    for (case, architecture, side, fit, (mean, std)) in expected {
        let opened = open(case);
        assert_eq!(opened.program.architecture, architecture, "{case}");
        assert_eq!(opened.program.input, InputSpec { height: side, width: side, mean, std }, "{case}");
        let rounding = if case.starts_with("timm") { CropRounding::HalfToEven } else { CropRounding::Down };
        let (height, width, filter) = (side, side, Filter::Bicubic);
        assert_eq!(
            opened.transform,
            Transform { height, width, fit, rounding, filter, fill: [0; 3], grey: false },
            "{case}"
        );
        assert_eq!(opened.labels, ["heron", "kettle", "lantern", "magpie", "nutmeg", "otter", "pylon"], "{case}");
        assert_eq!(opened.program.classes(), 7, "{case}");
        assert!(opened.origin.ends_with(case), "{case}");
    }
}

#[test]
fn a_program_has_the_parameters_that_its_file_has() {
    let python = python();
    for case in GOLDEN.into_iter().chain(["convnext_atto"]) {
        let tensors = python[case].as_object().unwrap();
        let elements = |tensor: &Value| -> u64 {
            tensor["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap()).product()
        };
        assert_eq!(open(case).program.parameters(), tensors.values().map(elements).sum::<u64>(), "{case}");
    }
}

#[test]
fn the_norms_of_transformers_have_their_own_epsilons() {
    let program = open("transformers-convnext").program;
    let eps = |layer: &str| match program.ops.iter().find(|(name, _)| name == layer) {
        Some((_, Op::Norm(norm))) => norm.eps,
        other => panic!("{layer} is {other:?}"),
    };
    assert_eq!(eps("stem.norm"), 1e-6);
    assert_eq!(eps("stages.1.downsample.norm"), 1e-6);
    assert_eq!(eps("stages.2.blocks.1.norm"), 1e-6);
    assert_eq!(eps("head.norm"), 1e-12, "layer_norm_eps of config.json");
}

#[test]
fn every_kind_of_weight_is_what_pythons_safetensors_reads() {
    let python = python();
    for case in GOLDEN {
        let opened = open(case);
        for (canonical, stored) in names(case) {
            let stored = match case {
                "transformers-convnextv2" if canonical.ends_with("gamma.scale") => continue,
                "transformers-convnextv2" => stored.replacen("convnext.", "convnextv2.", 1),
                _ => stored.to_owned(),
            };
            assert_read(&opened, canonical, &python[case][&stored], &format!("{case}: {canonical} as {stored}"));
        }
    }
    let (v2, expected) = (open("transformers-convnextv2"), &python["transformers-convnextv2"]);
    let grn = |parameter| &expected[format!("convnextv2.encoder.stages.0.layers.0.grn.{parameter}")];
    assert_read(&v2, "stages.0.blocks.0.grn.scale", grn("weight"), "GRN's scale, stored as [1, 1, 1, c]");
    assert_read(&v2, "stages.0.blocks.0.grn.shift", grn("bias"), "GRN's shift, stored as [1, 1, 1, c]");
}

#[test]
fn queries_keys_and_values_of_transformers_are_read_as_one_tensor() {
    let (opened, python) = (open("transformers-swin"), &python()["transformers-swin"]);
    for (parameter, len) in [("weight", 32 * 32), ("bias", 32)] {
        let canonical = format!("stages.1.blocks.1.qkv.{parameter}");
        let mut read = vec![f32::NAN; 3 * len];
        opened.weights.read(&canonical, &mut read).unwrap();
        for (part, values) in ["query", "key", "value"].iter().zip(read.chunks_exact(len)) {
            let stored = format!("swin.encoder.layers.1.blocks.1.attention.self.{part}.{parameter}");
            assert_is(values, &python[&stored], &stored);
        }
        let size = opened.weights.read(&canonical, &mut read[1..]).unwrap_err().to_string();
        for part in ["query", "key", "value"] {
            assert!(size.contains(&format!("attention.self.{part}.{parameter}")), "{size}");
        }
        assert!(size.contains(&format!("has {} elements", 3 * len)), "{size}");
    }
}

/// Reads a weight and holds it against Python's row of it.
fn assert_read(opened: &Checkpoint, canonical: &str, expected: &Value, what: &str) {
    let shape = expected["shape"].as_array().unwrap_or_else(|| panic!("{what}: Python does not have it"));
    let mut read = vec![f32::NAN; shape.iter().map(|dim| dim.as_u64().unwrap() as usize).product()];
    opened.weights.read(canonical, &mut read).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_is(&read, expected, what);
}

/// Holds values against Python's row of them.
fn assert_is(read: &[f32], expected: &Value, what: &str) {
    let first: Vec<f32> = expected["first"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    assert_eq!(read[..3], first, "{what}");
    let bits = read.iter().zip(1u64..).map(|(value, position)| u64::from(value.to_bits()).wrapping_mul(position));
    let fingerprint = format!("{:016x}", bits.fold(0, u64::wrapping_add));
    assert_eq!(expected["fingerprint"], fingerprint.as_str(), "{what}");
}

#[test]
fn a_sharded_checkpoint_reads_as_the_single_file() {
    let shards = tempfile::tempdir().unwrap();
    shard(&folder("timm-convnext"), shards.path());
    let (whole, sharded) = (open("timm-convnext"), checkpoint::open(shards.path()).unwrap());
    assert_eq!(whole.program, sharded.program);
    for weight in &whole.program.weights {
        let expected = weight.materialise(&*whole.weights).unwrap();
        assert_eq!(weight.materialise(&*sharded.weights).unwrap(), expected, "{}", weight.name);
    }
}

/// Splits a checkpoint into two files, tensor by tensor, with an index, as transformers' save_pretrained does.
fn shard(from: &Path, into: &Path) {
    std::fs::copy(from.join("config.json"), into.join("config.json")).unwrap();
    let bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut shards = [(serde_json::Map::new(), Vec::new()), (serde_json::Map::new(), Vec::new())];
    let mut weight_map = serde_json::Map::new();
    for (index, (name, entry)) in header.into_iter().filter(|(name, _)| name != "__metadata__").enumerate() {
        let (header, bytes) = &mut shards[index % 2];
        let offset = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize;
        let start = bytes.len();
        bytes.extend_from_slice(&data[offset(0)..offset(1)]);
        let mut entry = entry;
        entry["data_offsets"] = serde_json::json!([start, bytes.len()]);
        header.insert(name.clone(), entry);
        weight_map.insert(name, files[index % 2].into());
    }
    for (file, (header, bytes)) in files.iter().zip(shards) {
        let header = serde_json::to_vec(&header).unwrap();
        let whole = [&(header.len() as u64).to_le_bytes()[..], &header, &bytes].concat();
        std::fs::write(into.join(file), whole).unwrap();
    }
    let index = serde_json::json!({"metadata": {"total_size": data.len()}, "weight_map": weight_map});
    std::fs::write(into.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn the_demo_model_in_the_binary_is_the_one_in_the_folder() {
    let (demo, folder) = (checkpoint::demo("convnext_atto").unwrap(), open("convnext_atto"));
    assert_eq!(demo.program, folder.program);
    assert_eq!(demo.transform, folder.transform);
    let clothing =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];
    assert_eq!(demo.labels, clothing);
    assert_eq!(demo.program.parameters(), 3_377_730);
    assert_eq!(demo.transform.fit, Fit::ShortestEdge(64));
    let expected = &python()["convnext_atto"];
    for opened in [&demo, &folder] {
        for (canonical, stored) in names("convnext_atto") {
            assert_read(opened, canonical, &expected[stored], canonical);
        }
    }
}

#[test]
fn each_model_in_the_binary_is_the_one_of_its_name() {
    assert_eq!(checkpoint::demo_names(), ["convnext_atto", "swin_atto"]);
    for name in checkpoint::demo_names() {
        let (demo, folder) =
            (checkpoint::demo(name).unwrap(), checkpoint::open(&root().join("models").join(name)).unwrap());
        assert_eq!((&demo.program.architecture[..], &demo.program), (*name, &folder.program));
        assert_eq!((demo.transform, demo.labels), (folder.transform, folder.labels), "{name}");
    }
}

#[test]
fn the_demo_images_are_named_by_its_classes() {
    for label in checkpoint::demo("convnext_atto").unwrap().labels {
        let name = label.to_lowercase().replace(['/', ' '], "-");
        let path = root().join("models/images").join(format!("{name}.png"));
        assert!(path.is_file(), "{}", path.display());
    }
}

#[test]
fn a_weight_that_is_asked_for_wrongly_is_an_error_that_names_it() {
    let opened = open("timm-convnext");
    let missing = opened.weights.read("stages.9.blocks.0.fc1.weight", &mut [0.0]).unwrap_err();
    assert!(matches!(&missing, WeightError::Missing { tensor, .. } if tensor == "stages.9.blocks.0.fc1.weight"));
    let size = opened.weights.read("head.bias", &mut [0.0; 8]).unwrap_err().to_string();
    assert!(size.contains("model.safetensors: tensor head.fc.bias has 7 elements"), "{size}");
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_an_error_of_the_read() {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder("timm-convnext").join(file), copy.path().join(file)).unwrap();
    }
    let opened = checkpoint::open(copy.path()).unwrap();
    let file = std::fs::File::options().write(true).open(copy.path().join("model.safetensors")).unwrap();
    file.set_len(9_000).unwrap();
    let error = opened.program.weights.iter().find_map(|weight| weight.materialise(&*opened.weights).err());
    assert!(matches!(error, Some(WeightError::Read { .. })), "{error:?}");
}

#[test]
fn a_source_opens_its_checkpoint_as_it_is_now() {
    let copy = tempfile::tempdir().unwrap();
    let source = Source::Folder(copy.path().to_owned());
    assert!(matches!(source.open().err().unwrap(), CheckpointError::NotFound { .. }));
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder("timm-convnext").join(file), copy.path().join(file)).unwrap();
    }
    let (first, second) = (source.open().unwrap(), source.clone().open().unwrap());
    assert_eq!(first.program, second.program);
    assert_eq!([&first.origin, &second.origin], [&source.to_string(); 2]);
    assert_eq!(source.to_string(), copy.path().display().to_string());

    let built_in = Source::BuiltIn("swin_atto");
    assert_eq!(built_in.open().unwrap().program, checkpoint::demo("swin_atto").unwrap().program);
    assert_eq!(built_in.to_string(), "built in");
    assert!(matches!(Source::BuiltIn("resnet").open().err().unwrap(), CheckpointError::UnknownDemo { .. }));
}
