//! Messages to the protocol's plain data and back. Not here: what is right of it (`oip`).

use super::proto::inference as pb;
use super::proto::inference::infer_parameter::ParameterChoice;
use super::proto::inference::model_repository_parameter::ParameterChoice as RepositoryChoice;
use crate::oip::{
    Contents, Datatype, Error, IndexEntry, InferAnswer, InferRequest, Input, ModelConfig, ModelMetadata,
    ModelStatistics, Parameter, Parameters, RequestedOutput, ServerMetadata, TensorMetadata,
};

type Params = std::collections::HashMap<String, pb::InferParameter>;

/// The request of a message.
///
/// # Errors
/// [`Error::Invalid`] for contents that are raw and typed, fewer or more than the inputs, or in the field of another type.
pub(super) fn request(message: pb::ModelInferRequest) -> Result<InferRequest, Error> {
    let inputs = if message.raw_input_contents.is_empty() {
        message.inputs.into_iter().map(typed).collect::<Result<_, _>>()?
    } else {
        raw(message.inputs, message.raw_input_contents)?
    };
    let output = |output: pb::model_infer_request::InferRequestedOutputTensor| RequestedOutput {
        name: output.name,
        parameters: parameters(output.parameters),
    };
    Ok(InferRequest {
        id: message.id,
        parameters: parameters(message.parameters),
        inputs,
        outputs: message.outputs.into_iter().map(output).collect(),
    })
}

type InputTensor = pb::model_infer_request::InferInputTensor;

fn raw(inputs: Vec<InputTensor>, contents: Vec<bytes::Bytes>) -> Result<Vec<Input>, Error> {
    if let Some(input) = inputs.iter().find(|input| filled(input.contents.as_ref()).next().is_some()) {
        return Err(Error::Invalid(format!(
            "input {:?} has contents and the request raw_input_contents; all inputs come in one or all in the other",
            input.name
        )));
    }
    if inputs.len() != contents.len() {
        let (raw, inputs) = (contents.len(), inputs.len());
        return Err(Error::Invalid(format!("{raw} raw_input_contents for {inputs} inputs; each input needs one")));
    }
    let all = inputs.into_iter().zip(contents);
    Ok(all.map(|(input, bytes)| with_contents(input, Contents::Raw(bytes))).collect())
}

fn typed(mut input: InputTensor) -> Result<Input, Error> {
    let Some(contents) = input.contents.take() else {
        return Err(Error::Invalid(format!("input {:?} has neither contents nor raw_input_contents", input.name)));
    };
    let datatype = input.datatype.parse::<Datatype>().ok();
    let field = match datatype {
        Some(Datatype::Fp16) => {
            return Err(Error::Invalid(format!("input {:?}: FP16 comes in raw_input_contents only", input.name)));
        }
        Some(Datatype::Bytes) => "bytes_contents",
        Some(Datatype::Fp32) | None => "fp32_contents",
    };
    if datatype.is_some()
        && let Some(other) = filled(Some(&contents)).find(|other| *other != field)
    {
        return Err(Error::Invalid(format!(
            "input {:?}: {} comes in {field}, not in {other}",
            input.name, input.datatype
        )));
    }
    let contents = match datatype {
        Some(Datatype::Bytes) => Contents::Elements(contents.bytes_contents),
        _ => Contents::Floats(contents.fp32_contents),
    };
    Ok(with_contents(input, contents))
}

fn with_contents(input: InputTensor, contents: Contents) -> Input {
    Input { name: input.name, datatype: input.datatype, shape: input.shape, contents }
}

/// The fields that have elements.
fn filled(contents: Option<&pb::InferTensorContents>) -> impl Iterator<Item = &'static str> {
    let fields = contents.map(|contents| {
        [
            ("bool_contents", contents.bool_contents.len()),
            ("int_contents", contents.int_contents.len()),
            ("int64_contents", contents.int64_contents.len()),
            ("uint_contents", contents.uint_contents.len()),
            ("uint64_contents", contents.uint64_contents.len()),
            ("fp32_contents", contents.fp32_contents.len()),
            ("fp64_contents", contents.fp64_contents.len()),
            ("bytes_contents", contents.bytes_contents.len()),
        ]
    });
    fields.into_iter().flatten().filter(|(_, count)| *count > 0).map(|(name, _)| name)
}

fn parameters(parameters: Params) -> Parameters {
    let value = |parameter: pb::InferParameter| match parameter.parameter_choice? {
        ParameterChoice::BoolParam(flag) => Some(Parameter::Bool(flag)),
        ParameterChoice::Int64Param(number) => Some(Parameter::Integer(number.into())),
        ParameterChoice::Uint64Param(number) => Some(Parameter::Integer(number.into())),
        ParameterChoice::DoubleParam(number) => Some(Parameter::Double(number)),
        ParameterChoice::StringParam(text) => Some(Parameter::Text(text)),
    };
    Parameters(parameters.into_iter().filter_map(|(name, parameter)| Some((name, value(parameter)?))).collect())
}

/// The parameters of a command.
pub(super) fn of_command(parameters: std::collections::HashMap<String, pb::ModelRepositoryParameter>) -> Parameters {
    let value = |parameter: pb::ModelRepositoryParameter| match parameter.parameter_choice {
        Some(RepositoryChoice::BoolParam(flag)) => Parameter::Bool(flag),
        Some(RepositoryChoice::Int64Param(number)) => Parameter::Integer(number.into()),
        Some(RepositoryChoice::StringParam(text)) => Parameter::Text(text),
        Some(RepositoryChoice::BytesParam(bytes)) => Parameter::Text(format!("{} bytes", bytes.len())),
        None => Parameter::Text(String::new()),
    };
    Parameters(parameters.into_iter().map(|(name, parameter)| (name, value(parameter))).collect())
}

