from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import pytest

from proxy import __version__
from proxy.collector.resource import container_id, detect, read_text

ID = "0123456789abcdef" * 4
LAYER = "f" * 64


def found(
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> dict[str, str | int]:
    return detect(overrides or {}, environ or {}, (files or {}).get)


def test_this_process() -> None:
    resource = found()
    assert resource["service.name"] == "spangate"
    assert resource["service.version"] == __version__
    assert resource["telemetry.sdk.name"] == "spangate"
    assert resource["telemetry.sdk.language"] == "python"
    assert resource["process.pid"] == os.getpid()
    assert resource["process.runtime.name"] == "cpython"
    assert resource["process.runtime.version"] == platform.python_version()
    assert resource["host.arch"] in ("amd64", "arm64")
    assert resource["host.name"]
    assert "container.id" not in resource
    assert "host.id" not in resource
    assert not [key for key in resource if key.startswith("k8s.")]


def test_what_the_user_says_wins_and_can_take_away() -> None:
    resource = found({"service.name": "shop-gate", "host.name": "", "team": "shop"})
    assert resource["service.name"] == "shop-gate"
    assert resource["team"] == "shop"
    assert "host.name" not in resource


@pytest.mark.parametrize(
    ("files", "ident"),
    [
        ({"/etc/machine-id": "abc\n", "/var/lib/dbus/machine-id": "def\n"}, "abc"),
        ({"/var/lib/dbus/machine-id": "def\n"}, "def"),
        ({}, None),
    ],
)
def test_host_id(files: Mapping[str, str], ident: str | None) -> None:
    assert found(files=files).get("host.id") == ident


@pytest.mark.parametrize(
    ("files", "ident"),
    [
        ({"/proc/self/cgroup": f"12:cpu:/docker/{ID}\n1:name=systemd:/docker/{ID}\n"}, ID),
        ({"/proc/self/cgroup": f"1:cpu:/kubepods/burstable/pod1-2/{ID}\n"}, ID),
        ({"/proc/self/cgroup": f"1:cpu:/x.slice/cri-containerd-{ID}.scope\n"}, ID),
        (
            {
                "/proc/self/cgroup": "0::/\n",
                "/proc/self/mountinfo": (
                    f"1 2 0:1 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/{LAYER}\n"
                    f"9 8 0:7 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw\n"
                ),
            },
            ID,
        ),
        (
            {"/proc/self/mountinfo": f"9 8 0:7 /sandboxes/{ID}/resolv.conf /etc/resolv.conf rw\n"},
            ID,
        ),
        ({"/proc/self/cgroup": "0::/user.slice/user-1000.slice\n"}, ""),
        ({"/proc/self/cgroup": f"1:cpu:/docker/{ID}0\n"}, ""),
        ({}, ""),
    ],
)
def test_container_id(files: Mapping[str, str], ident: str) -> None:
    assert container_id(files.get) == ident
    assert found(files=files).get("container.id", "") == ident


def test_kubernetes_by_the_downward_api() -> None:
    resource = found(
        environ={
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "POD_NAME": "gate-7f9-abc",
            "NODE_NAME": "node-1",
            "K8S_POD_UID": "u-1",
            "POD_UID": "not this one",
            "K8S_DEPLOYMENT_NAME": "gate",
            "K8S_CLUSTER_NAME": "",
        },
        files={"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "shop\n"},
    )
    assert {k: v for k, v in resource.items() if k.startswith("k8s.")} == {
        "k8s.pod.name": "gate-7f9-abc",
        "k8s.node.name": "node-1",
        "k8s.pod.uid": "u-1",
        "k8s.deployment.name": "gate",
        "k8s.namespace.name": "shop",
    }


def test_outside_kubernetes_only_unmistakable_names_count() -> None:
    resource = found(environ={"POD_NAME": "vlc-podcast", "NODE_NAME": "x", "K8S_POD_NAME": "p"})
    assert resource["k8s.pod.name"] == "p"
    assert "k8s.node.name" not in resource


def test_the_instance_in_kubernetes_is_the_pods_container() -> None:
    environ = {"K8S_POD_NAME": "p", "K8S_NAMESPACE_NAME": "n", "K8S_CONTAINER_NAME": "c"}
    assert found(environ=environ)["service.instance.id"] == "n.p.c"


def test_the_instance_stays_the_same_until_the_process_ends() -> None:
    files = {"/proc/self/stat": "7 (a b) c) S " + " ".join(map(str, range(1, 40)))}
    later = {"/proc/self/stat": "7 (a b) c) S " + " ".join(map(str, range(2, 41)))}
    first = found(files=files)["service.instance.id"]
    assert first == found(files=files)["service.instance.id"]
    assert first != found(files=later)["service.instance.id"]
    assert detect({}, {}, read_text) == detect({}, {}, read_text)


def test_deployment() -> None:
    environ = {"DEPLOYMENT_ENVIRONMENT": "staging"}
    assert found(environ=environ)["deployment.environment.name"] == "staging"
    key = "deployment.environment.name"
    assert found({key: "production"}, environ)[key] == "production"


def test_files_that_cannot_be_read() -> None:
    assert read_text("/does/not/exist") is None
    assert read_text("/") is None
