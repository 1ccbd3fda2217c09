//! What configurations and files of Swin may say: followed, ignored, or refused by name. What is the same for every architecture
//! is in `configs.rs` and `errors.rs`, golden checkpoints in `golden.rs`.

use crate::fixture::{Fixture, assert_says};
use convnext_server::checkpoint;
use convnext_server::engine::{Batch, DeviceId, Engine as _, Image, Options, PixelFormat, Precision, cpu::Cpu};
use convnext_server::pixels::Fit;
use convnext_server::program::{Op, Program};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Sizes of the windows of each block.
fn windows(program: &Program) -> Vec<[usize; 2]> {
    let attentions = program.ops.iter().filter_map(|(_, op)| match op {
        Op::Attention(attention) => Some(attention.windows.size),
        _ => None,
    });
    attentions.collect()
}

#[test]
fn the_made_up_checkpoints_open_as_they_stand() {
    for fixture in [Fixture::timm_swin(), Fixture::transformers_swin()] {
        let opened = fixture.opened();
        assert_eq!((opened.program.classes(), windows(&opened.program)), (2, vec![[2, 2]; 2]));
        assert!(opened.program.weights.iter().all(|weight| weight.materialise(&*opened.weights).is_ok()));
    }
}

// ---- timm's configuration

fn timm_with(key: &str, value: Value) -> Fixture {
    let mut fixture = Fixture::timm_swin();
    fixture.config["model_args"][key] = value;
    fixture
}

#[test]
fn arguments_of_timm_that_would_make_another_network_are_refused_by_name() {
    let cases = [
        ("always_partition", json!(true), "only false is supported"),
        ("head_dim", json!(8), "only null is supported"),
        ("head_dim", json!([4, 2]), "only null is supported"),
        ("embed_layer", json!("HybridEmbed"), "only null is supported"),
        ("norm_layer", json!("rmsnorm"), "only null is supported"),
        ("global_pool", json!("max"), "only avg is supported"),
        ("in_chans", json!(2), "1 and 3 channels are supported"),
        ("window_size", json!([2, 2, 2]), "a number is needed, [height, width]"),
        ("window_size", json!([2, [2, 2, 2]]), "a number is needed, [height, width]"),
        ("window_size", json!([[2, 2], "two"]), "a number is needed, [height, width]"),
        ("window_size", json!("two"), "a number is needed, [height, width]"),
        ("mlp_ratio", json!([4.0, 2.0]), "a number above zero is needed"),
        ("mlp_ratio", json!(0), "a number above zero is needed"),
        ("qkv_bias", json!("yes"), "true or false is needed"),
        ("depths", json!(2), "a list of whole numbers is needed"),
        ("embed_dim", json!(4.5), "a whole number is needed"),
        ("embed_dim", json!([4, 8]), "a whole number is needed"),
        ("img_size", json!(32), "images become 16×16"),
        ("img_size", json!([16, 32]), "images become 16×16"),
        ("ape", json!(true), "this argument is not known"),
    ];
    for (key, value, possible) in cases {
        let message = timm_with(key, value.clone()).error();
        assert_says(&message, &["config.json", &format!("model_args.{key} is {value}"), possible]);
    }
}

#[test]
fn numbers_that_make_no_network_are_refused() {
    let error = |key: &str, value: Value| timm_with(key, value).error();
    let name = "config.json: swin_tiny_patch4_window7_224";
    assert_says(&error("num_heads", json!([1])), &[name, "2 depths, 2 widths, 1 numbers of heads and 2 windows"]);
    assert_says(&error("num_heads", json!([3, 2])), &[name, "4 channels cannot be shared by 3 heads"]);
    assert_says(&error("num_heads", json!([0, 2])), &[name, "4 channels cannot be shared by 0 heads"]);
    assert_says(&error("embed_dim", json!(u64::MAX)), &[name, "more than 65,536 channels"]);
    assert_says(&error("window_size", json!(0)), &[name, "windows must be of 1 to 32 positions per side"]);
    assert_says(&error("window_size", json!(u64::MAX)), &[name, "windows must be of 1 to 32 positions per side"]);
    assert_says(&error("depths", json!([])), &[name, "0 depths"]);
    assert_says(&error("depths", json!(vec![0; 1000])), &[name, "1000 depths"]);
    assert_says(&error("patch_size", json!(0)), &[name, "patches must be of 1 to 64 pixels"]);
    assert_says(&error("patch_size", json!(3)), &[name, "images of 16×16 are no whole number of patches of 3"]);
}

