//! The routes of commands about models, and what the port answers to whom.

use std::time::Duration;

use super::Server;
use super::support::http::{Client, bounded, request};
use super::support::mock::{becomes, image};

const CLASSIFY: &str = "POST /classify?model=m&top_k=1 HTTP/1.1";

#[tokio::test]
async fn a_model_is_unloaded_loaded_and_reloaded() {
    bounded(async {
        let server = Server::start().await;
        let unloaded = server.ask("POST /models/m/unload", "").await.ok();
        assert_eq!(unloaded.as_array().unwrap().len(), 1, "that model only");
        assert_eq!((&unloaded[0]["name"], &unloaded[0]["state"]), (&"m".into(), &"unloaded".into()));
        assert_eq!(unloaded[0]["ready"], false);
        let mut client = Client::to(server.http).await;
        client.send(request(CLASSIFY, image(2))).await;
        assert_eq!(client.answer().await.error(404), "no model m; loaded are other");
        let mut client = Client::to(server.http).await; // the other one was closed, for its body was not read
        assert!(server.ask("GET /readyz", "").await.error(503).contains("m: not loaded"));

        let loaded = server.ask("POST /models/m/load", "").await.ok();
        assert_eq!((&loaded[0]["state"], &loaded[0]["error"]), (&"ready".into(), &().into()));
        let reloaded = server.ask("POST /models/m/reload", "").await.ok();
        assert_eq!(reloaded[0]["state"], "ready");
        client.send(request(CLASSIFY, image(2))).await;
        assert_eq!(client.answer().await.ok()[0]["label"], "class 2");
        server.ask("GET /readyz", "").await.ok();
    })
    .await;
}

#[tokio::test]
async fn a_load_that_fails_is_422_and_stands_in_models() {
    bounded(async {
        let server = Server::start().await;
        *server.broken.lock().unwrap() = Some("model.safetensors is truncated");
        let why = server.ask("POST /models/m/reload", "").await.error(422);
        assert!(why.contains("m: ") && why.contains("model.safetensors is truncated"), "{why}");
        let models = server.ask("GET /models", "").await.ok();
        assert!(models[0]["error"].as_str().unwrap().contains("truncated"), "{models}");
        assert_eq!((&models[0]["ready"], &models[1]["error"]), (&true.into(), &().into()), "the old one serves");
        server.ask("POST /models/m/unload", "").await.ok();
        server.ask("POST /models/m/load", "").await.error(422);
        let models = server.ask("GET /models", "").await.ok();
        assert_eq!((&models[0]["ready"], &models[0]["state"]), (&false.into(), &"failed".into()));
        *server.broken.lock().unwrap() = None;
        assert!(server.ask("POST /models/m/load", "").await.ok()[0]["error"].is_null());
    })
    .await;
}

#[tokio::test]
async fn every_failure_has_its_status_and_its_words() {
    bounded(async {
        let server = Server::start().await;
        for (head, status, words) in [
            ("POST /models/nobody/load", 404, "no model nobody"),
            ("POST /models/nobody/reload", 404, "no model nobody"),
            ("POST /models/nobody/unload", 404, "no model nobody"),
            ("POST /models/..%2Fm/load", 404, "no model ../m"),
            ("POST /models/%FF/load", 400, "UTF-8"),
            ("POST /models/m/sing", 404, "GET / lists the routes"),
            ("POST /models//load", 404, ""),
            ("POST /classify", 404, "/classify"),
            ("GET /models/m/load", 405, "does not take GET"),
            ("DELETE /models/m/unload", 405, "does not take DELETE"),
            ("POST /log-level", 405, "does not take POST"),
            ("POST /models", 405, "does not take POST"),
        ] {
            let answer = server.ask(head, "").await;
            let error = answer.error(status);
            assert!(error.contains(words), "{head}: {error}");
            assert_eq!(answer.header("allow").is_some(), status == 405, "{head}");
        }
        assert!(server.classifier.ready().is_ok(), "nothing of it did anything");
    })
    .await;
}

#[tokio::test]
async fn requests_of_web_pages_change_nothing() {
    bounded(async {
        let server = Server::start().await;
        for header in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
            for line in ["POST /models/m/unload", "POST /models/m/load", "POST /models/m/reload", "PUT /log-level"] {
                let error = server.ask(&format!("{line}\r\n{header}"), "trace").await.error(403);
                assert!(error.contains("web pages"), "{error}");
            }
        }
        assert!(server.classifier.ready().is_ok());
    })
    .await;
}

#[tokio::test]
async fn the_port_has_what_every_port_has_and_an_index_of_its_own() {
    bounded(async {
        let server = Server::start().await;
        let index = server.ask("GET /", "").await.ok().to_string();
        for route in ["/models/NAME/load", "/models/NAME/reload", "/models/NAME/unload", "/log-level", "/metrics"] {
            assert!(index.contains(route), "{route}");
        }
        assert!(!index.contains("classify"));
        for path in ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"] {
            server.ask(&format!("GET {path}"), "").await.ok();
        }
        let answer = server.ask("GET /metrics\r\nx-request-id: scrape-1", "").await;
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("scrape-1")));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("convnext_model_ready{model=\"m\"} 1"), "{text}");
        let models = server.ask("GET /models", "").await.ok();
        assert_eq!((&models[0]["name"], &models[1]["name"]), (&"m".into(), &"other".into()));
    })
    .await;
}

#[tokio::test]
async fn the_port_answers_while_http_is_at_its_limit_of_connections() {
    bounded(async {
        let server = Server::with_connections(1).await;
        let mut only = Client::to(server.http).await;
        only.send(request("GET /livez HTTP/1.1", "")).await;
        only.answer().await.ok();
        let mut over = Client::to(server.http).await;
        over.send(request("GET /livez HTTP/1.1", "")).await;
        assert_eq!(over.answer().await.status, 503);
        server.ask("GET /livez", "").await.ok();
        server.ask("POST /models/m/reload", "").await.ok();
        only.send(request("GET /livez HTTP/1.1", "")).await;
        only.answer().await.ok();
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_its_command() {
    bounded(async {
        let server = Server::start().await;
        server.ask("POST /models/m/unload", "").await.ok();
        server.engine.hold_loads();
        let mut client = Client::to(server.admin).await;
        client.send(request("POST /models/m/load HTTP/1.1", "")).await;
        becomes("the load is held", || server.engine.loading() == 1).await;
        drop(client);
        // others are answered meanwhile
        tokio::time::timeout(Duration::from_secs(10), server.ask("GET /models", "")).await.unwrap().ok();
        server.engine.release_loads();
        becomes("it is loaded", || server.classifier.ready().is_ok()).await;
    })
    .await;
}
