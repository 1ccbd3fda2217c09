//! `--metrics-compat=triton`: requests that end in every way, over HTTP and gRPC, and what Triton's metrics, the server's own and the protocol's
//! statistics say of them. All three must say the same.

use std::collections::BTreeMap;

use convnext_server::grpc::proto::inference::infer_parameter::ParameterChoice;
use convnext_server::http;
use convnext_server::http::MetricsCompat;
use convnext_server::service::ModelOptions;
use serde_json::Value;
use tonic::Code;

use super::client::*;
use super::support::http::{Options, Server, bounded, request};
use super::support::mock::{Fault, account, becomes, image, waiting};

/// All series of `/metrics` by name and labels.
async fn series(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").await;
    let text = String::from_utf8(answer.body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    let mut all = BTreeMap::new();
    for (name, value) in pairs {
        assert_eq!(all.insert(name.to_owned(), value.parse().unwrap()), None, "{name} stands twice");
    }
    all
}

/// The sum of all series whose name begins so.
fn sum(series: &BTreeMap<String, f64>, start: &str) -> f64 {
    series.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
}

async fn server(metrics_compat: MetricsCompat) -> Server {
    let http = http::Options { metrics_compat, ..http::Options::default() };
    let options = Options { http, ..Options::default() };
    let model = ModelOptions { queue_images: 2, max_batch: 2, ..options.model.clone() };
    Server::start_with(Options { model, ..options }).await
}

#[tokio::test]
async fn tritons_names_are_there_only_where_they_are_asked_for() {
    bounded(async {
        let none = server(MetricsCompat::None).await;
        assert!(series(&none).await.keys().all(|name| name.starts_with("convnext_")));
        let triton = server(MetricsCompat::Triton).await;
        let all = series(&triton).await;
        assert!(all.contains_key("convnext_received_total"), "beside the server's own");
        for name in ["first", "first_image", "second", "second_image"] {
            let labels = format!("{{model=\"{name}\",version=\"1\"}}");
            assert_eq!(all.get(&format!("nv_inference_request_success{labels}")), Some(&0.0), "seen at zero");
        }
        assert_eq!(sum(&all, "nv_gpu_"), 0.0, "there is no GPU");
    })
    .await;
}

#[tokio::test]
async fn every_end_of_a_request_is_counted_alike_by_triton_the_protocol_and_ourselves() {
    bounded(async {
        let server = server(MetricsCompat::Triton).await;
        let mut client = client(&server).await;
        let (tensor, file) = (raw(&mut client, "first", &[1, 2]).await, files(&mut client, "first_image", &[3]).await);
        // answered: of each protocol and each name
        client.model_infer(tensor.clone()).await.unwrap();
        client.model_infer(file.clone()).await.unwrap();
        server.classify("", image(4)).await.ok();
        let numbers = little_endian(&numbers(&[5]));
        let raw_tensor = "POST /v2/models/second/infer HTTP/1.1\r\ninference-header-content-length: 0";
        assert_eq!(server.ask(raw_tensor, &numbers).await.status, 200);
        // other errors
        server.ask("POST /v2/models/first/infer HTTP/1.1", "{}").await.error(400);
        server.classify("", "no image").await.error(415);
        is(
            client
                .model_infer({
                    let mut wrong = tensor.clone();
                    wrong.inputs[0].shape = vec![7];
                    wrong
                })
                .await,
            Code::InvalidArgument,
            "",
        );
        server.classify("?model=third", image(1)).await.error(404);
        // faults of ours
        server.engine.fault(Fault::Batch);
        server.classify("", image(1)).await.error(500);
        server.engine.fault(Fault::None);
        // late, turned away, and left, while a batch is held
        server.engine.forget(); // so that the next batch is the first
        server.engine.hold();
        let one = raw(&mut client, "first", &[1]).await;
        let runs = tokio::spawn({
            let mut client = client.clone();
            async move { client.model_infer(one).await }
        });
        server.runs().await;
        // by the request's own word, which the client does not heed: of grpc-timeout the client might leave first
        let mut late = file.clone();
        late.parameters.insert("timeout".to_owned(), parameter(ParameterChoice::Int64Param(30_000)));
        is(client.model_infer(late).await, Code::DeadlineExceeded, "30 ms");
        let mut leaves = server.connect().await;
        leaves.send(request("POST /classify HTTP/1.1", image(2))).await;
        becomes("it waits", || waiting(&server.classifier, "first") == 1).await;
        let while_held = series(&server).await;
        let pending =
            |name: &str| while_held[&format!("nv_inference_pending_request_count{{model=\"{name}\",version=\"1\"}}")];
        assert_eq!((pending("first"), pending("first_image")), (0.0, 1.0));
        assert_eq!(sum(&while_held, "nv_inference_pending_request_count"), sum(&while_held, "convnext_queue_images"));
        is(client.model_infer(file.clone()).await, Code::ResourceExhausted, "overloaded");
        server.ask("POST /v2/models/first/infer HTTP/1.1", "{}").await.error(429);
        drop(leaves);
        becomes("it has left", || account(&server.classifier)[4] >= 1).await;
        server.engine.release();
        runs.await.unwrap().unwrap();
        becomes("all have ended", || {
            let [received, ends @ ..] = account(&server.classifier);
            received == ends.iter().sum::<u64>()
        })
        .await;

        let all = series(&server).await;
        let nv = |metric: &str, name: &str| all[&format!("nv_inference_{metric}{{model=\"{name}\",version=\"1\"}}")];
        let failures = |reason: &str, name: &str| {
            all[&format!("nv_inference_request_failure{{model=\"{name}\",reason=\"{reason}\",version=\"1\"}}")]
        };
        // as it was sent
        assert_eq!(
            ["first", "first_image", "second", "second_image"].map(|name| nv("request_success", name)),
            [2.0, 2.0, 1.0, 0.0]
        );
        assert_eq!(["first", "first_image", "second"].map(|name| nv("count", name)), [3.0, 2.0, 1.0]);
        for (reason, of_tensors, of_files) in
            [("OTHER", 2.0, 1.0), ("BACKEND", 0.0, 1.0), ("REJECTED", 1.0, 2.0), ("CANCELED", 0.0, 1.0)]
        {
            assert_eq!(
                (failures(reason, "first"), failures(reason, "first_image")),
                (of_tensors, of_files),
                "{reason}"
            );
        }
        // as the protocol says
        let stats = server.get("/v2/models/stats").await.ok();
        for of in stats["model_stats"].as_array().unwrap() {
            let name = of["name"].as_str().unwrap();
            let tally = |what: &str, unit: &str| of["inference_stats"][what][unit].as_u64().unwrap();
            let number = |value: &Value| value.as_u64().unwrap() as f64;
            assert_eq!(nv("request_success", name), tally("success", "count") as f64);
            assert_eq!(
                sum(&all, &format!("nv_inference_request_failure{{model=\"{name}\",")),
                tally("fail", "count") as f64
            );
            assert_eq!(nv("count", name), number(&of["inference_count"]));
            assert_eq!(nv("exec_count", name), number(&of["execution_count"]));
            for (metric, what) in [
                ("request", "success"),
                ("queue", "queue"),
                ("compute_input", "compute_input"),
                ("compute_infer", "compute_infer"),
                ("compute_output", "compute_output"),
            ] {
                let us = (tally(what, "ns") / 1000) as f64;
                assert_eq!(nv(&format!("{metric}_duration_us"), name), us, "{metric} of {name}");
            }
        }
        // as our own say, of which some are of no model: that of the unknown one has failed and is nobody's
        let [_, succeeded, failed, rejected, cancelled] = account(&server.classifier).map(|count| count as f64);
        assert_eq!(sum(&all, "nv_inference_request_success"), succeeded);
        assert_eq!(sum(&all, "nv_inference_request_failure"), failed - 1.0 + rejected + cancelled);
        let of_reason = |reason: &str| -> f64 {
            let label = format!("reason=\"{reason}\"");
            let found = all
                .iter()
                .filter(|(name, _)| name.starts_with("nv_inference_request_failure") && name.contains(&label));
            found.map(|(_, count)| count).sum()
        };
        assert_eq!((of_reason("CANCELED"), of_reason("REJECTED")), (cancelled, rejected + 1.0), "one of them was late");
        for name in ["first", "second"] {
            assert_eq!(
                nv("exec_count", name),
                all[&format!("convnext_batch_size_count{{model=\"{name}\"}}")],
                "{name}"
            );
            assert_eq!(nv("exec_count", name), nv("exec_count", &format!("{name}_image")), "batches are of both");
        }
        assert_eq!(sum(&all, "nv_inference_pending_request_count"), 0.0);
    })
    .await;
}
