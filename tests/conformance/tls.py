"""Clients of others over TLS: requests, httpx (HTTP/2), urllib, Hugging Face's and grpcio; with a key and a client's certificate where they are
given. tls.py BASE GRPC CA KEY CERT CERT_KEY PHOTO LABEL, where KEY, CERT and CERT_KEY may be empty.

tls.py swap BASE CA SECONDS asks on a connection of its own each time, four at a time, and prints the certificates that were shown."""

import hashlib
import socket
import ssl
import sys
import threading
import time
import urllib.request

import grpc
import httpx
import requests
import tritonclient.grpc as triton
from huggingface_hub import InferenceClient


def clients(base, address, ca, key, cert, cert_key, photo, label):
    image = open(photo, "rb").read()
    headers = {"X-API-Key": key} if key else {}
    pair = (cert, cert_key) if cert else None
    context = ssl.create_default_context(cafile=ca)
    if pair:
        context.load_cert_chain(*pair)

    answer = requests.post(f"{base}/classify", data=image, headers=headers, verify=ca, cert=pair, timeout=20)
    assert answer.status_code == 200 and answer.json()[0]["label"] == label, answer.text

    with httpx.Client(http2=True, verify=context, timeout=20) as client:
        answer = client.post(f"{base}/classify", content=image, headers=headers)
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2"), answer

    request = urllib.request.Request(f"{base}/classify", data=image, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    assert opener.open(request, timeout=20).status == 200

    if key:
        # whose users know the key as their token
        refused = requests.post(f"{base}/classify", data=image, verify=ca, cert=pair, timeout=20)
        assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == "Bearer", refused.text
        bearer = {"Authorization": f"Bearer {key}"}
        answer = requests.post(f"{base}/classify", data=image, headers=bearer, verify=ca, cert=pair, timeout=20)
        assert answer.status_code == 200, answer.text
    if not pair:
        import os

        os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = ca
        found = InferenceClient(token=key or False).image_classification(image, model=f"{base}/classify")
        assert found[0].label == label, found

    read = lambda path: open(path, "rb").read()
    credentials = grpc.ssl_channel_credentials(read(ca), read(cert_key) if pair else None, read(cert) if pair else None)
    client = triton.InferenceServerClient(address, ssl=True, creds=credentials)
    import numpy

    tensor = triton.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(numpy.array([[image]], dtype=object))
    best = [triton.InferRequestedOutput("logits", class_count=1)]
    metadata = {"authorization": f"Bearer {key}"} if key else None
    found = client.infer("convnext_atto_image", [tensor], outputs=best, headers=metadata).as_numpy("logits")
    assert label in found.flatten()[0].decode(), found
    assert client.is_server_live()
    if key:
        try:
            client.infer("convnext_atto_image", [tensor])
        except triton.InferenceServerException as error:
            assert error.status() == "StatusCode.UNAUTHENTICATED", error
        else:
            raise AssertionError("an answer without a key")


def swap(base, ca, seconds):
    host, port = base.removeprefix("https://").split(":")
    seen, failures = {}, []
    end = time.monotonic() + float(seconds)

    def ask():
        context = ssl.create_default_context(cafile=ca)
        while time.monotonic() < end:
            try:
                with socket.create_connection((host, port), timeout=10) as plain:
                    with context.wrap_socket(plain, server_hostname="localhost") as stream:
                        shown = hashlib.sha256(stream.getpeercert(binary_form=True)).hexdigest()
                        stream.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                        answer = b""
                        while chunk := stream.recv(4096):
                            answer += chunk
                        assert answer.startswith(b"HTTP/1.1 200"), answer
                        seen[shown] = seen.get(shown, 0) + 1
            except Exception as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    [thread.start() for thread in threads]
    print("begun", flush=True)
    [thread.join() for thread in threads]
    assert not failures, failures[:5]
    print("\n".join(seen))


if sys.argv[1] == "swap":
    swap(*sys.argv[2:])
else:
    clients(*sys.argv[1:])
