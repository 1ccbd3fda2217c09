//! What is told of the server and its models: metadata, configurations, counts. Not here: what there is to tell (`oip`).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::http::model_path::ModelPath;
use crate::http::{AppState, Error};
use crate::metrics::Tally;
use crate::oip::{
    self, MemoryUsage, ModelConfig, ModelMetadata, ModelStatistics, Served, ServerMetadata, TensorMetadata,
};

pub(super) async fn server(State(state): State<AppState>) -> Json<Value> {
    let ServerMetadata { name, version, extensions } = oip::server(state.options.allow_model_control);
    Json(json!({ "name": name, "version": version, "extensions": extensions }))
}

pub(super) async fn metadata(State(state): State<AppState>, path: ModelPath) -> Result<Json<Value>, Error> {
    let served = Served::find(&state.classifier, &path.model, &path.version)?;
    let ModelMetadata { name, versions, platform, inputs, outputs } = served.metadata();
    let tensors = |all: Vec<TensorMetadata>| {
        let tensor = |TensorMetadata { name, datatype, shape }| json!({ "name": name, "datatype": datatype.name(), "shape": shape });
        all.into_iter().map(tensor).collect::<Vec<_>>()
    };
    Ok(Json(json!({
        "name": name,
        "versions": versions,
        "platform": platform,
        "inputs": tensors(inputs),
        "outputs": tensors(outputs),
    })))
}

pub(super) async fn ready(State(state): State<AppState>, path: ModelPath) -> Result<Json<Value>, Error> {
    Served::find(&state.classifier, &path.model, &path.version)?;
    Ok(Json(json!({ "name": path.model, "ready": true })))
}

pub(super) async fn config(State(state): State<AppState>, path: ModelPath) -> Result<Json<Value>, Error> {
    let served = Served::find(&state.classifier, &path.model, &path.version)?;
    let ModelConfig { name, platform, max_batch_size, input, input_format, output, devices } = served.config();
    let instances = devices.into_iter().map(|(name, kind, gpu)| {
        json!({ "name": name, "kind": kind, "count": 1, "gpus": gpu.into_iter().collect::<Vec<_>>() })
    });
    Ok(Json(json!({
        "name": name,
        "platform": platform,
        "backend": platform,
        "max_batch_size": max_batch_size,
        "input": [{
            "name": input.name,
            "data_type": input.datatype.config_name(),
            "format": input_format,
            "dims": input.shape,
        }],
        "output": [{
            "name": output.name,
            "data_type": output.datatype.config_name(),
            "dims": output.shape,
            // no file of labels is served: they come with `classification`
            "label_filename": "",
        }],
        "instance_group": instances.collect::<Vec<_>>(),
        "dynamic_batching": {},
    })))
}

pub(super) async fn stats(State(state): State<AppState>, path: ModelPath) -> Result<Json<Value>, Error> {
    Ok(statistics(oip::statistics(&state.classifier, &path.model, &path.version)?))
}

pub(super) async fn all_stats(State(state): State<AppState>) -> Result<Json<Value>, Error> {
    Ok(statistics(oip::statistics(&state.classifier, "", "")?))
}

fn statistics(models: Vec<ModelStatistics>) -> Json<Value> {
    Json(json!({ "model_stats": models.iter().map(of_model).collect::<Vec<_>>() }))
}

fn of_model(model: &ModelStatistics) -> Value {
    let (of, none) = (&model.requests, Tally::default());
    let batches = model.executions.iter().map(|executions| {
        // of a batch only its time on the device is known
        let without_time = Tally { count: executions.tally.count, ..none };
        json!({
            "batch_size": executions.batch_size,
            "compute_input": tally(without_time),
            "compute_infer": tally(executions.tally),
            "compute_output": tally(without_time),
        })
    });
    json!({
        "name": model.name,
        "version": model.version,
        "last_inference": model.last_inference,
        "inference_count": of.images,
        "execution_count": model.execution_count(),
        "inference_stats": {
            "success": tally(of.success),
            "fail": tally(of.fail),
            "queue": tally(of.queue),
            "compute_input": tally(of.compute_input),
            "compute_infer": tally(of.compute_infer),
            "compute_output": tally(of.compute_output),
            "cache_hit": tally(none),
            "cache_miss": tally(none),
        },
        "batch_stats": batches.collect::<Vec<_>>(),
        "memory_usage": model.memory.iter().map(memory_usage).collect::<Vec<_>>(),
    })
}

fn memory_usage(MemoryUsage { kind, id, bytes }: &MemoryUsage) -> Value {
    json!({ "type": kind, "id": id, "byte_size": bytes })
}

fn tally(Tally { count, time }: Tally) -> Value {
    json!({ "count": count, "ns": u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) })
}
