"""Connections that end at an age, then a server that ends: clients of both ports, under load, must lose nothing.

    come_and_go.py BASE_URL GRPC_ADDRESS IMAGE

tritonclient over gRPC (calls of several threads over one channel, and asyncio) and requests over HTTP/1.1 with keep-alive ask on and on. After 2 s, and
once each has its answers, it prints "under way": the caller then sends the server SIGTERM. As a load balancer would have it, the clients go when the server says that it is not ready.
Exits 1 when a request failed, or when no connection ended by its age. Run by tests/conformance."""

import asyncio
import sys
import threading
import time

import numpy as np
import requests
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

BASE, ADDRESS, IMAGE = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read()
# answers of each client before the server is told to stop
ENOUGH = 3
stop, failures, answers, told_to_close = threading.Event(), [], {}, []


def file_input(module):
    tensor = module.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[IMAGE]], dtype=np.object_))
    return tensor


def ask_on(what, ask):
    """Asks until all is over. A failure is the last word of its client."""
    worker = threading.current_thread()
    try:
        while not stop.is_set():
            ask()
            answers[worker] += 1
    except Exception as error:  # whatever a client makes of a connection that ended
        failures.append(f"{what}, after {answers[worker]} answers: {type(error).__name__}: {error}")


shared = triton.InferenceServerClient(ADDRESS)


def by_grpc():
    ask_on("gRPC", lambda: shared.infer("convnext_atto_image", [file_input(triton)], client_timeout=30))


def by_http():
    with requests.Session() as session:
        session.trust_env = False

        def ask():
            answer = session.post(BASE + "/classify", data=IMAGE, timeout=30)
            assert answer.status_code == 200, answer.text
            if answer.headers.get("connection") == "close":
                told_to_close.append(1)

        ask_on("HTTP", ask)


def by_asyncio():
    async def work():
        worker = threading.current_thread()
        async with triton_aio.InferenceServerClient(ADDRESS) as client:
            try:
                while not stop.is_set():
                    calls = [client.infer("convnext_atto_image", [file_input(triton_aio)]) for _ in range(4)]
                    answers[worker] += len(await asyncio.gather(*calls))
            except Exception as error:
                failures.append(f"asyncio, after {answers[worker]} answers: {type(error).__name__}: {error}")

    asyncio.run(work())


workers = [threading.Thread(target=work) for work in (by_grpc, by_grpc, by_grpc, by_http, by_http, by_asyncio)]
answers.update((worker, 0) for worker in workers)
for worker in workers:
    worker.start()
began = time.monotonic()
while (elapsed := time.monotonic() - began) < 2 or min(answers.values()) < ENOUGH and elapsed < 25 and not failures:
    time.sleep(0.02)
closed_by_age = len(told_to_close)
print("under way", flush=True)
end = time.monotonic() + 20
with requests.Session() as probe:
    probe.trust_env = False
    while probe.get(BASE + "/readyz", timeout=10).status_code == 200 and time.monotonic() < end:
        time.sleep(0.02)
stop.set()
for worker in workers:
    worker.join()
if closed_by_age == 0:
    failures.append("no connection of HTTP/1.1 ended by its age")
if min(answers.values()) < ENOUGH:
    failures.append(f"too few answers to say anything: {list(answers.values())}")
print("\n".join(failures), file=sys.stderr)
sys.exit(bool(failures))
