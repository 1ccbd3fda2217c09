//! A client of HTTP/1.1 that keeps its connections, or of gRPC over one of HTTP/2. Not here: when it asks (`drive`), what (`target`).

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::ResponseFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::grpc;
use super::record::Outcome;
use super::target::Model;
use crate::cli::tls_client::{Speaks, Trust, connector};
use crate::grpc::proto::inference::ModelMetadataResponse;

/// What is sent.
pub(super) type Body = Full<Bytes>;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The longest answer that is kept: the list of models.
const LONGEST: usize = 4 << 20;

/// Of HTTP/1.1 a connection for each request in flight, of which one that idles is used again; of HTTP/2 one for all.
#[derive(Clone)]
pub(super) struct Client {
    client: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Body>,
    /// What every request shows.
    key: Option<HeaderValue>,
}

impl Client {
    /// Of gRPC, or of HTTP/1.1.
    ///
    /// # Errors
    /// Files of `trust` that cannot be used; a key that no header can have.
    pub(super) fn new(is_grpc: bool, trust: &Trust, key: Option<&str>) -> anyhow::Result<Self> {
        let connector = connector(trust, if is_grpc { Speaks::Http2 } else { Speaks::Http1 })?;
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        let key =
            key.map(|key| HeaderValue::from_str(key).context("--api-key cannot stand in a header")).transpose()?;
        Ok(Self { client: builder.http2_only(is_grpc).build(connector), key })
    }

    fn request(&self, mut request: Request<Body>) -> ResponseFuture {
        if let Some(key) = &self.key {
            request.headers_mut().insert(API_KEY, key.clone());
        }
        self.client.request(request)
    }

    /// Asks, and reads the answer to its end.
    pub(super) async fn send(&self, request: Request<Body>) -> Outcome {
        let answer = async {
            let response = self.request(request).await.map_err(|error| innermost(&error))?;
            let status = response.status().as_u16();
            let mut code = grpc::code(response.headers());
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| innermost(&error))?;
                code = code.or_else(|| grpc::code(frame.trailers_ref()?));
            }
            Ok(code.map_or(Outcome::Status(status), Outcome::Code))
        };
        answer.await.unwrap_or_else(Outcome::NoAnswer)
    }

    /// What a model takes, by gRPC.
    ///
    /// # Errors
    /// No answer in time, or that there is no such model.
    pub(super) async fn metadata(
        &self,
        server: &Uri,
        model: &str,
        timeout: Duration,
    ) -> anyhow::Result<ModelMetadataResponse> {
        let ask = async {
            let request = grpc::metadata_request(server, model)?;
            let response = self.request(request).await.map_err(|error| anyhow!(innermost(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(|error| anyhow!(error))?;
            let trailers = body.trailers().cloned().unwrap_or(head.headers);
            grpc::answer(&trailers, body.to_bytes())
        };
        let answer = tokio::time::timeout(timeout, ask).await;
        answer
            .unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", timeout.as_millis())))
            .context(server.to_string())
    }

    /// The models of a server.
    ///
    /// # Errors
    /// No answer in time, or not that of a server such as this.
    pub(super) async fn models(&self, uri: Uri, timeout: Duration) -> anyhow::Result<Vec<Model>> {
        let shown = uri.to_string();
        let ask = async {
            let mut request = Request::new(Body::default());
            *request.uri_mut() = uri;
            let response = self.request(request).await.map_err(|error| anyhow!(innermost(&error)))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                bail!("{status}: give --api-key, or CONVNEXT_API_KEY, with a key of scope infer");
            }
            let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| anyhow!(error))?;
            if !status.is_success() {
                bail!("{status}: is this a server of `convnext serve`?");
            }
            serde_json::from_slice(&body.to_bytes()).context("this is no list of models of `convnext serve`")
        };
        let answer = tokio::time::timeout(timeout, ask).await;
        answer.unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", timeout.as_millis()))).context(shown)
    }
}

/// What lies at the bottom of an error, as "Connection refused": the layers above it only say that they failed.
fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error).to_string()
}
