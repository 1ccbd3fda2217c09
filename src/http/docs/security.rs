//! What the document says of keys: how they are shown, and which routes ask for one where the server has any. Not here: what a route needs (`access`).

use utoipa::openapi::schema::ComponentsBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use crate::auth::{Need, Scope};

/// The two ways of showing a key.
const SCHEMES: [&str; 2] = ["bearer", "header"];

/// All ways of showing a key.
pub(super) fn components(all: ComponentsBuilder) -> ComponentsBuilder {
    let text = "An API key, where the server asks for keys (`--api-keys`).";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
    let header = ApiKeyValue::with_description("X-API-Key", text);
    let [by_bearer, by_header] = SCHEMES;
    all.security_scheme(by_bearer, SecurityScheme::Http(bearer))
        .security_scheme(by_header, SecurityScheme::ApiKey(ApiKey::Header(header)))
}

/// What a route may ask for: nothing where there are no keys, or else a key in one of the two ways. None: it never asks for one.
pub(super) fn requirements(need: Need) -> Option<Vec<SecurityRequirement>> {
    let scopes: &[&str] = match need {
        Need::Probe | Need::Open => return None,
        Need::Metrics => &[],
        Need::Key(Scope::Infer) => &["infer"],
        Need::Key(Scope::Admin) => &["admin"],
    };
    let by_key = SCHEMES.map(|scheme| SecurityRequirement::new(scheme, scopes.iter().copied()));
    Some([SecurityRequirement::default()].into_iter().chain(by_key).collect())
}
