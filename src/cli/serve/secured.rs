//! Certificates and keys of a server: read before a port is bound, and again whenever their files change.
//! Not here: what they mean (`net`, `auth`).

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};

use crate::auth::{Access, Keys, Policy, Scope};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::{ClientAuth, Pem, Tls, TlsError};
use crate::reload::{self, Contents, Unreadable, Watched, Watching};

/// Names of files in logs and metrics.
const CERTIFICATES: &str = "tls";
const KEYS: &str = "api-keys";

/// What the files have said.
pub(super) struct Secrets {
    tls: Option<(Tls, Option<SystemTime>, TlsFiles, Contents)>,
    keys: Option<(Keys, PathBuf, Contents)>,
    policy: Policy,
}

/// What ports get.
pub(super) struct Secured {
    pub(super) tls: Option<Tls>,
    /// None: everybody may ask.
    pub(super) access: Option<Access>,
    /// Looks at the files as long as it lives.
    pub(super) watching: Option<Watching>,
}

#[derive(Clone)]
struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    /// Only beside authorities.
    client_crl: Option<PathBuf>,
}

impl Secrets {
    /// Reads the files that are configured.
    ///
    /// # Errors
    /// What an operator has to mend, with the file's name.
    pub(super) fn read(config: &Config) -> anyhow::Result<Self> {
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                let (client_ca, client_crl) = (config.tls_client_ca.clone(), config.tls_client_crl.clone());
                let files = TlsFiles { certificate, key, client_ca, client_crl };
                let contents = reload::read(&files.all())?;
                let tls = Tls::new(&pem(&contents)?, config.tls_client_auth);
                let (tls, end) = tls.map_err(|error| anyhow!(files.explain(&error)))?;
                warn_of_readers(&files.key);
                Some((tls, end, files, contents))
            }
            _ => None,
        };
        let keys = match &config.api_keys {
            Some(path) => {
                let contents = reload::read(std::slice::from_ref(path))?;
                let keys = Keys::parse(contents.first().map_or(&[], Vec::as_slice));
                let keys = keys.map_err(|why| anyhow!("api-keys {}: {why}", path.display()))?;
                warn_of_readers(path);
                Some((keys, path.clone(), contents))
            }
            None => None,
        };
        let has_admin = keys.as_ref().is_some_and(|(keys, ..)| keys.have(Scope::Admin));
        if !config.admin_addr.ip().is_loopback() && !has_admin && config.tls_client_ca.is_none() {
            bail!(
                "admin-addr is {}, and no key of api-keys has the scope admin: anybody could load models",
                config.admin_addr
            );
        }
        if keys.is_some() && tls.is_none() && !config.http_addr.ip().is_loopback() {
            tracing::warn!("API keys travel in the clear: give --tls-cert, or have a proxy in front speak TLS");
        }
        let certificates = config.tls_client_ca.is_some() && config.tls_client_auth == ClientAuth::ExceptProbes;
        Ok(Self { tls, keys, policy: Policy { certificates, metrics: config.metrics_auth } })
    }

    /// What ports get of it, and the thread that looks at the files.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(super) fn follow(self, metrics: &Metrics) -> anyhow::Result<Secured> {
        let Self { tls, keys, policy } = self;
        let mut watched = Vec::new();
        let of_keys = keys.is_some() || policy.certificates;
        let access = of_keys.then(|| Access::new(keys.as_ref().map(|(keys, ..)| keys), policy, metrics.access()));
        if let (Some(access), Some((_, path, contents))) = (access.clone(), &keys) {
            watched.push(self::watched(KEYS, vec![path.clone()], contents, metrics, move |contents| {
                let keys = Keys::parse(contents.first().map_or(&[], Vec::as_slice))?;
                access.replace(&keys);
                Ok(())
            }));
        }
        let tls = tls.map(|(tls, end, files, contents)| {
            let counts = metrics.tls();
            end.into_iter().for_each(|end| counts.expires(end));
            let of_ports = tls.clone();
            watched.push(self::watched(CERTIFICATES, files.all(), &contents, metrics, move |contents| {
                let pem = pem(contents).map_err(|error| error.to_string())?;
                let end = tls.replace(&pem).map_err(|error| files.explain(&error))?;
                end.into_iter().for_each(|end| counts.expires(end));
                Ok(())
            }));
            of_ports
        });
        let some = !watched.is_empty();
        let watching = some.then(|| reload::watch(watched)).transpose().context("starting the thread that rereads")?;
        Ok(Secured { tls, access, watching })
    }
}

fn watched(
    name: &'static str,
    files: Vec<PathBuf>,
    contents: &Contents,
    metrics: &Metrics,
    take: impl Fn(&Contents) -> Result<(), String> + Send + 'static,
) -> Watched {
    let reloads = metrics.reloads();
    reloads.are(name, true);
    Watched::new(name, files, contents, move |read: Result<Contents, Unreadable>| {
        let taken = read.map_err(|error| error.to_string()).and_then(|contents| take(&contents));
        reloads.are(name, taken.is_ok());
        taken
    })
}

impl TlsFiles {
    fn all(&self) -> Vec<PathBuf> {
        let of_clients = self.client_ca.iter().chain(&self.client_crl);
        [&self.certificate, &self.key].into_iter().chain(of_clients).cloned().collect()
    }

    fn explain(&self, error: &TlsError) -> String {
        let (flag, path) = match error {
            TlsError::Certificate(_) => ("tls-cert", Some(&self.certificate)),
            TlsError::Key(_) => ("tls-key", Some(&self.key)),
            TlsError::ClientCa(_) => ("tls-client-ca", self.client_ca.as_ref()),
            TlsError::ClientCrl(_) => ("tls-client-crl", self.client_crl.as_ref()),
        };
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        format!("{flag} {path}: {error}")
    }
}

fn pem(contents: &Contents) -> anyhow::Result<Pem<'_>> {
    match contents.as_slice() {
        [certificate, key, rest @ ..] => {
            let of_clients = |index: usize| rest.get(index).map(Vec::as_slice);
            Ok(Pem { certificate, key, client_ca: of_clients(0), client_crl: of_clients(1) })
        }
        _ => bail!("a certificate and its key are needed"),
    }
}

/// Warns where everybody on the machine can read a file that is not for everybody.
fn warn_of_readers(path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        tracing::warn!(path = %path.display(), "everybody on this machine can read this file; chmod o-r hides it");
    }
}
