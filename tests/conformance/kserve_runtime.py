"""deploy/kserve as KServe sees it: the types of its own package, strictly, and the container's contract.      python kserve_runtime.py ROOT BINARY IMAGE LABEL

Each runtime's container is started as KServe starts it, by its arguments and variables, with the InferenceService's name filled in, a folder in the place of
/mnt/models, ports of its own, and a CPU where there is no GPU; KServe's own clients then ask over v2, v1 and grpc-v2. Exits 1 and says what is wrong. Run by
tests/conformance."""

import copy
import http.client
import re
import signal
import subprocess
import sys
from pathlib import Path

import kserve
import kubernetes.client
import yaml

from deploy_server import Server

ROOT, BINARY, IMAGE, LABEL = Path(sys.argv[1]), *sys.argv[2:]
# of Kubernetes, where nothing else is said
GRACE = 30


def typed(kind, value, where):
    """What is wrong with a value of one of the generated types, which themselves let unknown fields pass."""
    if kind == "object" or value is None:
        return []
    if inner := re.fullmatch(r"[lL]ist\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [wrong for i, one in enumerate(value) for wrong in typed(inner[1], one, f"{where}[{i}]")]
    if inner := re.fullmatch(r"dict\(str, (.+)\)|Dict\[str, (.+)\]", kind):
        if not isinstance(value, dict):
            return [f"{where} is no map"]
        return [wrong for key, one in value.items() for wrong in typed(inner[1] or inner[2], one, f"{where}.{key}")]
    if simple := {"str": str, "int": int, "bool": bool, "float": (int, float)}.get(kind):
        return [] if isinstance(value, simple) and (kind == "bool") == isinstance(value, bool) else [f"{where} is {value!r}, not {kind}"]
    # a quantity may be written as either, and so may a port
    if kind in ("V1beta1MetricQuantity", "K8sIoApimachineryPkgApiResourceQuantity") or kind.endswith("IntOrString"):
        return [] if isinstance(value, (str, int)) else [f"{where} is {value!r}"]
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind)
    if not isinstance(value, dict):
        return [f"{where} is no {kind}"]
    fields = {model.attribute_map[field]: inner for field, inner in model.openapi_types.items()}
    found = [f"{where}.{key} is no field of {kind}" for key in value if key not in fields]
    return found + [wrong for key, one in value.items() if key in fields for wrong in typed(fields[key], one, f"{where}.{key}")]


def faults(doc):
    version = doc["apiVersion"].removeprefix("serving.kserve.io/").capitalize()
    return typed(f"{version}{doc['kind']}", doc, doc["metadata"]["name"])


documents = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "deploy/kserve").glob("*.yaml"))]
runtimes = {doc["metadata"]["name"]: doc for doc in documents if doc["kind"] == "ClusterServingRuntime"}
services = [doc for doc in documents if doc["kind"] == "InferenceService"]
wrong = [fault for doc in documents for fault in faults(doc)]

# mistakes on purpose, or the types show nothing
for make in (
    lambda doc: doc["spec"].update(protocolVersion=["v2"]),
    lambda doc: doc["spec"]["supportedModelFormats"][0].update(autoselect=True),
    lambda doc: doc["spec"]["containers"][0]["readinessProbe"].update(period=5),
    lambda doc: doc["spec"]["containers"][0].update(args="serve"),
):
    mistaken = copy.deepcopy(runtimes["convnext-cpu"])
    make(mistaken)
    assert faults(mistaken), mistaken

for service in services:
    model, name = service["spec"]["predictor"]["model"], service["metadata"]["name"]
    runtime = runtimes[model["runtime"]]["spec"]
    formats = {one["name"] for one in runtime["supportedModelFormats"]}
    if model["modelFormat"]["name"] not in formats or model["protocolVersion"] not in runtime["protocolVersions"]:
        wrong.append(f"{name} asks of {model['runtime']} what it does not do")
    if model["protocolVersion"] == "grpc-v2" and [port["name"] for port in model.get("ports", [])] != ["h2c"]:
        wrong.append(f"{name}: KServe routes gRPC by a port that is named h2c")
    for metric in service["spec"]["predictor"].get("autoScaling", {}).get("metrics", []):
        if metric["type"] == "Resource" or f"{name}-predictor" not in metric["external"]["metric"]["query"]:
            wrong.append(f"{name} does not scale by its own queue time")
assert len(runtimes) == 2 and len(services) == 3 and not wrong, "\n".join(wrong)


def status(address, probe):
    asked = probe["httpGet"]
    # the arguments have this port as HTTP's, which is checked below
    connection = http.client.HTTPConnection(address, timeout=2)
    connection.request("GET", asked["path"])
    answer = connection.getresponse().status
    connection.close()
    return answer


for runtime in runtimes.values():
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container", container["name"]
    args = container["args"]
    ports = {probe: container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert "--http-addr=0.0.0.0:8080" in args and set(ports.values()) == {8080} and "--grpc-addr=0.0.0.0:9000" in args, args
    (drain,) = [int(argument.removeprefix("--drain-timeout=").removesuffix("s")) for argument in args if argument.startswith("--drain-timeout=")]
    assert drain < GRACE, args
    name = next(service["metadata"]["name"] for service in services if service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"])
    given = [argument.replace("{{.Name}}", name).replace("/mnt/models", str(ROOT / "models/convnext_atto")) for argument in args]
    assert given != args and any("{{.Name}}" in argument for argument in args), args
    # no GPU is here
    given = [argument.replace("--device=cuda", "--device=cpu") for argument in given]
    variables = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    with Server(BINARY, [*given, "--drain-delay=0s"], variables) as server:
        server.ready()
        assert status(server.http, container["startupProbe"]) == status(server.http, container["readinessProbe"]) == status(server.http, container["livenessProbe"]) == 200
        client = [sys.executable, str(Path(__file__).with_name("kserve_client.py")), server.base, server.grpc, IMAGE, LABEL, name]
        asked = subprocess.run(client, capture_output=True, text=True, timeout=60)
        assert asked.returncode == 0, asked.stderr
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=GRACE) == 0
print(f"{len(runtimes)} runtimes, {len(services)} services")
