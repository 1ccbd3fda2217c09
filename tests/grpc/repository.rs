//! The repository's calls: what there is, and commands, which only a server that allows them carries out.

use std::collections::HashMap;

use convnext_server::grpc::proto::inference as pb;
use tonic::Code;

use super::client::{answered, client, is, logits, raw};
use super::support::http::{Options, Server, bounded};

fn load(model: &str) -> pb::RepositoryModelLoadRequest {
    pb::RepositoryModelLoadRequest { model_name: model.into(), ..Default::default() }
}

fn unload(model: &str) -> pb::RepositoryModelUnloadRequest {
    pb::RepositoryModelUnloadRequest { model_name: model.into(), ..Default::default() }
}

async fn allowing() -> Server {
    let http = convnext_server::http::Options { allow_model_control: true, ..Default::default() };
    Server::start_with(Options { http, ..Default::default() }).await
}

#[tokio::test]
async fn the_index_tells_both_names_of_each_model_and_its_state() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        server.classifier.unload("second").await.unwrap();
        let all = client.repository_index(pb::RepositoryIndexRequest::default()).await.unwrap().into_inner().models;
        let state = |name: &str| all.iter().find(|model| model.name == name).map(|model| model.state.clone()).unwrap();
        assert_eq!((&*state("first"), &*state("first_image"), &*state("second")), ("READY", "READY", "UNAVAILABLE"));
        let ready = pb::RepositoryIndexRequest { ready: true, ..Default::default() };
        let ready = client.repository_index(ready).await.unwrap().into_inner().models;
        assert!(ready.iter().all(|model| model.name.starts_with("first")) && ready.len() == 2, "{ready:?}");
    })
    .await;
}

#[tokio::test]
async fn commands_are_refused_unless_the_operator_allows_them() {
    bounded(async {
        let server = Server::start().await;
        let mut client = client(&server).await;
        is(client.repository_model_unload(unload("second")).await, Code::PermissionDenied, "--allow-model-control");
        is(client.repository_model_load(load("second")).await, Code::PermissionDenied, "--allow-model-control");
        let request = raw(&mut client, "second", &[1]).await;
        assert_eq!(answered(&client.model_infer(request).await.unwrap().into_inner()), logits(&[1]));
    })
    .await;
}

#[tokio::test]
async fn where_they_are_allowed_models_go_and_come() {
    bounded(async {
        let server = allowing().await;
        let mut client = client(&server).await;
        let request = raw(&mut client, "second", &[1]).await;
        client.repository_model_unload(unload("second")).await.unwrap();
        is(client.model_infer(request.clone()).await, Code::NotFound, "second");
        let ready = pb::ModelReadyRequest { name: "second".into(), version: String::new() };
        assert!(!client.model_ready(ready).await.unwrap().into_inner().ready);
        client.repository_model_load(load("second")).await.unwrap();
        assert_eq!(answered(&client.model_infer(request).await.unwrap().into_inner()), logits(&[1]));
        is(client.repository_model_load(load("third")).await, Code::NotFound, "third");
        let choice = Some(pb::model_repository_parameter::ParameterChoice::StringParam("{}".into()));
        let parameters = HashMap::from([("config".into(), pb::ModelRepositoryParameter { parameter_choice: choice })]);
        let with_config = pb::RepositoryModelLoadRequest { parameters, ..load("second") };
        is(client.repository_model_load(with_config).await, Code::Unimplemented, "config");
    })
    .await;
}
