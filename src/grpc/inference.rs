//! The calls of the Open Inference Protocol: each a message in, a word with `oip`, a message out.
//!
//! hyper drops a call's future when its client cancels it. The ticket then gives back what it holds.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::Stream;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Response, Status, Streaming};

use super::call::Call;
use super::proto::inference as pb;
use super::proto::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::{Options, access, error, message, stream};
use crate::auth::Caller;
use crate::metrics::ModelMetrics;
use crate::net::Stopping;
use crate::oip::{self, Head, Served};
use crate::panics;
use crate::service::{BodyBytes, Classifier, ServiceError};

/// The service, with the limits of its messages: what is sent is as long as it is.
pub(super) fn server(classifier: Classifier, options: Options) -> GrpcInferenceServiceServer<Inference> {
    let most = usize::try_from(classifier.limits().max_body_bytes).unwrap_or(usize::MAX);
    GrpcInferenceServiceServer::new(Inference { classifier, options })
        .max_decoding_message_size(most)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
}

/// Answers the calls.
#[derive(Clone)]
pub(super) struct Inference {
    classifier: Classifier,
    options: Options,
}

type Answer<T> = Result<Response<T>, Status>;

impl Inference {
    /// Admits a request, tells of which model it is, and has it answered. `bytes` are what it came in.
    async fn infer(
        &self,
        request: pb::ModelInferRequest,
        bytes: BodyBytes,
        deadline: Option<Duration>,
        caller: Option<&Caller>,
        is_for: impl FnOnce(Arc<ModelMetrics>),
    ) -> Result<pb::ModelInferResponse, Status> {
        if caller.is_some_and(Caller::is_revoked) {
            return Err(access::revoked()); // a stream may outlive its key
        }
        let meter = caller.and_then(Caller::meter);
        let head = Head {
            model: &request.model_name,
            version: &request.model_version,
            body_bytes: None,
            deadline,
            meter: meter.as_ref(),
        };
        let mut admitted = oip::Call::admit(&self.classifier, head).map_err(|error| error::of_oip(&error))?;
        is_for(admitted.metrics());
        let (came, length) = (bytes.count(), request.encoded_len() as u64);
        admitted.hold(bytes);
        if length > came {
            // it came compressed
            admitted.body_is(length).map_err(|error| error::status(&error))?;
        }
        let request = match message::request(request) {
            Ok(request) => request,
            Err(error) => {
                admitted.refuse();
                return Err(error::of_oip(&error));
            }
        };
        let answer = admitted.infer(request).await.map_err(|error| error::of_oip(&error))?;
        Ok(message::answer(&answer))
    }
}

/// What is known of the call since its head came. The layer around all calls has put it there.
fn call_of<T>(request: &Request<T>) -> Result<Call, Status> {
    let call = request.extensions().get::<Call>().cloned();
    let call = call.ok_or_else(|| Status::internal("a call without its outer layer"))?;
    call.is_handled();
    Ok(call)
}

/// The output of `work`; a panic, which is logged, is an error of this request alone.
async fn catch_panic<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(panic = panics::text(&*panic), "a request panicked");
        Err(Status::internal("internal error; the log has more"))
    })
}

