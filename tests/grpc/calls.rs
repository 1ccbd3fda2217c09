//! Each call but those of streams, repositories and health: what it answers, and of what it says that there is none.

use convnext_server::grpc::proto::inference as pb;
use tonic::{Code, Request};

use super::client::{answered, client, files, is, logits, raw};
use super::support::http::{Server, bounded};

#[tokio::test]
async fn the_server_is_live_and_ready_and_says_what_it_is() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        assert!(client.server_live(pb::ServerLiveRequest {}).await.unwrap().into_inner().live);
        assert!(client.server_ready(pb::ServerReadyRequest {}).await.unwrap().into_inner().ready);
        let metadata = client.server_metadata(pb::ServerMetadataRequest {}).await.unwrap().into_inner();
        assert_eq!((&*metadata.name, &*metadata.version), ("convnext-server", env!("CARGO_PKG_VERSION")));
        for extension in ["model_configuration", "statistics", "classification"] {
            assert!(metadata.extensions.iter().any(|served| served == extension), "{extension}");
        }
        assert!(!metadata.extensions.iter().any(|served| served == "model_repository"), "commands are not allowed");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drains_is_live_and_not_ready() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        server.classifier.begin_drain();
        assert!(client.server_live(pb::ServerLiveRequest {}).await.unwrap().into_inner().live);
        assert!(!client.server_ready(pb::ServerReadyRequest {}).await.unwrap().into_inner().ready);
        let request = raw(&mut client, "first", &[2]).await;
        assert_eq!(answered(&client.model_infer(request).await.unwrap().into_inner()), logits(&[2]), "it still serves");
    })
    .await;
}

#[tokio::test]
async fn a_model_has_two_names_each_with_one_input_and_one_output() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        for (name, datatype, shape) in [("first", "FP32", &[-1, 3, 4, 4][..]), ("second_image", "BYTES", &[-1, 1])] {
            let ready = pb::ModelReadyRequest { name: name.into(), version: String::new() };
            assert!(client.model_ready(ready).await.unwrap().into_inner().ready);
            let request = pb::ModelMetadataRequest { name: name.into(), version: String::new() };
            let metadata = client.model_metadata(request).await.unwrap().into_inner();
            assert_eq!(metadata.name, name);
            let [input] = &metadata.inputs[..] else { panic!("{metadata:?}") };
            assert_eq!((&*input.datatype, &input.shape[..]), (datatype, shape));
            let [output] = &metadata.outputs[..] else { panic!("{metadata:?}") };
            assert_eq!((&*output.datatype, &output.shape[..]), ("FP32", &[-1, 6][..]));
        }
    })
    .await;
}

#[tokio::test]
async fn a_configuration_says_what_image_clients_look_for() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let request = pb::ModelConfigRequest { name: "first".into(), version: String::new() };
        let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
        assert_eq!((&*config.name, config.max_batch_size > 0), ("first", true));
        assert_eq!(config.input[0].data_type(), pb::DataType::TypeFp32);
        assert_eq!(config.input[0].format(), pb::model_input::Format::Nchw);
        assert_eq!(config.input[0].dims, [3, 4, 4]);
        assert_eq!((config.output[0].data_type(), &config.output[0].dims[..]), (pb::DataType::TypeFp32, &[6][..]));
        assert_eq!(config.output[0].label_filename, "", "labels come with `classification`, not in a file");
        let request = pb::ModelConfigRequest { name: "first_image".into(), version: String::new() };
        let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
        assert_eq!((config.input[0].data_type(), &config.input[0].dims[..]), (pb::DataType::TypeString, &[1][..]));
    })
    .await;
}

#[tokio::test]
async fn statistics_count_images_and_failures() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        for classes in [&[1][..], &[2, 3, 4]] {
            let request = raw(&mut client, "first", classes).await;
            client.model_infer(request).await.unwrap();
        }
        let mut broken = files(&mut client, "first_image", &[1]).await;
        broken.raw_input_contents = vec![super::client::elements(&["no image".into()])];
        is(client.model_infer(broken).await, Code::InvalidArgument, "image 0");
        let request = pb::ModelStatisticsRequest { name: "first".into(), version: String::new() };
        let statistics = client.model_statistics(request).await.unwrap().into_inner().model_stats;
        let [of_first] = &statistics[..] else { panic!("{statistics:?}") };
        assert_eq!((&*of_first.name, of_first.inference_count), ("first", 4));
        assert!(of_first.execution_count >= 2 && of_first.last_inference > 1_700_000_000_000, "{of_first:?}");
        let [memory] = &of_first.memory_usage[..] else { panic!("{of_first:?}") };
        assert_eq!((&*memory.r#type, memory.id, memory.byte_size), ("CPU", 0, 1100));
        let durations = of_first.inference_stats.unwrap();
        assert_eq!(durations.success.unwrap().count, 2, "{durations:?}");
        let all = client.model_statistics(pb::ModelStatisticsRequest::default()).await.unwrap().into_inner();
        assert!(["first", "second"].iter().all(|name| all.model_stats.iter().any(|model| model.name == *name)));
    })
    .await;
}

#[tokio::test]
async fn an_inference_answers_with_the_id_the_model_and_raw_logits() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let mut request = raw(&mut client, "second", &[4, 0]).await;
        request.id = "of the client".into();
        let mut request = Request::new(request);
        request.metadata_mut().insert("x-request-id", "abc-7".parse().unwrap());
        let response = client.model_infer(request).await.unwrap();
        assert_eq!(response.metadata().get("x-request-id").unwrap(), "abc-7");
        let answer = response.into_inner();
        assert_eq!((&*answer.id, &*answer.model_name), ("of the client", "second"));
        assert!(!answer.model_version.is_empty());
        assert_eq!(answer.outputs[0].shape, [2, 6]);
        assert_eq!(answered(&answer), logits(&[4, 0]));
        assert_eq!(server.metric("convnext_requests_total{code=\"OK\",model=\"second\",protocol=\"grpc\"}"), 1.0);
    })
    .await;
}

#[tokio::test]
async fn a_model_or_version_that_there_is_not_is_not_found() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        let known = raw(&mut client, "first", &[1]).await;
        let request = pb::ModelInferRequest { model_name: "third".into(), ..known.clone() };
        is(client.model_infer(request).await, Code::NotFound, "no model third");
        let request = pb::ModelInferRequest { model_version: "77".into(), ..known };
        is(client.model_infer(request).await, Code::NotFound, "no version 77");
        let (name, version) = (String::from("third"), String::new());
        is(client.model_metadata(pb::ModelMetadataRequest { name, version }).await, Code::NotFound, "third");
        let (name, version) = (String::from("third_image"), String::new());
        is(client.model_config(pb::ModelConfigRequest { name, version }).await, Code::NotFound, "third_image");
        let (name, version) = (String::from("third"), String::new());
        is(client.model_statistics(pb::ModelStatisticsRequest { name, version }).await, Code::NotFound, "third");
        assert_eq!(server.metric("convnext_requests_total{code=\"NOT_FOUND\",model=\"\",protocol=\"grpc\"}"), 2.0);
    })
    .await;
}
