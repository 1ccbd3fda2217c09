//! Keys on the admin port: everything but probes and metrics is for operators.

use super::Server;
use super::support::http::bounded;

const KEYS: &[(&str, &str, &str)] = &[("shop", "'infer'", ""), ("ops", "'admin'", "")];
const COMMANDS: &[&str] = &[
    "GET /",
    "GET /models",
    "GET /log-level",
    "PUT /log-level",
    "POST /models/m/load",
    "POST /models/m/reload",
    "POST /models/m/unload",
    "POST /bench",
    "GET /nope",
];

#[tokio::test]
async fn commands_need_the_scope_admin() {
    bounded(async {
        let server = Server::with_keys(KEYS).await;
        for line in COMMANDS {
            let answer = server.ask(line, "").await;
            answer.error(401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{line}");
            let error = server.ask(&format!("{line}\r\nx-api-key: shop"), "").await.error(403);
            assert_eq!(error, "key shop has not the scope admin", "{line}");
        }
        assert_eq!(server.classifier.models().len(), 2);
        let reload = "POST /models/m/reload\r\nauthorization: Bearer ops";
        assert_eq!(server.ask(reload, "").await.status, 200);
        server.ask("GET /models\r\nx-api-key: ops", "").await.ok();
    })
    .await;
}

#[tokio::test]
async fn probes_and_metrics_need_no_key() {
    bounded(async {
        let server = Server::with_keys(KEYS).await;
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(server.ask(&format!("GET {path}"), "").await.status, 200, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_web_page_may_not_command_with_a_key_either() {
    bounded(async {
        let server = Server::with_keys(KEYS).await;
        let head = "POST /models/m/reload\r\nx-api-key: ops\r\norigin: https://a.example";
        assert!(server.ask(head, "").await.error(403).contains("web pages"));
    })
    .await;
}
