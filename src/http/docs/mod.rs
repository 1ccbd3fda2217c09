//! What a port serves, told as an OpenAPI document at `/openapi.json`. The router and the document are built of one table, [`Routes`], so that neither has a
//! route that the other has not. Not here: what is said of each route, which stands beside it; the page at `/docs` (`ui`).

pub(crate) mod images;
mod operation;
mod refusals;
mod routes;
pub(crate) mod schemas;
mod security;
pub(super) mod ui;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::{Info, License, OpenApiBuilder, Tag};

use super::access::{self, Audience};

pub(crate) use images::{coded, forms};
pub(crate) use operation::Operation;
pub(crate) use refusals::OF_IMAGES;
pub(crate) use routes::{Methods, Routes, get, post, put};

/// Which port a document is of.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    /// Who asks there, which decides what a route needs.
    pub(crate) audience: Audience,
    /// Groups of routes, each with what it is.
    pub(crate) tags: &'static [(&'static str, &'static str)],
}

/// The document as text, made once.
#[derive(Clone, Default)]
pub(crate) struct Document(Bytes);

impl Document {
    /// Of all routes of a port. Empty where it cannot be written, which the log says.
    fn of(port: Port, routes: &[routes::Documented]) -> Self {
        let mut info = Info::new(port.title, env!("CARGO_PKG_VERSION"));
        info.description = Some(port.description.to_owned());
        let mut licence = License::new("MIT OR Apache-2.0");
        licence.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
        info.license = Some(licence);
        let tags = port.tags.iter().map(|(name, description)| {
            let mut tag = Tag::new(name);
            tag.description = Some((*description).to_owned());
            tag
        });
        let mut components = security::components(refusals::components(ComponentsBuilder::new()));
        let mut paths = utoipa::openapi::Paths::new();
        for (path, method, operation) in routes {
            for (name, schema) in operation.schemas() {
                components = components.schema(name.clone(), schema.clone());
            }
            let operation = operation.clone().needs(access::need(Some(path), port.audience));
            paths.add_path_operation(path, vec![method.clone()], operation.told());
        }
        let document =
            OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).tags(Some(tags));
        let text = document.build().to_json().unwrap_or_else(|fault| {
            tracing::error!(%fault, "the document of the routes cannot be written");
            String::new()
        });
        Self(text.into())
    }
}

/// `GET /openapi.json`.
fn openapi(Document(text): Document) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], text)
        .into_response()
}

/// What is said of it.
pub(super) fn of_openapi() -> Operation {
    Operation::new("getOpenApi", "about", "This document")
        .answers("OpenAPI 3.1, of what this port serves.", [("application/json", schemas::any_object())])
}
