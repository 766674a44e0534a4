"""The sidecar of the manifest as a kubelet starts it: its init container's command line with its
capability, then its own with its user and environment, beside an application, in a network
namespace."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mesh.hosts import Host, hosts, needs_namespaces
from tests.mesh.test_redirect import has
from tests.mesh.test_sidecar import get, web

from .places import ROOT, SPANGATE, contained, folder_for_all, needs_containment
from .test_kubernetes import DOWNWARD, environment
from .tools import DEPLOY

pytestmark = [needs_namespaces, needs_containment, has("nft"), pytest.mark.timeout(300)]

COMPONENT = DEPLOY / "kustomize" / "components" / "sidecar"
POD: dict[str, Any] = yaml.safe_load((COMPONENT / "patch.yaml").read_text())["spec"]["template"]
REDIRECT, SIDECAR = POD["spec"]["initContainers"]
UNLABELLED = DOWNWARD | {"metadata.labels['app.kubernetes.io/name']": ""}


def started(host: Host, container: dict[str, Any], file: Path) -> subprocess.Popen[str]:
    """A container's process: its arguments, environment, user and capabilities, and no other."""
    may = container["securityContext"]
    args = [arg.replace("/etc/spangate/routes.toml", str(file)) for arg in container["args"]]
    words = contained(
        *SPANGATE,
        *args,
        uid=may["runAsUser"],
        capabilities=tuple(may["capabilities"].get("add", ())),
    )
    return subprocess.Popen(
        ["ip", "netns", "exec", host.name, *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment(container, UNLABELLED) | {"PATH": os.environ["PATH"]},
    )  # fmt: skip


@contextlib.contextmanager
def pod(host: Host) -> Iterator[str]:
    """The pod whose init containers have done their part; yields what the first one has said."""
    with folder_for_all() as folder:
        file = folder / "routes.toml"
        file.write_text((COMPONENT / "routes.toml").read_text())
        first = started(host, REDIRECT, file)
        said = first.communicate(timeout=60)[1]
        assert first.returncode == 0, said
        second = started(host, SIDECAR, file)
        assert second.stderr
        lines: list[str] = []
        try:
            while "gateway.ready" not in (line := second.stderr.readline()):
                lines.append(line)
                assert line, f"it has ended: {''.join(lines)}"
            yield said
        finally:
            second.terminate()
            second.communicate(timeout=60)
        assert second.returncode == 0


def test_a_pod_starts_as_its_manifest_says() -> None:
    with hosts("pod", "near") as (here, near), web(here, "app", 8000), web(near, "near", 80):
        with pod(here) as said:
            # No other warning: not root is left alone, but the sidecar's user, who comes later.
            assert said.splitlines() == [
                f"warning: nobody listens at port {port}: "
                "connections will be refused until a sidecar does"
                for port in (15006, 15001)
            ]
            # Nothing says the application's port: it is called where it was called.
            assert get(near, here.v4, 8000) == f"app {here.v4} traced"
            assert get(near, here.v6, 8000) == f"app {here.v6} traced"
            assert get(here, near.v4, 80) == f"near {here.v4} traced"
            probe = "import urllib.request as u; print(u.urlopen('http://{}:9901{}').read())"
            for path, text in (("/ready", b"ready\n"), ("/live", b"live\n")):
                asked = near.run(sys.executable, "-c", probe.format(here.v4, path))
                assert asked.stdout == f"{text!r}\n", asked.stderr
            fetch = "import urllib.request as u; print(u.urlopen('http://{}:9901/config').read().decode())"
            config = json.loads(near.run(sys.executable, "-c", fetch.format(here.v4)).stdout)
            assert config["mesh"]["name"] == "orders"  # of the pod's name, since no label has it
            assert config["export"]["otlp"] == ["${OTEL_EXPORTER_OTLP_ENDPOINT}"]
        # Where the sidecar has gone, nothing passes it by.
        with pytest.raises(OSError):
            get(near, here.v4, 8000)
