//! The page at `/`: its files, which are built in, and what a browser may do with them. Not here: what it asks (`classify`, `stats`).
//!
//! Nothing on it comes from elsewhere, and nothing inline runs: the policy below says so to browsers.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::docs::{Operation, Routes, get, schemas};
use super::error::Error;
use super::model_path::Named;
use super::routes::{Index, index};

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
samples!("ankle-boot", "bag", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "t-shirt-top", "trouser");

/// Adds the routes.
pub(super) fn with_routes(routes: Routes) -> Routes {
    let mut of_root = Operation::new("getIndex", "about", "The page to browsers, the list of routes to others");
    let index = of_root.of::<Index>();
    let of_root = of_root
        .text("HTML for those whose `Accept` names it.")
        .answers("The page or the list.", [("application/json", index), ("text/html", schemas::any_text())]);
    let of_file = Operation::new("getPageFile", "about", "A file of the page")
        .path("file", "Its name.", FILES[0].0)
        .answers("The file.", ["text/javascript", "text/css", "image/svg+xml"].map(|kind| (kind, schemas::any_text())))
        .refuses(&[404]);
    let of_sample = Operation::new("getSample", "about", "A sample image of the page")
        .path("file", "Its name.", SAMPLES[0].0)
        .answers("The image.", [("image/png", schemas::file())])
        .refuses(&[404]);
    let routes = routes.exactly("/", get(root, of_root));
    routes.exactly("/page/{file}", get(file, of_file)).exactly("/page/samples/{file}", get(sample, of_sample))
}

/// The page to browsers, the list of routes to others.
async fn root(request: Request) -> Response {
    let wants = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("text/html") {
        built_in("text/html; charset=utf-8", HTML.as_bytes(), POLICY)
    } else {
        ([(header::VARY, "accept")], index()).into_response()
    }
}

async fn file(Named(name): Named) -> Result<Response, Error> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    found
        .map(|(_, kind, bytes)| built_in(kind, bytes, POLICY))
        .ok_or_else(|| Error::NoRoute { path: format!("/page/{name}") })
}

async fn sample(Named(name): Named) -> Result<Response, Error> {
    let found = SAMPLES.iter().find(|(file, _)| *file == name);
    let missing = || Error::NoRoute { path: format!("/page/samples/{name}") };
    found.map(|(_, bytes)| built_in("image/png", bytes, POLICY)).ok_or_else(missing)
}

/// A file of ours, and what a browser may do with it.
pub(super) fn built_in(kind: &'static str, bytes: &'static [u8], policy: &'static str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, policy),
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
