"""One image and one golden case in every form that a request can have.      python forms.py URL ADDRESS CASE DEVICE

URL is that of HTTP, ADDRESS that of gRPC, CASE the folder of a golden case, which is served as "golden", DEVICE cpu or gpu. Exits 1 with a traceback
where forms differ in one bit. An image file has the logits of its own normalised pixels: bit for bit on a CPU; within the bound of golden cases on a
GPU, where bytes are centred by whole numbers and normalised by the weight. FP16 is told from FP32 by its rounding alone. Run by tests/conformance."""

import base64
import json
import struct
import sys
import zlib

import grpc
import numpy as np
import requests
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2, service_pb2_grpc

URL, ADDRESS, CASE, DEVICE = sys.argv[1:]
RELATIVE = 1e-4  # of a golden case in f32


def png(rgb):
    """A PNG of bytes [h, w, 3]."""
    height, width, _ = rgb.shape
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def golden():
    """What the case's library has as pixels and logits of its first image."""
    raw = open(f"{CASE}/expected.safetensors", "rb").read()
    length = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + length])

    def tensor(name):
        begin, end = entries[name]["data_offsets"]
        numbers = np.frombuffer(raw[8 + length + begin : 8 + length + end], np.float32)
        return numbers.reshape(entries[name]["shape"])

    return tensor("pixels.0"), tensor("logits.0").reshape(-1)


pixels_of_case, logits_of_case = golden()
config = json.load(open(f"{CASE}/config.json"))["pretrained_cfg"]
crop = config["input_size"][1]
# as timm has it; of this size nothing is resized
side = int(np.floor(crop / config["crop_pct"]))
picture = np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)
FILE = png(picture)
corner = round((side - crop) / 2)
middle = picture[corner : corner + crop, corner : corner + crop].astype(np.float64)
# of the f32 that a configuration's numbers are, rounded once
mean, std = (np.array(config[name], dtype=np.float32).astype(np.float64) for name in ("mean", "std"))
PIXELS = ((middle / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]

stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(ADDRESS))
http, rpc = triton_http.InferenceServerClient(URL.removeprefix("http://")), triton_grpc.InferenceServerClient(ADDRESS)
session = requests.Session()


def post(path, **body):
    answer = session.post(URL + path, timeout=60, **body)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return answer


def first(numbers):
    return np.array(numbers, dtype=np.float32).reshape(-1)


def v2(name, tensor, data):
    """A tensor in JSON, answered in JSON."""
    kind, shape = tensor
    given = {"name": "image" if kind == "BYTES" else "pixels", "datatype": kind, "shape": shape, "data": data}
    return first(post(f"/v2/models/{name}/infer", json={"inputs": [given]}).json()["outputs"][0]["data"])


def bare(name, body):
    """A body that is the tensor itself, answered by bytes."""
    answer = post(f"/v2/models/{name}/infer", data=body, headers={"Inference-Header-Content-Length": "0"})
    return np.frombuffer(answer.content[int(answer.headers["Inference-Header-Content-Length"]) :], np.float32)


def client(client, module, name, input_name, kind, numbers, **more):
    given = module.InferInput(input_name, list(numbers.shape), kind)
    given.set_data_from_numpy(numbers, **more)
    return client.infer(name, [given]).as_numpy("logits").astype(np.float32).reshape(-1)


def typed(name, input_name, kind, shape, **contents):
    given = service_pb2.ModelInferRequest.InferInputTensor(name=input_name, datatype=kind, shape=shape)
    given.contents.CopyFrom(service_pb2.InferTensorContents(**contents))
    answer = stub.ModelInfer(service_pb2.ModelInferRequest(model_name=name, inputs=[given]), timeout=60)
    return np.frombuffer(answer.raw_output_contents[0], np.float32)


