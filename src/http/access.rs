//! Who may ask what over HTTP and on the admin port: what each route needs, and the layer that sees to it before a handler is asked and
//! a body is read.
//!
//! What stands in no list here needs a key: a route that comes later is closed until somebody opens it. Not here: keys (`auth`).

use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request, State};
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::Error;
use super::others;
use super::state::AppState;
use crate::auth::{Need, Refused, Scope};
use crate::net::Peer;
use crate::service::Meter;

/// Liveness and readiness by all their names.
const PROBES: [&str; 7] = ["/livez", "/v2/health/live", "/readyz", "/v2/health/ready", "/health", "/healthz", "/ping"];
/// Nothing of this server: the page, whose script asks with the key that is typed into it, and how the routes are used.
const OPEN: [&str; 6] = ["", "/page/{file}", "/page/samples/{file}", "/docs", "/docs/{file}", "/openapi.json"];
/// Commands about models.
const COMMANDS: [&str; 2] = ["/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload"];

/// Which port a route is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Clients.
    Clients,
    /// Operators.
    Operators,
}

/// What holds the caller of a request to so many images.
#[derive(Clone)]
struct Metered(Arc<dyn Meter>);

/// The name of the key of a request, for its line in the log, once it is known.
#[derive(Clone, Default)]
pub(super) struct KeyName(Arc<OnceLock<Arc<str>>>);

impl KeyName {
    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(|name| &**name)
    }
}

/// What holds the caller to so many images, from the extensions of a request.
pub(super) fn meter(extensions: &Extensions) -> Option<&Arc<dyn Meter>> {
    extensions.get::<Metered>().map(|Metered(meter)| meter)
}

/// The layer around the routes, where anybody is refused at all.
pub(super) async fn layer(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let Some(access) = &state.options.access else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let has_certificate = request.extensions().get::<Peer>().is_some_and(|peer| peer.certificate);
    match access.check(request.headers(), has_certificate, need(route, state.audience)) {
        Ok(None) => {}
        Ok(Some(caller)) => {
            let extensions = request.extensions_mut();
            if let Some(KeyName(name)) = extensions.get() {
                let _ = name.set(Arc::clone(caller.name())); // the first stays
            }
            if let Some(meter) = caller.meter() {
                extensions.insert(Metered(meter));
            }
        }
        Err(refused) => {
            if let (Refused::Scope { name, .. }, Some(KeyName(of_log))) = (&refused, request.extensions().get()) {
                let _ = of_log.set(Arc::clone(name));
            }
            let error = Error::Access(refused);
            // the body is not read; what becomes of it is `body_tracker`'s
            return match route {
                Some(route) if route.starts_with("/predictions/") => others::torchserve_error(error),
                _ => error.into_response(),
            };
        }
    }
    next.run(request).await
}

/// What a route needs; None: what no route takes.
pub(super) fn need(route: Option<&str>, audience: Audience) -> Need {
    let route = route.map(|route| route.strip_suffix('/').unwrap_or(route));
    match (route, audience) {
        (Some(route), _) if PROBES.contains(&route) => Need::Probe,
        (Some("/metrics"), _) => Need::Metrics,
        (_, Audience::Operators) => Need::Key(Scope::Admin),
        (Some(route), _) if OPEN.contains(&route) => Need::Open,
        (Some(route), _) if COMMANDS.contains(&route) => Need::Key(Scope::Admin),
        _ => Need::Key(Scope::Infer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_list_opens_needs_a_key() {
        let infer = Need::Key(Scope::Infer);
        for (route, needed) in [
            (Some("/"), Need::Open),
            (Some("/livez"), Need::Probe),
            (Some("/v2/health/ready/"), Need::Probe),
            (Some("/ping"), Need::Probe),
            (Some("/metrics/"), Need::Metrics),
            (Some("/classify"), infer),
            (Some("/stats"), infer),
            (Some("/models"), infer),
            (Some("/v2/models/{model}/ready"), infer),
            (Some("/v2/repository/index"), infer),
            (Some("/v2/repository/models/{model}/load/"), Need::Key(Scope::Admin)),
            (Some("/a/route/of/tomorrow"), infer),
            (None, infer),
        ] {
            assert_eq!(need(route, Audience::Clients), needed, "{route:?}");
        }
    }

    #[test]
    fn on_the_admin_port_everything_but_probes_and_metrics_is_for_operators() {
        for (route, needed) in [
            (Some("/readyz"), Need::Probe),
            (Some("/metrics"), Need::Metrics),
            (Some("/"), Need::Key(Scope::Admin)),
            (Some("/models"), Need::Key(Scope::Admin)),
            (Some("/log-level"), Need::Key(Scope::Admin)),
            (None, Need::Key(Scope::Admin)),
        ] {
            assert_eq!(need(route, Audience::Operators), needed, "{route:?}");
        }
    }
}
