//! A golden case by gRPC: what comes back are the classifier's own logits, bit for bit.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use convnext_server::checkpoint;
use convnext_server::engine::cpu::Cpu;
use convnext_server::golden::Golden;
use convnext_server::grpc;
use convnext_server::grpc::proto::inference::model_infer_request::InferInputTensor;
use convnext_server::grpc::proto::inference::{InferTensorContents, ModelInferRequest};
use convnext_server::net::{self, Port};
use convnext_server::service::{
    Admission, Classifier, Images, NamedModel, Precision, Request, Scores, Settings, Tensor, TensorType, Wanted,
};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use super::client::{Client, answered};
use super::support::http::bounded;

#[tokio::test]
async fn a_golden_case_raw_and_typed_gives_the_classifiers_logits_bit_for_bit() {
    bounded(async {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/timm-convnext");
        let golden = Golden::open(&folder).unwrap();
        let images: Vec<Bytes> =
            golden.images(Precision::F32).iter().map(|image| Bytes::copy_from_slice(image.bytes())).collect();
        let input = golden.checkpoint.program.input;
        let source = Arc::new(move || checkpoint::open(&folder));
        let models = vec![NamedModel { name: "golden".into(), source, baseline: None }];
        let (classifier, loading) = Classifier::start(Arc::new(Cpu::default()), models, Settings::default()).unwrap();
        loading.done().await.unwrap();

        let shape = [images.len(), 3, input.height, input.width];
        let data = Bytes::from(images.concat());
        let tensor = Tensor { number: TensorType::F32, shape, data: data.clone() };
        let ticket = classifier.admit(Admission::default()).unwrap();
        let direct = Request { images: Images::Tensor(tensor), wanted: Wanted::Logits };
        let expected: Vec<u32> = ticket.classify(direct).await.unwrap().images.into_iter().flat_map(bits).collect();
        assert!(expected.len() > images.len());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = grpc::router(classifier.clone(), grpc::Options::default());
        let port = Port { name: "grpc", listener, router, max_connections: 8, tls: None };
        let metrics = classifier.clone();
        tokio::spawn(async move {
            net::serve(vec![port], net::Options::default(), metrics.metrics(), || {}, std::future::pending()).await
        });
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut client = Client::new(channel);
        let input = InferInputTensor {
            name: "pixels".into(),
            datatype: "FP32".into(),
            shape: shape.iter().map(|size| *size as i64).collect(),
            ..Default::default()
        };
        let raw = ModelInferRequest {
            model_name: "golden".into(),
            inputs: vec![input.clone()],
            raw_input_contents: vec![data.clone()],
            ..Default::default()
        };
        let fp32_contents = data.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect();
        let contents = Some(InferTensorContents { fp32_contents, ..Default::default() });
        let typed = ModelInferRequest {
            inputs: vec![InferInputTensor { contents, ..input }],
            raw_input_contents: Vec::new(),
            ..raw.clone()
        };
        for (form, request) in [("raw", raw), ("typed", typed)] {
            let answer = client.model_infer(request).await.unwrap().into_inner();
            let found: Vec<u32> = answered(&answer).into_iter().map(f32::to_bits).collect();
            assert_eq!(found, expected, "{form}");
        }
    })
    .await;
}

fn bits(image: convnext_server::service::Classified) -> Vec<u32> {
    match image.scores {
        Scores::Logits(logits) => logits.into_iter().map(f32::to_bits).collect(),
        Scores::Labels(_) => panic!("logits were asked for"),
    }
}
