//! What configurations may say, by timm's rules, and what labels of either library: followed, ignored, or refused by name. What golden
//! checkpoints say is in `golden.rs`, the rules of transformers in `transformers.rs`.

use crate::fixture::{Fixture, assert_says, error};
use crate::transformers::transformers_with;
use convnext_server::checkpoint;
use convnext_server::pixels::{Filter, Fit};
use serde_json::{Value, json};

fn timm_with(section: &str, key: &str, value: Value) -> Fixture {
    let mut fixture = Fixture::timm();
    let target = if section.is_empty() { &mut fixture.config } else { &mut fixture.config[section] };
    target[key] = value;
    fixture
}

#[test]
fn arguments_of_timm_that_would_make_another_network_are_refused_by_name() {
    let cases = [
        ("stem_type", json!("conv"), "patch, overlap, overlap_tiered and overlap_act are supported"),
        ("act_layer", json!("mish"), "gelu, gelu_tanh, silu, swish and relu are supported"),
        ("norm_layer", json!("batchnorm2d"), "layernorm, rmsnorm and simplenorm, with or without 2d, are supported"),
        ("head_hidden_size", json!("wide"), "a whole number is needed"),
        ("global_pool", json!("max"), "only avg is supported"),
        ("output_stride", json!("half"), "a whole number is needed"),
        ("conv_bias", json!(false), "only true is supported"),
        ("in_chans", json!(4), "1 and 3 channels are supported"),
        ("patch_size", json!("four"), "a whole number is needed"),
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
fn numbers_of_timm_that_make_no_network_are_refused() {
    for (key, value, why) in [
        ("output_stride", json!(64), "the stride of the output must be 8, 16 or 32"),
        ("patch_size", json!(65), "patches must be of 1 to 64 pixels"),
        ("head_hidden_size", json!(1 << 20), "the head's hidden layer must be of 1 to 65,536"),
        ("kernel_sizes", json!([7, 7, 7, 61]), "kernels of 61 dilated by 2 reach further than 63"),
    ] {
        let mut fixture = timm_with("model_args", key, value);
        if key == "kernel_sizes" {
            fixture.config["model_args"]["output_stride"] = json!(16);
        }
        assert_says(&fixture.error(), &["config.json: convnext_atto", why]);
    }
    let mut both = timm_with("model_args", "head_hidden_size", json!(8));
    both.config["model_args"]["head_norm_first"] = json!(true);
    assert_says(&both.error(), &["config.json: convnext_atto", "after a norm after the pooling"]);
}

#[test]
fn arguments_of_timm_that_change_no_inference_are_ignored() {
    let mut fixture = Fixture::timm();
    let harmless = json!({
        "drop_path_rate": 0.1, "drop_rate": 0.2, "head_init_scale": 0.1, "in_chans": 3, "img_size": 64, "global_pool": "avg",
        "output_stride": 32, "act_layer": "gelu", "stem_type": "patch", "conv_mlp": true, "conv_bias": true,
        "norm_layer": null, "head_hidden_size": null, "norm_eps": null, "kernel_sizes": 7, "patch_size": 4,
    });
    fixture.config["model_args"].as_object_mut().unwrap().extend(harmless.as_object().unwrap().clone());
    let program = |fixture: &Fixture| fixture.opened().program;
    assert_eq!(program(&fixture), program(&Fixture::timm()));
}

#[test]
fn kernels_norms_and_layer_scale_follow_the_arguments_of_timm() {
    let mut fixture = timm_with("model_args", "kernel_sizes", json!([7, 5, 5, 3]));
    fixture.tensor("stages.3.blocks.0.conv_dw.weight").2 = vec![5, 1, 3, 3];
    fixture.config["model_args"]["ls_init_value"] = Value::Null;
    fixture.tensors.retain(|(name, ..)| !name.ends_with("gamma"));
    fixture.config["model_args"]["use_grn"] = json!(true);
    for parameter in ["weight", "bias"] {
        fixture.tensors.push((format!("stages.3.blocks.0.mlp.grn.{parameter}"), "F32", vec![20]));
    }
    fixture.config["model_args"]["head_norm_first"] = json!(true);
    for parameter in ["weight", "bias"] {
        fixture.tensor(&format!("head.norm.{parameter}")).0 = format!("norm_pre.{parameter}");
    }
    fixture.opened();
}

#[test]
fn variants_of_timm_are_known_or_refused_for_a_reason() {
    let error = |name: &str| timm_with("", "architecture", json!(name)).error();
    assert_says(&error("resnet50"), &["config.json: unknown architecture resnet50; known are", "convnext_tiny"]);
    for name in [
        "convnext_tiny_hnf",
        "convnext_xxlarge.clip_laion2b",
        "convnext_tiny_384_in22ft1k",
        "convnext_base_in22k",
        "convnext_zepto_rms_ols.ra4_e3600_r224_in1k",
    ] {
        let message = timm_with("", "architecture", json!(name)).open().err().map(|error| error.to_string());
        assert!(!message.unwrap_or_default().contains("unknown architecture"), "{name}");
    }
}

#[test]
fn an_image_tower_of_clip_is_refused_unless_it_was_fine_tuned() {
    let with = |tag: &str, classes: usize| {
        let mut fixture = Fixture::timm();
        fixture.config["pretrained_cfg"]["tag"] = json!(tag);
        fixture.config["num_classes"] = json!(classes);
        fixture
    };
    let refused = |fixture: &Fixture| fixture.error().contains("CLIP's image tower, whose outputs are an embedding");
    for (tag, classes) in [
        ("clip_laion2b", 640),
        ("clip_laion2b_augreg", 640),
        ("clip_laion2b_ft_soup_320", 768),
        ("clip_laion2b_rewind", 1024),
    ] {
        assert!(refused(&with(tag, classes)), "{tag}");
    }
    let mut named = with("clip_laion2b", 640);
    assert!(refused(&named));
    named.config["label_names"] = json!(["cat"]);
    for fixture in [named, with("clip_laion2b_soup_ft_in12k_in1k_320", 640), with("fb_in1k", 640)] {
        assert!(!refused(&fixture), "{}", fixture.error());
    }
    // of the tag's classes there are two here
    with("clip_laion2b", 2).opened();
}

#[test]
fn one_channel_is_read_from_in_chans_or_the_input() {
    let mut fixture = timm_with("pretrained_cfg", "input_size", json!([1, 32, 32]));
    fixture.tensor("stem.0.weight").2[1] = 1;
    fixture.config["pretrained_cfg"]["mean"] = json!([0.25]);
    fixture.config["pretrained_cfg"]["std"] = json!([0.1, 0.2, 0.6]);
    let opened = fixture.opened();
    assert!(opened.transform.grey);
    assert_eq!(opened.program.input.mean, [0.25; 3]);
    // three for one channel: their mean, as timm's resolve_input_data_config has it
    assert_eq!(opened.program.input.std, [0.3; 3]);
    fixture.config["model_args"]["in_chans"] = json!(3);
    assert_says(&fixture.error(), &["stem.0.weight", "1,"]);
    fixture.config["pretrained_cfg"]["input_size"] = json!([3, 32, 32]);
    fixture.config["model_args"]["in_chans"] = json!(1);
    assert!(fixture.opened().transform.grey);
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
    let mut fixture = Fixture::timm();
    let pretrained = fixture.config["pretrained_cfg"].take();
    let config = fixture.config.as_object_mut().unwrap();
    config.remove("pretrained_cfg");
    config.extend(pretrained.as_object().unwrap().clone());
    config.insert("labels".into(), json!(["cat", "dog"]));
    let opened = fixture.opened();
    assert_eq!((opened.program.input.height, opened.labels), (32, vec!["cat".to_owned(), "dog".to_owned()]));
}

#[test]
fn timms_transform_follows_pretrained_cfg() {
    let fit = |changes: Value| {
        let mut fixture = Fixture::timm();
        fixture.config["pretrained_cfg"].as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let opened = fixture.opened();
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
    // more than the image, and a border around it
    assert_eq!(fit(json!({"crop_pct": 1.25})).0, Fit::ShortestEdge(25));
    assert_eq!(fit(json!({"input_size": [3, 32, 48]})).0, Fit::Around(36, 54));
    let border = json!({"crop_mode": "border", "input_size": [3, 32, 48], "interpolation": "lanczos"});
    assert_eq!(fit(border), (Fit::Within(36, 54), Filter::Lanczos));
    let border = timm_with("pretrained_cfg", "crop_mode", json!("border")).opened();
    assert_eq!(border.transform.fill, [128; 3], "255 · mean, rounded half to even");
}

#[test]
fn transforms_of_timm_that_cannot_be_followed_are_refused_by_name() {
    let cases = [
        ("interpolation", json!("random"), "bicubic, bilinear, nearest, box, hamming and lanczos are supported"),
        ("crop_mode", json!("five"), "center, squash and border are supported"),
        ("crop_pct", json!(87.5), "0.05 to 20 is supported"),
        ("crop_pct", json!(0.0), "a number above zero is needed"),
        ("input_size", json!([4, 32, 32]), "1 and 3 channels are supported"),
        ("input_size", json!([3, 0, 32]), "[3, height, width]"),
        ("input_size", json!([3, 100_000, 32]), "up to 4096"),
        ("mean", json!([0.5, 0.5]), "one number or three are needed"),
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

// ---- labels

#[test]
fn labels_may_be_numbers_or_missing_but_name_no_class_that_is_not_there() {
    let labels = |names: Value| timm_with("", "label_names", names);
    let names = |fixture: &Fixture| fixture.open().map(|opened| opened.labels).unwrap();
    assert_eq!(names(&labels(json!({"1": "dog", "0": "cat"}))), ["cat", "dog"]);
    assert_eq!(names(&labels(json!(["cat"]))), ["cat", "class_1"]);
    assert_eq!(names(&labels(json!(["cat", 7]))), ["cat", "7"]);
    assert_says(
        &labels(json!({"0": "cat", "2": "dog"})).error(),
        &["config.json: label_names", "2 names for 2 classes, 0 to 1"],
    );
    assert_says(&labels(json!(["a", "b", "c"])).error(), &["config.json: label_names", "3 names for 2 classes"]);
    assert_says(&labels(json!(["cat", {}])).error(), &["config.json: label_names", "the name of class 1 is no string"]);
    assert_says(&labels(json!("cat")).error(), &["config.json: label_names", "a list of names"]);
    let hole = transformers_with("id2label", json!({"0": "cat", "2": "dog"})).error();
    assert_says(&hole, &["config.json: id2label", "2 names for 2 classes"]);
    // num_labels is how many there are; id2label names some of them
    let mut both = transformers_with("num_labels", json!(2));
    assert_eq!(names(&both), ["cat", "dog"]);
    both.config["id2label"] = json!({"1": "dog"});
    assert_eq!(names(&both), ["LABEL_0", "dog"]);
    let mut described = labels(json!(["n1", "n2"]));
    described.config["label_descriptions"] = json!({"n2": "dog"});
    assert_eq!(names(&described), ["n1", "dog"]);
}

#[test]
fn classes_without_names_are_imagenets_when_a_thousand_and_else_numbered() {
    assert_eq!(Fixture::timm().open().map(|opened| opened.labels).unwrap(), ["class_0", "class_1"]);
    let mut fixture = timm_with("", "num_classes", json!(1000));
    fixture.tensor("head.fc.weight").2 = vec![1000, 5];
    fixture.tensor("head.fc.bias").2 = vec![1000];
    let labels = fixture.open().map(|opened| opened.labels).unwrap();
    assert_eq!((labels.len(), labels[281].as_str()), (1000, "tabby, tabby cat"));
}

#[test]
fn a_model_that_is_not_built_in_is_refused_with_the_names_there_are() {
    let message = error(checkpoint::demo("convnext_zepto"));
    assert_says(&message, &["no model convnext_zepto is built in", "convnext_atto"]);
}