def tensors(pixels):
    shape, half = list(pixels.shape), pixels.astype(np.float16)
    of_clients = (http, triton_http, "golden", "pixels"), (rpc, triton_grpc, "golden", "pixels")
    return {
        "JSON, flat": v2("golden", ("FP32", shape), pixels.reshape(-1).tolist()),
        "JSON, nested": v2("golden", ("FP32", shape), pixels.tolist()),
        "HTTP, JSON by the client": client(*of_clients[0], "FP32", pixels, binary_data=False),
        "HTTP, binary": client(*of_clients[0], "FP32", pixels),
        "HTTP, nothing but bytes": bare("golden", pixels.tobytes()),
        "gRPC, raw": client(*of_clients[1], "FP32", pixels),
        "gRPC, typed": typed("golden", "pixels", "FP32", shape, fp32_contents=pixels.reshape(-1).tolist()),
        "TensorFlow Serving, rows": first(post("/v1/models/golden:predict", json={"instances": pixels.tolist()}).json()["predictions"]),
        "TensorFlow Serving, columns": first(post("/v1/models/golden:predict", json={"inputs": {"pixels": pixels.tolist()}}).json()["outputs"]),
    }, {
        "HTTP, binary, FP16": client(*of_clients[0], "FP16", half),
        "gRPC, raw, FP16": client(*of_clients[1], "FP16", half),
    }


def by_label(predictions):
    """Scores in the order of classes, of a list or an object of labels."""
    if isinstance(predictions, list):
        predictions = {one["label"]: one["score"] for one in predictions}
    return first([predictions[label] for label in LABELS])


def files():
    text, element = base64.b64encode(FILE).decode(), np.array([[FILE]], dtype=np.object_)
    plain = {"top_k": len(LABELS), "function_to_apply": "none"}
    return {
        "JSON, base64": v2("golden_image", ("BYTES", [1, 1]), [text]),
        "HTTP, binary": client(http, triton_http, "golden_image", "image", "BYTES", element),
        "HTTP, nothing but bytes": bare("golden_image", FILE),
        "gRPC, raw": client(rpc, triton_grpc, "golden_image", "image", "BYTES", element),
        "gRPC, typed": typed("golden_image", "image", "BYTES", [1, 1], bytes_contents=[FILE]),
        "TensorFlow Serving, rows": first(post("/v1/models/golden:predict", json={"instances": [{"b64": text}]}).json()["predictions"]),
        "TensorFlow Serving, columns": first(post("/v1/models/golden:predict", json={"inputs": [{"b64": text}]}).json()["outputs"]),
        "classify, JSON": by_label(post("/classify", json={"inputs": text, "parameters": plain}).json()),
        "invocations, JSON": by_label(post("/invocations", json={"inputs": text, "parameters": plain}).json()),
    }


def same(of_forms):
    """The logits, which all forms have."""
    logits = next(iter(of_forms.values()))
    for form, found in of_forms.items():
        assert found.shape == logits.shape and np.array_equal(found.view(np.uint32), logits.view(np.uint32)), (form, found, logits)
    return logits


def relative(found, expected):
    return np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected.astype(np.float64))


LABELS = config["label_names"]
assert len(LABELS) == len(logits_of_case), LABELS

full, half = tensors(pixels_of_case[None])
assert relative(same(full), logits_of_case) <= RELATIVE, relative(same(full), logits_of_case)
assert 0 < relative(same(half), same(full)) < 0.01, relative(same(half), same(full))

of_tensor, of_file = same(tensors(PIXELS)[0]), same(files())
if DEVICE == "cpu":
    same({"tensor": of_tensor, "file": of_file})
assert relative(of_file, of_tensor) <= RELATIVE, relative(of_file, of_tensor)

# scores of the softmax, where a form has no logits
scores = np.exp(of_file.astype(np.float64) - of_file.max())
scores = (scores / scores.sum()).astype(np.float32)
alike = {
    "classify, bytes": post("/classify?top_k=100000", data=FILE).json(),
    "classify, a form": post("/classify?top_k=100000", files={"image": FILE}).json(),
    "invocations, bytes": post("/invocations?top_k=100000", data=FILE).json(),
}
same({form: by_label(answer) for form, answer in alike.items()})
assert np.allclose(by_label(alike["classify, bytes"]), scores, rtol=1e-5), scores
best = {one["label"]: np.float32(one["score"]) for one in alike["classify, bytes"][:5]}
for answer in (post("/predictions/golden", data=FILE), post("/predictions/golden", files={"data": FILE})):
    assert {label: np.float32(score) for label, score in answer.json().items()} == best, (answer.json(), best)
