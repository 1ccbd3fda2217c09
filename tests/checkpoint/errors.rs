//! Files that must not open: each is one clear error that names the file and what is wrong in it. And hostile files: whatever
//! the bytes, an answer and no panic. What configurations say is in `configs.rs`.

use std::path::Path;

use crate::fixture::{Fixture, assert_says, error, raw};
use convnext_server::checkpoint;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn the_made_up_checkpoints_open_as_they_stand() {
    for fixture in [Fixture::timm(), Fixture::transformers()] {
        let opened = fixture.opened();
        let mut bias = [1.0; 2];
        opened.weights.read("head.bias", &mut bias).unwrap();
        assert_eq!((opened.program.classes(), bias), (2, [0.0; 2]));
    }
}

// ---- tensors against the architecture

#[test]
fn missing_tensors_are_named() {
    let mut fixture = Fixture::timm();
    fixture.tensors.retain(|(name, ..)| !name.starts_with("head.norm"));
    let parts = ["model.safetensors does not fit convnext_atto: 2 missing: head.norm.weight, head.norm.bias"];
    assert_says(&fixture.error(), &parts);
}

#[test]
fn extra_tensors_are_named() {
    let mut fixture = Fixture::timm();
    fixture.tensors.push(("head.pre_logits.fc.bias".into(), "F32", vec![3]));
    fixture.tensors.push(("num_batches_tracked".into(), "I64", vec![]));
    assert_says(
        &fixture.error(),
        &["model.safetensors", "2 not expected: head.pre_logits.fc.bias, num_batches_tracked"],
    );
}

#[test]
fn misshapen_tensors_are_named_with_both_shapes() {
    let mut fixture = Fixture::timm();
    fixture.tensor("stages.3.blocks.0.mlp.fc2.weight").2 = vec![20, 5];
    let parts =
        ["model.safetensors", "1 of another shape: stages.3.blocks.0.mlp.fc2.weight [20, 5] instead of [5, 20]"];
    assert_says(&fixture.error(), &parts);
}

#[test]
fn of_many_tensors_ten_are_named() {
    let mut fixture = Fixture::transformers();
    fixture.tensors.retain(|(name, ..)| name.starts_with("classifier"));
    assert_says(&fixture.error(), &["27 missing: convnext.embeddings.patch_embeddings.weight, ", " and 17 more"]);
}

#[test]
fn dimensions_of_one_make_no_other_shape() {
    let mut fixture = Fixture::timm();
    fixture.tensor("stages.3.blocks.0.mlp.fc1.weight").2 = vec![20, 5, 1, 1];
    fixture.tensor("stages.3.blocks.0.gamma").2 = vec![5, 1, 1];
    fixture.opened();
}