#[test]
fn arguments_of_timm_that_change_no_inference_are_ignored() {
    let mut fixture = Fixture::timm_swin();
    let harmless = json!({
        "drop_rate": 0.1, "proj_drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.2, "weight_init": "skip",
        "in_chans": 3, "patch_size": 4, "mlp_ratio": 4, "qkv_bias": true, "always_partition": false, "head_dim": null,
        "strict_img_size": false, "dynamic_img_size": true, "embed_layer": null, "norm_layer": null, "global_pool": "avg",
        "img_size": [16, 16], "embed_dim": 4, "num_classes": 2,
    });
    fixture.config["model_args"].as_object_mut().unwrap().extend(harmless.as_object().unwrap().clone());
    let expected = Fixture::timm_swin().opened().program;
    assert_eq!(fixture.opened().program, expected);
    for natural in [json!(4), json!([4, 4]), json!(0)] {
        assert_eq!(timm_with("head_dim", natural).opened().program, expected);
    }
}

#[test]
fn windows_of_timm_are_of_all_stages_or_of_each() {
    // on maps of 4×4 and 2×2, to which they are cut
    let cases = [
        (json!(2), [[2, 2], [2, 2]]),
        (json!(3), [[3, 3], [2, 2]]),
        (json!([1, 2]), [[1, 2], [1, 2]]),
        (json!([[4, 1], 2]), [[4, 1], [2, 2]]),
        (json!([[1, 2], [2, 1]]), [[1, 2], [2, 1]]),
    ];
    for (size, expected) in cases {
        let mut fixture = timm_with("window_size", size.clone());
        for (stage, [height, width]) in expected.into_iter().enumerate() {
            let name = format!("layers.{stage}.blocks.0.attn.relative_position_bias_table");
            fixture.tensor(&name).2 = vec![(2 * height - 1) * (2 * width - 1), stage + 1];
        }
        assert_eq!(windows(&fixture.opened().program), expected, "{size}");
    }
}

#[test]
fn without_a_bias_of_queries_keys_and_values_none_is_stored() {
    let mut fixture = timm_with("qkv_bias", json!(false));
    assert_says(
        &fixture.error(),
        &["2 not expected: layers.0.blocks.0.attn.qkv.bias, layers.1.blocks.0.attn.qkv.bias"],
    );
    fixture.tensors.retain(|(name, ..)| !name.ends_with("qkv.bias"));
    fixture.opened();
    let mut fixture = Fixture::transformers_swin();
    fixture.config["qkv_bias"] = json!(false);
    fixture
        .tensors
        .retain(|(name, ..)| !["query.bias", "key.bias", "value.bias"].iter().any(|end| name.ends_with(end)));
    fixture.opened();
}

#[test]
fn the_size_that_timm_makes_the_network_for_is_the_images() {
    let mut fixture = Fixture::timm_swin();
    fixture.config["model_args"].as_object_mut().unwrap().remove("img_size");
    let parts = ["config.json: pretrained_cfg.input_size is [3,16,16]", "224×224", "img_size or fixed_input_size"];
    assert_says(&fixture.error(), &parts);
    fixture.config["pretrained_cfg"]["fixed_input_size"] = json!(true);
    assert_eq!(fixture.opened().program, Fixture::timm_swin().opened().program);
}

#[test]
fn architectures_of_timm_are_known_or_refused_with_the_names_there_are() {
    let named = |name: &str| {
        let mut fixture = Fixture::timm_swin();
        fixture.config["architecture"] = json!(name);
        fixture
    };
    for unknown in ["swin_s4_tiny_224.ms_in1k", "swin_s3_tiny_224_patch4_window12_384"] {
        let error = named(unknown).error();
        assert_says(&error, &[&format!("config.json: unknown architecture {unknown}; known are"), "swin_atto"]);
        assert_says(&error, &["swin_base_patch4_window12_384", "convnext_tiny", "swin_s3_tiny_224"]);
    }
    let v2 = named("swinv2_tiny_window8_256.ms_in1k").error();
    assert_says(
        &v2,
        &["config.json: architecture is \"swinv2_tiny_window8_256.ms_in1k\"", "version 2", "not supported"],
    );
    for name in ["swin_atto", "swin_large_patch4_window12_384.ms_in22k_ft_in1k", "swin_base_patch4_window7_224_in22k"] {
        let program = named(name).opened().program;
        assert_eq!(program.architecture, name.split('.').next().unwrap().trim_end_matches("_in22k"));
    }
}

// ---- transformers' configuration

fn transformers_with(key: &str, value: Value) -> Fixture {
    let mut fixture = Fixture::transformers_swin();
    fixture.config[key] = value;
    fixture
}

