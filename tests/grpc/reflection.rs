//! Reflection: what a client that knows nothing learns of the port.

use futures_util::stream;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::client::channel;
use super::support::http::{Server, bounded};

fn ask(message: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(message) }
}

#[tokio::test]
async fn it_lists_the_services_and_describes_their_messages() {
    bounded(async {
        let server = Server::start().await;
        let mut client = ServerReflectionClient::new(channel(&server).await);
        let requests = stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("inference.GRPCInferenceService".into())),
        ]);
        let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("a list")
        };
        let names: Vec<&str> = list.service.iter().map(|service| &*service.name).collect();
        for service in
            ["inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
        {
            assert!(names.contains(&service), "{names:?}");
        }
        let Some(MessageResponse::FileDescriptorResponse(file)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("a description")
        };
        let described = file.file_descriptor_proto.concat();
        assert!(described.windows(16).any(|bytes| bytes == b"ModelInferReques"));
    })
    .await;
}
