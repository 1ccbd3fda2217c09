"""The real server with what deploy/ configures.      python deploy_serve.py ROOT OUT BINARY

OUT has what deploy.py rendered. The file of --config and the variables of each variant's Deployment start the server, with ports of their own, a demo model
where /models or the hub has one, and a CPU where a GPU is asked for; a key or a variable that the server does not know is an error. Then probes ask as the
kubelet does, before and in a drain. Exits 1 and says what is wrong. Run by tests/conformance."""

import http.client
import json
import os
import re
import shutil
import signal
import ssl
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

SECRETS = Path(tempfile.mkdtemp())
# a server whose sources know no keys is given none, and no TLS

variants = {file.stem: json.loads(file.read_text()) for file in sorted(OUT.glob("*.json"))}
assert len(variants) > 10, f"deploy.py has rendered {len(variants)} variants"


def here(text):
    """A configuration with what is on this machine: a demo model for one of a volume or the hub, a CPU for a GPU."""
    text = re.sub(r"/models/\w+|hub:[\w./-]+", str(DEMO), text)
    return re.sub(r'device = "cuda[^"]*"', 'device = "cpu"', text)


def configuration(docs):
    container = checks.server(checks.of(docs, "Deployment")[0])
    variables = {name: value for name, value in checks.environment(container).items() if name.startswith(("CONVNEXT_", "HF_")) and value}
    for name in variables:
        assert not name.startswith("CONVNEXT_") or name in KNOWN, f"serve knows no variable {name}"
    ours = {name: here(value).replace("/etc/convnext", str(SECRETS)) for name, value in variables.items() if not name.endswith("_ADDR")}
    if ours.get("CONVNEXT_DEVICE"):
        ours["CONVNEXT_DEVICE"] = "cpu"
    return container["args"], here(checks.toml(docs)), ours


def secrets():
    """The files of the Secrets, as deploy/README.md says they are made."""
    (SECRETS / "keys").mkdir()
    (SECRETS / "tls").mkdir()
    key = subprocess.run([BINARY, "key", "--name", "shop"], capture_output=True, text=True, check=True, timeout=60)
    (SECRETS / "keys/keys.toml").write_text(key.stdout)
    files = ["-keyout", SECRETS / "tls/tls.key", "-out", SECRETS / "tls/tls.crt"]
    made = [os.environ.get("CONVNEXT_TEST_OPENSSL", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=convnext-server", "-days", "2", *files]
    subprocess.run(made, capture_output=True, check=True, timeout=60)
    shutil.copy(SECRETS / "tls/tls.crt", SECRETS / "tls/ca.crt")


def status(server, asked, path=None):
    """What a probe gets, which believes any certificate and shows none, as the kubelet's do."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    https = asked["scheme"] == "HTTPS"
    connection = http.client.HTTPSConnection(server.http, timeout=2, context=trusting) if https else http.client.HTTPConnection(server.http, timeout=2)
    try:
        connection.request("GET", path or asked["path"])
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

    # probes as the kubelet's
    def probes(docs):
        container = checks.server(checks.of(docs, "Deployment")[0])
        return {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}

    secrets()
    drained = start(variants["helm-default"])
    drained.ready()
    asked = probes(variants["helm-default"])
    drained.process.send_signal(signal.SIGTERM)
    end, seen = time.monotonic() + 3, set()
    while time.monotonic() < end and seen != {(200, 503)}:
        seen = {(status(drained, asked["liveness"]), status(drained, asked["readiness"]))}
    assert seen == {(200, 503)}, f"in a drain liveness and readiness answer {seen}"

    for name, docs in variants.items():
        try:
            if server := start(docs):
                with server:
                    server.ready()
                    for probe, of_probe in probes(docs).items():
                        assert status(server, of_probe) == 200, f"{probe} is answered {status(server, of_probe)}"
                    if "secure" in name:
                        assert status(server, of_probe, "/models") in (401, 403), "no key and no certificate was asked for"
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
        assert not unknown, f"serve knows no variable {unknown}"
    with Server(BINARY, ["serve", "--config", str(ROOT / "deploy/systemd/convnext.toml")], {}) as server:
        server.ready()

    # what was told to end has done so, cleanly, in its time
    grace = checks.of(variants["helm-default"], "Deployment")[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drained.process.wait(timeout=grace) == 0, drained.process.returncode
    print(f"{len(started)} configurations of {len(variants)} variants")


main()
