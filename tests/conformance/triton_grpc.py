"""NVIDIA's tritonclient, gRPC's own health and reflection clients, against a running server.      python triton_grpc.py ADDRESS IMAGE LABEL

ADDRESS is HOST:PORT of gRPC, LABEL what the image shows. Exits 1 with a traceback where the clients' users would not get what they expect, or where
our description of the protocol differs from tritonclient's own. Run by tests/conformance."""

import asyncio
import queue
import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

ADDRESS, IMAGE, LABEL = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3]
MODEL, FILES, BASELINE = "convnext_atto", "convnext_atto_image", "swin_atto"


def code_of(call, *args, **kwargs):
    """The code of the error that a call ends with."""
    try:
        call(*args, **kwargs)
    except InferenceServerException as error:
        return error.status()
    raise AssertionError("no error")


def file_input(module=triton):
    tensor = module.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[IMAGE]], dtype=np.object_))
    return tensor


def pixel_input(pixels):
    tensor = triton.InferInput("pixels", list(pixels.shape), "FP16" if pixels.dtype == np.float16 else "FP32")
    tensor.set_data_from_numpy(pixels)
    return tensor


client = triton.InferenceServerClient(ADDRESS)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready(MODEL) and client.is_model_ready(FILES) and not client.is_model_ready("nobody")
server = client.get_server_metadata(as_json=True)
assert server["name"] == "convnext-server" and "statistics" in server["extensions"], server

# what NVIDIA's image client looks for
metadata, config = client.get_model_metadata(MODEL), client.get_model_config(MODEL).config
assert metadata.name == MODEL and len(metadata.inputs) == len(metadata.outputs) == 1, metadata
shape = list(metadata.inputs[0].shape)
assert metadata.inputs[0].datatype == "FP32" and shape[:2] == [-1, 3], metadata
assert config.max_batch_size > 0 and config.input[0].format == model_config_pb2.ModelInput.FORMAT_NCHW, config
assert list(config.input[0].dims) == shape[1:] and config.output[0].data_type == model_config_pb2.TYPE_FP32, config
assert client.get_model_metadata(FILES).inputs[0].datatype == "BYTES"
assert client.get_model_config(FILES).config.input[0].data_type == model_config_pb2.TYPE_STRING
classes = metadata.outputs[0].shape[1]

# files, as logits and as a classification
logits = client.infer(FILES, [file_input()], request_id="photo").as_numpy("logits")
assert logits.shape == (1, classes) and logits.dtype == np.float32, logits
best = client.infer(FILES, [file_input()], outputs=[triton.InferRequestedOutput("logits", class_count=1)])
score, index, label = best.as_numpy("logits")[0][0].decode().split(":")
assert label == LABEL and int(index) == logits[0].argmax() and np.float32(score) == logits[0].max(), (score, index, label)

# tensors: FP32 of several images, FP16, compressed
pixels = np.random.default_rng(0).standard_normal((3, *shape[1:]), dtype=np.float32)
answer = client.infer(MODEL, [pixel_input(pixels)], request_id="three", timeout=20_000_000, client_timeout=30)
assert answer.get_response().id == "three" and answer.as_numpy("logits").shape == (3, classes)
for image in range(3):
    alone = client.infer(MODEL, [pixel_input(pixels[image : image + 1])]).as_numpy("logits")
    assert np.array_equal(alone[0], answer.as_numpy("logits")[image]), "an image's logits do not depend on its batch"
half = client.infer(MODEL, [pixel_input(pixels.astype(np.float16))]).as_numpy("logits")
assert np.abs(half - answer.as_numpy("logits")).max() < 0.05 * np.abs(half).max(), (half, answer.as_numpy("logits"))
for algorithm in ("gzip", "deflate"):
    compressed = client.infer(MODEL, [pixel_input(pixels)], compression_algorithm=algorithm)
    assert np.array_equal(compressed.as_numpy("logits"), answer.as_numpy("logits")), algorithm

