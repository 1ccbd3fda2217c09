//! The table of a port's routes: each has its handlers and what the document says of them, and cannot have one without the other. Not here: what
//! the routes are.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use utoipa::openapi::HttpMethod;

use super::{Document, Operation, Port};
use crate::http::state::AppState;

/// A path and a method with what is said of them.
pub(super) type Documented = (String, HttpMethod, Operation);

/// The methods of a path.
pub(crate) struct Methods {
    handlers: MethodRouter<AppState>,
    said: Vec<(HttpMethod, Operation)>,
}

/// A path that takes GET (and so HEAD).
pub(crate) fn get<H: Handler<T, AppState>, T: 'static>(handler: H, said: Operation) -> Methods {
    Methods { handlers: routing::get(handler), said: vec![(HttpMethod::Get, said)] }
}

/// A path that takes POST.
pub(crate) fn post<H: Handler<T, AppState>, T: 'static>(handler: H, said: Operation) -> Methods {
    Methods { handlers: routing::post(handler), said: vec![(HttpMethod::Post, said)] }
}

/// A path that takes PUT.
pub(crate) fn put<H: Handler<T, AppState>, T: 'static>(handler: H, said: Operation) -> Methods {
    Methods { handlers: routing::put(handler), said: vec![(HttpMethod::Put, said)] }
}

impl Methods {
    /// The path takes these too.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.said.extend(other.said);
        Self { handlers: self.handlers.merge(other.handlers), said: self.said }
    }
}

/// The routes of a port.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<AppState>,
    said: Vec<Documented>,
}

impl Routes {
    /// A route that may be asked for with a slash at its end too, which the document says once for all.
    pub(crate) fn at(self, path: &str, methods: Methods) -> Self {
        let with_slash = methods.handlers.clone();
        let mut routes = self.exactly(path, methods);
        routes.router = routes.router.route(&format!("{path}/"), with_slash);
        routes
    }

    /// A route that is only as it is written.
    pub(crate) fn exactly(mut self, path: &str, Methods { handlers, said }: Methods) -> Self {
        self.router = self.router.route(path, handlers);
        self.said.extend(said.into_iter().map(|(method, operation)| (path.to_owned(), method, operation)));
        self
    }

    /// The routes so far under a layer, which adds none.
    pub(crate) fn layered(mut self, layer: impl FnOnce(Router<AppState>) -> Router<AppState>) -> Self {
        self.router = layer(self.router);
        self
    }

    /// The router, which serves the document of all its routes.
    pub(crate) fn documented(self, port: Port) -> Router<AppState> {
        // its own route is one of them, and no other pays for it
        let written = Arc::new(OnceLock::new());
        let shown = Arc::clone(&written);
        let handler = move || {
            let document = shown.get().cloned().unwrap_or_default();
            async move { super::openapi(document) }
        };
        let routes = self.at("/openapi.json", get(handler, super::of_openapi()));
        let _ = written.set(Document::of(port, &routes.said)); // the first and only one
        routes.router
    }
}
