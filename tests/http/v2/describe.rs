//! What is told of the server, its models and their counts.

use serde_json::json;

use super::*;
use crate::support::http::{Server, bounded};
use crate::support::mock::image;

#[tokio::test]
async fn the_server_and_both_names_of_a_model_are_described() {
    bounded(async {
        let server = Server::start().await;
        for path in ["/v2", "/v2/"] {
            let about = server.get(path).await.ok();
            assert_eq!(about["name"], "convnext-server");
            let extensions = about["extensions"].as_array().unwrap();
            assert!(extensions.contains(&json!("binary_tensor_data")), "{about}");
            for unserved in ["model_repository", "system_shared_memory", "cuda_shared_memory", "trace", "logging"] {
                assert!(!extensions.contains(&json!(unserved)), "{about}");
            }
        }
        let output = json!({"name": "logits", "datatype": "FP32", "shape": [-1, 6]});
        for (name, input) in [
            ("first", json!({"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 4, 4]})),
            ("first_image", json!({"name": "image", "datatype": "BYTES", "shape": [-1, 1]})),
        ] {
            let described = json!({
                "name": name, "versions": ["1"], "platform": "convnext", "inputs": [input], "outputs": [output],
            });
            for path in [format!("/v2/models/{name}"), format!("/v2/models/{name}/versions/1/")] {
                assert_eq!(server.get(&path).await.ok(), described);
                assert_eq!(server.get(&format!("{}/ready", path.trim_end_matches('/'))).await.ok()["ready"], true);
            }
        }
        for path in ["/v2/models/third", "/v2/models/third/ready", "/v2/models/first/versions/2/config"] {
            server.get(path).await.error(404);
        }
    })
    .await;
}

#[tokio::test]
async fn a_configuration_has_what_nvidias_image_client_looks_for() {
    bounded(async {
        let server = Server::start().await;
        let config = server.get("/v2/models/second/config").await.ok();
        assert_eq!((&config["name"], &config["max_batch_size"]), (&json!("second"), &json!(4)));
        let input = json!({"name": "pixels", "data_type": "TYPE_FP32", "format": "FORMAT_NCHW", "dims": [3, 4, 4]});
        assert_eq!(config["input"], json!([input]));
        let output = json!({"name": "logits", "data_type": "TYPE_FP32", "dims": [6], "label_filename": ""});
        assert_eq!(config["output"], json!([output]), "no file of labels is named that nobody could fetch");
        assert_eq!(config["instance_group"], json!([{"name": "mock", "kind": "KIND_CPU", "count": 1, "gpus": []}]));
        let config = server.get("/v2/models/second_image/config").await.ok();
        let input = json!({"name": "image", "data_type": "TYPE_STRING", "format": "FORMAT_NONE", "dims": [1]});
        assert_eq!(config["input"], json!([input]));
    })
    .await;
}

#[tokio::test]
async fn requests_and_batches_are_counted_under_the_name_that_was_used() {
    bounded(async {
        let server = Server::start().await;
        let json = request("pixels", "FP32", &[2, 3, 4, 4], json!({ "data": numbers(&[1, 2]) })).to_string();
        server.ask(&post("/v2/models/first/infer"), &json).await.ok();
        server.ask(&post("/v2/models/first/infer"), "{}").await.error(400);
        server.classify("", image(3)).await.ok();
        let stats = async |path: &str| server.get(path).await.ok()["model_stats"].clone();
        let of_tensors = stats("/v2/models/first/stats").await;
        assert_eq!(of_tensors.as_array().unwrap().len(), 1);
        let of = &of_tensors[0];
        assert_eq!((&of["name"], &of["version"], &of["inference_count"]), (&json!("first"), &json!("1"), &json!(2)));
        assert!(of["last_inference"].as_u64().unwrap() > 1_700_000_000_000, "{of}");
        for (name, count) in [
            ("success", 1),
            ("fail", 1),
            ("queue", 1),
            ("compute_input", 1),
            ("compute_infer", 1),
            ("compute_output", 1),
        ] {
            assert_eq!(of["inference_stats"][name]["count"], count, "{name}: {of}");
        }
        let ns = |name: &str| of["inference_stats"][name]["ns"].as_u64().unwrap();
        assert!(ns("success") > 0 && ns("success") >= ns("queue") + ns("compute_infer"), "{of}");

        let of_files = &stats("/v2/models/first_image/versions/1/stats").await[0];
        assert_eq!(
            (&of_files["inference_count"], &of_files["inference_stats"]["fail"]["count"]),
            (&json!(1), &json!(0))
        );
        // a batch belongs to both names; the tensor's two images ran in one or in two
        let sizes: u64 = of["batch_stats"]
            .as_array()
            .unwrap()
            .iter()
            .map(|batch| batch["batch_size"].as_u64().unwrap() * batch["compute_infer"]["count"].as_u64().unwrap())
            .sum();
        assert_eq!(sizes, 3, "{of}");
        assert_eq!(of["execution_count"], of_files["execution_count"]);
        let memory = json!([{"type": "CPU", "id": 0, "byte_size": 1100}]);
        assert_eq!((&of["memory_usage"], &of_files["memory_usage"]), (&memory, &memory));

        let all = stats("/v2/models/stats").await;
        let names: Vec<&str> = all.as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["first", "first_image", "second", "second_image"]);
        server.get("/v2/models/third/stats").await.error(404);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_served_says_so_in_a_shape_that_clients_read() {
    bounded(async {
        let server = Server::start().await;
        for memory in ["systemsharedmemory", "cudasharedmemory"] {
            for path in [format!("/v2/{memory}/status"), format!("/v2/{memory}/region/r/status")] {
                assert_eq!(server.get(&path).await.ok(), json!([]), "{path}");
            }
            let register = server.ask(&post(&format!("/v2/{memory}/region/r/register")), "{}").await;
            assert!(register.error(400).contains("not served"));
            for path in [format!("/v2/{memory}/unregister"), format!("/v2/{memory}/region/r/unregister")] {
                assert_eq!(server.ask(&post(&path), "").await.status, 200, "{path}");
            }
        }
        for path in ["/v2/trace/setting", "/v2/models/first/trace/setting"] {
            assert_eq!(server.get(path).await.ok(), json!({"trace_level": ["OFF"]}));
            server.ask(&post(path), "{}").await.error(400);
        }
        server.get("/v2/logging").await.error(400);
        server.ask(&post("/v2/logging"), "{}").await.error(400);
    })
    .await;
}
