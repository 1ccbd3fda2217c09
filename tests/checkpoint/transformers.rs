//! What configurations may say, by the rules of transformers: followed, ignored, or refused by name. Not here: timm's (`configs.rs`).

use crate::fixture::{Fixture, assert_says};
use convnext_server::pixels::{Filter, Fit};
use serde_json::{Value, json};

pub(crate) fn transformers_with(key: &str, value: Value) -> Fixture {
    let mut fixture = Fixture::transformers();
    fixture.config[key] = value;
    fixture
}

fn preprocessor_with(key: &str, value: Value) -> Fixture {
    let mut fixture = Fixture::transformers();
    fixture.preprocessor.as_mut().unwrap()[key] = value;
    fixture
}

#[test]
fn configurations_of_transformers_that_are_not_supported_are_refused_by_name() {
    let cases = [
        ("architectures", json!(["ConvNextModel"]), "ConvNextForImageClassification, ConvNextV2"),
        ("hidden_act", json!("mish"), "gelu_pytorch_tanh, gelu_python_tanh, silu, swish and relu are supported"),
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
    let mut fixture = transformers_with("layer_scale_init_value", json!(0));
    assert_says(&fixture.error(), &["1 not expected: convnext.encoder.stages.3.layers.0.layer_scale_parameter"]);
    fixture.tensors.retain(|(name, ..)| !name.ends_with("layer_scale_parameter"));
    fixture.opened();
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
    let message = preprocessor_with("size", json!({"height": 64, "width": 96})).error();
    assert_says(&message, &["preprocessor_config.json: size", "ConvNextImageProcessor refuses a height and a width"]);
}

#[test]
fn a_processor_of_transformers_version_4_is_read() {
    let mut fixture = Fixture::transformers();
    fixture.preprocessor = Some(json!({
        "crop_pct": 0.875, "do_normalize": true, "do_resize": true, "feature_extractor_type": "ConvNextFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224,
    }));
    let opened = fixture.opened();
    assert_eq!(opened.program.input, convnext_server::program::InputSpec::imagenet(224));
    assert_eq!(opened.transform.fit, Fit::ShortestEdge(256));
}

#[test]
fn each_class_of_processors_has_its_own_rule() {
    let read = |class: &str, changes: Value| {
        let mut fixture = preprocessor_with("image_processor_type", json!(class));
        let file = fixture.preprocessor.as_mut().unwrap().as_object_mut().unwrap();
        file.remove("resample");
        file.extend(changes.as_object().unwrap().clone());
        fixture.open().map(|opened| (opened.transform.fit, opened.transform.filter, opened.program.input.height))
    };
    let read = |class, changes| read(class, changes).unwrap_or_else(|error| panic!("{class}: {error}"));
    let (number, pair, edge) = (json!({"size": 64}), json!({"height": 64, "width": 64}), json!({"shortest_edge": 64}));
    assert_eq!(read("ViTImageProcessor", number.clone()), (Fit::Exact(64, 64), Filter::Bilinear, 64));
    assert_eq!(read("ViTImageProcessorFast", json!({ "size": pair })), (Fit::Exact(64, 64), Filter::Bilinear, 64));
    assert_eq!(read("BeitFeatureExtractor", json!({ "size": pair })), (Fit::Exact(64, 64), Filter::Bicubic, 64));
    let cropped = |size: Value| json!({ "size": size, "crop_size": 48 });
    assert_eq!(read("DeiTImageProcessorPil", cropped(json!(64))), (Fit::Exact(64, 64), Filter::Bicubic, 48));
    assert_eq!(read("CLIPImageProcessor", cropped(json!(64))), (Fit::ShortestEdge(64), Filter::Bicubic, 48));
    assert_eq!(read("BitImageProcessor", cropped(edge.clone())), (Fit::ShortestEdge(64), Filter::Bicubic, 48));
    let kept = json!({ "do_resize": false, "crop_size": {"height": 48, "width": 48} });
    assert_eq!(read("CLIPFeatureExtractor", kept), (Fit::Keep, Filter::Bicubic, 48));
    let cropped = json!({ "size": edge, "do_center_crop": true, "crop_size": 48, "resample": 0 });
    assert_eq!(read("ViTImageProcessor", cropped), (Fit::ShortestEdge(64), Filter::Nearest, 48));
    assert_eq!(read("ConvNextImageProcessor", json!({ "size": edge })), (Fit::ShortestEdge(73), Filter::Bicubic, 64));
}

#[test]
fn processors_of_transformers_that_cannot_be_followed_are_refused_by_name() {
    let cases = [
        ("image_processor_type", json!("LevitImageProcessor"), "ViTImageProcessor, DeiTImageProcessor"),
        ("resample", json!(6), "0 to 5, Pillow's numbers of filters, are supported"),
        ("rescale_factor", json!(1e9), "a number near 1/255, or near 1, is needed"),
        ("do_resize", json!(false), "only true is supported"),
        ("do_center_crop", json!(true), "crop_size is missing"),
        ("do_pad", json!(true), "only false is supported"),
        ("crop_pct", json!(87.5), "0.05 to 20 is supported"),
        ("size", json!(0), "up to 4096 is needed"),
        ("size", json!({"longest_edge": 64}), "\"shortest_edge\": n"),
        ("image_mean", Value::Null, "three numbers are needed"),
        ("image_std", json!([0, 1, 1]), "numbers above zero are needed"),
    ];
    for (key, value, possible) in cases {
        let message = preprocessor_with(key, value.clone()).error();
        assert_says(&message, &["preprocessor_config.json", possible]);
    }
    // the input would be as long as the image
    let mut vit = preprocessor_with("image_processor_type", json!("ViTImageProcessor"));
    vit.preprocessor.as_mut().unwrap()["size"] = json!({"shortest_edge": 32});
    assert_says(&vit.error(), &["preprocessor_config.json: size", "set do_center_crop and crop_size"]);
}

#[test]
fn without_normalisation_or_rescaling_pixels_are_taken_as_they_are() {
    let input = |key, value| preprocessor_with(key, value).opened().program.input;
    let plain = input("do_normalize", json!(false));
    assert_eq!((plain.mean, plain.std), ([0.0; 3], [1.0; 3]));
    let (scaled, raw) = (input("do_rescale", json!(true)), input("do_rescale", json!(false)));
    for channel in 0..3 {
        // (255 · white − mean) / std
        assert!((raw.mean[channel] * 255.0 - scaled.mean[channel]).abs() < 1e-6);
        assert!((raw.std[channel] * 255.0 - scaled.std[channel]).abs() < 1e-6);
    }
    let halved = input("rescale_factor", json!(2.0 / 255.0));
    assert!((halved.std[0] * 2.0 - scaled.std[0]).abs() < 1e-6);
}
