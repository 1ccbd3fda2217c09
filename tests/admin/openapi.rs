//! The document of the admin port. Not here: that of HTTP (`http`).

use crate::Server;
use crate::support::http::bounded;
use crate::support::openapi::holds;

#[tokio::test]
async fn the_document_and_the_router_have_the_same_routes() {
    bounded(async {
        let server = Server::start().await;
        let paths = holds(async |head| server.ask(head, "").await).await;
        for path in ["/models/{model}/reload", "/bench", "/log-level", "/metrics", "/readyz"] {
            assert!(paths.iter().any(|one| one == path), "{path} is not in {paths:?}");
        }
        assert!(!paths.iter().any(|path| path.contains("classify")), "those of HTTP");
    })
    .await;
}
