//! What all ports share: the accept loop, the limit of connections, timeouts, TLS, and the drain at the end.
//!
//! Not here: what a port serves. Each brings an [`axum::Router`], be it HTTP, gRPC or an admin's. Which signal means the end
//! is the command line's.

mod activity;
mod connection;
mod descriptors;
mod options;
mod port;
mod refusal;
mod refused_head;
mod request_body;
pub(crate) mod request_id;
mod serve;
mod socket;
mod stopping;
mod tls;

pub use descriptors::make_room;
pub use options::Options;
pub use port::Port;
pub use serve::{Drained, serve};
pub use stopping::Stopping;
pub use tls::{ClientAuth, Peer, Pem, Tls, TlsError};
