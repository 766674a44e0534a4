"""What kustomize and Helm make: objects as Kubernetes publishes them, which may do what they must
and no more, and which fit what the gateway does."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.load import loads
from proxy.config.loaded import Loaded

from .tools import (
    DEPLOY,
    Object,
    charted,
    kustomized,
    misfits,
    needs_helm,
    needs_kustomize,
    needs_schemas,
    objects,
    run,
    tool,
)

OVERLAYS = [
    "base",
    "overlays/gateway",
    "overlays/gateway-api",
    "overlays/sidecar",
    "overlays/collector",
]
LASTING = ("run", "sidecar", "collect")  # commands
FILE = "/etc/spangate/routes.toml"
ALL_OF_IT: dict[str, Any] = {
    "gateway": {
        "autoscaling": {"enabled": True},
        "gatewayAPI": {"enabled": True},
        "networkPolicy": {"enabled": True},
        "env": [{"name": "A", "value": "b"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "edge"},
        "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
        "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "volumeMounts": [{"name": "tls", "mountPath": "/run/tls", "readOnly": True}],
    },
    "collector": {"enabled": True, "nodeSelector": {"a": "b"}, "podLabels": {"a": "b"}},
    "sidecar": {"enabled": True},
    "imagePullSecrets": [{"name": "pull"}],
}
RELEASES: dict[str, dict[str, Any]] = {
    "chart": {},
    "chart-all": ALL_OF_IT,
    "chart-collector": {
        "gateway": {"enabled": False},
        "collector": {"enabled": True, "queuePath": ""},
    },
}


@functools.cache
def made(what: str) -> list[Object]:
    return charted(**RELEASES[what]) if what in RELEASES else kustomized(what)


everything = pytest.mark.parametrize(
    "what",
    [
        *(pytest.param(one, marks=needs_kustomize) for one in OVERLAYS),
        *(pytest.param(one, marks=needs_helm) for one in RELEASES),
    ],
)


def of(what: str, *kinds: str) -> list[Object]:
    return [one for one in made(what) if one["kind"] in kinds]


def pods(what: str) -> Iterator[tuple[Object, Object]]:
    """What owns pods, and the template of its pods."""
    for one in of(what, "Deployment", "DaemonSet", "StatefulSet"):
        yield one, one["spec"]["template"]


def ours(what: str) -> Iterator[tuple[Object, Object]]:
    """Each container of our image, with its pod's spec."""
    for _, pod in pods(what):
        spec = pod["spec"]
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            if "spangate" in container["image"]:
                yield spec, container


@needs_schemas
@everything
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_objects_are_as_published(what: str, version: str) -> None:
    strangers = [one for one in made(what) if one["kind"] != "GatewayClass"]  # a CRD
    assert strangers and misfits(strangers, version) == []


@needs_schemas
@needs_kustomize
def test_what_is_not_as_published_is_found() -> None:
    deployment = of("base", "Deployment")[0]
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 2}}
    assert "replica" in misfits([wrong], "1.29")[0]


@everything
def test_containers_may_do_little(what: str) -> None:
    """The restricted profile of the Pod Security Standards, but for two that prepare something."""
    prepare = {"spangate-redirect": ["NET_ADMIN"], "own-queue": ["CHOWN"]}
    for spec, container in ours(what):
        may = container["securityContext"]
        assert may["allowPrivilegeEscalation"] is False
        assert may["readOnlyRootFilesystem"] is True
        assert may["capabilities"]["drop"] == ["ALL"]
        assert may["capabilities"].get("add", []) == prepare.get(container["name"], [])
        general = spec.get("securityContext", {}) | may
        assert general["runAsNonRoot"] is (container["name"] not in prepare)
        assert general["seccompProfile"] == {"type": "RuntimeDefault"}
        if container["name"] not in prepare:
            assert general["runAsUser"] == general["runAsGroup"] == 65532
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@everything
def test_memory_is_bounded_and_cpu_is_asked_for(what: str) -> None:
    for _, container in ours(what):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys() and "memory" in resources["limits"]
        # A limit of CPU stops a proxy for the rest of each tenth of a second that it was busy in.
        assert "cpu" not in resources["limits"]


@everything
def test_probes_ask_the_admin_port_of_the_configuration(what: str) -> None:
    for spec, container in ours(what):
        if container.get("args", [""])[0] not in LASTING:
            continue
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        config = loaded(what, spec, container).config
        for probe, path in (("startup", "/ready"), ("liveness", "/live"), ("readiness", "/ready")):
            asked = container[f"{probe}Probe"]["httpGet"]
            assert asked["path"] == path
            port = ports.get(asked["port"], asked["port"])
            assert config.admin.listen == f":{port}"


