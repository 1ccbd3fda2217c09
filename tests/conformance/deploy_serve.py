"""The real server with what deploy/ configures.      python deploy_serve.py ROOT OUT BINARY

OUT has what deploy.py rendered. The file of --config and the variables of each variant's Deployment start the server, with ports of their own, a demo model
where /models or the hub has one, and a CPU where a GPU is asked for; a key or a variable that the server does not know is an error. Then probes ask as the
kubelet does, before and in a drain. Exits 1 and says what is wrong. Run by tests/conformance."""

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

import deploy_checks as checks
from deploy_server import Server

ROOT, OUT, BINARY = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
DEMO = ROOT / "models/convnext_atto"
KNOWN = set(re.findall(r"\[env: (CONVNEXT_\w+)=", subprocess.run([BINARY, "serve", "--help"], capture_output=True, text=True, timeout=60).stdout))

# of TLS and keys, whose files lie in Secrets
SECURED = re.compile("CONVNEXT_(TLS_|API_KEYS)")

variants = {file.stem: json.loads(file.read_text()) for file in sorted(OUT.glob("*.json"))}
assert len(variants) > 10, f"deploy.py has rendered {len(variants)} variants"


def here(text):
    """A configuration with what is on this machine: a demo model for one of a volume or the hub, a CPU for a GPU."""
    text = re.sub(r"/models/\w+|hub:[\w./-]+", str(DEMO), text)
    return re.sub(r'device = "cuda[^"]*"', 'device = "cpu"', text)


def configuration(docs):
    container = checks.server(checks.of(docs, "Deployment")[0])
    variables = {name: value for name, value in checks.environment(container).items() if name.startswith(("CONVNEXT_", "HF_")) and value}
    for name in list(variables):
        if SECURED.match(name):
            del variables[name]
    for name in variables:
        assert not name.startswith("CONVNEXT_") or name in KNOWN, f"serve knows no variable {name}"
    ours = {name: here(value) for name, value in variables.items() if not name.endswith("_ADDR")}
    if ours.get("CONVNEXT_DEVICE"):
        ours["CONVNEXT_DEVICE"] = "cpu"
    return container["args"], here(checks.toml(docs)), ours


def status(address, path):
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def main():
    folder = Path(tempfile.mkdtemp())
    started = {}

    def start(docs):
        args, toml, variables = configuration(docs)
        key = (toml, tuple(sorted(variables.items())))
        if key in started:
            return None
        file = started[key] = folder / f"{len(started)}.toml"
        file.write_text(toml)
        # exactly its arguments, but for where the file lies
        args = [str(file) if argument == "/etc/convnext/convnext.toml" else argument for argument in args]
        assert str(file) in args, args
        return Server(BINARY, args, variables | {"HF_HOME": str(folder)})

    # probes as the kubelet's, on the port that they name
    docs = variants["helm-default"]
    container = checks.server(checks.of(docs, "Deployment")[0])
    drained = start(docs)
    drained.ready()
    asked = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert {probe: status(drained.http, path) for probe, path in asked.items()} == dict.fromkeys(asked, 200)
    drained.process.send_signal(signal.SIGTERM)
    end, seen = time.monotonic() + 3, set()
    while time.monotonic() < end and seen != {(200, 503)}:
        seen = {(status(drained.http, asked["liveness"]), status(drained.http, asked["readiness"]))}
    assert seen == {(200, 503)}, f"in a drain liveness and readiness answer {seen}"

    for name, docs in variants.items():
        try:
            if server := start(docs):
                with server:
                    server.ready()
        except Exception as error:
            sys.exit(f"{name}: {error}")
    assert len(started) > 5, started

    # a key that the server does not know is an error, or nothing of this shows anything
    try:
        docs = json.loads(json.dumps(variants["helm-default"]).replace("max-connection-age", "max-connections-age"))
        with start(docs) as server:
            server.ready()
        sys.exit("a misspelt key was taken")
    except RuntimeError as error:
        assert "max-connections-age" in str(error), error

    # systemd's file and compose's variables
    services = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
    gpu = yaml.safe_load((ROOT / "deploy/compose/gpu.yaml").read_text())["services"]
    for variables in (services["convnext"]["environment"], gpu["convnext"]["environment"]):
        assert all(name in KNOWN for name in variables if name.startswith("CONVNEXT_")), variables
    for unit in (ROOT / "deploy/systemd").rglob("*.*"):
        unknown = set(re.findall(r"Environment=(CONVNEXT_\w+)", unit.read_text())) - KNOWN if unit.is_file() else set()
        unknown = {name for name in unknown if not SECURED.match(name)}
        assert not unknown, f"serve knows no variable {unknown}"
    with Server(BINARY, ["serve", "--config", str(ROOT / "deploy/systemd/convnext.toml")], {}) as server:
        server.ready()

    # what was told to end has done so, cleanly, in its time
    grace = checks.of(variants["helm-default"], "Deployment")[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drained.process.wait(timeout=grace) == 0, drained.process.returncode
    print(f"{len(started)} configurations of {len(variants)} variants")


main()
