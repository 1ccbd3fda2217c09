//! The document at `/openapi.json` and the page at `/docs`. Not here: whether answers are as the document says (`conformance`).

use std::path::{Path, PathBuf};

use crate::support::http::{Server, bounded};
use crate::support::openapi::holds;

#[tokio::test]
async fn the_document_and_the_router_have_the_same_routes() {
    bounded(async {
        let server = Server::start().await;
        let paths = holds(async |head| server.ask(&format!("{head} HTTP/1.1"), "").await).await;
        for path in ["/", "/classify", "/docs", "/metrics", "/v2/models/{model}/infer", "/openapi.json"] {
            assert!(paths.iter().any(|one| one == path), "{path} is not in {paths:?}");
        }
        assert!(
            !paths.iter().any(|path| path.contains("log-level") || path.contains("bench")),
            "those of the admin port"
        );
    })
    .await;
}

#[tokio::test]
async fn the_page_has_its_files_and_lets_nothing_else_in() {
    bounded(async {
        let server = Server::start().await;
        let page = server.get("/docs").await;
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        let html = String::from_utf8(page.body.clone()).unwrap();
        let files: Vec<&str> = html.split('"').filter(|text| text.starts_with("/docs/")).collect();
        assert_eq!(files.len(), 4, "{files:?}");
        for file in files {
            let answer = server.get(file).await;
            assert!(answer.status == 200 && answer.body.len() > 50, "{file}");
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
        server.get("/docs/swagger-ui.js").await.error(404);
        server.get("/docs/%ff").await.error(400);
    })
    .await;
}

/// A router that a handler reached past the table would have a route that the document has not.
#[test]
fn routes_are_added_through_the_table_alone() {
    let mut waiting: Vec<PathBuf> =
        ["src/http", "src/admin"].iter().map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).collect();
    let mut with_routes = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            if [".route(", ".route_service(", ".nest(", "axum::routing"].iter().any(|word| text.contains(word)) {
                with_routes.push(path);
            }
        }
    }
    assert!(with_routes.len() == 1 && with_routes[0].ends_with("src/http/docs/routes.rs"), "{with_routes:?}");
}
