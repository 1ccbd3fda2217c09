//! The calls of the Open Inference Protocol: each a message in, a word with `oip` or the service, a message out.
//!
//! hyper drops a call's future when its client cancels it. The ticket then gives back what it holds.

use std::pin::Pin;

use futures_util::stream::Stream;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

use super::call::Call;
use super::health::handled;
use super::proto::inference as pb;
use super::proto::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::{error, stream};
use crate::net::Stopping;
use crate::service::{BodyBytes, Classifier};

/// The service, with the limits of its messages: what is sent is as long as it is.
pub(super) fn server(classifier: Classifier) -> GrpcInferenceServiceServer<Inference> {
    let most = usize::try_from(classifier.limits().max_body_bytes).unwrap_or(usize::MAX);
    GrpcInferenceServiceServer::new(Inference(classifier))
        .max_decoding_message_size(most)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
}

/// Answers the calls.
#[derive(Clone)]
pub(super) struct Inference(Classifier);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, request: Request<pb::ServerLiveRequest>) -> Answer<pb::ServerLiveResponse> {
        handled(&request);
        Ok(Response::new(pb::ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, request: Request<pb::ServerReadyRequest>) -> Answer<pb::ServerReadyResponse> {
        handled(&request);
        Ok(Response::new(pb::ServerReadyResponse { ready: self.0.ready().is_ok() }))
    }
    async fn model_ready(&self, _: Request<pb::ModelReadyRequest>) -> Answer<pb::ModelReadyResponse> { Err(Status::unimplemented("")) }
    async fn server_metadata(&self, _: Request<pb::ServerMetadataRequest>) -> Answer<pb::ServerMetadataResponse> { Err(Status::unimplemented("")) }
    async fn model_metadata(&self, _: Request<pb::ModelMetadataRequest>) -> Answer<pb::ModelMetadataResponse> { Err(Status::unimplemented("")) }
    async fn model_infer(&self, _: Request<pb::ModelInferRequest>) -> Answer<pb::ModelInferResponse> { Err(Status::unimplemented("")) }
    async fn model_config(&self, _: Request<pb::ModelConfigRequest>) -> Answer<pb::ModelConfigResponse> { Err(Status::unimplemented("")) }
    async fn model_statistics(&self, _: Request<pb::ModelStatisticsRequest>) -> Answer<pb::ModelStatisticsResponse> { Err(Status::unimplemented("")) }
    async fn repository_index(&self, _: Request<pb::RepositoryIndexRequest>) -> Answer<pb::RepositoryIndexResponse> { Err(Status::unimplemented("")) }
    async fn repository_model_load(&self, _: Request<pb::RepositoryModelLoadRequest>) -> Answer<pb::RepositoryModelLoadResponse> { Err(Status::unimplemented("")) }
    async fn repository_model_unload(&self, _: Request<pb::RepositoryModelUnloadRequest>) -> Answer<pb::RepositoryModelUnloadResponse> { Err(Status::unimplemented("")) }
    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<pb::ModelStreamInferResponse, Status>> + Send>>;
    async fn model_stream_infer(&self, request: Request<Streaming<pb::ModelInferRequest>>) -> Answer<Self::ModelStreamInferStream> {
        handled(&request);
        let call = request.extensions().get::<Call>().cloned().ok_or_else(|| Status::internal("no call"))?;
        let stopping = request.extensions().get::<Stopping>().cloned();
        let inference = self.clone();
        let infer = move |_request: pb::ModelInferRequest, _bytes: BodyBytes| { let _i = inference.clone(); async move { Err(Status::unimplemented("")) } };
        Ok(Response::new(Box::pin(stream::answers(request.into_inner(), call, stopping, infer))))
    }
}
