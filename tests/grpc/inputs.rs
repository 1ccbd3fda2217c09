//! What an inference may bring: raw or typed contents, tensors or files, and what is refused of them.

use convnext_server::grpc::proto::inference::infer_parameter::ParameterChoice;
use convnext_server::grpc::proto::inference::model_infer_request::InferRequestedOutputTensor;
use convnext_server::grpc::proto::inference::{InferTensorContents, ModelInferRequest};
use tonic::Code;

use super::client::*;
use super::support::http::{Server, bounded};
use super::support::mock::image;

#[tokio::test]
async fn raw_and_typed_numbers_raw_and_typed_files_and_halves_are_the_same_images() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let classes = [3, 1, 5];
        let raw = raw(&mut client, "first", &classes).await;
        let mut half = raw.clone();
        half.inputs[0].datatype = "FP16".into();
        half.raw_input_contents = vec![halves(&numbers(&classes))];
        let files = files(&mut client, "first_image", &classes).await;
        let mut typed_files = files.clone();
        typed_files.raw_input_contents.clear();
        let bytes_contents = classes.iter().map(|&class| image(class)).collect();
        typed_files.inputs[0].contents = Some(InferTensorContents { bytes_contents, ..Default::default() });
        let typed = typed(&mut client, "first", &classes).await;
        for (form, request) in
            [("raw", raw), ("typed", typed), ("FP16", half), ("files", files), ("typed files", typed_files)]
        {
            let answer = client.model_infer(request).await.unwrap().into_inner();
            assert_eq!(answered(&answer), logits(&classes), "{form}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_together_is_an_invalid_argument() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let raw = raw(&mut client, "first", &[2]).await;
        let typed = typed(&mut client, "first", &[2]).await;
        let changed = |request: &ModelInferRequest, change: &dyn Fn(&mut ModelInferRequest)| {
            let mut request = request.clone();
            change(&mut request);
            request
        };
        let numbers = |count: usize| InferTensorContents { fp32_contents: vec![0.5; count], ..Default::default() };
        let wrong = [
            (changed(&typed, &|r| r.raw_input_contents = raw.raw_input_contents.clone()), ""),
            (changed(&raw, &|r| r.raw_input_contents.clear()), ""),
            (changed(&raw, &|r| r.raw_input_contents.push("more".into())), ""),
            (changed(&raw, &|r| r.raw_input_contents[0] = "short".into()), "5 bytes"),
            (changed(&typed, &|r| r.inputs[0].contents = Some(numbers(47))), ""),
            (changed(&typed, &|r| r.inputs[0].datatype = "FP16".into()), "FP16"),
            (
                changed(&typed, &|r| {
                    r.inputs[0].contents = Some(InferTensorContents { int_contents: vec![1; 48], ..Default::default() })
                }),
                "int_contents",
            ),
            (changed(&raw, &|r| r.inputs[0].datatype = "INT8".into()), "INT8"),
            (changed(&raw, &|r| r.inputs[0].datatype = "FLOAT".into()), "FLOAT"),
            (changed(&raw, &|r| r.inputs[0].name = "input0".into()), "input0"),
            (changed(&raw, &|r| r.inputs[0].shape = vec![1, 4, 4, 3]), "shape"),
            (changed(&raw, &|r| r.inputs[0].shape = vec![-1, 3, 4, 4]), ""),
            (changed(&raw, &|r| r.inputs[0].shape = vec![i64::MAX, i64::MAX, 4, 4]), ""),
            (changed(&raw, &|r| r.inputs.clear()), ""),
            (changed(&raw, &|r| r.inputs.push(r.inputs[0].clone())), ""),
            (
                changed(&raw, &|r| {
                    r.outputs = vec![InferRequestedOutputTensor { name: "nope".into(), ..Default::default() }]
                }),
                "nope",
            ),
            (
                changed(&raw, &|r| {
                    let timeout = parameter(ParameterChoice::StringParam("soon".into()));
                    r.parameters.insert("timeout".into(), timeout);
                }),
                "timeout",
            ),
        ];
        for (request, words) in wrong {
            let text = format!("{:?} {:?}", request.inputs.first().map(|input| &input.shape), request.outputs);
            let result = client.model_infer(request).await;
            assert_eq!(result.as_ref().unwrap_err().code(), Code::InvalidArgument, "{text}: {result:?}");
            is(result, Code::InvalidArgument, words);
        }
        assert!(server.engine.batches().is_empty(), "nothing ran");
        // the client is none the worse for it
        assert_eq!(answered(&client.model_infer(raw).await.unwrap().into_inner()), logits(&[2]));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_does_not_decode_names_its_index_and_fails_its_request_alone() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let mut request = files(&mut client, "first_image", &[1, 2]).await;
        request.raw_input_contents = vec![elements(&[image(1), "GIF89a, or so it says".into()])];
        is(client.model_infer(request).await, Code::InvalidArgument, "image 1");
        let mut request = files(&mut client, "first_image", &[1]).await;
        request.raw_input_contents = vec!["\u{ff}\u{0}\u{0}".into()];
        is(client.model_infer(request).await, Code::InvalidArgument, "");
        let good = files(&mut client, "first_image", &[1]).await;
        assert_eq!(answered(&client.model_infer(good).await.unwrap().into_inner()), logits(&[1]));
    })
    .await;
}

#[tokio::test]
async fn an_output_may_be_asked_for_as_a_classification() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let mut request = raw(&mut client, "first", &[4, 2]).await;
        let classification = parameter(ParameterChoice::Int64Param(2));
        request.outputs = vec![InferRequestedOutputTensor {
            name: "logits".into(),
            parameters: [("classification".into(), classification)].into(),
        }];
        let answer = client.model_infer(request).await.unwrap().into_inner();
        assert_eq!((&*answer.outputs[0].datatype, &answer.outputs[0].shape[..]), ("BYTES", &[2, 2][..]));
        let raw = &answer.raw_output_contents[0];
        let first = u32::from_le_bytes(raw[..4].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&raw[4..4 + first]).unwrap();
        assert!(text.ends_with(":4:class 4"), "{text}");
    })
    .await;
}
