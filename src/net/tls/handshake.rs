//! The handshake of one connection, in bounded time. Not here: what is shown (`pem`), and what comes after it (`connection`).

use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Peer, Tls, TlsStream};

/// The first byte of a client that speaks TLS: a record of its handshake.
const HANDSHAKE: u8 = 0x16;
const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: application/json\r\nconnection: close\r\ncontent-length: 59\r\n\r\n\
    {\"error\":\"this port speaks TLS; write https:// in its URL\"}";

/// Why there is no TLS on a connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::net) enum Failed {
    /// It took too long.
    #[error("the handshake took longer than {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The client speaks HTTP without TLS. It was told.
    #[error("the client speaks HTTP without TLS")]
    Plain,
    /// The client has shown no certificate, or not one of ours.
    #[error("the client's certificate: {0}")]
    Certificate(String),
    /// The client left without a word, as who only looks whether a port is open.
    #[error("the client left without a word")]
    Closed,
    /// Anything else.
    #[error("{0}")]
    Broken(String),
}

impl Failed {
    /// The label of metrics.
    pub(in crate::net) fn reason(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timeout",
            Self::Plain => "plain_http",
            Self::Certificate(_) => "client_certificate",
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
        }
    }
}

impl Tls {
    /// Agrees with the client of a connection that has just come.
    ///
    /// # Errors
    /// Why it did not come to that. The connection is then to be dropped.
    pub(in crate::net) async fn accept(
        &self,
        stream: TcpStream,
        within: Duration,
    ) -> Result<(TlsStream, Peer), Failed> {
        let accepted = tokio::time::timeout(within, self.agree(stream)).await;
        accepted.unwrap_or(Err(Failed::TimedOut(within)))
    }

    async fn agree(&self, mut stream: TcpStream) -> Result<(TlsStream, Peer), Failed> {
        let mut first = [0];
        let seen = stream.peek(&mut first).await.map_err(|error| Failed::Broken(error.to_string()))?;
        if seen == 0 {
            return Err(Failed::Closed);
        }
        if first[0] != HANDSHAKE && first[0].is_ascii_uppercase() {
            tell(&mut stream).await;
            return Err(Failed::Plain);
        }
        let stream = TlsAcceptor::from(self.current()).accept(stream).await.map_err(|error| of(&error))?;
        let peer = Peer { certificate: stream.get_ref().1.peer_certificates().is_some() };
        Ok((TlsStream::new(stream), peer))
    }
}

/// Says in HTTP what is amiss. What the client sends is read, for a close over unread bytes would reset the connection, and the words
/// with it.
async fn tell(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let told = async {
        stream.write_all(PLAIN_HTTP.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
}

fn of(error: &std::io::Error) -> Failed {
    use rustls::Error as E;
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<E>());
    match cause {
        Some(E::NoCertificatesPresented) => Failed::Certificate("there is none".to_owned()),
        Some(E::InvalidCertificate(why)) => Failed::Certificate(match why {
            CertificateError::UnknownIssuer => "no authority of ours has signed it".to_owned(),
            CertificateError::Revoked => "its authority has revoked it".to_owned(),
            CertificateError::UnknownRevocationStatus => {
                "there is no revocation list of the authority that has signed it".to_owned()
            }
            CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                "the revocation list of its authority has expired".to_owned()
            }
            why => why.to_string(),
        }),
        Some(E::AlertReceived(alert)) => Failed::Broken(told(*alert)),
        Some(error) => Failed::Broken(error.to_string()),
        None => Failed::Broken(error.to_string()),
    }
}

/// What clients say most often.
fn told(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            format!("the client does not believe this server's certificate ({alert:?})")
        }
        alert => format!("the client says {alert:?}"),
    }
}
