//! The log level, which belongs to the process: one test.

use super::Server;
use super::support::http::bounded;

#[tokio::test]
async fn the_log_level_is_told_and_changed_and_what_is_no_filter_changes_nothing() {
    bounded(async {
        let server = Server::start().await;
        assert_eq!(server.ask("GET /log-level", "").await.ok()["log_level"], "off");
        for filter in ["error", " convnext_server::net=warn,off\n"] {
            let answer = server.ask("PUT /log-level", filter).await.ok();
            assert_eq!(answer["log_level"], filter.trim());
            assert_eq!(server.ask("GET /log-level", "").await.ok()["log_level"], filter.trim());
        }
        for (bytes, status) in [(4096, 200), (4097, 400)] {
            assert_eq!(
                server.ask("PUT /log-level", format!("{:>bytes$}", "off")).await.status,
                status,
                "{bytes} bytes"
            );
        }
        server.ask("PUT /log-level", "convnext_server::net=warn,off").await.ok();
        let too_long = "off,".repeat(2_000);
        for (filter, words) in [
            (&b"=="[..], "log filter"),
            (b"loud=maybe=no", "log filter"),
            (b"\xff\xfe", "UTF-8"),
            (too_long.as_bytes(), "the body is the filter"),
        ] {
            let error = server.ask("PUT /log-level", filter).await.error(400);
            assert!(error.contains(words), "{error}");
        }
        let kept = server.ask("GET /log-level", "").await.ok();
        assert_eq!(kept["log_level"], "convnext_server::net=warn,off");
        server.ask("PUT /log-level", "off").await.ok();
    })
    .await;
}