#[test]
fn configurations_of_transformers_that_are_not_supported_are_refused_by_name() {
    let cases = [
        ("architectures", json!(["SwinForMaskedImageModeling"]), "SwinForImageClassification are supported"),
        ("architectures", json!(["Swinv2ForImageClassification"]), "SwinForImageClassification are supported"),
        ("hidden_act", json!("mish"), "silu, swish and relu are supported"),
        ("num_channels", json!(1), "only 3 is supported"),
        ("patch_size", json!([4, 4]), "a whole number is needed"),
        ("window_size", json!([2, 2]), "a whole number is needed"),
        ("embed_dim", json!([4, 8]), "a whole number is needed"),
        ("num_heads", json!(2), "a list of whole numbers is needed"),
        ("mlp_ratio", json!(-1), "a number above zero is needed"),
        ("layer_norm_eps", json!(0.0), "a small number above zero is needed"),
        ("depths", json!([]), "1 to 8 stages are supported"),
    ];
    for (key, value, possible) in cases {
        let message = transformers_with(key, value.clone()).error();
        assert_says(&message, &["config.json", &format!("{key} is {value}"), possible]);
    }
    let wide = transformers_with("embed_dim", json!(u64::MAX)).error();
    assert_says(&wide, &["config.json: swin", "more than 65,536 channels"]);
}

#[test]
fn a_map_smaller_than_its_windows_is_refused_with_both() {
    let message = transformers_with("window_size", json!(3)).error();
    assert_says(&message, &["config.json: swin: stage 1 has a map of 2×2", "smaller than its windows of 3×3"]);
}

#[test]
fn an_image_of_no_whole_number_of_patches_is_filled_up_by_transformers() {
    let mut fixture = Fixture::transformers_swin();
    let map = |fixture: &Fixture| {
        let program = fixture.opened().program;
        program.shape(program.ops.iter().find(|(name, _)| name == "stem").unwrap().1.output()).to_string()
    };
    assert_eq!(map(&fixture), "4×4×4");
    fixture.preprocessor.as_mut().unwrap()["size"] = json!({"height": 18, "width": 16});
    assert_eq!(map(&fixture), "5×4×4");
}

#[test]
fn embeddings_of_positions_are_for_the_images_of_one_size() {
    let mut fixture = transformers_with("use_absolute_embeddings", json!(true));
    fixture.config["image_size"] = json!(16);
    let name = "swin.embeddings.position_embeddings";
    assert_says(&fixture.error(), &[name]);
    fixture.tensors.push((name.to_owned(), "F32", vec![1, 16, 4]));
    fixture.opened();
    fixture.config["image_size"] = json!([16, 16]);
    fixture.opened();
    fixture.config["image_size"] = json!(32);
    assert_says(&fixture.error(), &["config.json: image_size is 32; images become 16×16", "let size"]);
}

#[test]
fn windows_that_were_searched_for_are_of_four_stages() {
    let mut fixture = Fixture::timm_swin();
    fixture.config["architecture"] = json!("swin_s3_tiny_224");
    fixture.config["model_args"].as_object_mut().unwrap().remove("window_size");
    assert_says(&fixture.error(), &["config.json: model_args.depths is [1,1]", "say window_size too"]);
}

#[test]
fn the_norms_of_blocks_and_head_have_the_epsilon_that_is_configured() {
    let program = transformers_with("layer_norm_eps", json!(1e-12)).opened().program;
    let eps = |layer: &str| match program.ops.iter().find(|(name, _)| name == layer) {
        Some((_, Op::Norm(norm))) => norm.eps,
        other => panic!("{layer} is {other:?}"),
    };
    for layer in ["stages.0.blocks.0.norm1", "stages.1.blocks.0.norm2", "head.norm"] {
        assert_eq!(eps(layer), 1e-12, "{layer}");
    }
    for layer in ["stem.norm", "stages.1.downsample.norm"] {
        assert_eq!(eps(layer), 1e-5, "{layer}");
    }
}

#[test]
fn a_published_size_of_transformers_has_its_name() {
    // without its weights, so that only the message names it
    let named = |window: usize, side: usize| {
        let mut fixture = Fixture::transformers_swin();
        let base = json!({
            "embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32], "window_size": window,
        });
        fixture.config.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
        fixture.preprocessor.as_mut().unwrap()["size"] = json!(side);
        fixture.error()
    };
    assert_says(&named(7, 224), &["does not fit swin_base: "]);
    assert_says(&named(12, 384), &["does not fit swin_base_patch4_window12_384: "]);
    assert_says(&named(8, 256), &["does not fit swin: "]);
}

#[test]
fn labels_and_the_transform_are_those_of_the_configuration() {
    let opened = Fixture::transformers_swin().opened();
    assert_eq!(opened.labels, ["cat", "dog"]);
    assert_eq!(opened.transform.fit, Fit::Exact(16, 16));
}

// ---- tensors against the architecture

