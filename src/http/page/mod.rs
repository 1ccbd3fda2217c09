//! The page at `/`: its files, which are built in, and what a browser may do with them. Not here: what it asks (`classify`, `stats`).
//!
//! Nothing on it comes from elsewhere, and nothing inline runs: the policy below says so to browsers.

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::error::Error;
use super::routes::index;
use super::state::AppState;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = include_str!("index.html");
/// Name, content type, bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("page.js")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("style.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("icon.svg")),
];

macro_rules! samples {
    ($($name:literal),*) => {
        /// Images of what the demo models know.
        const SAMPLES: &[(&str, &[u8])] =
            &[$((concat!($name, ".png"), include_bytes!(concat!("../../../models/images/", $name, ".png")))),*];
    };
}
samples!(
    "ankle-boot",
    "bag",
    "coat",
    "dress",
    "pullover",
    "sandal",
    "shirt",
    "sneaker",
    "t-shirt-top",
    "trouser"
);

/// Adds the routes.
pub(super) fn with_routes(routes: Router<AppState>) -> Router<AppState> {
    routes.route("/", get(root)).route("/page/{file}", get(file)).route("/page/samples/{file}", get(sample))
}

/// The page to browsers, the list of routes to others.
async fn root(request: Request) -> Response {
    let wants = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("text/html") {
        built_in("text/html; charset=utf-8", HTML.as_bytes())
    } else {
        ([(header::VARY, "accept")], index()).into_response()
    }
}

async fn file(Path(name): Path<String>) -> Result<Response, Error> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    found.map(|(_, kind, bytes)| built_in(kind, bytes)).ok_or_else(|| Error::NoRoute { path: format!("/page/{name}") })
}

async fn sample(Path(name): Path<String>) -> Result<Response, Error> {
    let found = SAMPLES.iter().find(|(file, _)| *file == name);
    let missing = || Error::NoRoute { path: format!("/page/samples/{name}") };
    found.map(|(_, bytes)| built_in("image/png", bytes)).ok_or_else(missing)
}

fn built_in(kind: &'static str, bytes: &'static [u8]) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // another build has other files
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (StatusCode::OK, headers, bytes).into_response()
}
