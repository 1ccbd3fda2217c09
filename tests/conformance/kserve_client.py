"""KServe's own clients of REST (both protocol versions) and gRPC, against a running server.      python kserve_client.py URL ADDRESS IMAGE LABEL [MODEL]

URL is that of HTTP, ADDRESS that of gRPC, LABEL what the image shows, MODEL a demo model by the name that it is served under. Exits 1 with a traceback where the clients' users would not get what they
expect. Run by tests/conformance."""

import asyncio
import base64
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

URL, ADDRESS, IMAGE, LABEL = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read(), sys.argv[4]
MODEL = sys.argv[5] if len(sys.argv) > 5 else "convnext_atto"
FILES = f"{MODEL}_image"


def photo(binary):
    given = InferInput("image", [1, 1], "BYTES")
    # in JSON an element is base64
    element = IMAGE if binary else base64.b64encode(IMAGE)
    given.set_data_from_numpy(np.array([[element]], dtype=np.object_), binary_data=binary)
    return InferRequest(model_name=FILES, infer_inputs=[given], request_id="photo")


def pixels(binary):
    numbers = np.random.default_rng(3).standard_normal((2, 3, 64, 64)).astype(np.float32)
    given = InferInput("pixels", list(numbers.shape), "FP32")
    given.set_data_from_numpy(numbers, binary_data=binary)
    return InferRequest(model_name=MODEL, infer_inputs=[given], request_id="two")


def of(answer):
    (output,) = answer.outputs
    assert output.name == "logits" and output.datatype == "FP32", output
    return output.as_numpy().astype(np.float32)


async def main():
    found = {"photo": [], "two": []}
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await rest.is_server_live(URL) and await rest.is_server_ready(URL)
    assert await rest.is_model_ready(URL, MODEL) and await rest.is_model_ready(URL, FILES)
    for request in (pixels(True), pixels(False), photo(True), photo(False)):
        answer = await rest.infer(URL, request, model_name=request.model_name)
        assert answer.id == request.id and answer.model_name == request.model_name, answer
        found[request.id].append(of(answer))
    await rest.close()

    grpc = InferenceGRPCClient(ADDRESS)
    assert await grpc.is_server_live() and await grpc.is_server_ready()
    assert await grpc.is_model_ready(MODEL) and not await grpc.is_model_ready("nobody")
    for request in (pixels(True), pixels(False), photo(True)):
        answer = await grpc.infer(request)
        assert answer.id == request.id and answer.model_name == request.model_name, answer
        found[request.id].append(of(answer))
    await grpc.close()

    # the first version of its protocol predicts as TensorFlow Serving does; it asks otherwise whether a model is ready
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    answer = await v1.infer(URL, {"instances": [{"b64": base64.b64encode(IMAGE).decode()}]}, model_name=MODEL)
    found["photo"].append(np.array(answer["predictions"], dtype=np.float32))
    await v1.close()

    for of_one in found.values():
        assert len(of_one) > 3 and all(np.array_equal(logits, of_one[0]) for logits in of_one), of_one
    # the order of the demo models' labels
    labels = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag".split() + ["Ankle boot"]
    assert labels[found["photo"][0][0].argmax()] == LABEL, found["photo"][0]


asyncio.run(main())
