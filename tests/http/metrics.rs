//! How requests are counted.

use super::support::http::{Server, bounded};
use super::support::mock::{account, image};

#[tokio::test]
async fn requests_are_counted_by_model_and_code() {
    bounded(async {
        let server = Server::start().await;
        server.classify("", image(1)).await.ok();
        server.classify("?model=second", image(1)).await.ok();
        server.classify("?model=second", "hello").await.error(415);
        let count = |model, code| {
            server.metric(&format!(r#"convnext_requests_total{{code="{code}",model="{model}",protocol="http"}}"#))
        };
        assert_eq!((count("first", 200), count("second", 200), count("second", 415)), (1.0, 1.0, 1.0));
        let respond = server.metric(r#"convnext_stage_duration_seconds_count{model="first",stage="respond"}"#);
        assert_eq!(respond, 1.0);
        assert_eq!(account(&server.classifier), [3, 2, 1, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_malformed_body_counts_as_failed_and_not_as_cancelled() {
    bounded(async {
        let server = Server::start().await;
        server.classify("", r#"{"inputs": 5}"#).await.error(400);
        assert_eq!(account(&server.classifier), [1, 0, 1, 0, 0]);
    })
    .await;
}
