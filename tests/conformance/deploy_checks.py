"""What must hold between the resources of one deployment, and no schema says: names that meet, ports that exist, a drain that fits. Not here: rendering them
(deploy.py), starting what they configure (deploy_serve.py)."""

import re
import tomllib

# what a variant takes from outside itself must be told to whoever installs it
GUIDE = "deploy/README.md"


def of(docs, *kinds):
    return [doc for doc in docs if doc["kind"] in kinds]


def name(doc):
    return f"{doc['kind']} {doc['metadata']['name']}"


def selects(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def server(deployment):
    return next(one for one in deployment["spec"]["template"]["spec"]["containers"] if one["name"] == "server")


def ports(container):
    return {port["name"]: port["containerPort"] for port in container.get("ports", [])}


def environment(container):
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}


def toml(docs):
    """The text of --config: of the ConfigMap that the Deployment mounts."""
    (deployment,) = of(docs, "Deployment")
    volume = next(one for one in deployment["spec"]["template"]["spec"]["volumes"] if one["name"] == "config")
    maps = {doc["metadata"]["name"]: doc for doc in of(docs, "ConfigMap")}
    return maps[volume["configMap"]["name"]]["data"]["convnext.toml"]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def faults(docs, guide):
    """What is wrong, as a list of sentences; `guide` is the text of GUIDE."""
    found = []
    (deployment,) = of(docs, "Deployment")
    template = deployment["spec"]["template"]
    pod, labels, container = template["spec"], template["metadata"]["labels"], server(deployment)

    def wrong(what):
        found.append(what)

    # names that meet
    if not selects(deployment["spec"]["selector"]["matchLabels"], labels):
        wrong("the Deployment does not select its own pods")
    for doc in of(docs, "Service"):
        if not selects(doc["spec"]["selector"], labels):
            wrong(f"{name(doc)} selects no pod")
        for port in doc["spec"]["ports"]:
            if port["targetPort"] not in ports(container) and port["targetPort"] not in ports(container).values():
                wrong(f"{name(doc)}: no container has the port {port['targetPort']}")
    for doc in of(docs, "PodDisruptionBudget"):
        if not selects(doc["spec"]["selector"]["matchLabels"], labels):
            wrong(f"{name(doc)} covers no pod")
    for spread in pod.get("topologySpreadConstraints", []):
        if not selects(spread["labelSelector"]["matchLabels"], labels):
            wrong("a topologySpreadConstraint counts no pod")
    for doc in of(docs, "NetworkPolicy"):
        if not selects(doc["spec"]["podSelector"]["matchLabels"], labels):
            wrong(f"{name(doc)} is about no pod")
        open_ports = {port["port"] for rule in doc["spec"].get("ingress", []) for port in rule["ports"]}
        if open_ports != {"http", "grpc"}:
            wrong(f"{name(doc)} opens {open_ports}")
    for doc in of(docs, "ServiceMonitor"):
        services = [one for one in of(docs, "Service") if selects(doc["spec"]["selector"]["matchLabels"], one["metadata"]["labels"])]
        for endpoint in doc["spec"]["endpoints"]:
            if not any(endpoint["port"] == port["name"] for one in services for port in one["spec"]["ports"]):
                wrong(f"{name(doc)}: no Service has the port {endpoint['port']}")
    published = {(one["metadata"]["name"], key) for one in of(docs, "Service") for port in one["spec"]["ports"] for key in (port["name"], port["port"])}
    for doc in of(docs, "HTTPRoute", "GRPCRoute"):
        for backend in (backend for rule in doc["spec"]["rules"] for backend in rule["backendRefs"]):
            if (backend["name"], backend["port"]) not in published:
                wrong(f"{name(doc)} leads to {backend}, which is not there")
    for doc in of(docs, "Ingress"):
        for path in (path for rule in doc["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            if (backend["name"], backend["port"].get("name", backend["port"].get("number"))) not in published:
                wrong(f"{name(doc)} leads to {backend}, which is not there")
    if pod["serviceAccountName"] not in {one["metadata"]["name"] for one in of(docs, "ServiceAccount")}:
        wrong(f"there is no ServiceAccount {pod['serviceAccountName']}")

    # what is mounted is there, or is told of
    maps = {one["metadata"]["name"] for one in of(docs, "ConfigMap")}
    secrets, claims = [], []
    for volume in pod["volumes"]:
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            wrong(f"there is no ConfigMap {volume['configMap']['name']}")
        secrets += [volume["secret"]["secretName"]] if "secret" in volume else []
        claims += [volume["persistentVolumeClaim"]["claimName"]] if "persistentVolumeClaim" in volume else []
        if not any(mount["name"] == volume["name"] for one in containers(pod) for mount in one["volumeMounts"]):
            wrong(f"the volume {volume['name']} is mounted nowhere")
    for one in containers(pod):
        for mount in one["volumeMounts"]:
            if mount["name"] not in {volume["name"] for volume in pod["volumes"]}:
                wrong(f"{one['name']} mounts {mount['name']}, which is no volume")
        secrets += [value["valueFrom"]["secretKeyRef"]["name"] for value in one.get("env", []) if "valueFrom" in value]
    secrets += [endpoint["authorization"]["credentials"]["name"] for doc in of(docs, "ServiceMonitor") for endpoint in doc["spec"]["endpoints"] if "authorization" in endpoint]
    secrets += [endpoint["tlsConfig"]["keySecret"]["name"] for doc in of(docs, "ServiceMonitor") for endpoint in doc["spec"]["endpoints"] if "keySecret" in endpoint.get("tlsConfig", {})]
    secrets += [tls["secretName"] for doc in of(docs, "Ingress") for tls in doc["spec"].get("tls", [])]
    for reference in secrets + claims:
        if f"`{reference}`" not in guide:
            wrong(f"{GUIDE} does not tell of the Secret or claim {reference}")
    # a file of a Secret that the server reads lies where it is mounted, as a whole folder, or a new version would never show
    folders = {mount["mountPath"] for mount in container["volumeMounts"] if "subPath" not in mount}
    for variable, value in environment(container).items():
        if variable.startswith(("CONVNEXT_TLS_", "CONVNEXT_API_KEYS")) and "/" in value and value.rsplit("/", 1)[0] not in folders:
            wrong(f"{variable} is {value}, where no folder is mounted")

    if found:
        # what follows would ask for what is not there
        return found

    # probes, the drain
    scheme = "HTTPS" if "CONVNEXT_TLS_CERT" in environment(container) else "HTTP"
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        asked = container.get(probe, {}).get("httpGet")
        if asked is None:
            wrong(f"there is no {probe} over HTTP")
            continue
        port = ports(container).get(asked["port"], asked["port"])
        if (asked["path"], asked.get("scheme", "HTTP")) != (path, scheme):
            wrong(f"the {probe} asks {asked.get('scheme')} {asked['path']}")
        if environment(container)["CONVNEXT_HTTP_ADDR"] != f"0.0.0.0:{port}":
            wrong(f"the {probe} asks port {asked['port']}, which is not HTTP's")
    if environment(container)["CONVNEXT_GRPC_ADDR"] != f"0.0.0.0:{ports(container)['grpc']}":
        wrong("the port grpc is not that of gRPC")
    if not environment(container)["CONVNEXT_ADMIN_ADDR"].startswith("127.0.0.1:"):
        wrong("the admin port is open to others")
    config = tomllib.loads(toml(docs))
    delay, timeout = seconds(config["drain-delay"]), seconds(config["drain-timeout"])
    if not delay < timeout <= pod["terminationGracePeriodSeconds"] - 5:
        wrong(f"a drain of {delay} s, then up to {timeout} s, does not fit into {pod['terminationGracePeriodSeconds']} s")
    if "CONVNEXT_TLS_CLIENT_CA" in environment(container) and environment(container).get("CONVNEXT_TLS_CLIENT_AUTH") != "except-probes":
        wrong("the kubelet's probes would need a client's certificate")
    if "preStop" in container.get("lifecycle", {}):
        wrong("a preStop hook, which the drain needs not")
    if config["calibrate"] != "off":
        wrong("calibration is on by default")

    # autoscalers
    for doc in of(docs, "HorizontalPodAutoscaler", "ScaledObject"):
        if doc["spec"]["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
            wrong(f"{name(doc)} scales nothing that is here")
        if "replicas" in deployment["spec"]:
            wrong(f"the Deployment has a number of replicas beside {name(doc)}")
        for metric in doc["spec"].get("metrics", []) + doc["spec"].get("triggers", []):
            if metric["type"] not in ("Pods", "prometheus"):
                wrong(f"{name(doc)} scales by {metric['type']}, not by queue time")
        if doc["kind"] == "ScaledObject" and doc["spec"]["minReplicaCount"] == 0 and not any("activationThreshold" in one["metadata"] for one in doc["spec"]["triggers"]):
            wrong(f"{name(doc)} goes to zero, and nothing wakes it")

    # what pods may, and what they get
    for doc in of(docs, "Pod") + [template]:
        spec = doc["spec"]
        security = spec["securityContext"]
        if not security.get("runAsNonRoot") or security.get("seccompProfile") != {"type": "RuntimeDefault"} or security.get("runAsUser") != 65532:
            wrong("a pod runs as root, or without seccomp")
        if spec.get("automountServiceAccountToken") is not False:
            wrong("a pod has a token of Kubernetes")
        for one in containers(spec):
            may = one.get("securityContext", {})
            if may != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
                wrong(f"{one['name']} may {may}")
            if "memory" not in one["resources"]["limits"]:
                wrong(f"{one['name']} has no limit of memory")
    gpus = [key for key in container["resources"]["limits"] if key.startswith("nvidia.com/")]
    device = environment(container).get("CONVNEXT_DEVICE", config["device"])
    if bool(gpus) != device.startswith("cuda"):
        wrong(f"the device is {device} with {gpus or 'no GPU'}")
    if bool(gpus) == (environment(container).get("NVIDIA_VISIBLE_DEVICES") == "void"):
        wrong("a pod with a GPU is kept from it, or one without sees all")
    if gpus and not any(toleration.get("key") == "nvidia.com/gpu" for toleration in pod.get("tolerations", [])):
        wrong("a pod with a GPU does not tolerate the taint of nodes with GPUs")
    return found
