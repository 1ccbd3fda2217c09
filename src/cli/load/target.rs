//! What is asked, and of whom: the requests of a route for one model of a server. Not here: how they are sent (`client`).

use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::Deserialize;
use serde_json::json;

use super::client::Body;
use super::grpc;

/// How many bytes of a body are JSON, as the Open Inference Protocol says it.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// Tensors of noise that take turns.
pub(super) const TENSORS: u64 = 8;

/// A route of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Route {
    /// `POST /classify`: an image's bytes, labels.
    Classify,
    /// `POST /v2/models/NAME/infer`: a tensor of noise, logits as bytes.
    Oip,
    /// `POST /v2/models/NAME_image/infer`: an image's bytes, logits as bytes.
    OipImage,
    /// `ModelInfer` of gRPC, whose port the URL then names: noise, or images for a NAME_image.
    Grpc,
}

/// What `/models` tells of a version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Model {
    pub(super) name: String,
    ready: bool,
    default: bool,
    input: Input,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Input {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// The requests: all the same but for their bodies, which take turns.
#[derive(Clone, Debug)]
pub(super) struct Target {
    uri: Uri,
    /// None of gRPC, which has its own.
    header: Option<(HeaderName, HeaderValue)>,
    bodies: Vec<Bytes>,
}

/// The server of a URL, `http://HOST:PORT` or `https://HOST:PORT`.
///
/// # Errors
/// Any other URL.
pub(super) fn server(text: &str) -> anyhow::Result<Uri> {
    let uri: Uri = text.parse().with_context(|| format!("{text:?} is no URL"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.path() == "/" && uri.query().is_none() => Ok(uri),
        _ => bail!("{text:?}: write http://HOST:PORT or https://HOST:PORT; --route and --model say the rest"),
    }
}

/// A path of a server.
pub(super) fn at(server: &Uri, path: &str) -> anyhow::Result<Uri> {
    let mut parts = server.clone().into_parts();
    parts.path_and_query = Some(path.parse().with_context(|| format!("{path:?} is no path"))?);
    Ok(Uri::from_parts(parts)?)
}

/// The model of a name, or the default one, of those that a server has.
///
/// # Errors
/// None of that name, or not ready.
pub(super) fn choose(models: Vec<Model>, name: Option<&str>) -> anyhow::Result<Model> {
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    let is_meant = |model: &Model| name.map_or(model.default, |name| model.name == name);
    let mut meant: Vec<Model> = models.into_iter().filter(is_meant).collect();
    let ready = meant.iter().rposition(|model| model.ready);
    match (ready, name) {
        (Some(index), _) => Ok(meant.swap_remove(index)),
        (None, _) if !meant.is_empty() => bail!("{} is not ready", meant[0].name),
        (None, Some(name)) => bail!("the server has no model {name}; there are {}", names.join(", ")),
        (None, None) => bail!("the server has no default model; --model names one of {}", names.join(", ")),
    }
}

impl Target {
    /// `images` are files, which a route of tensors leaves alone.
    ///
    /// # Errors
    /// A model whose name cannot stand in a path.
    pub(super) fn new(server: &Uri, route: Route, model: &Model, images: Vec<Bytes>) -> anyhow::Result<Self> {
        let name = &model.name;
        let octets = (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Ok(match route {
            Route::Grpc => bail!("a call of gRPC is no request of HTTP"),
            Route::Classify => {
                Self { uri: at(server, &format!("/classify?model={name}"))?, header: Some(octets), bodies: images }
            }
            Route::OipImage => Self {
                uri: at(server, &format!("/v2/models/{name}_image/infer"))?,
                header: Some((HEADER_LENGTH, HeaderValue::from(0))),
                bodies: images,
            },
            Route::Oip => {
                let head = tensor_head(model.input).to_string();
                Self {
                    uri: at(server, &format!("/v2/models/{name}/infer"))?,
                    header: Some((HEADER_LENGTH, HeaderValue::from(head.len()))),
                    bodies: (0..TENSORS)
                        .map(|seed| [head.as_bytes(), &noise(model.input, seed)].concat().into())
                        .collect(),
                }
            }
        })
    }

    /// The same over gRPC, of messages that are framed already.
    ///
    /// # Errors
    /// As [`grpc::infer_uri`].
    pub(super) fn of_grpc(server: &Uri, messages: Vec<Bytes>) -> anyhow::Result<Self> {
        Ok(Self { uri: grpc::infer_uri(server)?, header: None, bodies: messages })
    }

    /// Where the requests go.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The request of a number.
    pub(super) fn request(&self, number: u64) -> Request<Body> {
        let body = self.bodies[(number % self.bodies.len() as u64) as usize].clone();
        let Some((name, value)) = &self.header else { return grpc::call(self.uri.clone(), body) };
        let mut request = Request::new(Body::new(body));
        (*request.method_mut(), *request.uri_mut()) = (Method::POST, self.uri.clone());
        request.headers_mut().insert(name, value.clone());
        request
    }
}

/// The JSON before the bytes of a tensor of one image.
fn tensor_head(input: Input) -> serde_json::Value {
    let Input { height, width } = input;
    let parameters = json!({ "binary_data_size": 4 * 3 * height * width });
    let tensor =
        json!({"name": "pixels", "datatype": "FP32", "shape": [1, 3, height, width], "parameters": parameters});
    json!({ "inputs": [tensor], "parameters": { "binary_data_output": true } })
}

/// Numbers of normalised images: within two deviations.
pub(super) fn noise(Input { height, width }: Input, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..3 * height * width).flat_map(|_| (4.0 * random.f32() - 2.0).to_le_bytes()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    fn model(name: &str, ready: bool, default: bool) -> Model {
        Model { name: name.to_owned(), ready, default, input: Input { height: 4, width: 5 } }
    }

    #[test]
    fn a_server_is_named_without_a_path() {
        assert_eq!(server("http://localhost:8080").unwrap(), server("http://localhost:8080/").unwrap());
        assert!(server("https://a.example:8443").is_ok());
        for (wrong, words) in [("localhost:8080", "http://HOST:PORT"), ("http://a/classify", "--route"), ("", "no URL")]
        {
            assert!(server(wrong).unwrap_err().to_string().contains(words), "{wrong}");
        }
    }

    #[test]
    fn the_model_is_the_named_or_the_default_one() {
        let all = || vec![model("a", true, false), model("b", true, true), model("c", false, false)];
        assert_eq!(choose(all(), None).unwrap().name, "b");
        assert_eq!(choose(all(), Some("a")).unwrap().name, "a");
        assert!(choose(all(), Some("c")).unwrap_err().to_string().contains("c is not ready"));
        assert!(choose(all(), Some("d")).unwrap_err().to_string().contains("there are a, b, c"));
        assert!(choose(vec![model("a", true, false)], None).unwrap_err().to_string().contains("--model"));
    }

    #[test]
    fn bodies_take_turns_and_a_tensor_is_as_long_as_its_head_says() {
        let server = server("http://h:1").unwrap();
        let images = vec![Bytes::from("x"), Bytes::from("y")];
        let target = Target::new(&server, Route::OipImage, &model("m", true, true), images).unwrap();
        assert_eq!(target.request(0).uri(), "http://h:1/v2/models/m_image/infer");
        let body = |number| target.request(number).into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        assert_eq!([0, 1, 2].map(body), ["x", "y", "x"]);
        let target = Target::new(&server, Route::Oip, &model("m", true, true), Vec::new()).unwrap();
        let length: usize = target.request(0).headers()[HEADER_LENGTH].to_str().unwrap().parse().unwrap();
        let head: serde_json::Value = serde_json::from_slice(&target.bodies[0][..length]).unwrap();
        assert_eq!(head["inputs"][0]["parameters"]["binary_data_size"], target.bodies[0].len() - length);
        assert_ne!(target.bodies[0], target.bodies[1]);
    }
}
