//! The repository: what there is, and commands, which are refused unless an operator allows them.

use convnext_server::http;
use serde_json::json;

use super::*;
use crate::support::http::{Options, Server, bounded};

fn allowed() -> Options {
    Options { http: http::Options { allow_model_control: true, ..http::Options::default() }, ..Options::default() }
}

#[tokio::test]
async fn the_index_has_both_names_of_every_version() {
    bounded(async {
        let server = Server::start().await;
        for body in ["", "{}", r#"{"ready": true}"#] {
            let index = server.ask(&post("/v2/repository/index"), body).await.ok();
            let names = ["first", "first_image", "second", "second_image"];
            let entry = |name| json!({"name": name, "version": "1", "state": "READY", "reason": ""});
            assert_eq!(index, names.into_iter().map(entry).collect::<Value>());
        }
        server.ask(&post("/v2/repository/index"), r#"{"ready": 5}"#).await.error(400);
    })
    .await;
}

#[tokio::test]
async fn commands_are_forbidden_unless_an_operator_allows_them() {
    bounded(async {
        let server = Server::start().await;
        for command in ["load", "unload"] {
            let answer = server.ask(&post(&format!("/v2/repository/models/first/{command}")), "{}").await;
            assert!(answer.error(403).contains("--allow-model-control"));
        }
        assert_eq!(server.get("/v2/models/first/ready").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_model_goes_and_comes_back_under_both_names() {
    bounded(async {
        let server = Server::start_with(allowed()).await;
        let command = async |path: &str, body: &str| {
            let answer = server.ask(&post(&format!("/v2/repository/models/{path}")), body).await;
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        };
        assert!(server.get("/v2").await.ok()["extensions"].as_array().unwrap().contains(&json!("model_repository")));
        command("second_image/unload", r#"{"parameters": {"unload_dependents": false}}"#).await;
        for name in ["second", "second_image"] {
            assert_eq!(server.get(&format!("/v2/models/{name}/ready")).await.status, 404, "{name}");
        }
        let index = server.ask(&post("/v2/repository/index"), "").await.ok();
        assert_eq!(index[2], json!({"name": "second", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}));
        let ready = server.ask(&post("/v2/repository/index"), r#"{"ready": true}"#).await.ok();
        assert_eq!(ready.as_array().unwrap().len(), 2);
        command("second/load", "{}").await;
        assert_eq!(server.get("/v2/models/second_image/ready").await.status, 200);

        let post_to = |path: &str| post(&format!("/v2/repository/models/{path}"));
        server.ask(&post_to("third/load"), "").await.error(404);
        let config = r#"{"parameters": {"config": "{}"}}"#;
        assert!(server.ask(&post_to("first/load"), config).await.error(400).contains("own folders"));
        let of_a_page = format!("{}\r\norigin: http://evil.example", post_to("first/unload"));
        assert!(server.ask(&of_a_page, "{}").await.error(403).contains("web pages"));
    })
    .await;
}
