"""The chart, kustomize and docker compose of deploy/, as their own programs see them.      python deploy.py ROOT OUT NODE PACKAGE…

Helm (lint, values.schema.json, templates), kubectl kustomize and docker compose config judge every documented variant; then Kubernetes' own schemas the
core kinds, strictly, and deploy_resources.js those of KEDA, the Gateway API and Prometheus' operator (NODE runs it, PACKAGE… are npm's @kubernetes-models);
then deploy_checks.py what lies between. Mistakes that people make are made on purpose, and each must be found. OUT gets what was rendered, for
deploy_serve.py. Exits 1 and says all that is wrong. Run by tests/conformance."""

import copy
import functools
import json
import subprocess
import sys
from pathlib import Path

import compose
import helm_python as helm
import kubernetes_validate
import yaml

import deploy_checks as checks

ROOT, OUT, NODE, PACKAGES = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
CHART, KUSTOMIZE, COMPOSE = ROOT / "deploy/helm/convnext-server", ROOT / "deploy/kustomize", ROOT / "deploy/compose"
KUBECTL = Path(sys.executable).with_name("kubectl")
# the script of this name forgets the exit code
DOCKER_COMPOSE = Path(compose.__file__).with_name("docker-compose")
GUIDE = (ROOT / checks.GUIDE).read_text()
# the oldest Kubernetes that Chart.yaml takes is older than this; what is validated is what runs today
KUBERNETES = "1.37"
CORE = {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1", "autoscaling/v2"}

faults = []


def fault(where, what):
    faults.append(f"{where}: {what}")


def documents(text):
    return [doc for doc in yaml.load_all(text, yaml.CSafeLoader) if doc]


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def rendered(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        manifests = chart.render(values, name="convnext-server", namespace="default")
    return [doc for path, text in manifests.items() if not path.endswith("NOTES.txt") for doc in documents(text)]


@functools.cache
def core(text):
    """What Kubernetes' schema says against a resource of its own, which variants have in common."""
    doc = json.loads(text)
    try:
        kubernetes_validate.validate(doc, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{checks.name(doc)}: {'.'.join(map(str, error.path))} {error.message}"]
    return []


def valid(deployments):
    """What the schemas say against the resources of each deployment, by its name."""
    custom = [[doc for doc in docs if doc["apiVersion"] not in CORE] for docs in deployments.values()]
    command = [NODE, str(Path(__file__).with_name("deploy_resources.js")), *PACKAGES]
    told = subprocess.run(command, input=json.dumps(custom), capture_output=True, text=True, timeout=60)
    if told.returncode:
        raise RuntimeError(told.stderr)
    of_custom = json.loads(told.stdout)
    of_core = [[wrong for doc in docs if doc["apiVersion"] in CORE for wrong in core(json.dumps(doc))] for docs in deployments.values()]
    return {name: one + other for name, one, other in zip(deployments, of_core, of_custom)}


def judged(deployments):
    """What is wrong with each deployment; what lies between resources only where each is right."""
    return {name: wrong or checks.faults(deployments[name], GUIDE) for name, wrong in valid(deployments).items()}


# the chart, in every variant that has a file
variants = {}
for file in sorted((CHART / "ci").glob("*-values.yaml")):
    values = yaml.safe_load(file.read_text()) or {}
    report = helm.lint(str(CHART), values, strict=True, namespace="default")
    # 1 is information: that an icon is recommended
    for message in report["messages"]:
        if message["severity"] > 1:
            fault(file.name, f"helm lint: {message}")
    if f"ci/{file.name}" not in GUIDE:
        fault(file.name, f"{checks.GUIDE} does not tell of it")
    try:
        variants["helm-" + file.name.removesuffix("-values.yaml")] = rendered(values)
    except helm.HelmError as error:
        fault(file.name, error)

# kustomize, the base and each overlay
for folder in [KUSTOMIZE / "base", *sorted((KUSTOMIZE / "overlays").iterdir())]:
    if folder.name not in GUIDE:
        fault(folder.name, f"{checks.GUIDE} does not tell of it")
    try:
        variants["kustomize-" + folder.name] = documents(run(KUBECTL, "kustomize", folder))
    except RuntimeError as error:
        fault(folder.name, error)
used = "".join(file.read_text() for file in (KUSTOMIZE / "overlays").glob("*/kustomization.yaml"))
for component in (KUSTOMIZE / "components").iterdir():
    if f"components/{component.name}\n" not in used:
        fault(component.name, "no overlay uses it")

gateway = {"gateway.yaml": documents((ROOT / "deploy/kubernetes/gateway.yaml").read_text())}
for name, wrongs in [*judged(variants).items(), *valid(gateway).items()]:
    for wrong in wrongs:
        fault(name, wrong)
for name, docs in variants.items():
    (OUT / f"{name}.json").write_text(json.dumps(docs))


def plain(docs):
    """What both ways must have in common: all but where it came from, and the hash in a ConfigMap's name."""
    docs = copy.deepcopy([doc for doc in docs if doc["kind"] != "Pod"])
    for doc in docs:
        if doc["kind"] == "Deployment":
            doc["spec"]["template"]["metadata"].pop("annotations", None)
            for volume in doc["spec"]["template"]["spec"]["volumes"]:
                if "configMap" in volume:
                    volume["configMap"]["name"] = "convnext-server"
        if doc["kind"] == "ConfigMap":
            doc["metadata"]["name"] = "convnext-server"
            doc["metadata"]["labels"].pop("app.kubernetes.io/version", None)
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            doc["metadata"]["labels"].pop(label, None)
    return {checks.name(doc): doc for doc in docs}


def differences(left, right, where=""):
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted(set(left) | set(right))
        return [one for key in keys for one in differences(left.get(key), right.get(key), f"{where}.{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [one for i, pair in enumerate(zip(left, right)) for one in differences(*pair, f"{where}[{i}]")]
    return [] if left == right else [f"{where}: {left!r} and {right!r}"]


if not faults:
    for wrong in differences(plain(variants["helm-default"]), plain(variants["kustomize-base"])):
        fault("the chart and kustomize differ", wrong)

# rules and dashboard have one source
source = [group for file in ("rules.yml", "alerts.yml") for group in yaml.safe_load((ROOT / "deploy/prometheus" / file).read_text())["groups"]]
board = (ROOT / "deploy/grafana/convnext-server.json").read_text()
for name in ("helm-gpu", "kustomize-gpu"):
    docs = variants.get(name, [])
    if [rule["spec"]["groups"] for rule in checks.of(docs, "PrometheusRule")] != [source]:
        fault(name, "its PrometheusRule is not what deploy/prometheus says: copy the groups anew")
    boards = [doc for doc in checks.of(docs, "ConfigMap") if doc["metadata"]["labels"].get("grafana_dashboard") == "1"]
    if [json.loads(doc["data"]["convnext-server.json"]) for doc in boards] != [json.loads(board)]:
        fault(name, "its dashboard is not that of deploy/grafana")

for rule in (rule for group in source for rule in group["rules"] if "alert" in rule):
    if f"| {rule['alert']} |" not in GUIDE:
        fault(rule["alert"], f"{checks.GUIDE} does not tell what it means")

# values that make no sense are refused before anything is installed
for values in (
    {"imagee": {}},
    {"gpu": {"enable": True}},
    {"replicas": "two"},
    {"server": {"models": []}},
    {"server": {"calibrate": True}},
    {"modelVolume": {"type": "pvc"}},
    {"modelVolume": {"type": "image"}},
    {"modelVolume": {"type": "pull", "pull": ["no-organisation"]}},
    {"tls": {"clientCertificates": True}},
    {"apiKeys": {"metrics": True}},
    {"autoscaling": {"by": "cpu"}},
    {"autoscaling": {"by": "hpa", "minReplicas": 0}},
    {"autoscaling": {"by": "keda", "minReplicas": 0}},
    {"gateway": {"enabled": True}},
    {"ingress": {"enabled": True}},
):
    try:
        rendered(values)
        fault(json.dumps(values), "was not refused")
    except helm.HelmError:
        pass


# mistakes that people make, in what is right
def mistakes(docs):
    def pod(docs):
        return checks.of(docs, "Deployment")[0]["spec"]["template"]["spec"]

    def one(docs, kind):
        return checks.of(docs, kind)[0]

    yield "a key misspelt", lambda docs: pod(docs)["containers"][0].update(readinesProbe={})
    yield "a probe of another port", lambda docs: pod(docs)["containers"][0]["readinessProbe"]["httpGet"].update(port="grpc")
    yield "a probe of a port that is not there", lambda docs: pod(docs)["containers"][0]["livenessProbe"]["httpGet"].update(port=8081)
    yield "a liveness that ends pods in their drain", lambda docs: pod(docs)["containers"][0]["livenessProbe"]["httpGet"].update(path="/readyz")
    yield "a drain cut short", lambda docs: pod(docs).update(terminationGracePeriodSeconds=20)
    yield "a label gone astray", lambda docs: one(docs, "Service")["spec"]["selector"].update({"app.kubernetes.io/name": "convnext"})
    yield "a port gone astray", lambda docs: one(docs, "Service")["spec"]["ports"][0].update(targetPort="web")
    yield "a map gone astray", lambda docs: pod(docs)["volumes"][0]["configMap"].update(name="convnext")
    yield "a Secret that nobody told of", lambda docs: pod(docs)["volumes"].append({"name": "cache", "secret": {"secretName": "surprise"}})
    yield "root", lambda docs: pod(docs)["securityContext"].pop("runAsNonRoot")
    yield "an admin port for all", lambda docs: pod(docs)["containers"][0]["env"][2].update(value="0.0.0.0:9090")
    yield "a number as text", lambda docs: one(docs, "PodDisruptionBudget")["spec"].update(maxUnavailable=["1"])
    yield "scaling by CPU", lambda docs: one(docs, "ScaledObject")["spec"]["triggers"].append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}})
    yield "a custom key misspelt", lambda docs: one(docs, "ScaledObject")["spec"].update(minReplicas=1)
    yield "a custom value misspelt", lambda docs: one(docs, "HTTPRoute")["spec"]["rules"][0]["matches"][0]["path"].update(type="Prefix")
    yield "a route to nowhere", lambda docs: one(docs, "GRPCRoute")["spec"]["rules"][0]["backendRefs"][0].update(port=50051)
    yield "sleep without waking", lambda docs: one(docs, "ScaledObject")["spec"]["triggers"].pop()


if not faults:
    made = {}
    for what, make in mistakes(variants["helm-keda-to-zero"]):
        made[what] = copy.deepcopy(variants["helm-keda-to-zero"])
        make(made[what])
    for what, wrongs in judged(made).items():
        if not wrongs:
            fault(what, "was not found")

# what all of this takes from the image
image = (ROOT / "Dockerfile").read_text()
for line in ('ENTRYPOINT ["/usr/bin/convnext"]', 'CMD ["serve"]', "USER 65532:65532"):
    if f"{line}\n" not in image:
        fault("Dockerfile", f"deploy/ takes it that it says {line}")

# docker compose, alone and with GPUs
for files in (["compose.yaml"], ["compose.yaml", "gpu.yaml"]):
    try:
        options = [option for file in files for option in ("--file", COMPOSE / file)]
        services = json.loads(run(DOCKER_COMPOSE, *options, "config", "--format", "json"))["services"]
    except RuntimeError as error:
        fault(" ".join(files), error)
        continue
    for service, what in services.items():
        for volume in what.get("volumes", []):
            if volume["type"] == "bind" and not Path(volume["source"]).is_file():
                fault(service, f"{volume['source']} is not there")
        for port in what.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                fault(service, f"the port {port['published']} is open to the network")
    mounts = {name: {volume["target"]: volume["source"] for volume in what.get("volumes", [])} for name, what in services.items()}
    # what Grafana is given leads to what the others are
    (source,) = yaml.safe_load((COMPOSE / "grafana/datasource.yml").read_text())["datasources"]
    if source["url"] != "http://prometheus:9090" or "prometheus" not in services:
        fault("grafana", f"no service answers at {source['url']}")
    used = json.loads(board)
    if {(one["type"], one["query"]) for one in used["templating"]["list"] if one["name"] == "datasource"} != {("datasource", source["type"])} or not source["isDefault"]:
        fault("grafana", "the dashboard would not find its data source")
    panels = [panel for panel in used["panels"] if panel["type"] != "row"]
    if not panels or any(panel["datasource"]["uid"] != "${datasource}" for panel in panels):
        fault("grafana", "a panel asks another data source")
    (provider,) = yaml.safe_load((COMPOSE / "grafana/dashboards.yml").read_text())["providers"]
    if f"{provider['options']['path']}/convnext-server.json" not in mounts["grafana"]:
        fault("grafana", f"there is no dashboard in {provider['options']['path']}")
    for kind, file in (("datasources", "datasource.yml"), ("dashboards", "dashboards.yml")):
        if mounts["grafana"].get(f"/etc/grafana/provisioning/{kind}/convnext.yml") != str(COMPOSE / "grafana" / file):
            fault("grafana", f"{file} is not provisioned")
    config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    for rules in config["rule_files"]:
        if mounts["prometheus"].get(f"/etc/prometheus/{rules}") != str(ROOT / "deploy/prometheus" / rules):
            fault("prometheus", f"{rules} is not mounted")
    asked = services["convnext"]["environment"]["CONVNEXT_HTTP_ADDR"].replace("0.0.0.0", "convnext")
    if [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]] != [asked]:
        fault("prometheus", f"it does not scrape {asked}")

if faults:
    sys.exit("\n".join(faults))
print(f"{len(variants)} variants")
