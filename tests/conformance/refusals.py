"""Clients that others wrote, refused many times: every refusal must reach them, with its status and `{"error": …}`.

    refusals.py BASE_URL IMAGE

requests, urllib and httpx over HTTP/1.1, httpx over HTTP/2; bodies that are too large, of no image, for no model, to no route. Then requests of which the
client's side ends at once (a half-close), which get their answer.
"""
import json
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

import httpx
import requests

BASE, IMAGE = sys.argv[1], open(sys.argv[2], "rb").read()
TIMES, TIMES_OF_LARGE = 10, 4
# what is sent, where, the status: the server reads none or a part of it before it answers
REFUSED = [
    ("a body over the limit", "/classify", bytes(20_000_000), 413),
    ("a body over the limit, by 1 MB", "/classify", bytes((16 << 20) + 1_000_000), 413),
    ("a model that is not there", "/classify?model=nobody", bytes(300_000), 404),
    ("a small body for a model that is not there", "/classify?model=nobody", bytes(5_600), 404),
    ("no route", "/nowhere", bytes(2_000_000), 404),
    ("no image", "/classify", b"not an image " * 2_000, 415),
]


def by_requests(path, body):
    with requests.Session() as session:  # a connection each
        session.trust_env = False
        answer = session.post(BASE + path, data=body, timeout=30)
        return answer.status_code, answer.json()


def by_urllib(path, body):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(BASE + path, data=body), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def by_httpx(http2):
    def post(path, body):
        with httpx.Client(http1=not http2, http2=http2, trust_env=False, timeout=30) as client:
            answer = client.post(BASE + path, content=body)
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1"), answer.http_version
            return answer.status_code, answer.json()

    return post


def half_closed(version):
    """Status and body of a request after which the client says no more."""
    url = urllib.parse.urlparse(BASE)
    head = f"POST /classify HTTP/{version}\r\nHost: {url.netloc}\r\nContent-Length: {len(IMAGE)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=30) as client:
        client.sendall(head.encode() + IMAGE)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b" ")[1], body


lost = []
clients = {"requests": by_requests, "urllib": by_urllib, "httpx, HTTP/1.1": by_httpx(False), "httpx, HTTP/2": by_httpx(True)}
for client, post in clients.items():
    for what, path, body, status in REFUSED:
        for turn in range(TIMES if len(body) < 1 << 22 else TIMES_OF_LARGE):
            try:
                found, said = post(path, body)
                if found != status or not isinstance(said.get("error"), str):
                    lost.append(f"{client}, {what}, turn {turn}: {found} {said}")
            except Exception as why:  # whatever a client makes of a refusal that it did not get
                lost.append(f"{client}, {what}, turn {turn}: {type(why).__name__}: {why}")
    found, said = post("/classify", IMAGE)
    if found != 200:
        lost.append(f"{client}, an image afterwards: {found} {said}")
for version, times in (("1.1", 60), ("1.0", 60)):
    for turn in range(times):
        found, body = half_closed(version)
        if found != b"200" or len(json.loads(body)) != 5:
            lost.append(f"half-closed over HTTP/{version}, turn {turn}: {found} {body[:200]}")
print("\n".join(lost[:20]))
sys.exit(f"{len(lost)} answers were lost or wrong" if lost else 0)