@everything
def test_configurations_have_no_mistake_and_ports_are_theirs(what: str) -> None:
    for spec, container in ours(what):
        if "args" not in container:
            continue
        assert FILE in container["args"]
        found = loaded(what, spec, container)
        assert found.warnings == []
        if container["args"][0] == "run":
            told = {one["containerPort"] for one in container["ports"]} - {9901}
            assert {f":{port}" for port in told} == {one.address for one in found.config.listen}


@everything
def test_workers_are_as_many_as_cpu_is_asked_for(what: str) -> None:
    """Without a limit of CPU `workers = "auto"` is one for each core of the node."""
    for spec, container in ours(what):
        if container.get("args", [""])[0] in ("run", "sidecar"):
            asked = whole_cores(container["resources"]["requests"]["cpu"])
            assert loaded(what, spec, container).config.workers == asked


@everything
def test_a_pod_has_time_to_drain(what: str) -> None:
    for spec, container in ours(what):
        command = container.get("args", [""])[0]
        if command not in LASTING:
            continue
        config = loaded(what, spec, container).config
        needs = 10.0 if command == "collect" else config.drain_delay + config.drain_timeout + 5
        assert spec.get("terminationGracePeriodSeconds", 30) >= needs
        if command == "run":  # a pod's address stays known for a while after its end has begun
            assert config.drain_delay >= 5


@everything
def test_services_budgets_and_policies_mean_these_pods(what: str) -> None:
    templates = [pod for _, pod in pods(what)]
    for one in of(what, "Service"):
        (pod,) = [p for p in templates if fits(one["spec"]["selector"], p)]
        names = {port["name"] for c in pod["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= names
    for one in of(what, "PodDisruptionBudget"):
        assert [p for p in templates if fits(one["spec"]["selector"]["matchLabels"], p)]
    for one in of(what, "NetworkPolicy"):
        (pod,) = [p for p in templates if fits(one["spec"]["podSelector"]["matchLabels"], p)]
        names = {port["name"] for c in pod["spec"]["containers"] for port in c["ports"]}
        told = {p["port"] for rule in one["spec"]["ingress"] for p in rule["ports"]}
        assert told == names
    for owner, pod in pods(what):
        assert fits(owner["spec"]["selector"]["matchLabels"], pod)
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            assert fits(spread["labelSelector"]["matchLabels"], pod)


@everything
def test_a_token_is_there_where_the_cluster_is_asked(what: str) -> None:
    asks = bool(of(what, "ClusterRole"))
    for owner, pod in pods(what):
        if owner["kind"] == "Deployment" and "serviceAccountName" in pod["spec"]:
            assert pod["spec"]["automountServiceAccountToken"] is asks
    for one in of(what, "ServiceAccount"):
        assert one["automountServiceAccountToken"] is asks


@everything
def test_a_replica_count_is_not_said_where_it_is_scaled(what: str) -> None:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of(what, "HorizontalPodAutoscaler")}
    for one in of(what, "Deployment"):
        assert ("replicas" in one["spec"]) is (one["metadata"]["name"] not in scaled)


READ = {"get", "list", "watch"}
READS = {
    "gateway.networking.k8s.io": {
        "gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants",
        "backendtlspolicies",
    },
    "networking.k8s.io": {"ingresses", "ingressclasses"},
    "discovery.k8s.io": {"endpointslices"},
    "": {"services", "secrets", "configmaps", "namespaces"},
}  # fmt: skip
WRITES = {
    "gateway.networking.k8s.io": {
        "gatewayclasses/status", "gateways/status", "httproutes/status", "grpcroutes/status",
        "backendtlspolicies/status",
    },
    "networking.k8s.io": {"ingresses/status"},
}  # fmt: skip


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("overlays/gateway-api", marks=needs_kustomize),
        pytest.param("chart-all", marks=needs_helm),
    ],
)
def test_the_cluster_is_read_and_only_conditions_are_written(what: str) -> None:
    (role,), (binding,) = of(what, "ClusterRole"), of(what, "ClusterRoleBinding")
    may: dict[bool, dict[str, set[str]]] = {True: {}, False: {}}
    for rule in role["rules"]:
        reads = set(rule["verbs"]) == READ
        assert reads or set(rule["verbs"]) == {"update", "patch"}
        for group in rule["apiGroups"]:
            may[reads].setdefault(group, set()).update(rule["resources"])
    assert may == {True: READS, False: WRITES}
    (account,) = of(what, "ServiceAccount")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "edge"}
    ]
    (known,) = of(what, "GatewayClass")
    assert known["spec"]["controllerName"] == "spangate.dev/gateway"


