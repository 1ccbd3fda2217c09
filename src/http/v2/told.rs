//! What is told of the server and its models, in the protocol's JSON. Not here: what there is to tell (`oip`), the routes (`describe`, `control`).

use serde::Serialize;
use utoipa::ToSchema;

use crate::metrics::Tally;
use crate::oip::{
    IndexEntry, MemoryUsage, ModelConfig, ModelMetadata, ModelStatistics, ServerMetadata, TensorMetadata,
};

/// What is told of the server.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerMetadata)]
pub(super) struct Server {
    name: &'static str,
    version: &'static str,
    /// By Triton's names.
    extensions: Vec<&'static str>,
}

impl From<ServerMetadata> for Server {
    fn from(ServerMetadata { name, version, extensions }: ServerMetadata) -> Self {
        Self { name, version, extensions }
    }
}

/// What a model takes and gives.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelMetadata)]
pub(super) struct Metadata {
    name: String,
    /// Those that serve.
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

impl From<ModelMetadata> for Metadata {
    fn from(ModelMetadata { name, versions, platform, inputs, outputs }: ModelMetadata) -> Self {
        let tensors = |all: Vec<TensorMetadata>| all.into_iter().map(Tensor::from).collect();
        Self { name, versions, platform, inputs: tensors(inputs), outputs: tensors(outputs) }
    }
}

/// A tensor that a model takes or gives.
#[derive(Serialize, ToSchema)]
#[schema(as = TensorMetadata)]
struct Tensor {
    name: &'static str,
    datatype: &'static str,
    /// With the batch, which may have any size (-1).
    shape: Vec<i64>,
}

impl From<TensorMetadata> for Tensor {
    fn from(TensorMetadata { name, datatype, shape }: TensorMetadata) -> Self {
        Self { name, datatype: datatype.name(), shape }
    }
}

/// That a model serves.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelReady)]
pub(super) struct Ready {
    pub(super) name: String,
    pub(super) ready: bool,
}

/// A model's configuration. Shapes in it have no batch.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelConfig)]
pub(super) struct Config {
    name: String,
    platform: &'static str,
    backend: &'static str,
    /// Images of the largest batch that runs at once; a request may have more.
    max_batch_size: usize,
    input: [ConfigInput; 1],
    output: [ConfigOutput; 1],
    instance_group: Vec<Instance>,
    dynamic_batching: Nothing,
}

#[derive(Serialize, ToSchema)]
struct ConfigInput {
    name: &'static str,
    data_type: &'static str,
    format: &'static str,
    dims: Vec<i64>,
}

#[derive(Serialize, ToSchema)]
struct ConfigOutput {
    name: &'static str,
    data_type: &'static str,
    dims: Vec<i64>,
    /// No file of labels is served: they come with `classification`.
    label_filename: &'static str,
}

/// A device that runs a model.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceGroup)]
struct Instance {
    name: String,
    /// `KIND_CPU` or `KIND_GPU`.
    kind: &'static str,
    count: u32,
    gpus: Vec<u32>,
}

/// An empty object.
#[derive(Serialize, ToSchema)]
struct Nothing {}

impl From<ModelConfig> for Config {
    fn from(config: ModelConfig) -> Self {
        let ModelConfig { name, platform, max_batch_size, input, input_format, output, devices } = config;
        let instance = |(name, kind, gpu): (String, _, Option<u32>)| Instance {
            name,
            kind,
            count: 1,
            gpus: gpu.into_iter().collect(),
        };
        Self {
            name,
            platform,
            backend: platform,
            max_batch_size,
            input: [ConfigInput {
                name: input.name,
                data_type: input.datatype.config_name(),
                format: input_format,
                dims: input.shape,
            }],
            output: [ConfigOutput {
                name: output.name,
                data_type: output.datatype.config_name(),
                dims: output.shape,
                label_filename: "",
            }],
            instance_group: devices.into_iter().map(instance).collect(),
            dynamic_batching: Nothing {},
        }
    }
}

/// A version of a model, under one of its names.
#[derive(Serialize, ToSchema)]
#[schema(as = RepositoryEntry)]
pub(super) struct Entry {
    name: String,
    /// Empty where no version is known.
    version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it is not ready; empty where it is.
    reason: String,
}

impl From<IndexEntry> for Entry {
    fn from(IndexEntry { name, version, state, reason }: IndexEntry) -> Self {
        Self { name, version, state, reason }
    }
}

/// What is counted of models.
#[derive(Serialize, ToSchema)]
pub(super) struct Statistics {
    model_stats: Vec<OfModel>,
}

impl From<Vec<ModelStatistics>> for Statistics {
    fn from(models: Vec<ModelStatistics>) -> Self {
        Self { model_stats: models.iter().map(OfModel::from).collect() }
    }
}

/// The counts of a version under one of its names.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelStatistics)]
struct OfModel {
    name: String,
    version: String,
    /// When the last request was answered, in ms since 1970; 0 before the first.
    last_inference: u64,
    /// Images.
    inference_count: u64,
    /// Batches.
    execution_count: u64,
    inference_stats: OfRequests,
    batch_stats: Vec<OfBatches>,
    memory_usage: Vec<Memory>,
}

/// Requests.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceStatistics)]
struct OfRequests {
    success: Counted,
    fail: Counted,
    queue: Counted,
    compute_input: Counted,
    compute_infer: Counted,
    compute_output: Counted,
    cache_hit: Counted,
    cache_miss: Counted,
}

/// Batches of one size, of both names together.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchStatistics)]
struct OfBatches {
    /// Images.
    batch_size: usize,
    compute_input: Counted,
    compute_infer: Counted,
    compute_output: Counted,
}

/// How often, and how long that took together.
#[derive(Serialize, ToSchema)]
#[schema(as = CountAndTime)]
struct Counted {
    count: u64,
    ns: u64,
}

/// What a version takes on a device.
#[derive(Serialize, ToSchema)]
#[schema(as = MemoryUsage)]
struct Memory {
    /// `CPU` or `GPU`.
    r#type: &'static str,
    id: u32,
    byte_size: u64,
}

impl From<&ModelStatistics> for OfModel {
    fn from(model: &ModelStatistics) -> Self {
        let (of, none) = (&model.requests, Tally::default());
        let batches = model.executions.iter().map(|executions| {
            // of a batch only its time on the device is known
            let without_time = Tally { count: executions.tally.count, ..none };
            OfBatches {
                batch_size: executions.batch_size,
                compute_input: without_time.into(),
                compute_infer: executions.tally.into(),
                compute_output: without_time.into(),
            }
        });
        Self {
            name: model.name.clone(),
            version: model.version.clone(),
            last_inference: model.last_inference,
            inference_count: of.images,
            execution_count: model.execution_count(),
            inference_stats: OfRequests {
                success: of.success.into(),
                fail: of.fail.into(),
                queue: of.queue.into(),
                compute_input: of.compute_input.into(),
                compute_infer: of.compute_infer.into(),
                compute_output: of.compute_output.into(),
                cache_hit: none.into(),
                cache_miss: none.into(),
            },
            batch_stats: batches.collect(),
            memory_usage: model.memory.iter().map(Memory::from).collect(),
        }
    }
}

impl From<&MemoryUsage> for Memory {
    fn from(MemoryUsage { kind, id, bytes }: &MemoryUsage) -> Self {
        Self { r#type: kind, id: *id, byte_size: *bytes }
    }
}

impl From<Tally> for Counted {
    fn from(Tally { count, time }: Tally) -> Self {
        Self { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) }
    }
}
