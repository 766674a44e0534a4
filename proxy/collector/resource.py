"""Resource: who produces this telemetry, found out once, when the hub starts.

Order: what the user says (file, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME: `overrides`) wins
over Kubernetes, container, host and process. Names follow semantic conventions 1.44, resource/*.

Two choices where the specification leaves room. `service.name` falls back to "spangate", not to
`unknown_service:python3`: a gateway knows what it is, and the other name tells nobody anything.
`service.instance.id` is not random but derived (UUIDv5) from host, container, pid and start time:
unique among processes, and the same again when the configuration is reloaded.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy import __version__

Attributes = dict[str, str | int]
Reader = Callable[[str], str | None]

# Semantic conventions, service.instance.id: the namespace for UUIDv5 over a stable identity.
_INSTANCES = uuid.UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

# Names under which pods are customarily given these by the downward API; the first one set wins.
_K8S_ENV: dict[str, tuple[str, ...]] = {
    "k8s.cluster.name": ("K8S_CLUSTER_NAME", "CLUSTER_NAME"),
    "k8s.node.name": ("K8S_NODE_NAME", "NODE_NAME", "MY_NODE_NAME"),
    "k8s.namespace.name": (
        "K8S_NAMESPACE_NAME",
        "K8S_POD_NAMESPACE",
        "K8S_NAMESPACE",
        "POD_NAMESPACE",
        "MY_POD_NAMESPACE",
        "NAMESPACE",
    ),
    "k8s.pod.name": ("K8S_POD_NAME", "POD_NAME", "MY_POD_NAME"),
    "k8s.pod.uid": ("K8S_POD_UID", "POD_UID", "MY_POD_UID"),
    "k8s.container.name": ("K8S_CONTAINER_NAME", "CONTAINER_NAME"),
    "k8s.deployment.name": ("K8S_DEPLOYMENT_NAME", "DEPLOYMENT_NAME"),
    "k8s.replicaset.name": ("K8S_REPLICASET_NAME",),
    "k8s.statefulset.name": ("K8S_STATEFULSET_NAME",),
    "k8s.daemonset.name": ("K8S_DAEMONSET_NAME",),
    "k8s.job.name": ("K8S_JOB_NAME",),
    "k8s.cronjob.name": ("K8S_CRONJOB_NAME",),
}
_DEPLOYMENT_ENV = ("DEPLOYMENT_ENVIRONMENT_NAME", "DEPLOYMENT_ENVIRONMENT")

# host.arch is an enumeration of its own (semantic conventions, resource/host).
_ARCH = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm32",
    "i686": "x86",
    "ppc64le": "ppc64",
    "s390x": "s390x",
}


def read_text(path: str) -> str | None:
    """The file's text, None if it cannot be read: the reader for `detect`."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def detect(
    overrides: Mapping[str, str], environ: Mapping[str, str], read: Reader = read_text
) -> Attributes:
    """All resource attributes of this process; empty values are left out.

    `overrides` are the configuration's `resource` with OTEL_* already merged in; an empty value
    there removes a detected attribute.
    """
    found: Attributes = {
        "service.name": "spangate",
        "service.version": __version__,
        "telemetry.sdk.name": "spangate",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
        **_host(read),
        **_process(),
        **_container(read),
        **_kubernetes(environ, read),
        **_deployment(environ),
    }
    found["service.instance.id"] = _instance(found, read)
    found.update(overrides)
    return {key: value for key, value in found.items() if value != ""}


def container_id(read: Reader) -> str:
    """The container's id, "" outside of one.

    cgroup v1 names it in `/proc/self/cgroup`. With v2 that file says `0::/`, but the files that
    the runtime mounts into the container (hostname, resolv.conf) come from a directory of that
    name, which `/proc/self/mountinfo` shows; other mounts (overlay layers) have 64 digits too.
    """
    for line in (read("/proc/self/cgroup") or "").splitlines():
        ids = _CONTAINER_ID.findall(line)
        if ids:
            return str(ids[-1])
    for line in (read("/proc/self/mountinfo") or "").splitlines():
        if "/etc/hostname" in line or "/etc/resolv.conf" in line:
            ids = _CONTAINER_ID.findall(line)
            if ids:
                return str(ids[0])
    return ""


def _host(read: Reader) -> Attributes:
    machine = platform.machine().lower()
    ident = read("/etc/machine-id") or read("/var/lib/dbus/machine-id") or ""
    return {
        "host.name": socket.gethostname(),
        "host.id": ident.strip(),
        "host.arch": _ARCH.get(machine, machine),
        "os.type": sys.platform,
    }


def _process() -> Attributes:
    return {
        "process.pid": os.getpid(),
        "process.executable.name": os.path.basename(sys.executable),
        "process.executable.path": sys.executable,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": platform.python_version(),
        "process.runtime.description": " ".join(sys.version.split()),
    }


def _container(read: Reader) -> Attributes:
    return {"container.id": container_id(read)}


def _kubernetes(environ: Mapping[str, str], read: Reader) -> Attributes:
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        # POD_NAME and its like mean something else elsewhere; only the unmistakable names count.
        names = {
            key: tuple(n for n in env if n.startswith("K8S_")) for key, env in _K8S_ENV.items()
        }
        return _from_environ(names, environ)
    found = _from_environ(_K8S_ENV, environ)
    if not found.get("k8s.namespace.name"):
        found["k8s.namespace.name"] = (read(_SERVICE_ACCOUNT) or "").strip()
    return found


def _deployment(environ: Mapping[str, str]) -> Attributes:
    return _from_environ({"deployment.environment.name": _DEPLOYMENT_ENV}, environ)


def _from_environ(names: Mapping[str, tuple[str, ...]], environ: Mapping[str, str]) -> Attributes:
    return {
        key: value
        for key, candidates in names.items()
        if (value := next((environ[n] for n in candidates if environ.get(n)), ""))
    }


def _instance(found: Attributes, read: Reader) -> str:
    pod = [found.get(f"k8s.{part}.name") for part in ("namespace", "pod", "container")]
    if all(pod):
        return ".".join(str(part) for part in pod)  # semantic conventions, k8s attributes
    boot = read("/proc/sys/kernel/random/boot_id") or ""
    # field 22 of /proc/self/stat: start time in ticks; the name in field 2 may hold spaces
    started = (read("/proc/self/stat") or "").rpartition(")")[2].split()[19:20]
    parts = (found["host.id"], found["host.name"], found["container.id"], boot.strip())
    return str(uuid.uuid5(_INSTANCES, "/".join(map(str, (*parts, os.getpid(), *started)))))
