//! Who may make which call. What stands in no list here needs a key. Not here: keys (`auth`).

use axum::extract::Request;
use tonic::{Code, Status};

use crate::auth::{Access, Caller, Need, Refused, Scope};
use crate::net::Peer;

/// What orchestrators ask, which have no keys.
const PROBES: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
];
/// Commands about models.
const COMMANDS: [&str; 2] =
    ["/inference.GRPCInferenceService/RepositoryModelLoad", "/inference.GRPCInferenceService/RepositoryModelUnload"];

/// The key of a call that may be; None where it needs none.
///
/// # Errors
/// UNAUTHENTICATED, PERMISSION_DENIED.
pub(super) fn check(access: &Access, request: &Request) -> Result<Option<Caller>, Status> {
    let has_certificate = request.extensions().get::<Peer>().is_some_and(|peer| peer.certificate);
    access.check(request.headers(), has_certificate, need(request.uri().path())).map_err(|refused| of(&refused))
}

/// A key that was good when its call began holds no longer.
pub(super) fn revoked() -> Status {
    of(&Refused::UnknownKey)
}

fn of(refused: &Refused) -> Status {
    let code = if refused.is_known() { Code::PermissionDenied } else { Code::Unauthenticated };
    Status::new(code, refused.to_string())
}

fn need(path: &str) -> Need {
    if PROBES.contains(&path) {
        Need::Probe
    } else if COMMANDS.contains(&path) {
        Need::Key(Scope::Admin)
    } else {
        Need::Key(Scope::Infer)
    }
}
