//! The client's end: a channel, and requests for images of given classes.

use bytes::Bytes;
use convnext_server::grpc::proto::health::health_client::HealthClient;
use convnext_server::grpc::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use convnext_server::grpc::proto::inference::infer_parameter::ParameterChoice;
use convnext_server::grpc::proto::inference::model_infer_request::InferInputTensor;
use convnext_server::grpc::proto::inference::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
};
use half::f16;
use hyper::client::conn::http2::SendRequest;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::support::http::Server;
use super::support::mock::{CLASSES, image};

pub(crate) type Client = GrpcInferenceServiceClient<Channel>;

pub(crate) async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap().connect().await.unwrap()
}

pub(crate) async fn client(server: &Server) -> Client {
    GrpcInferenceServiceClient::new(channel(server).await)
}

/// A connection of HTTP/2 that knows nothing of gRPC.
pub(crate) async fn sender<B>(server: &Server) -> SendRequest<B>
where
    B: hyper::body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tokio::net::TcpStream::connect(server.grpc).await.unwrap();
    let (executor, io) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A client that leaves it to the server to hold to a deadline.
pub(crate) async fn patient_client(
    server: &Server,
) -> GrpcInferenceServiceClient<
    impl tonic::client::GrpcService<tonic::body::Body, ResponseBody = hyper::body::Incoming, Error = hyper::Error>,
> {
    let sender = sender(server).await;
    let origin = format!("http://{}", server.grpc).parse().unwrap();
    let send = tower::service_fn(move |request| sender.clone().send_request(request));
    GrpcInferenceServiceClient::with_origin(send, origin)
}

pub(crate) async fn health(server: &Server) -> HealthClient<Channel> {
    HealthClient::new(channel(server).await)
}

/// Values of a tensor of images of these classes, as the mock engine knows them.
pub(crate) fn numbers(classes: &[usize]) -> Vec<f32> {
    classes.iter().flat_map(|&class| std::iter::repeat_n(class as f32, 3 * 4 * 4)).collect()
}

pub(crate) fn little_endian(numbers: &[f32]) -> Bytes {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(crate) fn halves(numbers: &[f32]) -> Bytes {
    numbers.iter().flat_map(|&number| f16::from_f32(number).to_le_bytes()).collect()
}

/// Elements of BYTES, each behind its length.
pub(crate) fn elements(images: &[Bytes]) -> Bytes {
    images.iter().flat_map(|image| [&(image.len() as u32).to_le_bytes()[..], image].concat()).collect()
}

/// The name of the first input of a model, as its metadata has it.
pub(crate) async fn input_name(client: &mut Client, model: &str) -> String {
    let request = ModelMetadataRequest { name: model.into(), version: String::new() };
    client.model_metadata(request).await.unwrap().into_inner().inputs[0].name.clone()
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor { name: name.into(), datatype: datatype.into(), shape: shape.to_vec(), ..Default::default() }
}

/// A request for a tensor of images of these classes, raw.
pub(crate) async fn raw(client: &mut Client, model: &str, classes: &[usize]) -> ModelInferRequest {
    let name = input_name(client, model).await;
    ModelInferRequest {
        model_name: model.into(),
        id: format!("request {classes:?}"),
        inputs: vec![input(&name, "FP32", &[classes.len() as i64, 3, 4, 4])],
        raw_input_contents: vec![little_endian(&numbers(classes))],
        ..Default::default()
    }
}

/// The same, typed.
pub(crate) async fn typed(client: &mut Client, model: &str, classes: &[usize]) -> ModelInferRequest {
    let mut request = raw(client, model, classes).await;
    request.raw_input_contents.clear();
    request.inputs[0].contents = Some(InferTensorContents { fp32_contents: numbers(classes), ..Default::default() });
    request
}

/// The files of images of these classes, raw.
pub(crate) async fn files(client: &mut Client, model: &str, classes: &[usize]) -> ModelInferRequest {
    let name = input_name(client, model).await;
    let images: Vec<Bytes> = classes.iter().map(|&class| image(class)).collect();
    ModelInferRequest {
        model_name: model.into(),
        inputs: vec![input(&name, "BYTES", &[classes.len() as i64, 1])],
        raw_input_contents: vec![elements(&images)],
        ..Default::default()
    }
}

/// The logits that the mock engine answers for images of these classes.
pub(crate) fn logits(classes: &[usize]) -> Vec<f32> {
    classes.iter().flat_map(|&image| (0..CLASSES).map(move |class| -(image.abs_diff(class) as f32))).collect()
}

/// The numbers of an answer with one raw output of FP32.
pub(crate) fn answered(answer: &ModelInferResponse) -> Vec<f32> {
    assert_eq!((answer.outputs.len(), answer.raw_output_contents.len()), (1, 1), "{answer:?}");
    let output = &answer.outputs[0];
    assert_eq!(output.datatype, "FP32");
    assert!(output.contents.is_none(), "raw alone is read by tritonclient");
    let raw = &answer.raw_output_contents[0];
    assert_eq!(output.shape.iter().product::<i64>() as usize * 4, raw.len());
    raw.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Asserts what an error says.
pub(crate) fn is<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, words: &str) {
    let status = result.expect_err("an error");
    assert!(status.code() == code && status.message().contains(words), "{status:?} is not {code:?} with {words:?}");
}

pub(crate) fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}