/// The message of an answer: its outputs raw, for that is what every client reads.
pub(super) fn answer(answer: &InferAnswer) -> pb::ModelInferResponse {
    let output = |output: &crate::oip::Output| pb::model_infer_response::InferOutputTensor {
        name: output.name.to_owned(),
        datatype: output.datatype().name().to_owned(),
        shape: output.shape.iter().map(|size| *size as i64).collect(),
        ..Default::default()
    };
    pb::ModelInferResponse {
        model_name: answer.model_name.clone(),
        model_version: answer.model_version.clone(),
        id: answer.id.clone(),
        parameters: Params::new(),
        outputs: answer.outputs.iter().map(output).collect(),
        raw_output_contents: answer.outputs.iter().map(crate::oip::Output::raw).collect(),
    }
}

/// The message of what is told of the server.
pub(super) fn server(metadata: &ServerMetadata) -> pb::ServerMetadataResponse {
    pb::ServerMetadataResponse {
        name: metadata.name.to_owned(),
        version: metadata.version.to_owned(),
        extensions: metadata.extensions.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// The message of what is told of a model.
pub(super) fn metadata(metadata: ModelMetadata) -> pb::ModelMetadataResponse {
    let tensor = |tensor: TensorMetadata| pb::model_metadata_response::TensorMetadata {
        name: tensor.name.to_owned(),
        datatype: tensor.datatype.name().to_owned(),
        shape: tensor.shape,
    };
    pb::ModelMetadataResponse {
        name: metadata.name,
        versions: metadata.versions,
        platform: metadata.platform.to_owned(),
        inputs: metadata.inputs.into_iter().map(tensor).collect(),
        outputs: metadata.outputs.into_iter().map(tensor).collect(),
        ..Default::default()
    }
}

/// The message of a model's configuration.
pub(super) fn config(config: ModelConfig) -> pb::ModelConfig {
    let data_type = |tensor: &TensorMetadata| {
        pb::DataType::from_str_name(tensor.datatype.config_name()).unwrap_or(pb::DataType::TypeInvalid)
    };
    let format = pb::model_input::Format::from_str_name(config.input_format).unwrap_or_default();
    let input = pb::ModelInput {
        name: config.input.name.to_owned(),
        data_type: data_type(&config.input).into(),
        format: format.into(),
        dims: config.input.shape,
    };
    let output = pb::ModelOutput {
        name: config.output.name.to_owned(),
        data_type: data_type(&config.output).into(),
        dims: config.output.shape,
        ..Default::default()
    };
    let group = |(name, kind, number): (String, &'static str, Option<u32>)| pb::ModelInstanceGroup {
        name,
        count: 1,
        gpus: number.and_then(|number| i32::try_from(number).ok()).into_iter().collect(),
        kind: pb::model_instance_group::Kind::from_str_name(kind).unwrap_or_default().into(),
    };
    pb::ModelConfig {
        name: config.name,
        platform: config.platform.to_owned(),
        max_batch_size: i32::try_from(config.max_batch_size).unwrap_or(i32::MAX),
        input: vec![input],
        output: vec![output],
        instance_group: config.devices.into_iter().map(group).collect(),
        scheduling_choice: Some(pb::model_config::SchedulingChoice::DynamicBatching(
            pb::ModelDynamicBatching::default(),
        )),
        model_transaction_policy: Some(pb::ModelTransactionPolicy { decoupled: false }),
        ..Default::default()
    }
}

/// The message of a model's counts.
pub(super) fn statistics(statistics: ModelStatistics) -> pb::ModelStatistics {
    let execution_count = statistics.execution_count();
    let batch = |executions: &crate::oip::Executions| pb::InferBatchStatistics {
        batch_size: executions.batch_size as u64,
        compute_infer: duration(executions.tally),
        ..Default::default()
    };
    let requests = statistics.requests;
    pb::ModelStatistics {
        batch_stats: statistics.executions.iter().map(batch).collect(),
        name: statistics.name,
        version: statistics.version,
        last_inference: statistics.last_inference,
        inference_count: requests.images,
        execution_count,
        inference_stats: Some(pb::InferStatistics {
            success: duration(requests.success),
            fail: duration(requests.fail),
            queue: duration(requests.queue),
            compute_input: duration(requests.compute_input),
            compute_infer: duration(requests.compute_infer),
            compute_output: duration(requests.compute_output),
            cache_hit: Some(pb::StatisticDuration::default()),
            cache_miss: Some(pb::StatisticDuration::default()),
        }),
        memory_usage: statistics.memory.into_iter().map(memory_usage).collect(),
    }
}

fn memory_usage(of: crate::oip::MemoryUsage) -> pb::MemoryUsage {
    pb::MemoryUsage { r#type: of.kind.to_owned(), id: of.id.into(), byte_size: of.bytes }
}

fn duration(tally: crate::metrics::Tally) -> Option<pb::StatisticDuration> {
    let ns = u64::try_from(tally.time.as_nanos()).unwrap_or(u64::MAX);
    Some(pb::StatisticDuration { count: tally.count, ns })
}

/// The message of a line of the index.
pub(super) fn index(entry: IndexEntry) -> pb::repository_index_response::ModelIndex {
    let IndexEntry { name, version, state, reason } = entry;
    pb::repository_index_response::ModelIndex { name, version, state: state.to_owned(), reason }
}
