//! `convnext health`: asks a server whether it is ready, for containers that have no curl.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::tls_client::{Speaks, Trust, connector};
use super::{Failure, print};
use crate::config::units::Span;

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the server; without a path, of its readiness
    #[arg(default_value = "http://127.0.0.1:8080", env = "CONVNEXT_HEALTH_URL")]
    url: String,
    /// How long to wait for the answer
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    timeout: Span,
    #[command(flatten)]
    trust: Trust,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let uri = uri(&args.url).map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let connector = connector(&args.trust, Speaks::Http1).map_err(Failure::Usage)?;
    let answer = runtime.block_on(ask(connector, uri, args.timeout.0)).with_context(|| args.url.clone())?;
    print(&format!("{answer}\n"))
}

fn uri(text: &str) -> anyhow::Result<Uri> {
    let uri: Uri = text.parse().with_context(|| format!("{text:?} is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!("{text:?}: write http://HOST:PORT or https://HOST:PORT, with a path or without");
    }
    if uri.path() == "/" {
        let mut parts = uri.into_parts();
        parts.path_and_query = Some("/readyz".parse()?);
        return Ok(Uri::from_parts(parts)?);
    }
    Ok(uri)
}

/// The first line of a 200's body; anything else is an error.
async fn ask(connector: HttpsConnector<HttpConnector>, uri: Uri, timeout: Duration) -> anyhow::Result<String> {
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let request = async {
        let response = client.get(uri).await.map_err(|error| anyhow!("{}", innermost(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 << 10).collect().await.map_err(|error| anyhow!(error))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
        if status.is_success() { Ok(text) } else { bail!("{status}: {text}") }
    };
    tokio::time::timeout(timeout, request).await.map_err(|_| anyhow!("no answer within {} ms", timeout.as_millis()))?
}

/// What lies at the bottom of an error, as "Connection refused": the layers above it only say that they failed.
fn innermost(error: &dyn std::error::Error) -> &dyn std::error::Error {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_readiness_is_asked_for() {
        assert_eq!(uri("http://localhost:8080").unwrap().to_string(), "http://localhost:8080/readyz");
        assert_eq!(uri("http://localhost:8080/livez").unwrap().path(), "/livez");
        assert_eq!(uri("https://localhost").unwrap().to_string(), "https://localhost/readyz");
        for wrong in ["localhost:8080", "ftp://localhost", "http://", ""] {
            assert!(uri(wrong).is_err(), "{wrong}");
        }
    }
}
