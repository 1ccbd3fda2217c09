"""A real Prometheus with the configuration of docker compose, and the queries of the autoscalers.      python deploy_compose.py ROOT BINARY PROMETHEUS IMAGE

prometheus.yml and the rules are those that compose mounts, but for the server's host name and intervals that do not take minutes. The server must be up there,
all rules healthy, and each query that scales (prometheus-adapter's for the HorizontalPodAutoscaler, KEDA's, KServe's) must tell the mean seconds of an image in
the queue: of no traffic 0, of traffic what the server's own sums say. Exits 1 and says what is wrong. Run by tests/conformance."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import yaml

from deploy_server import Server

ROOT, BINARY, PROMETHEUS, IMAGE = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]).read_bytes()
# without the proxies of whoever runs the tests
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def until(what, found, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if (answer := found()) is not None:
                return answer
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"never: {what}")


def queries():
    """Each query that scales, with the labels of pods replaced by those of a job that is no pod."""
    (rule,) = yaml.safe_load((ROOT / "deploy/kubernetes/prometheus-adapter.yaml").read_text())["rules"]["custom"]
    series = re.fullmatch(rule["name"]["matches"], re.match(r"\w+", rule["seriesQuery"])[0])[0]
    adapter = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.LabelMatchers>>", 'job="convnext"').replace("<<.GroupBy>>", "instance")
    yield "prometheus-adapter", adapter
    scaled = yaml.safe_load((ROOT / "deploy/kustomize/components/keda/scaledobject.yaml").read_text())
    service = yaml.safe_load((ROOT / "deploy/kserve/inferenceservice-gpu.yaml").read_text())
    keda = next(trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"] if trigger["name"] == "queue")
    kserve = service["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"]["query"]
    for name, query in (("KEDA", keda), ("KServe", kserve)):
        ours, found = re.subn(r'namespace="default",pod=~"[^"]+"', 'job="convnext"', query)
        assert found == 2, query
        yield name, ours
    # the autoscaler names what the adapter makes
    (metric,) = yaml.safe_load((ROOT / "deploy/kustomize/components/hpa/horizontalpodautoscaler.yaml").read_text())["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"], metric


def main():
    folder = Path(tempfile.mkdtemp())
    with Server(BINARY, ["serve", "--calibrate", "off", "--drain-delay", "0s"], {}) as server:
        server.ready()
        config = (ROOT / "deploy/compose/prometheus.yml").read_text()
        ours = config.replace("convnext:8080", server.http).replace("_interval: 15s", "_interval: 1s")
        assert ours.count(server.http) == 1, config
        (folder / "prometheus.yml").write_text(ours)
        for rules in ("rules.yml", "alerts.yml"):
            (folder / rules).write_text((ROOT / "deploy/prometheus" / rules).read_text().replace("interval: 15s", "interval: 1s"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % free.getsockname()[1]
        command = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
        prometheus = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            judge(server, f"http://{address}")
        finally:
            prometheus.kill()
            prometheus.wait(timeout=30)


def judge(server, prometheus):
    def get(path, **parameters):
        return json.load(ask(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=5))["data"]

    def value(query):
        found = get("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    until("the server is up", lambda: value('up{job="convnext"} == 1'))
    groups = until("the rules are evaluated", lambda: evaluated(get("rules")["groups"]))
    assert sum(len(group["rules"]) for group in groups) >= 19, groups
    for rule in (rule for group in groups for rule in group["rules"]):
        assert rule["health"] == "ok" and rule.get("state") != "firing", rule

    scaling = dict(queries())
    # a pod that nobody asks is one pod too many, not one that is unknown
    for name, query in scaling.items():
        assert until(f"{name}'s query of no traffic", lambda query=query: value(query)) == 0, name
    # more at a time than a CPU takes, so that images wait
    ended = threading.Event()

    def load():
        while not ended.is_set():
            ask(urllib.request.Request(f"{server.base}/classify", data=IMAGE, method="POST"), timeout=30).read()

    clients = [threading.Thread(target=load, daemon=True) for _ in range(16)]
    for client in clients:
        client.start()
    waited = {name: until(f"images wait, by {name}'s query", lambda query=query: value(query) or None) for name, query in scaling.items()}
    ended.set()
    for client in clients:
        client.join(timeout=30)
    time.sleep(2.5)
    # now that nothing changes: all say the same, and it is a mean of what the server counted
    text = ask(f"{server.base}/metrics", timeout=5).read().decode()
    total = {part: sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"convnext_stage_duration_seconds_{part}{{") and 'stage="queue"' in line) for part in ("sum", "count")}
    told = {name: value(query) for name, query in scaling.items()}
    mean = total["sum"] / total["count"]
    assert all(abs(one / mean - 1) < 0.2 for one in told.values()), f"a mean of {mean} s in the queue, and {told}"
    print(f"{total['count']:.0f} images waited {mean * 1000:.1f} ms each; {waited}")


def evaluated(groups):
    rules = [rule for group in groups for rule in group["rules"]]
    return groups if rules and all(rule["health"] != "unknown" for rule in rules) else None


main()
