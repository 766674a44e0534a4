"""The chart by Helm's own engine: warnings, values that it refuses, and what others include."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from .test_kubernetes import DOWNWARD, environment
from .tools import CHART, charted, helm, misfits, needs_helm, needs_schemas

pytestmark = needs_helm

PARENT = {
    "Chart.yaml": """
apiVersion: v2
name: shop
version: 1.0.0
dependencies:
  - { name: spangate, version: 0.1.0 }
""",
    "values.yaml": """
spangate:
  gateway: { enabled: false }
  sidecar: { enabled: true }
""",
    "templates/orders.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
spec:
  selector:
    matchLabels: { app: orders }
  template:
    metadata:
      labels: { app: orders }
    spec:
      initContainers:
        {{- include "spangate.sidecar.initContainers" (dict "root" .Subcharts.spangate "service" "orders" "app" 8000) | nindent 8 }}
      containers:
        - name: orders
          image: orders:1
      volumes:
        {{- include "spangate.sidecar.volumes" (dict "root" .Subcharts.spangate) | nindent 8 }}
""",  # noqa: E501
}


def test_helm_warns_of_nothing() -> None:
    for values in ({}, {"collector": {"enabled": True}, "sidecar": {"enabled": True}}):
        told = helm("lint", **values)
        assert told["errors"] == []
        assert [m["error"] for m in told["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"gateway": {"replica": 3}}, "replica"),
        ({"gateway": {"replicas": "three"}}, "replicas"),
        ({"gateway": {"ports": []}}, "ports"),
        ({"gateway": {"ports": [{"name": "HTTP", "containerPort": 1, "servicePort": 1}]}}, "name"),
        ({"gateway": {"service": {"type": "Loadbalancer"}}}, "type"),
        ({"collector": {"hostPorts": {"otlp-http": 99999}}}, "otlp-http"),
        ({"collector": {"queuePath": "relative"}}, "queuePath"),
        ({"sidecar": {"uid": 0}}, "uid"),
        ({"colector": {}}, "colector"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], key: str) -> None:
    assert key in helm("render", **values)["error"]


def test_every_value_is_in_the_schema_and_taken() -> None:
    assert "error" not in helm("render")


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart that depends on this one."""
    for name, text in PARENT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text.lstrip())
    shutil.copytree(CHART, tmp_path / "charts" / "spangate")
    return tmp_path


@needs_schemas
def test_another_chart_s_pods_have_a_sidecar(parent: Path) -> None:
    found = charted(parent)
    assert misfits(found, "1.29") == []
    by_kind = {one["kind"]: one for one in found}
    assert by_kind.keys() == {"ConfigMap", "Deployment"}
    spec = by_kind["Deployment"]["spec"]["template"]["spec"]
    redirect, sidecar = spec["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert (
        environment(sidecar).items()
        >= {
            "SPANGATE_SERVICE": "orders",
            "SPANGATE_APP": "8000",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{DOWNWARD['status.hostIP']}:4318",
        }.items()
    )
    assert redirect["args"][-2:] == ["--user", str(sidecar["securityContext"]["runAsUser"])]
    (volume,) = spec["volumes"]
    assert volume["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]


def test_without_rules_nothing_has_a_capability(parent: Path) -> None:
    found = charted(parent, spangate={"sidecar": {"redirect": False}})
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    (sidecar,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_it_says_how_to_go_on() -> None:
    notes = helm("render", collector={"enabled": True})["spangate/templates/NOTES.txt"]
    assert "demo-spangate.edge:80" in notes and "http://$(NODE_IP):4318" in notes
    other = helm("render", otlp={"endpoint": "http://c:4318"})["spangate/templates/NOTES.txt"]
    assert "NODE_IP" not in other