#[test]
fn a_weight_of_integers_is_an_error_that_names_file_tensor_and_type() {
    let mut fixture = Fixture::timm();
    fixture.tensor("head.fc.bias").1 = "I64";
    assert_says(
        &fixture.error(),
        &["model.safetensors: tensor head.fc.bias is stored as I64; F64, F32, F16, BF16, and I8 with steps"],
    );
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
        (
            one(r#"{"dtype":"Q4_K","shape":[1],"data_offsets":[0,4]}"#),
            4,
            &["tensor a: unknown variant `Q4_K`, expected one of", "BF16"],
        ),
        (one(&f32s("[1,1,1,1,1,1,1,1,1]", 0, 4)), 4, &["tensor a: more than 8 dimensions"]),
        (one(&f32s("[4294967296,4294967296,2]", 0, 4)), 4, &["tensor a", "overflow"]),
        (one(&f32s("[4611686018427387904]", 0, 4)), 4, &["tensor a", "overflow"]),
        (one(r#"{"dtype":"F16","shape":[2305843009213693951],"data_offsets":[0,4]}"#), 4, &["tensor a", "overflow"]),
        (one(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,1]}"#), 1, &["tensor a", "byte boundary"]),
        (
            one(&f32s("[2]", 0, 4)),
            4,
            &["tensor a, F32 of shape [2] at bytes 0 to 4", "invalid shape, data type, or offset"],
        ),
        (one(&f32s("[1]", 4, 0)), 4, &["tensor a, F32 of shape [1] at bytes 4 to 0", "invalid offset"]),
        (one(&f32s("[2]", 0, 8)), 4, &["tensor a lies at bytes 0 to 8 of 4: the file is truncated"]),
        (one(&f32s("[1]", 0, 4)), 8, &["the last 4 of its 8 bytes belong to no tensor"]),
        (
            two(f32s("[1]", 0, 4), f32s("[1]", 8, 12)),
            12,
            &["tensor b, F32 of shape [1] at bytes 8 to 12, where the tensor before it ends at 4: invalid"],
        ),
        (
            two(f32s("[2]", 0, 8), f32s("[1]", 4, 8)),
            8,
            &["tensor b, F32 of shape [1] at bytes 4 to 8, where the tensor before it ends at 8: invalid"],
        ),
        (format!(r#"{{"a":{0},"a":{1}}}"#, f32s("[1]", 0, 4), f32s("[1]", 4, 8)), 8, &["tensor a is there twice"]),
        (format!(r#"{{"a":{0},"a":{0}}}"#, f32s("[1]", 0, 4)), 4, &["tensor a is there twice"]),
        ("{}".into(), 0, &["does not fit convnext_atto: 29 missing"]),
    ];
    for (header, data, parts) in cases {
        let folder = Fixture::timm().write_with(&raw(&header, data));
        let message = error(checkpoint::open(folder.path()));
        assert_says(&message, &["model.safetensors"]);
        assert_says(&message, parts);
    }
}

#[test]
fn files_cut_short_are_truncated_wherever_the_cut_is() {
    let fixture = Fixture::timm();
    let whole = fixture.safetensors();
    for length in [0, 7, 8, 100, whole.len() - 1] {
        let message = error(checkpoint::open(fixture.write_with(&whole[..length]).path()));
        assert_says(&message, &["model.safetensors is not a valid safetensors file"]);
        assert!(message.contains("truncated") || length < 8 && message.contains("too few"), "{length}: {message}");
    }
}

#[test]
fn a_header_over_the_cap_is_refused_by_its_length() {
    let mut bytes = Fixture::timm().safetensors();
    bytes[..8].copy_from_slice(&100_000_001u64.to_le_bytes());
    let message = error(checkpoint::open(Fixture::timm().write_with(&bytes).path()));
    assert_says(&message, &["model.safetensors", "claims a header of 100000001 bytes; 100000000 are allowed"]);
}

// ---- files

#[test]
fn each_missing_file_is_named_with_what_it_is_for() {
    let remove = |fixture: Fixture, file: &str| {
        let folder = fixture.write();
        std::fs::remove_file(folder.path().join(file)).unwrap();
        error(checkpoint::open(folder.path()))
    };
    assert_says(&remove(Fixture::timm(), "config.json"), &["config.json is missing"]);
    let weights = remove(Fixture::timm(), "model.safetensors");
    assert_says(&weights, &["model.safetensors is missing", "no model.safetensors.index.json either"]);
    let preprocessor = remove(Fixture::transformers(), "preprocessor_config.json");
    assert_says(&preprocessor, &["preprocessor_config.json is missing", "resized and normalised", "save_pretrained"]);
    assert_says(&error(checkpoint::open(Path::new("/no/such/folder"))), &["/no/such/folder/config.json is missing"]);
}

#[test]
fn configurations_that_are_no_json_or_no_model_are_refused() {
    let with = |config: &str| {
        let folder = Fixture::timm().write();
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
    let fixture = Fixture::timm();
    let with = |index: Value| {
        let folder = fixture.write();
        std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("a.safetensors")).unwrap();
        std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        checkpoint::open(folder.path())
    };
    let all = |file: &str| -> Value { fixture.tensors.iter().map(|(name, ..)| (name.clone(), json!(file))).collect() };
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
    let fixture = Fixture::timm();
    let folder = fixture.write();
    std::fs::rename(folder.path().join("model.safetensors"), folder.path().join("a.safetensors")).unwrap();
    std::fs::copy(folder.path().join("a.safetensors"), folder.path().join("b.safetensors")).unwrap();
    let index = json!({"weight_map": {"stem.0.bias": "a.safetensors", "stem.0.weight": "b.safetensors"}});
    std::fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let message = error(checkpoint::open(folder.path()));
    assert_says(&message, &["b.safetensors", "tensor head.fc.bias is also in", "a.safetensors"]);
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
        let fixture = Fixture::timm();
        let mut bytes = fixture.safetensors();
        for (position, byte) in mutations {
            bytes[position] = byte;
        }
        let folder = fixture.write_with(&bytes);
        if let Err(error) = checkpoint::open(folder.path()) {
            prop_assert!(error.to_string().contains("model.safetensors"), "{}", error);
        }
    }

    #[test]
    fn whatever_a_configuration_says_it_opens_or_is_an_error_that_names_a_file(mutations in mutations(230)) {
        let folder = Fixture::timm().write();
        let path = folder.path().join("config.json");
        let mut bytes = std::fs::read(&path).unwrap();
        for (position, byte) in mutations {
            let length = bytes.len();
            bytes[position % length] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Err(error) = checkpoint::open(folder.path()) {
            let message = error.to_string();
            prop_assert!(message.contains("config.json") || message.contains("model.safetensors"), "{}", message);
        }
    }
}
