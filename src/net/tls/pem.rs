//! Files in PEM: a certificate with its chain, its key, and the authorities of clients. Not here: reading files (`reload`), and what a list of
//! revoked certificates is (`crl`).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore};

use super::{ClientAuth, crl};

/// What clients may speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the files say.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// The certificate, and behind it those between it and its authority.
    pub certificate: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
    /// The authorities of clients; None: clients show no certificate.
    pub client_ca: Option<&'a [u8]>,
    /// Which of their certificates they have revoked; None: nobody asks. Means something beside authorities only.
    pub client_crl: Option<&'a [u8]>,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// That of the certificate.
    #[error("the certificate {0}")]
    Certificate(String),
    /// That of the key.
    #[error("the key {0}")]
    Key(String),
    /// That of the authorities of clients.
    #[error("the authorities of clients: {0}")]
    ClientCa(String),
    /// That of the revoked certificates of clients.
    #[error("the revocation list of clients: {0}")]
    ClientCrl(String),
}

impl Pem<'_> {
    pub(super) fn config(&self, client_auth: ClientAuth) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(self.certificate).map_err(|why| TlsError::Certificate(why.to_owned()))?;
        for certificate in &chain {
            webpki::EndEntityCert::try_from(certificate)
                .map_err(|error| TlsError::Certificate(format!("cannot be read: {error}")))?;
        }
        let key = key(self.key).map_err(|why| TlsError::Key(why.to_owned()))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let builder = match self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => builder.with_client_cert_verifier(self.verifier(pem, client_auth, provider)?),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Key("is not that of the certificate".to_owned())
            }
            error => TlsError::Key(format!("cannot be used: {error}")),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        authorities: &[u8],
        client_auth: ClientAuth,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let wrong = |why: String| TlsError::ClientCa(why);
        let mut roots = RootCertStore::empty();
        let found = certificates(authorities);
        for certificate in found.map_err(|_| wrong("the file has no valid BEGIN CERTIFICATE".to_owned()))? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match client_auth {
            ClientAuth::Require => builder,
            ClientAuth::ExceptProbes => builder.allow_unauthenticated(),
        };
        let builder = match self.client_crl {
            None => builder,
            // of a certificate whose authority has no list nobody knows whether it was revoked: rustls then refuses it
            Some(pem) => {
                let lists = crl::lists(pem, SystemTime::now()).map_err(TlsError::ClientCrl)?;
                builder.with_crls(lists).enforce_revocation_expiration()
            }
        };
        builder.build().map_err(|error| wrong(error.to_string()))
    }

    /// When the first certificate of the chain ends.
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        certificates(self.certificate).ok()?.iter().filter_map(end).min()
    }
}

/// The end of a certificate's validity. webpki tells it only of one that has ended: so it is asked of a time after all others. It checks
/// validity before it looks for an authority, of which there is none here.
fn end(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let late = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let usage = webpki::KeyUsage::server_auth();
    match certificate.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[], &[], late, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| "is no valid PEM")?;
    if found.is_empty() {
        return Err("is not there: the file has no BEGIN CERTIFICATE");
    }
    Ok(found)
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let text = String::from_utf8_lossy(pem);
        if text.contains("ENCRYPTED") {
            "is encrypted; write it without a password: openssl pkey -in KEY -out PLAIN"
        } else {
            "is not there: the file has no BEGIN PRIVATE KEY (PKCS #8), RSA PRIVATE KEY or EC PRIVATE KEY"
        }
    })
}
