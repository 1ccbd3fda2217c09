//! A client's end of TLS, for the commands that ask a server: whom it believes. Not here: what is asked.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What is believed of a server, and shown to it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Trust {
    /// Of https: a PEM file with the authorities to believe, or with the server's own certificate
    #[arg(long, env = "CONVNEXT_CA", value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Of https: believe any certificate
    #[arg(long, env = "CONVNEXT_INSECURE")]
    insecure: bool,
    /// A PEM file with a client's certificate and its key, for a server that asks for one
    #[arg(long, env = "CONVNEXT_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,
}

/// How a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

/// Connects to `http` and `https`.
///
/// # Errors
/// Files that cannot be read or used.
pub(super) fn connector(trust: &Trust, speaks: Speaks) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config(trust)?).https_or_http();
    Ok(match speaks {
        Speaks::Http1 => builder.enable_http1().wrap_connector(http),
        Speaks::Http2 => builder.enable_http2().wrap_connector(http),
    })
}

fn config(trust: &Trust) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(Verifier::new(trust, provider)?);
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some(path) = &trust.cert else { return Ok(builder.with_no_client_auth()) };
    let own = || -> anyhow::Result<_> {
        let pem = std::fs::read(path)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem).context("it has no key")?;
        Ok(builder.with_client_auth_cert(chain, key)?)
    };
    own().with_context(|| format!("cert {}", path.display()))
}

/// Believes authorities, or single certificates, or everything.
#[derive(Debug)]
struct Verifier {
    /// None: everything is believed.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that are believed as they are: those that nobody else has signed are no authorities.
    known: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let algorithms = provider.signature_verification_algorithms;
        if trust.insecure {
            return Ok(Self { authorities: None, known: Vec::new(), algorithms });
        }
        let mut roots = RootCertStore::empty();
        let mut known = Vec::new();
        match &trust.ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let read = || -> anyhow::Result<Vec<_>> {
                    let pem = std::fs::read(path)?;
                    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
                    if found.is_empty() {
                        bail!("it has no BEGIN CERTIFICATE");
                    }
                    Ok(found)
                };
                known = read().with_context(|| format!("ca {}", path.display()))?;
                for certificate in &known {
                    roots.add(certificate.clone()).with_context(|| format!("ca {}", path.display()))?;
                }
            }
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { authorities: Some(authorities), known, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.authorities {
            None => Ok(ServerCertVerified::assertion()),
            Some(_) if self.known.iter().any(|known| known == certificate) => Ok(ServerCertVerified::assertion()),
            Some(authorities) => authorities.verify_server_cert(certificate, intermediates, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
