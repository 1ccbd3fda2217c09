//! The page at `/docs`: Swagger UI, built in, which shows `/openapi.json` and tries its operations out. Not here: the document (`mod`).
//!
//! `swagger-ui/` is what npm has, unchanged; `docs.js` starts it and `docs.css` is what we mend. As on the page at `/` nothing comes from elsewhere and nothing
//! inline runs.

use axum::response::Response;

use super::{Operation, Routes, get, schemas};
use crate::http::error::Error;
use crate::http::model_path::Named;
use crate::http::page::built_in;

/// Pictures in the style sheet are `data:` URLs; those of answers are `blob:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &[u8] = include_bytes!("docs.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Name, content type, bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    ("docs.js", SCRIPT, include_bytes!("docs.js")),
    ("docs.css", STYLE, include_bytes!("docs.css")),
    ("swagger-ui-bundle.js", SCRIPT, include_bytes!("swagger-ui/swagger-ui-bundle.js")),
    ("swagger-ui.css", STYLE, include_bytes!("swagger-ui/swagger-ui.css")),
];

/// Adds the routes.
pub(crate) fn with_routes(routes: Routes) -> Routes {
    let of_page = Operation::new("getDocs", "about", "This document as a page that tries its operations out")
        .answers("The page.", [("text/html", schemas::any_text())]);
    let of_file = Operation::new("getDocsFile", "about", "A file of that page")
        .path("file", "Its name.", FILES[0].0)
        .answers("The file.", ["text/javascript", "text/css"].map(|kind| (kind, schemas::any_text())))
        .refuses(&[404]);
    routes.at("/docs", get(page, of_page)).exactly("/docs/{file}", get(file, of_file))
}

async fn page() -> Response {
    built_in("text/html; charset=utf-8", HTML, POLICY)
}

async fn file(Named(name): Named) -> Result<Response, Error> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let missing = || Error::NoRoute { path: format!("/docs/{name}") };
    found.map(|(_, kind, bytes)| built_in(kind, bytes, POLICY)).ok_or_else(missing)
}
