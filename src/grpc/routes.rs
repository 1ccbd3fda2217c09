//! The services of the gRPC port. Not here: connections (`net`), and what happens to every call (`outer_layer`).

use axum::{Router, middleware};
use tonic::Status;
use tonic::server::NamedService;
use tonic_reflection::server::Builder;

use super::outer_layer::outer_layer;
use super::proto::DESCRIPTION;
use super::{Options, health, inference};
use crate::service::Classifier;

/// All services, under the layer that every call goes through.
pub fn router(classifier: Classifier, options: Options) -> Router {
    let mut routes = Router::new();
    routes = serve(routes, inference::server(classifier.clone(), options.clone()));
    routes = serve(routes, health::server(classifier.clone()));
    let described = || Builder::configure().register_encoded_file_descriptor_set(DESCRIPTION);
    // an old client asks by the old name
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(now), Ok(old)) => routes = serve(serve(routes, now), old),
        // made by build.rs and tested: not to be expected, and no reason not to serve
        (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "there is no reflection"),
    }
    let routes = routes.fallback(async || Status::unimplemented("no such call").into_http::<axum::body::Body>());
    routes.layer(middleware::from_fn_with_state((classifier, options), outer_layer))
}

fn serve<S>(routes: Router, service: S) -> Router
where
    S: tower::Service<axum::extract::Request, Error = std::convert::Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Response: axum::response::IntoResponse,
    S::Future: Send + 'static,
{
    routes.route_service(&format!("/{}/{{*call}}", S::NAME), service)
}
