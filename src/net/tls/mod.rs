//! TLS for every port: what is shown to clients, which of them are let in, and the handshake.
//!
//! A new certificate holds for the connections that come after it. Not here: when files are read again (`reload`), and who may ask
//! what (`auth`).

mod crl;
mod handshake;
mod pem;
mod stream;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use clap::ValueEnum;
use rustls::ServerConfig;
use serde::Deserialize;

pub use pem::{Pem, TlsError};
pub(super) use stream::TlsStream;

/// What clients without a certificate get, where there is an authority for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// No connection.
    #[default]
    Require,
    /// Probes, and nothing else. Those of Kubernetes cannot show a certificate.
    ExceptProbes,
}

/// What is known of the client of a connection with TLS; in the extensions of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// It has shown a certificate that an authority of ours has signed.
    pub certificate: bool,
}

/// What ports show and ask for; clones are the same one.
#[derive(Clone)]
pub struct Tls(Arc<State>);

struct State {
    client_auth: ClientAuth,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// With what files say. Also when the first certificate of the chain ends, where its form tells.
    ///
    /// # Errors
    /// [`TlsError`], which says whose file it is.
    pub fn new(pem: &Pem<'_>, client_auth: ClientAuth) -> Result<(Self, Option<SystemTime>), TlsError> {
        let config = pem.config(client_auth)?;
        Ok((Self(Arc::new(State { client_auth, current: RwLock::new(config) })), pem.expiry()))
    }

    /// The same with what the files say now, for the connections that come.
    ///
    /// # Errors
    /// [`TlsError`]; what was before then stays.
    pub fn replace(&self, pem: &Pem<'_>) -> Result<Option<SystemTime>, TlsError> {
        let config = pem.config(self.0.client_auth)?;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(pem.expiry())
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Nothing of the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("client_auth", &self.0.client_auth).finish_non_exhaustive()
    }
}
