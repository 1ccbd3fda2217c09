//! Calls of the Open Inference Protocol over gRPC: a message behind its length, a code in the trailers. Not here: connections (`client`).

use anyhow::{Context, bail};
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::{Method, Request, Uri};
use prost::Message;
use tonic::Code;

use super::client::Body;
use super::target::{self, Input, TENSORS, noise};
use crate::grpc::proto::inference::model_infer_request::InferInputTensor;
use crate::grpc::proto::inference::{ModelInferRequest, ModelMetadataRequest, ModelMetadataResponse};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const METADATA: &str = "/inference.GRPCInferenceService/ModelMetadata";

/// The code of an answer, where its headers or trailers have one.
pub(super) fn code(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// Where requests for inference go.
///
/// # Errors
/// None that a server's own URL could have.
pub(super) fn infer_uri(server: &Uri) -> anyhow::Result<Uri> {
    target::at(server, INFER)
}

/// A call with a message that is framed already.
pub(super) fn call(uri: Uri, framed: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::new(framed));
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, uri);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request
}

/// Asks what a model takes.
pub(super) fn metadata_request(server: &Uri, model: &str) -> anyhow::Result<Request<Body>> {
    let message = ModelMetadataRequest { name: model.to_owned(), version: String::new() };
    Ok(call(target::at(server, METADATA)?, framed(&message)))
}

/// The message of an answer.
///
/// # Errors
/// The code and the words of an error.
pub(super) fn answer<M: Message + Default>(trailers: &HeaderMap, body: Bytes) -> anyhow::Result<M> {
    match code(trailers) {
        Some(Code::Ok) => {
            let message = body.get(PREFIX..).context("the answer has no message")?;
            M::decode(message).context("the answer is not the protocol's")
        }
        Some(code) => {
            let words = trailers.get("grpc-message").and_then(|words| words.to_str().ok()).unwrap_or_default();
            bail!("{code:?}: {words}")
        }
        None => bail!("no answer of gRPC: --route grpc asks the gRPC port"),
    }
}

/// Messages that ask a model for inference, framed: of the image files where it takes those, otherwise of noise.
///
/// # Errors
/// A model that takes neither, or files where there are none.
pub(super) fn messages(metadata: &ModelMetadataResponse, files: &[Bytes]) -> anyhow::Result<Vec<Bytes>> {
    let input = metadata.inputs.first().context("the model has no input")?;
    let message = |shape: Vec<i64>, raw: Bytes| {
        let tensor = InferInputTensor {
            name: input.name.clone(),
            datatype: input.datatype.clone(),
            shape,
            ..InferInputTensor::default()
        };
        framed(&ModelInferRequest {
            model_name: metadata.name.clone(),
            inputs: vec![tensor],
            raw_input_contents: vec![raw],
            ..ModelInferRequest::default()
        })
    };
    match (&*input.datatype, &input.shape[..]) {
        ("BYTES", _) if files.is_empty() => bail!("{} takes image files: --images PATH is needed", metadata.name),
        ("BYTES", _) => {
            let element = |file: &Bytes| [&(file.len() as u32).to_le_bytes()[..], file].concat();
            Ok(files.iter().map(|file| message(vec![1, 1], element(file).into())).collect())
        }
        ("FP32", &[_, 3, height, width]) => {
            let size = Input { height: usize::try_from(height)?, width: usize::try_from(width)? };
            Ok((0..TENSORS).map(|seed| message(vec![1, 3, height, width], noise(size, seed).into())).collect())
        }
        (datatype, shape) => bail!("{} takes {datatype} {shape:?}, which is no tensor of images", metadata.name),
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::grpc::proto::inference::model_metadata_response::TensorMetadata;

    fn model(datatype: &str, shape: &[i64]) -> ModelMetadataResponse {
        let input = TensorMetadata { name: "x".into(), datatype: datatype.into(), shape: shape.to_vec() };
        ModelMetadataResponse { name: "m".into(), inputs: vec![input], ..ModelMetadataResponse::default() }
    }

    #[test]
    fn a_message_stands_behind_its_length_and_has_what_the_model_takes() {
        let files = [Bytes::from("ab"), Bytes::from("c")];
        let read = |framed: &Bytes| {
            assert_eq!(framed[..PREFIX], [0, 0, 0, 0, (framed.len() - PREFIX) as u8]);
            ModelInferRequest::decode(&framed[PREFIX..]).unwrap()
        };
        let all = messages(&model("BYTES", &[-1, 1]), &files).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(read(&all[0]).raw_input_contents, [Bytes::from_static(b"\x02\0\0\0ab")]);
        let tensors = messages(&model("FP32", &[-1, 3, 2, 3]), &files).unwrap();
        let request = read(&tensors[0]);
        assert_eq!((request.inputs[0].shape.clone(), request.raw_input_contents[0].len()), (vec![1, 3, 2, 3], 72));
        assert_ne!(tensors[0], tensors[1]);
        assert!(messages(&model("BYTES", &[-1, 1]), &[]).unwrap_err().to_string().contains("--images"));
        assert!(messages(&model("INT8", &[-1, 7]), &files).unwrap_err().to_string().contains("no tensor of images"));
    }

    #[test]
    fn an_error_is_its_code_and_its_words_and_what_is_no_grpc_says_so() {
        let trailers = |code: &'static str| {
            HeaderMap::from_iter([
                ("grpc-status".parse().unwrap(), HeaderValue::from_static(code)),
                ("grpc-message".parse().unwrap(), HeaderValue::from_static("no model m")),
            ])
        };
        let error = answer::<ModelMetadataResponse>(&trailers("5"), Bytes::new()).unwrap_err().to_string();
        assert_eq!(error, "NotFound: no model m");
        let empty = answer::<ModelMetadataResponse>(&trailers("0"), Bytes::from_static(&[0; 5])).unwrap();
        assert_eq!(empty, ModelMetadataResponse::default());
        let error = answer::<ModelMetadataResponse>(&HeaderMap::new(), Bytes::new()).unwrap_err().to_string();
        assert!(error.contains("the gRPC port"), "{error}");
    }
}
