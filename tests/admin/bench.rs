//! `POST /bench` before a mock engine. Not here: how it is measured (`service`).

use serde_json::json;

use super::Server;
use super::support::http::bounded;

#[tokio::test]
async fn a_measurement_is_an_object_of_each_pair_and_batch() {
    bounded(async {
        let server = Server::start().await;
        let found = server.ask("POST /bench?model=m&batch=2&seconds=0.1", "").await.ok();
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        let one = &found[0];
        assert_eq!((&one["model"], &one["baseline"], &one["batch"]), (&json!("m"), &json!("other"), &json!(2)));
        assert_eq!((&one["family"], &one["device"]), (&json!("convnext"), &json!("mock")));
        let [ours, theirs] =
            ["images_per_second", "baseline_images_per_second"].map(|name| one[name].as_f64().unwrap());
        assert!(ours > 0.0 && theirs > 0.0 && one["ratio"].as_f64().unwrap() > 0.0, "{one}");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_with_the_reason() {
    bounded(async {
        let server = Server::start().await;
        let ask = async |query: &str, status: u16| server.ask(&format!("POST /bench?{query}"), "").await.error(status);
        assert!(ask("model=nobody", 404).await.contains("no model nobody"));
        assert!(ask("model=other", 404).await.contains("other is not served beside a baseline"));
        assert!(ask("batch=0", 400).await.contains("at least one image"));
        assert!(ask("seconds=1e9", 400).await.contains("0.1 to 600"));
        let page = "POST /bench\r\norigin: https://example.com";
        server.ask(page, "").await.error(403);
    })
    .await;
}
