//! Web pages of other origins: what a browser is told.

use convnext_server::http;

use super::support::http::{Answer, Options, Server, bounded, label};
use super::support::mock::image;

const PREFLIGHT: &str = "OPTIONS /classify?top_k=1 HTTP/1.1\r\naccess-control-request-method: POST\r\n\
    access-control-request-headers: content-type,x-mine\r\norigin: ";

async fn server(origins: &[&str]) -> Server {
    let cors_allow_origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    let http = http::Options { cors_allow_origins, ..http::Options::default() };
    Server::start_with(Options { http, ..Options::default() }).await
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn without_an_origin_named_no_page_is_allowed_anything() {
    bounded(async {
        let server = Server::start().await;
        let answer = server.ask(&format!("{PREFLIGHT}https://a.example"), "").await;
        answer.error(405);
        assert_eq!(allowed(&answer), None);
        let answer = server.ask("POST /classify HTTP/1.1\r\norigin: https://a.example", image(1)).await;
        answer.ok();
        assert_eq!(allowed(&answer), None);
    })
    .await;
}

#[tokio::test]
async fn pages_of_the_named_origins_may_ask_and_read_and_others_may_not() {
    bounded(async {
        let server = server(&["https://a.example", "http://localhost:3000"]).await;
        for origin in ["https://a.example", "http://localhost:3000"] {
            let answer = server.ask(&format!("{PREFLIGHT}{origin}"), "").await;
            assert_eq!((answer.status, allowed(&answer)), (200, Some(origin)));
            assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD,POST,PUT"));
            assert_eq!(answer.header("access-control-allow-headers"), Some("content-type,x-mine"));
            assert_eq!(answer.header("access-control-max-age"), Some("3600"));
            assert!(answer.header("x-request-id").is_some());

            let head = format!("POST /classify HTTP/1.1\r\norigin: {origin}");
            let answer = server.ask(&head, image(2)).await;
            assert_eq!((&answer.ok()[0]["label"], allowed(&answer)), (&label(2).into(), Some(origin)));
            let exposed = answer.header("access-control-expose-headers").unwrap();
            // by the last a page tells the JSON of an answer from its tensors
            for name in ["retry-after", "x-request-id", "inference-header-content-length"] {
                assert!(exposed.contains(name), "{exposed}");
            }
            assert!(answer.header("vary").unwrap().contains("origin"));
            let answer = server.ask(&head, "no image").await;
            answer.error(415);
            assert_eq!(allowed(&answer), Some(origin), "a page may read errors too");
            let answer = server.ask(&format!("GET /models HTTP/1.1\r\norigin: {origin}"), "").await;
            assert_eq!((answer.status, allowed(&answer)), (200, Some(origin)));
        }
        let answer = server.ask(&format!("{PREFLIGHT}https://b.example"), "").await;
        assert_eq!(allowed(&answer), None);
        let answer = server.ask("GET /models HTTP/1.1\r\norigin: https://b.example", "").await;
        assert_eq!((answer.status, allowed(&answer)), (200, None));
    })
    .await;
}

#[tokio::test]
async fn a_star_allows_the_pages_of_all() {
    bounded(async {
        let server = server(&["https://a.example", "*"]).await;
        let answer = server.ask(&format!("{PREFLIGHT}https://b.example"), "").await;
        assert_eq!((answer.status, allowed(&answer)), (200, Some("*")));
        let answer = server.ask("POST /classify HTTP/1.1\r\norigin: https://b.example", image(1)).await;
        assert_eq!((answer.status, allowed(&answer)), (200, Some("*")));
    })
    .await;
}