@needs_kustomize
def test_a_sidecar_starts_behind_its_rules_and_before_the_application() -> None:
    (_, pod), *others = pods("overlays/sidecar")
    assert not others
    names = [one["name"] for one in pod["spec"]["initContainers"]]
    assert names == ["spangate-redirect", "spangate"]
    redirect, sidecar = pod["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always" and "restartPolicy" not in redirect
    user = redirect["args"][redirect["args"].index("--user") + 1]
    assert user == str(sidecar["securityContext"]["runAsUser"])
    (app,) = pod["spec"]["containers"]
    assert app["securityContext"]["runAsUser"] != sidecar["securityContext"]["runAsUser"]


@needs_kustomize
def test_a_new_configuration_is_a_rollout() -> None:
    """The name of a ConfigMap follows from what is in it, and pods name it."""
    for overlay in OVERLAYS:
        names = {one["metadata"]["name"] for one in of(overlay, "ConfigMap")}
        for _, pod in pods(overlay):
            maps = [v["configMap"]["name"] for v in pod["spec"]["volumes"] if "configMap" in v]
            assert maps and set(maps) <= names
    assert made("base") != made("overlays/gateway")


def fits(labels: dict[str, str], pod: Object) -> bool:
    return bool(labels) and labels.items() <= pod["metadata"]["labels"].items()


def loaded(what: str, spec: Object, container: Object) -> Loaded:
    """The configuration that is mounted there, with the container's environment."""
    (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/etc/spangate"]
    (name,) = [v["configMap"]["name"] for v in spec["volumes"] if v["name"] == mount["name"]]
    (config,) = [one for one in of(what, "ConfigMap") if one["metadata"]["name"] == name]
    return loads(config["data"]["routes.toml"], "routes.toml", environment(container))


DOWNWARD: dict[str, str] = {
    "metadata.name": "orders-6d4cf56db6-x7k2p",
    "metadata.namespace": "shop",
    "metadata.uid": "6a3f2b7c-2f4e-4d0e-8a57-0a4d4d1f4b0e",
    "metadata.labels['app.kubernetes.io/name']": "orders",
    "spec.nodeName": "node-1",
    "status.hostIP": "10.0.0.7",
}


def environment(container: Object, downward: dict[str, str] = DOWNWARD) -> dict[str, str]:
    """What the kubelet makes of `env`: `$(NAME)` is what stands above it."""
    found: dict[str, str] = {}
    for one in container.get("env", []):
        value = one.get("value", "")
        if field := one.get("valueFrom", {}).get("fieldRef"):
            value = downward[field["fieldPath"]]
        if resource := one.get("valueFrom", {}).get("resourceFieldRef"):
            assert resource["resource"] == "requests.cpu"
            value = str(whole_cores(container["resources"]["requests"]["cpu"]))
        for name, text in found.items():
            value = value.replace(f"$({name})", text)
        assert "$(" not in value, f"{one['name']} names what is not above it"
        found[one["name"]] = value
    return found


def whole_cores(cpu: str | int) -> int:
    """As resourceFieldRef has it: "500m" is 1."""
    text = str(cpu)
    return math.ceil(int(text[:-1]) / 1000 if text.endswith("m") else float(text))


STRANGERS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, labels: { spangate.dev/sidecar: "true" } }
spec:
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      initContainers: [{ name: prepare, image: "db:1" }]
      containers: [{ name: db, image: "db:1" }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: other }
spec:
  selector: { matchLabels: { app: other } }
  template:
    metadata: { labels: { app: other } }
    spec: { containers: [{ name: other, image: "other:1" }] }
"""


@needs_kustomize
def test_what_is_labelled_has_a_sidecar_before_everything_else(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kustomize" / "components" / "sidecar", tmp_path / "sidecar")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "all.yaml").write_text(STRANGERS)
    (tmp_path / "app" / "kustomization.yaml").write_text(
        "resources: [all.yaml]\ncomponents: [../sidecar]\n"
    )
    kubectl = tool("kubectl")
    assert kubectl
    found = {one["kind"]: one for one in objects(run(kubectl, "kustomize", str(tmp_path / "app")))}
    spec = found["StatefulSet"]["spec"]["template"]["spec"]
    names = [one["name"] for one in spec["initContainers"]]
    assert names == ["spangate-redirect", "spangate", "prepare"]
    assert "initContainers" not in found["Deployment"]["spec"]["template"]["spec"]
