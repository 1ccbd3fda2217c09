//! gRPC's health checking: of the whole server, and of each model by its name. It says what is so now, devices included.
//! Not here: what readiness is (`service`).

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tonic::{Request, Response, Status};

use super::call::Call;
use super::proto::health::health_check_response::ServingStatus;
use super::proto::health::health_server::{Health, HealthServer};
use super::proto::health::{HealthCheckRequest, HealthCheckResponse};
use super::proto::inference::grpc_inference_service_server::SERVICE_NAME;
use crate::net::Stopping;
use crate::oip::{self, Served, Target};
use crate::service::{Classifier, ServiceError};

/// Between two looks for who watches.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The service.
pub(super) fn server(classifier: Classifier) -> HealthServer<Healths> {
    HealthServer::new(Healths(classifier))
}

/// Answers about health.
#[derive(Clone)]
pub(super) struct Healths(Classifier);

impl Healths {
    /// How a service stands, which is the server, or a model; None of one that there is not.
    fn of(&self, service: &str) -> Option<ServingStatus> {
        let serves = match service {
            "" | SERVICE_NAME => self.0.ready().is_ok(),
            model => match Served::find(&self.0, model, "") {
                Ok(_) => !self.0.draining(),
                Err(oip::Error::Service(ServiceError::UnknownModel { .. }))
                    if !self.0.knows(&Target::of(&self.0, model).model) =>
                {
                    return None;
                }
                Err(_) => false,
            },
        };
        Some(if serves { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

#[tonic::async_trait]
impl Health for Healths {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        handled(&request);
        let service = request.into_inner().service;
        let status = self.of(&service).ok_or_else(|| Status::not_found(format!("no service or model {service}")))?;
        Ok(Response::new(answer(status)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        handled(&request);
        let stopping = request.extensions().get::<Stopping>().cloned();
        let watch = Watch { healths: self.clone(), service: request.into_inner().service, told: None, stopping };
        let changes = stream::unfold(watch, async |mut watch| {
            let status = watch.change().await?;
            Some((Ok(answer(status)), watch))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

struct Watch {
    healths: Healths,
    service: String,
    told: Option<ServingStatus>,
    stopping: Option<Stopping>,
}

impl Watch {
    /// The next status that has not been told; None at the end.
    async fn change(&mut self) -> Option<ServingStatus> {
        loop {
            let now = self.healths.of(&self.service).unwrap_or(ServingStatus::ServiceUnknown);
            if self.told.replace(now) != Some(now) {
                return Some(now);
            }
            match &mut self.stopping {
                Some(stopping) => {
                    let stop = tokio::time::timeout(LOOK_EVERY, stopping.begun()).await;
                    if stop.is_ok() {
                        return None;
                    }
                }
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// Notes that the message could be read.
fn handled<T>(request: &Request<T>) {
    if let Some(call) = request.extensions().get::<Call>() {
        call.is_handled();
    }
}