#[test]
fn queries_keys_and_values_that_are_missing_or_misshapen_are_named_one_by_one() {
    let mut fixture = Fixture::transformers_swin();
    let name = |part: &str| format!("swin.encoder.layers.1.blocks.0.attention.self.{part}");
    fixture.tensors.retain(|(stored, ..)| *stored != name("key.weight") && *stored != name("value.bias"));
    fixture.tensor(&name("query.weight")).2 = vec![24, 8];
    let message = fixture.error();
    assert_says(&message, &[&format!("2 missing: {}, {}", name("value.bias"), name("key.weight"))]);
    assert_says(&message, &[&format!("1 of another shape: {} [24, 8] instead of [8, 8]", name("query.weight"))]);
}

#[test]
fn a_table_of_other_windows_is_misshapen() {
    // a table of windows of 7 where the configuration says 12
    let mut fixture = timm_with("window_size", json!(12));
    fixture.config["model_args"]["img_size"] = json!(96);
    fixture.config["pretrained_cfg"]["input_size"] = json!([3, 96, 96]);
    for (stage, rows) in [(0, 169), (1, 529)] {
        fixture.tensor(&format!("layers.{stage}.blocks.0.attn.relative_position_bias_table")).2 = vec![rows, stage + 1];
    }
    let table = "layers.0.blocks.0.attn.relative_position_bias_table";
    assert_says(&fixture.error(), &[&format!("1 of another shape: {table} [169, 1] instead of [529, 1]")]);
}

#[test]
fn buffers_that_the_libraries_compute_are_ignored_whatever_their_type() {
    let mut fixture = Fixture::timm_swin();
    fixture.tensors.push(("layers.0.blocks.0.attn.relative_position_index".into(), "I64", vec![4, 4]));
    fixture.tensors.push(("layers.1.blocks.0.attn_mask".into(), "F32", vec![4, 4, 4]));
    fixture.opened();
    let mut fixture = Fixture::transformers_swin();
    let index = "swin.encoder.layers.0.blocks.0.attention.self.relative_position_index";
    fixture.tensors.push((index.into(), "I64", vec![4, 4]));
    fixture.opened();
    fixture.tensors.push(("swin.embeddings.mask_token".into(), "F32", vec![1, 1, 4]));
    assert_says(&fixture.error(), &["1 not expected: swin.embeddings.mask_token"]);
    // ConvNeXt has no such buffer
    let mut fixture = Fixture::timm();
    fixture.tensors.push(("relative_position_index".into(), "I64", vec![]));
    assert_says(&fixture.error(), &["1 not expected: relative_position_index"]);
}

#[test]
fn files_of_timm_from_when_stages_ended_with_a_merge_are_read() {
    let mut fixture = Fixture::timm_swin();
    for (name, ..) in &mut fixture.tensors {
        *name = name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head");
    }
    assert_eq!(fixture.opened().program, Fixture::timm_swin().opened().program);
    fixture.tensors.retain(|(name, ..)| name != "layers.0.downsample.norm.bias" && name != "head.bias");
    assert_says(&fixture.error(), &["2 missing: layers.0.downsample.norm.bias, head.bias"]);
}

/// The paths of all numbers in a value.
fn numbers(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Number(_) => into.push(path.to_owned()),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| numbers(value, &format!("{path}/{key}"), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| numbers(value, &format!("{path}/{index}"), into));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What opens is also compiled, where its image is small: a network that passes every check must not panic either.
    #[test]
    fn whatever_numbers_a_configuration_has_it_runs_or_is_an_error_that_names_a_file(
        timm in any::<bool>(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0, 1, 2, 3, 5, 31, 32, 33, 64, 4096, u64::MAX])),
            1..4,
        ),
    ) {
        let mut fixture = if timm { Fixture::timm_swin() } else { Fixture::transformers_swin() };
        let mut pointers = Vec::new();
        numbers(&fixture.config, "", &mut pointers);
        for (index, number) in changes {
            *fixture.config.pointer_mut(index.get::<String>(&pointers)).unwrap() = json!(number);
        }
        let folder = fixture.write();
        match checkpoint::open(folder.path()) {
            Ok(checkpoint) => {
                let input = checkpoint.program.input;
                if input.height * input.width <= 64 * 64 {
                    let options = Options { precision: Precision::F32, max_batch: 1, threads: 1, profile: false };
                    let (program, weights) = (&checkpoint.program, &*checkpoint.weights);
                    let loaded = Cpu::default().load(DeviceId(0), program, weights, &options).unwrap();
                    let image = Image::new(PixelFormat::Rgb8, vec![9; input.height * input.width * 3]);
                    loaded.instantiate().unwrap().run(Batch::new(vec![image])).unwrap();
                }
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.contains("config.json") || message.contains("model.safetensors"), "{}", message);
            }
        }
    }
}