/// Has a command carried out before the call's deadline.
async fn before<T>(call: &Call, work: impl Future<Output = Result<T, oip::Error>>) -> Result<T, Status> {
    let done = match call.deadline() {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await,
        None => Ok(work.await),
    };
    let late = |_| error::status(&ServiceError::DeadlinePassed(call.allowed().unwrap_or_default()));
    done.map_err(late)?.map_err(|error| error::of_oip(&error))
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, request: Request<pb::ServerLiveRequest>) -> Answer<pb::ServerLiveResponse> {
        call_of(&request)?;
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, request: Request<pb::ServerReadyRequest>) -> Answer<pb::ServerReadyResponse> {
        call_of(&request)?;
        Ok(Response::new(pb::ServerReadyResponse { ready: self.classifier.ready().is_ok() }))
    }

    /// A model that there is not is not ready, as Triton has it.
    async fn model_ready(&self, request: Request<pb::ModelReadyRequest>) -> Answer<pb::ModelReadyResponse> {
        call_of(&request)?;
        let pb::ModelReadyRequest { name, version } = request.into_inner();
        let ready = Served::find(&self.classifier, &name, &version).is_ok();
        Ok(Response::new(pb::ModelReadyResponse { ready }))
    }

    async fn server_metadata(&self, request: Request<pb::ServerMetadataRequest>) -> Answer<pb::ServerMetadataResponse> {
        call_of(&request)?;
        Ok(Response::new(message::server(&oip::server(self.options.allow_model_control))))
    }

    async fn model_metadata(&self, request: Request<pb::ModelMetadataRequest>) -> Answer<pb::ModelMetadataResponse> {
        call_of(&request)?;
        let pb::ModelMetadataRequest { name, version } = request.into_inner();
        let served = Served::find(&self.classifier, &name, &version).map_err(|error| error::of_oip(&error))?;
        Ok(Response::new(message::metadata(served.metadata())))
    }

    async fn model_config(&self, request: Request<pb::ModelConfigRequest>) -> Answer<pb::ModelConfigResponse> {
        call_of(&request)?;
        let pb::ModelConfigRequest { name, version } = request.into_inner();
        let served = Served::find(&self.classifier, &name, &version).map_err(|error| error::of_oip(&error))?;
        Ok(Response::new(pb::ModelConfigResponse { config: Some(message::config(served.config())) }))
    }

    async fn model_statistics(
        &self,
        request: Request<pb::ModelStatisticsRequest>,
    ) -> Answer<pb::ModelStatisticsResponse> {
        call_of(&request)?;
        let pb::ModelStatisticsRequest { name, version } = request.into_inner();
        let counted = oip::statistics(&self.classifier, &name, &version).map_err(|error| error::of_oip(&error))?;
        let model_stats = counted.into_iter().map(message::statistics).collect();
        Ok(Response::new(pb::ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<pb::RepositoryIndexRequest>,
    ) -> Answer<pb::RepositoryIndexResponse> {
        call_of(&request)?;
        let models = oip::index(&self.classifier, request.into_inner().ready);
        let models = models.into_iter().map(message::index).collect();
        Ok(Response::new(pb::RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<pb::RepositoryModelLoadRequest>,
    ) -> Answer<pb::RepositoryModelLoadResponse> {
        let call = call_of(&request)?;
        let pb::RepositoryModelLoadRequest { model_name, parameters, .. } = request.into_inner();
        let parameters = message::of_command(parameters);
        let allowed = self.options.allow_model_control;
        before(&call, oip::load(&self.classifier, allowed, &model_name, &parameters)).await?;
        Ok(Response::new(pb::RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<pb::RepositoryModelUnloadRequest>,
    ) -> Answer<pb::RepositoryModelUnloadResponse> {
        let call = call_of(&request)?;
        let name = request.into_inner().model_name;
        before(&call, oip::unload(&self.classifier, self.options.allow_model_control, &name)).await?;
        Ok(Response::new(pb::RepositoryModelUnloadResponse {}))
    }

    async fn model_infer(&self, request: Request<pb::ModelInferRequest>) -> Answer<pb::ModelInferResponse> {
        let call = call_of(&request)?;
        let (bytes, deadline) = (call.take_bytes(), call.remaining());
        let answer =
            self.infer(request.into_inner(), bytes, deadline, call.caller(), |model| call.is_for(model)).await?;
        Ok(Response::new(answer))
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<pb::ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let call = call_of(&request)?;
        let stopping = request.extensions().get::<Stopping>().cloned();
        let (inference, of_stream) = (self.clone(), call.clone());
        let infer = move |request: pb::ModelInferRequest, bytes: BodyBytes| {
            let (inference, deadline, of_stream) = (inference.clone(), of_stream.remaining(), of_stream.clone());
            async move {
                let mut timer = inference.classifier.metrics().request("grpc");
                let is_for = |model| timer.model(model);
                let answer = inference.infer(request, bytes, deadline, of_stream.caller(), is_for);
                let result = catch_panic(answer).await;
                timer.finish(error::name(result.as_ref().map_or_else(Status::code, |_| Code::Ok)));
                result
            }
        };
        Ok(Response::new(Box::pin(stream::answers(request.into_inner(), call, stopping, infer))))
    }
}