# errors, and that the connection serves on
assert code_of(client.infer, "nobody", [pixel_input(pixels)]) == "StatusCode.NOT_FOUND"
assert code_of(client.infer, MODEL, [file_input()]) == "StatusCode.INVALID_ARGUMENT"
assert code_of(client.infer, FILES, [pixel_input(pixels)]) == "StatusCode.INVALID_ARGUMENT"
huge = np.zeros((1 + (17 << 20) // (pixels[0].size * 4), *shape[1:]), dtype=np.float32)
for _ in range(5):
    assert code_of(client.infer, MODEL, [pixel_input(huge)]) == "StatusCode.INVALID_ARGUMENT", "a message over the limit"
assert code_of(client.unload_model, MODEL) == "StatusCode.PERMISSION_DENIED"
assert code_of(client.get_system_shared_memory_status) == "StatusCode.UNIMPLEMENTED"

# a stream with an error in the middle
answers = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)))
for name, tensor in ((MODEL, pixel_input(pixels)), ("nobody", pixel_input(pixels)), (FILES, file_input())):
    client.async_stream_infer(name, [tensor], request_id=name)
(first, no_error), (_, error), (last, no_error_either) = (answers.get(timeout=30) for _ in range(3))
assert no_error is None and np.array_equal(first.as_numpy("logits"), answer.as_numpy("logits"))
assert error is not None and "nobody" in str(error), error
assert no_error_either is None and last.get_response().id == FILES and np.array_equal(last.as_numpy("logits"), logits)
client.stop_stream()

# counts and the index
(counted,) = client.get_inference_statistics(MODEL).model_stats
assert counted.inference_count >= 15 and counted.inference_stats.success.count >= 7, counted
assert counted.execution_count == sum(batch.compute_infer.count for batch in counted.batch_stats), counted
index = {model.name: model.state for model in client.get_model_repository_index().models}
assert all(index[name] == "READY" for name in (MODEL, FILES, BASELINE)), index


async def by_asyncio():
    async with triton_aio.InferenceServerClient(ADDRESS) as client:
        assert await client.is_server_ready() and await client.is_model_ready(MODEL)
        calls = [client.infer(FILES, [file_input(triton_aio)]) for _ in range(8)]
        for result in await asyncio.gather(*calls):
            assert np.array_equal(result.as_numpy("logits"), logits)

        async def requests():
            for number in range(4):
                yield {"model_name": FILES, "inputs": [file_input(triton_aio)], "request_id": str(number)}

        ids = []
        async for result, error in client.stream_infer(requests()):
            assert error is None and np.array_equal(result.as_numpy("logits"), logits), error
            ids.append(result.get_response().id)
        assert ids == ["0", "1", "2", "3"], ids


asyncio.run(by_asyncio())

with grpc.insecure_channel(ADDRESS) as channel:
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService", MODEL, FILES):
        status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status
        assert status == health_pb2.HealthCheckResponse.SERVING, service

    # what the server says of itself by reflection is a part of what NVIDIA's client was made of
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    ours = pool.FindServiceByName("inference.GRPCInferenceService")
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in ours.methods:
        other = theirs.methods_by_name[method.name]
        for side in ("input_type", "output_type"):
            assert getattr(method, side).full_name == getattr(other, side).full_name, method.name
        assert (method.client_streaming, method.server_streaming) == (other.client_streaming, other.server_streaming)


def kind(field):
    named = field.message_type or field.enum_type
    return field.number, field.type, field.is_repeated, named and named.full_name, field.containing_oneof and field.containing_oneof.name


def compare(ours, theirs):
    for field in ours.fields:
        if (ours.name, field.name) == ("ModelMetadataResponse", "properties"):
            continue  # KServe's alone
        assert kind(field) == kind(theirs.fields_by_name[field.name]), f"{ours.full_name}.{field.name}"
    for nested in ours.nested_types:
        if nested.name == "PropertiesEntry":
            continue
        compare(nested, theirs.nested_types_by_name[nested.name])
    for enum in ours.enum_types:
        numbers = {value.name: value.number for value in theirs.enum_types_by_name[enum.name].values}
        assert all(numbers[value.name] == value.number for value in enum.values), enum.full_name


compared = 0
for message in ours.file.message_types_by_name.values():
    theirs = service_pb2.DESCRIPTOR.message_types_by_name.get(message.name) or model_config_pb2.DESCRIPTOR.message_types_by_name[message.name]
    compare(message, theirs)
    compared += 1
assert compared > 30, compared
numbers = model_config_pb2.DataType.items()
assert dict(numbers) == {value.name: value.number for value in ours.file.enum_types_by_name["DataType"].values}
