"""NVIDIA's own client of Triton asks a running server over HTTP.      python triton_http.py URL IMAGE LABEL

URL is that of the server, LABEL what the image shows. Exits 1 with a traceback when an answer is not what the client's users would
expect. Run by tests/conformance."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

url, image, label = sys.argv[1:]
client = triton.InferenceServerClient(url.removeprefix("http://"))

assert client.is_server_live() and client.is_server_ready()
about = client.get_server_metadata()
assert about["name"] == "convnext-server" and "binary_tensor_data" in about["extensions"], about

NAME = "convnext_atto"
names = [entry["name"] for entry in client.get_model_repository_index()]
assert NAME in names and NAME + "_image" in names, names


def refused(call, words):
    try:
        call()
    except InferenceServerException as error:
        assert words in error.message(), error
    else:
        raise AssertionError(f"not refused: {words}")


for name in [NAME, NAME + "_image"]:
    assert client.is_model_ready(name) and client.is_model_ready(name, "1")
    metadata, config = client.get_model_metadata(name), client.get_model_config(name)
    (given,), (taken,) = metadata["outputs"], metadata["inputs"]
    assert given["datatype"] == "FP32" and len(given["shape"]) == 2, metadata
    assert config["max_batch_size"] > 0 and config["input"][0]["dims"] == taken["shape"][1:], config
    assert config["output"][0]["dims"] == given["shape"][1:], config
assert not client.is_model_ready("nobody") and not client.is_model_ready(NAME, "9")
refused(lambda: client.get_model_metadata("nobody"), "no model nobody")


# NVIDIA's image_client.py takes a model only if it is like this.
metadata, config = client.get_model_metadata(NAME), client.get_model_config(NAME)
assert config["input"][0]["format"] == "FORMAT_NCHW" and len(metadata["inputs"][0]["shape"]) == 4
classes, (channels, height, width) = metadata["outputs"][0]["shape"][1], metadata["inputs"][0]["shape"][1:]

# Image files: BYTES, as one element each.
photo = open(image, "rb").read()


def files(count):
    given = triton.InferInput("image", [count, 1], "BYTES")
    given.set_data_from_numpy(np.array([[photo]] * count, dtype=np.object_))
    return given


answer = client.infer(NAME + "_image", [files(2)], request_id="seven")
logits = answer.as_numpy("logits")
assert logits.shape == (2, classes) and logits.dtype == np.float32, logits
assert (logits[0] == logits[1]).all()
assert answer.get_response()["id"] == "seven" and answer.get_response()["model_version"] == "1"

# The best classes, as image_client.py asks for them.
for binary in [True, False]:
    wanted = triton.InferRequestedOutput("logits", binary_data=binary, class_count=3)
    best = client.infer(NAME + "_image", [files(1)], outputs=[wanted]).as_numpy("logits")
    assert best.shape == (1, 3), best
    text = best[0][0] if isinstance(best[0][0], str) else best[0][0].decode()
    score, index, name = text.split(":", 2)
    assert name == label and int(index) == logits[0].argmax() and np.float32(score) == logits[0].max(), text

# Tensors: as bytes and as JSON, in and out, in f32 and in f16.
pixels = np.random.default_rng(1).standard_normal((2, channels, height, width)).astype(np.float32)


def tensor(pixels, datatype, binary=True):
    given = triton.InferInput("pixels", list(pixels.shape), datatype)
    given.set_data_from_numpy(pixels.astype(triton_to_np_dtype(datatype)), binary_data=binary)
    return given


expected = client.infer(NAME, [tensor(pixels, "FP32")]).as_numpy("logits")
for sent in [True, False]:
    for received in [True, False]:
        wanted = triton.InferRequestedOutput("logits", binary_data=received)
        found = client.infer(NAME, [tensor(pixels, "FP32", sent)], outputs=[wanted], model_version="1").as_numpy("logits")
        assert (found.astype(np.float32) == expected).all(), (sent, received)
for coding in ["gzip", "deflate"]:
    found = client.infer(
        NAME, [tensor(pixels, "FP32")], request_compression_algorithm=coding, response_compression_algorithm=coding
    )
    assert (found.as_numpy("logits") == expected).all(), coding
half = client.infer(NAME, [tensor(pixels, "FP16")]).as_numpy("logits")
assert np.abs(half - expected).max() <= 0.02 * np.abs(expected).max(), np.abs(half - expected).max()
client.infer(NAME, [tensor(pixels, "FP32")], priority=1, timeout=20_000_000)
answer = client.async_infer(NAME, [tensor(pixels, "FP32")]).get_result()
assert (answer.as_numpy("logits") == expected).all()

# What is wrong comes as the client's own exception, in our words.
refused(lambda: client.infer(NAME, [tensor(pixels[:, :1], "FP32")]), f"takes [n, 3, {height}, {width}]")
refused(lambda: client.infer(NAME, [tensor(pixels, "FP64")]), "FP64")
refused(lambda: client.infer(NAME, [files(1)]), "takes pixels")
refused(lambda: client.infer(NAME, [tensor(pixels, "FP32")], outputs=[triton.InferRequestedOutput("prob")]), "no output")
refused(lambda: client.load_model(NAME), "--allow-model-control")
refused(lambda: client.unload_model(NAME), "--allow-model-control")
refused(lambda: client.register_system_shared_memory("a", "/a", 8), "not served")
assert client.get_system_shared_memory_status() == [] and client.get_cuda_shared_memory_status() == []
client.unregister_system_shared_memory()
client.unregister_cuda_shared_memory()

# Answered: the first, 2 × 2 forms of input and output, 2 codings, f16, with a timeout, asynchronously. Refused: four.
(counts,) = client.get_inference_statistics(NAME)["model_stats"]
assert counts["inference_stats"]["success"]["count"] == 10 and counts["inference_count"] == 20, counts
assert counts["inference_stats"]["fail"]["count"] == 4, counts
assert counts["execution_count"] > 0 and counts["inference_stats"]["compute_infer"]["ns"] > 0, counts
assert [of["name"] for of in client.get_inference_statistics()["model_stats"]] == names
client.close()
